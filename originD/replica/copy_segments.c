#include "originD/replica/copy_track_impl.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/stats.h"

#define HOLES_MAX VOLUME_SEGMENTS_MAX /* segments of a volume that nobody wrote, one after the other */

/* The next chunk of the piece, up to its mdat; 0: there is no whole one. */
static size_t next_chunk(const struct copy_track *c)
{
        size_t left = c->piece->len - c->at, head;
        uint64_t len;
        return !left || box_chunk_length(c->piece->data + c->at, left, &head, &len) || len > left ? 0 : (size_t)len;
}

static void append_next(struct copy_track *c);

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
        uint64_t next = eras_place(c->s->chunk_ms, c->segment + 1, 0);
        return track_end_place(c->s, t) < (next < c->end_place ? next : c->end_place);
}

static void cut_segment(struct copy_track *c)
{
        buf_unref(&c->piece);
        c->lack.cut_segment = c->segment;
        copy_track_fetch_cut(c); /* and what is behind that again, which may be cut there as well */
}

static void appended(struct chunk_append *a, int status)
{
        struct copy_track *c = (struct copy_track *)((char *)a - offsetof(struct copy_track, append));
        size_t len = a->bytes->len;
        buf_unref(&a->bytes);
        if (status == ERR_NOSPACE)
                store_no_space(c->store);
        if (status == ERR_ORDER || status == ERR_FENCED) { /* a writer was faster, or a newer one is here */
                copy_track_over(c, 0);
        } else if (status) {
                copy_track_failed(c, status);
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
                copy_track_failed(c, ERR_PROTO);
                return true;
        }
        uint8_t chunk = index_grid_chunk(info.start_ticks, t->init.timescale, c->s->chunk_ms, c->segment);
        uint64_t place = eras_place(c->s->chunk_ms, c->segment, chunk);
        const struct era *era = eras_at(&c->theirs->eras, place);
        if (!era || place >= c->end_place)
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
        copy_track_ask_segment(c);
}

static void append_next(struct copy_track *c)
{
        struct track *t = copy_track_mine(c);
        size_t len = next_chunk(c);
        if (c->stopping || !t || !t->log) {
                copy_track_over(c, ERR_CANCELED);
                return;
        }
        if (differs(c, t)) {
                cut_segment(c);
                return;
        }
        if (len) {
                if (!append_chunk(c, t, len))
                        copy_track_over(c, 0);
                return;
        }
        bool rest = c->at < c->piece->len;
        buf_unref(&c->piece);
        if (!c->piece_moved)
                copy_track_failed(c, ERR_PROTO);
        else if (c->piece_last && !rest)
                segment_over(c);
        else
                copy_track_ask_segment(c);
}

static void nothing_more(struct copy_track *c, bool complete)
{
        struct track *t = copy_track_mine(c);
        if (!complete || c->stopping || !t || !t->log) {
                copy_track_over(c, 0);
        } else if (differs(c, t)) {
                cut_segment(c);
        } else {
                c->segment++;
                copy_track_ask_segment(c);
        }
}

/* To the next segment that the other may have: a broadcast that stood still for hours is not asked for second by second. */
static void pass_hole(struct copy_track *c)
{
        const struct volumes *v = &c->theirs->volumes;
        uint32_t per = c->s->volume_segments, open = c->end_place ? eras_segment(c->s->chunk_ms, c->end_place - 1) / per * per : 0;
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
                copy_track_failed(c, status);
        else
                copy_track_ask_segment(c);
}

/* The segment was, and cannot be had now: what comes behind it is not held up by that. */
static void miss(struct copy_track *c)
{
        struct track *t = copy_track_mine(c);
        if (!t || !t->log || t->log->ended || t->log->failed || c->stopping) { /* failed: what it is told would be lost */
                copy_track_over(c, ERR_CANCELED);
                return;
        }
        if (!c->missed)
                log_warn("session=%s stream=%s track=%s peer=%s segment=%u msg=\"a segment cannot be had: it is lacking, what is behind "
                         "it is copied\"", c->s->id, c->s->stream, t->name, c->peer, c->segment);
        c->missed = true;
        c->missed_until = (c->segment / c->s->volume_segments + 1) * c->s->volume_segments;
        if (chunk_log_miss(t->log, c->segment++))
                copy_track_ask_segment(c);
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
        copy_track_ask_segment(c);
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
        copy_track_ask_segment(c);
}

static void came(struct copy_track *c, const struct ahead_segment *a)
{
        struct track *t = copy_track_mine(c);
        bool lost = a->status == ERR_CORRUPT; /* there: a part of it is of no use, another origin's would be cut off by it */
        bool probed = c->probing, some = a->bytes != NULL && !lost;
        int status = some ? 0 : a->status; /* what came before an error is taken, and the rest asked for again */
        c->probing = false;
        c->piece_inside = a->offset > 0 || probed || c->kept;
        if (c->before_cut) {
                copy_track_cut(c, a);
        } else if (probed && some && t && t->log && differs(c, t)) {
                cut_segment(c);
        } else if (status == ERR_NOT_YET) {
                copy_track_over(c, 0);
        } else if (status == ERR_NOT_FOUND && !probed && t && t->log && differs(c, t)) { /* a shorter one, or none */
                c->probing = true;
                copy_track_ask_segment(c);
        } else if (status == ERR_NOT_FOUND && c->holes++ < HOLES_MAX) { /* there too */
                doubt_hole(c);
        } else if (lost) {
                miss(c);
        } else if (status) {
                copy_track_failed(c, status);
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

void copy_track_go_on(struct copy_track *c)
{
        while (!c->stopping && may_ask(c) && read_ahead_more(&c->ahead))
                ;
        const struct ahead_segment *a = read_ahead_first(&c->ahead);
        c->starved = !a && !c->ahead.under_way;
        if (c->stopping)
                copy_track_over(c, ERR_CANCELED);
        else if (a && !c->piece && !c->absence)
                came(c, a);
}

void copy_track_on_segment(void *arg)
{
        copy_track_go_on(arg);
}

void copy_track_ask_segment(struct copy_track *c)
{
        struct track *t = copy_track_mine(c);
        struct segment_view v;
        uint32_t whole, end = copy_track_their_end(c, &whole);
        if (!t || !t->log || t->log->ended) {
                copy_track_over(c, ERR_CANCELED);
                return;
        }
        if (c->segment >= end) {
                copy_track_over(c, 0);
                return;
        }
        uint64_t offset = chunk_log_segment(t->log, c->segment, false, &v) == SEGMENT_HERE ? v.len_bytes : 0;
        bool behind_cut = c->behind_cut && c->segment == c->lack.cut_segment;
        bool known = (!offset || behind_cut) && !c->probing && read_ahead_pass_to(&c->ahead, c->segment);
        c->kept = known ? (size_t)offset : 0;
        c->behind_cut = false;
        if (!known)
                read_ahead_begin(&c->ahead, c->segment, c->probing ? 0 : offset, whole, end);
        copy_track_go_on(c);
}
