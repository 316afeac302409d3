#include "originD/replica/copy_track_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/stats.h"

#define SKIP_SEGMENTS 30 /* so far behind, it is not caught up segment by segment */
#define AHEAD_MAX 8
#define AHEAD_BYTES (4u << 20) /* of each track: several are copied at a time, of several sessions */

struct track *copy_track_mine(const struct copy_track *c)
{
        return session_track(c->s, c->theirs->name);
}

uint32_t copy_track_their_end(const struct copy_track *c, uint32_t *whole)
{
        *whole = eras_segment(c->s->chunk_ms, c->end_place);
        return *whole + (c->end_place > eras_place(c->s->chunk_ms, *whole, 0));
}

void copy_track_over(struct copy_track *c, int status)
{
        buf_unref(&c->piece);
        absence_forget(&c->absence);
        read_ahead_stop(&c->ahead);
        c->is_over = true;
        c->done(c, status);
}

void copy_track_failed(struct copy_track *c, int status)
{
        stat_add(STAT_CATCH_UP_FAILED, 1);
        copy_track_over(c, status);
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
        uint32_t end = c->end_place ? eras_segment(c->s->chunk_ms, c->end_place - 1) : 0;
        uint32_t last = end / per, from = ix->count ? own / per + 1 : 0;
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
                copy_track_failed(c, status);
        else
                copy_track_ask_segment(c);
}

static void begin_segments(struct copy_track *c)
{
        struct track *t = copy_track_mine(c);
        if (!t || !t->log || t->log->failed) { /* what its rows are told now would be lost when its files are read again */
                copy_track_over(c, ERR_CANCELED);
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
                c->segment = eras_segment(c->s->chunk_ms, c->theirs->eras.list[0].place);
        else
                c->segment = c->theirs->first_segment;
        if (c->segment < c->theirs->first_here) /* what was removed there is not looked for, segment by segment */
                c->segment = c->theirs->first_here;
        copy_track_ask_segment(c);
}

static void adopted(struct session_wait *w, int status)
{
        struct copy_track *c = (struct copy_track *)w;
        if (status)
                copy_track_failed(c, status);
        else
                begin_segments(c);
}

static void adopt_eras(struct copy_track *c)
{
        struct track *t = copy_track_mine(c);
        uint64_t place;
        if (!t || !t->log) {
                copy_track_over(c, ERR_CANCELED);
        } else if (!eras_part(&t->eras, &c->theirs->eras, c->end_place, &place)) {
                begin_segments(c);
        } else if (!chunk_log_idle(t->log)) { /* a writer's first chunk may be on its way there */
                copy_track_over(c, ERR_FULL);
        } else if (compare_take_eras(c->s, t, c->theirs, c->end_place)) {
                session_save(c->s, &c->wait, false, adopted);
        } else {
                begin_segments(c);
        }
}

static void cut_back(void *arg, int status)
{
        struct copy_track *c = arg;
        struct track *t = copy_track_mine(c);
        if (status || !t) {
                copy_track_failed(c, status ? status : ERR_CANCELED);
                return;
        }
        stat_add(STAT_STORED_BYTES, (int64_t)track_facts(c->s, t).file_bytes - (int64_t)c->uncut_bytes);
        if (!chunk_log_idle(t->log)) { /* a writer's first chunk may be on its way there */
                copy_track_over(c, ERR_FULL);
                return;
        }
        /* What is left of the segment is theirs too. */
        eras_adopt(&t->eras, &c->theirs->eras, eras_place(c->s->chunk_ms, c->lack.cut_segment, 0));
        compare_take_eras(c->s, t, c->theirs, c->end_place);
        session_save(c->s, &c->wait, false, adopted);
}

static void track_added(void *arg, int status)
{
        struct copy_track *c = arg;
        if (status)
                copy_track_failed(c, status);
        else
                adopt_eras(c);
}

static void on_init(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy_track *c = arg;
        int status = err ? err : m->status;
        if (status || !bytes) {
                copy_track_failed(c, status ? status : ERR_PROTO);
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
                copy_track_over(c, rc);
}

static void dropped(void *arg, int status)
{
        struct copy_track *c = arg;
        if (status)
                copy_track_failed(c, status);
        else
                ask_init(c);
}

/* Nothing of the track is on its way any more: all of it goes, its init segment may be another writer's too. */
static void drop_track(struct session_wait *w, int status)
{
        struct copy_track *c = (struct copy_track *)w;
        struct track *t = copy_track_mine(c);
        if (status || (t && (!t->log || chunk_log_busy(t->log)))) {
                copy_track_failed(c, status ? status : ERR_CANCELED);
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

void copy_track_cut(struct copy_track *c, const struct ahead_segment *there)
{
        struct track *t = copy_track_mine(c);
        c->before_cut = false;
        if (!there->bytes || there->status == ERR_CORRUPT) {
                copy_track_failed(c, there->status ? there->status : ERR_NOT_YET);
                return;
        }
        if (!still_to_be_cut(c, t)) {
                copy_track_over(c, ERR_FULL);
                return;
        }
        tell_cut(c, t);
        c->behind_cut = true;
        c->uncut_bytes = track_facts(c->s, t).file_bytes;
        c->brought = true;
        if (!t->eras.count || eras_place(c->s->chunk_ms, c->lack.cut_segment, 0) <= t->eras.list[0].place) {
                chunk_log_fence(t->log);
                session_save(c->s, &c->wait, true, drop_track);
        } else {
                chunk_log_cut(t->log, c->lack.cut_segment, buf_ref(there->bytes), cut_back, c);
        }
}

/* What is to stand there, and what is behind that. */
void copy_track_fetch_cut(struct copy_track *c)
{
        uint32_t whole, end = copy_track_their_end(c, &whole);
        c->before_cut = true;
        c->kept = 0;
        read_ahead_begin(&c->ahead, c->lack.cut_segment, 0, whole, end > c->lack.cut_segment ? end : c->lack.cut_segment + 1);
        copy_track_go_on(c);
}

void copy_track_start(struct copy_track *c)
{
        struct track *t = copy_track_mine(c);
        buf_unref(&c->piece);
        c->end_place = eras_place(c->s->chunk_ms, c->theirs->next_segment, c->theirs->next_chunk);
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
        c->ahead.ready = copy_track_on_segment;
        c->ahead.arg = c;
        if (!t) {
                ask_init(c);
        } else if (!t->log || t->log->cutting || t->log->ended) {
                copy_track_over(c, ERR_FULL);
        } else if (c->lack.cut && !chunk_log_may_cut(t->log, c->lack.cut_segment)) {
                copy_track_over(c, ERR_FULL); /* what it would go on with is on its way here from the archive */
        } else if (!c->lack.cut) {
                adopt_eras(c);
        } else {
                copy_track_fetch_cut(c);
        }
}

void copy_track_tick(struct copy_track *c)
{
        if (!c->is_over && c->starved)
                copy_track_go_on(c);
}

void copy_track_stop(struct copy_track *c)
{
        c->stopping = true;
        if (!c->is_over && (c->starved || c->absence))
                copy_track_over(c, ERR_CANCELED);
}
