#include "edged/tail.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/mem.h"

struct tail {
        struct cache *cache;
        struct census *census;
        struct key track;
        struct buf *init;     /* NULL: it was taken */
        uint32_t segment;
        uint64_t sent; /* of it */
        bool begun;    /* something of a segment was given. Before that: */
        uint32_t first, last, back; /* segments there are by the clock; how far the last step back went */
        unsigned holes;
};

enum { TAILS, BEGUN, MOVED, LEFT_OUT, ROWS };
static struct metric rows[ROWS] = {
        [TAILS] = {.name = "edged_tails", .type = METRIC_GAUGE, .help = "Viewers that read a track as one answer without an end"},
        [BEGUN] = {.name = "edged_tails_total", .type = METRIC_COUNTER, .help = "Answers without an end that began"},
        [MOVED] = {.name = "edged_tail_moved_total", .type = METRIC_COUNTER,
                   .help = "Times that a reader of such an answer was too far behind and went on with a newer segment"},
        [LEFT_OUT] = {.name = "edged_tail_left_out_total", .type = METRIC_COUNTER, .help = "Segments that such readers were not given, being too far behind"},
};

void tail_register(void)
{
        metrics_register(rows, ROWS);
}

/* ---- segments of the track ------------------------------------------------------------------------------------------- */

/* The key of that segment; its length, or 0: it would be too long. */
static size_t name(char text[KEY_MAX + 1], const struct key *track, uint32_t segment)
{
        int n = snprintf(text, KEY_MAX + 1, "/live/%s/%s/%s/%u.m4s", track->stream, track->session, track->track, segment);
        return n > 0 && n <= KEY_MAX ? (size_t)n : 0;
}

/* A reference to the object, which is fetched if it is not there; NULL: too much is. */
static struct object *get(struct tail *t, uint32_t segment, int64_t now_us)
{
        char text[KEY_MAX + 1];
        struct object *o = NULL;
        size_t len = name(text, &t->track, segment);
        if (len)
                cache_get(t->cache, text, len, 0, now_us, &o);
        return o;
}

static bool has_bytes(struct object *o, int64_t now_us)
{
        struct object_view v;
        object_look(o, now_us, &v);
        object_unref(&v.stale);
        return v.len > 0 && v.state != OBJECT_FAILED;
}

/* The same if it is there and has bytes; nothing is fetched for it. */
static struct object *find(struct tail *t, uint32_t segment, int64_t now_us)
{
        char text[KEY_MAX + 1];
        struct object *o = NULL;
        size_t len = name(text, &t->track, segment);
        if (len)
                cache_find(t->cache, text, len, now_us, &o);
        if (o && !has_bytes(o, now_us))
                object_unref(&o);
        return o;
}

static bool edge_of(struct tail *t, uint32_t *first, uint32_t *last)
{
        return t->census && census_edge(t->census, &t->track, clock_wall_us(), first, last);
}

/* ---- from one to the next ---------------------------------------------------------------------------------------------- */

static void go_to(struct tail *t, struct object **at, struct object *o, uint32_t segment)
{
        object_unref(at);
        *at = o;
        t->segment = segment;
        t->sent = 0;
}

/* The newest of those in the cache, from the one beyond what the clock says down to `least`. */
static bool go_to_newest(struct tail *t, struct object **at, uint32_t last, uint32_t least, int64_t now_us)
{
        uint32_t segment = last < UINT32_MAX ? last + 1 : last;
        for (unsigned looks = 0; looks < TAIL_PROBES && segment >= least; looks++, segment--) {
                struct object *o = find(t, segment, now_us);
                if (o) {
                        go_to(t, at, o, segment);
                        return true;
                }
                if (segment == 0)
                        break;
        }
        return false;
}

/* Nothing of it is in the cache: the one that is being made may lack its first bytes for most of a second, the one before has them. */
static int begin_before(struct tail *t, struct object **at, int64_t now_us)
{
        struct object *o = get(t, t->last, now_us), *before = o && t->last > t->first ? get(t, t->last - 1, now_us) : NULL;
        if (!o || (t->last > t->first && !before)) {
                object_unref(&o);
                return ERR_NOSPACE;
        }
        go_to(t, at, before ? before : o, before ? t->last - 1 : t->last);
        if (before)
                object_unref(&o); /* its fill goes on */
        return 0;
}

