#include "originD/replica/copy_track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/stats.h"

#define SKIP_SEGMENTS 30 /* so far behind, it is not caught up segment by segment */
#define HOLES_MAX VOLUME_SEGMENTS_MAX /* segments of a volume that nobody wrote, one after the other */
#define AHEAD_MAX 8
#define AHEAD_BYTES (4u << 20) /* of each track: several are copied at a time, of several sessions */

static struct track *mine(const struct copy_track *c)
{
        return session_track(c->s, c->theirs->name);
}

/* So many segments the other has begun; all of them are whole but for the last one, where its end lies inside of it. */
static uint32_t their_end(const struct copy_track *c, uint32_t *whole)
{
        *whole = (uint32_t)(c->end_place / CHUNKS_PER_SEGMENT);
        return *whole + (c->end_place % CHUNKS_PER_SEGMENT != 0);
}

static void over(struct copy_track *c, int status)
{
        buf_unref(&c->piece);
        absence_forget(&c->absence);
        read_ahead_stop(&c->ahead);
        c->is_over = true;
        c->done(c, status);
}

static void failed(struct copy_track *c, int status)
{
        stat_add(STAT_CATCH_UP_FAILED, 1);
        over(c, status);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------- */

static void ask_segment(struct copy_track *c);

/* The next chunk of the piece, up to its mdat; 0: there is no whole one. */
static size_t next_chunk(const struct copy_track *c)
{
        size_t left = c->piece->len - c->at, head;
        uint64_t len;
        return !left || box_chunk_length(c->piece->data + c->at, left, &head, &len) || len > left ? 0 : (size_t)len;
}

static void append_next(struct copy_track *c);
static void fetch_cut(struct copy_track *c);
static void cut(struct copy_track *c, const struct ahead_segment *there);

static bool chunk_begins(const struct copy_track *c)
{
        struct reader r;
        uint32_t type;
        uint64_t size;
        size_t header;
        reader_init(&r, c->piece->data + c->at, c->piece->len - c->at);
        return !box_header(&r, &type, &size, &header) &&
               (type == BOX_TYPE('s', 't', 'y', 'p') || type == BOX_TYPE('m', 'o', 'o', 'f'));
}

/* What this origin has of the segment is not what the other one has of it: no chunk begins where this one's end, or nothing
 * comes behind them, though by time something does. */
static bool differs(const struct copy_track *c, const struct track *t)
{
        if (!c->piece_inside || c->s->claimed || t->log->cutting || t->log->ended)
                return false;
        if (c->piece)
                return c->at == 0 && !chunk_begins(c);
        uint64_t next = eras_place(c->segment + 1, 0);
        return track_end_place(c->s, t) < (next < c->end_place ? next : c->end_place);
}

static void cut_segment(struct copy_track *c)
{
        buf_unref(&c->piece);
        c->lack.cut_segment = c->segment;
        fetch_cut(c); /* and what is behind that again, which may be cut there as well */
}

static void appended(struct chunk_append *a, int status)
{
        struct copy_track *c = (struct copy_track *)((char *)a - offsetof(struct copy_track, append));
        size_t len = a->bytes->len;
        buf_unref(&a->bytes);
        if (status == ERR_NOSPACE)
                store_no_space(c->store);
        if (status == ERR_ORDER || status == ERR_FENCED) { /* a writer was faster, or a newer one is here */
                over(c, 0);
        } else if (status) {
                failed(c, status);
        } else {
                c->at += len;
                c->bytes += a->again ? 0 : len;
                c->piece_moved = true;
                c->brought |= !a->again;
                append_next(c);
        }
}

/* Sends the piece's next chunk into the log. false: none is left that the facts speak of. */
static bool append_chunk(struct copy_track *c, struct track *t, size_t len)
{
        struct chunk_info info;
        const uint8_t *from = c->piece->data + c->at;
        if (box_chunk_parse(from, len, &t->init, &info)) {
                failed(c, ERR_PROTO);
                return true;
        }
        uint8_t chunk = index_grid_chunk(info.start_ticks, t->init.timescale, c->segment);
        const struct era *era = eras_at(&c->theirs->eras, eras_place(c->segment, chunk));
        if (!era || eras_place(c->segment, chunk) >= c->end_place)
                return false;
        bool last = c->piece_last && c->at + len == c->piece->len;
        c->append = (struct chunk_append){.segment = c->segment, .chunk = chunk, .copied = true, .done = appended,
                                          .flags = last ? PUT_LAST : 0, .generation = era->generation,
                                          .start_us = box_ticks_to_us(info.start_ticks, t->init.timescale),
                                          .bytes = buf_slice(c->piece, c->at, len)};
        chunk_log_append(t->log, &c->append);
        return true;
}

static void segment_over(struct copy_track *c)
{
        c->segments++;
        stat_add(STAT_CATCH_UP_COPIED, 1);
        c->segment++;
        ask_segment(c);
}

static void append_next(struct copy_track *c)
{
        struct track *t = mine(c);
        size_t len = next_chunk(c);
        if (c->stopping || !t || !t->log) {
                over(c, ERR_CANCELED);
                return;
        }
        if (differs(c, t)) {
                cut_segment(c);
                return;
        }
        if (len) {
                if (!append_chunk(c, t, len))
                        over(c, 0);
                return;
        }
        bool rest = c->at < c->piece->len;
        buf_unref(&c->piece);
        if (!c->piece_moved)
                failed(c, ERR_PROTO);
        else if (c->piece_last && !rest)
                segment_over(c);
        else
                ask_segment(c);
}

static void nothing_more(struct copy_track *c, bool complete)
{
        struct track *t = mine(c);
        if (!complete || c->stopping || !t || !t->log) {
                over(c, 0);
        } else if (differs(c, t)) {
                cut_segment(c);
        } else {
                c->segment++;
                ask_segment(c);
        }
}

/* To the next segment that the other may have: a broadcast that stood still for hours is not asked for second by second. */
static void pass_hole(struct copy_track *c)
{
        const struct volumes *v = &c->theirs->volumes;
        uint32_t per = c->s->volume_segments, open = c->end_place ? (uint32_t)((c->end_place - 1) / CHUNKS_PER_SEGMENT) / per * per : 0;
        uint32_t next = ++c->segment;
        for (size_t i = 0; i < v->count; i++)
                if (v->rows[i].sum.last_segment >= next) {
                        c->segment = v->rows[i].sum.first_segment > next ? v->rows[i].sum.first_segment : next;
                        return;
                }
        if (v->count && open > next)
                c->segment = open;
}

static void missed(struct session_wait *w, int status)
{
        struct copy_track *c = (struct copy_track *)w;
        if (status)
                failed(c, status);
        else
                ask_segment(c);
}

/* The segment was, and cannot be had now: what comes behind it is not held up by that. */
static void miss(struct copy_track *c)
{
        struct track *t = mine(c);
        if (!t || !t->log || c->stopping) {
                over(c, ERR_CANCELED);
                return;
        }
        if (!c->missed)
                log_warn("session=%s stream=%s track=%s peer=%s segment=%u msg=\"a segment cannot be had: it is lacking, what is behind "
                         "it is copied\"", c->s->id, c->s->stream, t->name, c->peer, c->segment);
        c->missed = true;
        c->missed_until = (c->segment / c->s->volume_segments + 1) * c->s->volume_segments;
        if (chunk_log_miss(t->log, c->segment++))
                ask_segment(c);
        else /* that it is lacking is saved before anything stands behind it */
                session_save(c->s, &c->wait, false, missed);
}

static void on_absence(void *arg, bool nowhere)
{
        struct copy_track *c = arg;
        c->absence = NULL;
        if (!nowhere) {
                miss(c);
                return;
        }
        pass_hole(c);
        ask_segment(c);
}

/* Here it is a hole too, if nobody else knows better. */
static void doubt_hole(struct copy_track *c)
{
        struct fetch m = {.hops = FETCH_HOPS_MAX}; /* what each has itself */
        snprintf(m.key, sizeof(m.key), "/live/%s/%s/%s/%u.m4s", c->s->stream, c->s->id, c->theirs->name, c->segment);
        if (c->segment >= c->missed_until) /* otherwise its volume is lacking already, and it with it */
                c->absence = absence_ask(c->link, c->peer, &m, on_absence, c);
        if (c->absence)
                return;
        pass_hole(c);
        ask_segment(c);
}

static void came(struct copy_track *c, const struct ahead_segment *a)
{
        struct track *t = mine(c);
        bool lost = a->status == ERR_CORRUPT; /* there: a part of it is of no use, another origin's would be cut off by it */
        bool probed = c->probing, some = a->bytes != NULL && !lost;
        int status = some ? 0 : a->status; /* what came before an error is taken, and the rest asked for again */
        c->probing = false;
        c->piece_inside = a->offset > 0 || probed || c->kept;
        if (c->before_cut) {
                cut(c, a);
        } else if (probed && some && t && t->log && differs(c, t)) {
                cut_segment(c);
        } else if (status == ERR_NOT_YET) {
                over(c, 0);
        } else if (status == ERR_NOT_FOUND && !probed && t && t->log && differs(c, t)) { /* a shorter one, or none */
                c->probing = true;
                ask_segment(c);
        } else if (status == ERR_NOT_FOUND && c->holes++ < HOLES_MAX) { /* there too */
                doubt_hole(c);
        } else if (lost) {
                miss(c);
        } else if (status) {
                failed(c, status);
        } else if (!some) {
                nothing_more(c, a->complete);
        } else {
                c->holes = 0;
                c->piece = buf_ref(a->bytes);
                c->at = c->kept < a->bytes->len ? c->kept : a->bytes->len;
                c->piece_moved = c->kept > 0;
                c->piece_last = a->complete;
                append_next(c);
        }
}

static bool may_ask(struct copy_track *c)
{
        if (!c->allowance)
                return true;
        c->allowance->bytes -= (int64_t)(c->ahead.came_bytes - c->counted);
        c->counted = c->ahead.came_bytes;
        return allowance_left(c->allowance, clock_mono_us()) > (int64_t)((uint64_t)c->ahead.under_way * c->ahead.usual_bytes);
}

/* Asks for what is next, as far as it may, and takes what is there of the first segment. */
static void go_on(struct copy_track *c)
{
        while (!c->stopping && may_ask(c) && read_ahead_more(&c->ahead))
                ;
        const struct ahead_segment *a = read_ahead_first(&c->ahead);
        c->starved = !a && !c->ahead.under_way;
        if (c->stopping)
                over(c, ERR_CANCELED);
        else if (a && !c->piece && !c->absence)
                came(c, a);
}

static void on_segment(void *arg)
{
        go_on(arg);
}

/* The segment, from where this origin's end is on. It may be on its way already. */
static void ask_segment(struct copy_track *c)
{
        struct track *t = mine(c);
        struct segment_view v;
        uint32_t whole, end = their_end(c, &whole);
        if (!t || !t->log || t->log->ended) {
                over(c, ERR_CANCELED);
                return;
        }
        if (c->segment >= end) {
                over(c, 0);
                return;
        }
        uint64_t offset = chunk_log_segment(t->log, c->segment, false, &v) == SEGMENT_HERE ? v.len_bytes : 0;
        bool behind_cut = c->behind_cut && c->segment == c->lack.cut_segment;
        bool known = (!offset || behind_cut) && !c->probing && read_ahead_pass_to(&c->ahead, c->segment);
        c->kept = known ? (size_t)offset : 0;
        c->behind_cut = false;
        if (!known)
                read_ahead_begin(&c->ahead, c->segment, c->probing ? 0 : offset, whole, end);
        go_on(c);
}

/* ---- a track: cut, take over the eras, then its chunks ------------------------------------------------------------ */

/* Where this one's end is far behind the other's, copying goes on with the volume that the other's end lies in: so a copy is
 * in step with its writer soon, however long it was away. What lies between is brought later, in whole volumes (fills.h). The last one
 * is copied also where the other's is closed, since the broadcast ended: a volume that is only known to be lacking says in which
 * segment it ends, not in which sample, and the manifest of what ended never changes.
 * Returns the segment to go on with; 0: the next one. */
static uint32_t skip_volumes(const struct copy_track *c, struct track *t)
{
        const struct volumes *v = &c->theirs->volumes;
        const struct index *ix = &t->log->index;
        uint32_t per = t->log->volume_track.segments, own = ix->count ? ix->rows[ix->count - 1].segment : 0;
        uint32_t end = c->end_place ? (uint32_t)((c->end_place - 1) / CHUNKS_PER_SEGMENT) : 0, last = end / per, from = ix->count ? own / per + 1 : 0;
        if (end < own || end - own <= (per < SKIP_SEGMENTS ? per : SKIP_SEGMENTS))
                return 0;
        if (volumes_below(v, last) <= volumes_below(v, from) && (!ix->count || last == own / per))
                return 0;
        chunk_log_skip(t->log); /* first: the rows are saved as soon as there are more, and a start has to see which volume was left */
        chunk_log_expect_volumes(t->log, v, from, last);
        return last * per;
}

static void skipped(struct session_wait *w, int status)
{
        struct copy_track *c = (struct copy_track *)w;
        if (status)
                failed(c, status);
        else
                ask_segment(c);
}

static void begin_segments(struct copy_track *c)
{
        struct track *t = mine(c);
        if (!t || !t->log || t->log->failed) { /* what its rows are told now would be lost when its files are read again */
                over(c, ERR_CANCELED);
                return;
        }
        c->segment = skip_volumes(c, t);
        if (c->segment) { /* that they are lacking is saved before anything stands behind them */
                session_save(c->s, &c->wait, false, skipped);
                return;
        }
        const struct index *ix = &t->log->index;
        const struct index_row *last = ix->count ? &ix->rows[ix->count - 1] : NULL;
        if (last)
                c->segment = last->segment + index_complete(ix, last);
        else if (c->theirs->eras.count)
                c->segment = (uint32_t)(c->theirs->eras.list[0].place / CHUNKS_PER_SEGMENT);
        else
                c->segment = c->theirs->first_segment;
        if (c->segment < c->theirs->first_here) /* what was removed there is not looked for, segment by segment */
                c->segment = c->theirs->first_here;
        ask_segment(c);
}

static void adopted(struct session_wait *w, int status)
{
        struct copy_track *c = (struct copy_track *)w;
        if (status)
                failed(c, status);
        else
                begin_segments(c);
}

static void adopt_eras(struct copy_track *c)
{
        struct track *t = mine(c);
        uint64_t place;
        if (!t || !t->log) {
                over(c, ERR_CANCELED);
        } else if (!eras_part(&t->eras, &c->theirs->eras, c->end_place, &place)) {
                begin_segments(c);
        } else if (!chunk_log_idle(t->log)) { /* a writer's first chunk may be on its way there */
                over(c, ERR_FULL);
        } else if (compare_take_eras(c->s, t, c->theirs, c->end_place)) {
                session_save(c->s, &c->wait, false, adopted);
        } else {
                begin_segments(c);
        }
}

static void cut_back(void *arg, int status)
{
        struct copy_track *c = arg;
        struct track *t = mine(c);
        if (status || !t) {
                failed(c, status ? status : ERR_CANCELED);
                return;
        }
        stat_add(STAT_STORED_BYTES, (int64_t)track_facts(c->s, t).file_bytes - (int64_t)c->uncut_bytes);
        if (!chunk_log_idle(t->log)) { /* a writer's first chunk may be on its way there */
                over(c, ERR_FULL);
                return;
        }
        eras_adopt(&t->eras, &c->theirs->eras, eras_place(c->lack.cut_segment, 0)); /* what is left of the segment is theirs too */
        compare_take_eras(c->s, t, c->theirs, c->end_place);
        session_save(c->s, &c->wait, false, adopted);
}

static void track_added(void *arg, int status)
{
        struct copy_track *c = arg;
        if (status)
                failed(c, status);
        else
                adopt_eras(c);
}

static void on_init(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy_track *c = arg;
        int status = err ? err : m->status;
        if (status || !bytes) {
                failed(c, status ? status : ERR_PROTO);
                return;
        }
        const struct peer_track *t = c->theirs;
        struct put p = {.flags = PUT_INIT, .segment = t->first_segment, .start_us = t->start_us, .bandwidth = t->bandwidth,
                        .fps_milli = t->fps_milli, .bytes = bytes->data, .len = (uint32_t)bytes->len};
        strcpy(p.track, t->name);
        session_add_track(c->s, &p, track_added, c);
}

static void ask_init(struct copy_track *c)
{
        struct fetch m = {.hops = FETCH_HOPS_MAX}; /* what it has itself */
        snprintf(m.key, sizeof(m.key), "/live/%s/%s/%s/init.mp4", c->s->stream, c->s->id, c->theirs->name);
        int rc = c->stopping ? ERR_CANCELED : c->link->ops->fetch(c->link, c->peer, &m, on_init, c);
        if (rc)
                over(c, rc);
}

static void dropped(void *arg, int status)
{
        struct copy_track *c = arg;
        if (status)
                failed(c, status);
        else
                ask_init(c);
}

/* Nothing of the track is on its way any more: all of it goes, its init segment may be another writer's too. */
static void drop(struct session_wait *w, int status)
{
        struct copy_track *c = (struct copy_track *)w;
        struct track *t = mine(c);
        if (status || (t && (!t->log || chunk_log_busy(t->log)))) {
                failed(c, status ? status : ERR_CANCELED);
                return;
        }
        if (t)
                track_drop(c->s, t, dropped, c);
        else
                dropped(c, 0);
}

static void tell_cut(struct copy_track *c, struct track *t)
{
        const struct index *ix = &t->log->index;
        const struct volumes *v = &t->log->closed;
        uint32_t last = ix->count ? ix->rows[ix->count - 1].segment : 0;
        log_warn("session=%s stream=%s track=%s peer=%s segment=%u last=%u "
                 "msg=\"cut back: another writer's bytes stand there\"", c->s->id, c->s->stream, t->name, c->peer,
                 c->lack.cut_segment, last);
        for (size_t i = 0; i < ix->count; i++)
                stat_add(STAT_CATCH_UP_CUT, ix->rows[i].segment >= c->lack.cut_segment);
        for (size_t i = v->count; i-- && v->rows[i].sum.last_segment >= c->lack.cut_segment;) {
                uint32_t first = v->rows[i].sum.first_segment;
                stat_add(STAT_CATCH_UP_CUT, v->rows[i].sum.last_segment - (first > c->lack.cut_segment ? first : c->lack.cut_segment) + 1);
        }
}

/* Meanwhile a writer may have come, or another copy. */
static bool still_to_be_cut(const struct copy_track *c, const struct track *t)
{
        if (!t || !t->log || t->log->cutting || t->log->ended || t->log->failed)
                return false;
        struct track_lack now = compare_track(c->s, t, c->theirs);
        return c->lack.cut ? now.cut && now.cut_segment == c->lack.cut_segment : !now.cut && !c->s->claimed;
}

static void cut(struct copy_track *c, const struct ahead_segment *there)
{
        struct track *t = mine(c);
        c->before_cut = false;
        if (!there->bytes || there->status == ERR_CORRUPT) {
                failed(c, there->status ? there->status : ERR_NOT_YET);
                return;
        }
        if (!still_to_be_cut(c, t)) {
                over(c, ERR_FULL);
                return;
        }
        tell_cut(c, t);
        c->behind_cut = true;
        c->uncut_bytes = track_facts(c->s, t).file_bytes;
        c->brought = true;
        if (!t->eras.count || eras_place(c->lack.cut_segment, 0) <= t->eras.list[0].place) {
                chunk_log_fence(t->log);
                session_save(c->s, &c->wait, true, drop);
        } else {
                chunk_log_cut(t->log, c->lack.cut_segment, buf_ref(there->bytes), cut_back, c);
        }
}

/* What is to stand there, and what is behind that. */
static void fetch_cut(struct copy_track *c)
{
        uint32_t whole, end = their_end(c, &whole);
        c->before_cut = true;
        c->kept = 0;
        read_ahead_begin(&c->ahead, c->lack.cut_segment, 0, whole, end > c->lack.cut_segment ? end : c->lack.cut_segment + 1);
        go_on(c);
}

void copy_track_start(struct copy_track *c)
{
        struct track *t = mine(c);
        buf_unref(&c->piece);
        c->end_place = eras_place(c->theirs->next_segment, c->theirs->next_chunk);
        c->holes = 0;
        c->missed = false;
        c->missed_until = 0;
        c->probing = c->before_cut = c->behind_cut = false;
        c->kept = 0;
        c->ahead.link = c->link;
        c->ahead.peer = c->peer;
        c->ahead.stream = c->s->stream;
        c->ahead.session = c->s->id;
        c->ahead.track = c->theirs->name;
        c->ahead.max = AHEAD_MAX;
        c->ahead.max_bytes = AHEAD_BYTES;
        c->ahead.ready = on_segment;
        c->ahead.arg = c;
        if (!t) {
                ask_init(c);
        } else if (!t->log || t->log->cutting || t->log->ended) {
                over(c, ERR_FULL);
        } else if (c->lack.cut && !chunk_log_may_cut(t->log, c->lack.cut_segment)) {
                over(c, ERR_FULL); /* what it would go on with is on its way here from the archive */
        } else if (!c->lack.cut) {
                adopt_eras(c);
        } else {
                fetch_cut(c);
        }
}

void copy_track_tick(struct copy_track *c)
{
        if (!c->is_over && c->starved)
                go_on(c);
}

void copy_track_stop(struct copy_track *c)
{
        c->stopping = true;
        if (!c->is_over && (c->starved || c->absence))
                over(c, ERR_CANCELED);
}