/* What the clock says should be there is not: the stream is late, by nobody knows how much. false: there is nothing further back. */
static bool step_back(struct tail *t, struct object **at, int64_t now_us)
{
        if (t->begun || t->segment <= t->first || t->back >= TAIL_BACK)
                return false;
        t->back = t->back ? 2 * t->back : 2;
        uint32_t segment = t->segment - t->first > t->back ? t->segment - t->back : t->first;
        struct object *o = get(t, segment, now_us);
        if (o)
                go_to(t, at, o, segment);
        return o;
}

/* Behind the segment that was read, or that there is not. 0: it is at another one. */
static int go_on(struct tail *t, struct object **at, bool leaves, int64_t now_us)
{
        uint32_t first, last, next = t->segment + 1;
        if (leaves || t->segment == UINT32_MAX)
                return ERR_CLOSED;
        bool is_live = edge_of(t, &first, &last), is_behind = is_live && last > next && last - next >= TAIL_BEHIND;
        if (is_behind && go_to_newest(t, at, last, next + 1, now_us)) {
                metric_add(&rows[MOVED], 1);
                metric_add(&rows[LEFT_OUT], t->segment - next);
                return 0;
        }
        struct object *o = get(t, next, now_us);
        if (!o)
                return ERR_NOSPACE;
        go_to(t, at, o, next);
        return 0;
}

static bool is_missing(struct object *o, int64_t now_us)
{
        struct object_view v;
        object_look(o, now_us, &v);
        object_unref(&v.stale);
        return v.state == OBJECT_MISSING;
}

/* There is no such segment: behind it there may be more as long as the session is live. */
static int pass_hole(struct tail *t, struct object **at, bool leaves, int64_t now_us)
{
        uint32_t first, last;
        if (++t->holes > TAIL_HOLES || !edge_of(t, &first, &last) || t->segment >= last)
                return ERR_CLOSED;
        return go_on(t, at, leaves, now_us);
}

/* ---- what its reader calls --------------------------------------------------------------------------------------------- */

int tail_open(struct tail **out, struct cache *cache, struct census *census, const struct key *track, struct buf *init, int64_t now_us,
              struct object **at)
{
        struct tail *t = mem_alloc(sizeof(*t));
        struct object *begins_at = NULL;
        *t = (struct tail){.cache = cache, .census = census, .track = *track};
        int err = edge_of(t, &t->first, &t->last) ? 0 : ERR_NOT_FOUND;
        if (!err && !go_to_newest(t, &begins_at, t->last, t->last > t->first ? t->last - 1 : t->last, now_us))
                err = begin_before(t, &begins_at, now_us);
        if (err) {
                free(t);
                return err;
        }
        t->init = buf_ref(init);
        metric_add(&rows[TAILS], 1);
        metric_add(&rows[BEGUN], 1);
        *at = begins_at;
        *out = t;
        return 0;
}

void tail_close(struct tail **tp)
{
        struct tail *t = *tp;
        *tp = NULL;
        if (!t)
                return;
        metric_add(&rows[TAILS], -1);
        buf_unref(&t->init);
        free(t);
}

ssize_t tail_take(struct tail *t, struct object **at, const struct tail_asks *asks, struct buf **piece, size_t *off, struct tail_wait *wait,
                  struct tail_read *read)
{
        bool last, late = asks->late;
        int64_t now_us = asks->now_us;
        *read = (struct tail_read){0};
        if (t->init) {
                *piece = t->init;
                *off = 0;
                t->init = NULL;
                return (ssize_t)(*piece)->len;
        }
        if (!t->begun && t->segment < t->last)
                go_to_newest(t, at, t->last, t->segment + 1, now_us);
        for (;;) {
                ssize_t n = object_piece(*at, t->sent, piece, off, &last);
                if (n > 0) {
                        t->begun = true;
                        t->holes = 0;
                        t->sent += (uint64_t)n;
                        return n;
                }
                if (n == 0 && late) {
                        late = false;
                        if (!step_back(t, at, now_us))
                                return ERR_NOT_YET;
                        continue;
                }
                bool steps = !t->begun && t->segment > t->first && t->back < TAIL_BACK;
                *wait = (struct tail_wait){.have = t->sent, .us = steps ? TAIL_LATE_US : 0};
                if (n == 0)
                        return 0;
                int err = (int)n;
                if (n == ERR_CLOSED) {
                        *read = (struct tail_read){true, t->segment, (*at)->made_us};
                        err = go_on(t, at, asks->leaves, now_us);
                } else if (is_missing(*at, now_us)) {
                        err = pass_hole(t, at, asks->leaves, now_us);
                }
                if (err)
                        return err;
        }
}
