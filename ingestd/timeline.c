#include "ingestd/timeline.h"

#include "common/clock.h"

#define SMOOTH_US 4000000    /* time constant of the error */
#define SETTLE_US 1000000    /* after an anchor: how well it was chosen shows in this time, and nothing is slewed */
#define BIAS_MAX_US 100000   /* so wrong it may stay */
#define FAR_US 250000        /* an error beyond is none of the network's: the clocks' own difference is large */
#define ERROR_MAX_US 500000  /* one frame counts for no more: a backlog sent in a burst is no drift */
#define WINDOW_US 2000000    /* in which the least lateness is looked for */
#define CATCHING_UP_US 200000 /* gained from window to window: a backlog is being sent, it will be on time again */
#define FIRST_LATE_US 300000 /* a first picture this late by the sound's mapping: it will stay so */
#define LEAD_MAX_US 1000000
#define STANDS_FRAMES 8     /* in a row whose timestamps do not rise, */
#define STANDS_US 500000     /* and for so long: the clock stands */
#define OVERLAP_US 500000 /* how far a track may fall back, and be held up, to be with the other one again */
#define WRAP_MS (INT64_C(1) << 31)
#define NEVER INT64_MAX

static int64_t at_least(int64_t v, int64_t least)
{
        return v < least ? least : v;
}

static int64_t between(int64_t v, int64_t least, int64_t most)
{
        return v < least ? least : v > most ? most : v;
}

/* The unwrapped timestamp nearest to `near` that has these low 31 bits. */
static int64_t unwrap(int64_t near, uint32_t ts_ms)
{
        int64_t ahead = ((int64_t)ts_ms - near) & (WRAP_MS - 1);
        return near + (ahead < WRAP_MS / 2 ? ahead : ahead - WRAP_MS);
}

static int64_t whole_ms(int64_t us)
{
        return us - us % US_PER_MS;
}

static int32_t cts_us(int32_t cts_ms)
{
        return (int32_t)(between(cts_ms, -TIMELINE_CTS_MAX_MS, TIMELINE_CTS_MAX_MS) * US_PER_MS);
}

static void anchor(struct timeline_map *m, int64_t ts_ms, int64_t at_us, int64_t wall_us)
{
        *m = (struct timeline_map){
                .zero_ms = ts_ms,
                .anchor_us = at_us,
                .seen_wall_us = wall_us,
                .seen_ms = ts_ms,
                .settled_wall_us = wall_us + SETTLE_US,
                .window_end_us = wall_us + WINDOW_US,
                .window_least_us = NEVER,
                .before_least_us = NEVER,
        };
}

void timeline_start(struct timeline *t, const struct timeline_frame *first, int64_t wall_us)
{
        *t = (struct timeline){.epoch_us = whole_ms(wall_us)};
        if (first->track == TRACK_VIDEO)
                t->lead_us = between(cts_us(first->cts_ms), 0, LEAD_MAX_US);
        anchor(&t->map[0], first->dts_ms, first->track == TRACK_VIDEO ? -cts_us(first->cts_ms) : 0, wall_us);
        for (int k = 0; k < TRACK_KINDS; k++)
                t->track[k].broken = true;
}

void timeline_skew(struct timeline *t, int64_t skew_us)
{
        for (int k = 0; k < TRACK_KINDS; k++) {
                t->map[k].settled_wall_us += skew_us;
                t->map[k].seen_wall_us += skew_us;
                t->map[k].window_end_us += skew_us;
                t->track[k].rose_wall_us += skew_us;
        }
}

void timeline_move(struct timeline *t, int64_t epoch_us, int64_t delta_us)
{
        t->epoch_us = epoch_us;
        t->start_us += delta_us;
        for (int k = 0; k < TRACK_KINDS; k++) {
                t->map[k].anchor_us += delta_us;
                t->track[k].last_us += delta_us;
        }
}

static int64_t apply(const struct timeline_map *m, int64_t ts_ms)
{
        return m->anchor_us + (ts_ms - m->zero_ms) * US_PER_MS + m->slew_us;
}

static bool near_to(int64_t ts_ms, int64_t other_ms)
{
        return ts_ms - other_ms <= TIMELINE_JUMP_MS && other_ms - ts_ms <= TIMELINE_JUMP_MS;
}

static int64_t distance(int64_t a, int64_t b)
{
        return a < b ? b - a : a - b;
}

/* How long after its time by its track's mapping a frame is there. */
static int64_t lateness(const struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        return wall_us - t->epoch_us - apply(&t->map[t->track[k].map], ts_ms) - t->lead_us;
}

/* The mapping of track k, and of the other one where both share it, begins anew late_us further on. */
static void move_up(struct timeline *t, unsigned k, int64_t ts_ms, int64_t late_us, int64_t wall_us)
{
        struct timeline_map *m = &t->map[t->track[k].map];
        anchor(m, ts_ms, apply(m, ts_ms) + late_us, wall_us);
        t->track[k].broken = true;
        t->track[!k].broken |= t->track[!k].map == t->track[k].map;
}

/* A mapping for track k alone, at the wall clock, or right behind the frame before where that would be earlier. */
static void anchor_anew(struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        unsigned other = t->track[!k].map;
        bool shared = t->track[!k].seen && other == t->track[k].map;
        if (shared)
                t->track[k].map = !other;
        int64_t at_us = whole_ms(wall_us) - t->epoch_us - t->lead_us;
        if (t->track[k].seen)
                at_us = at_least(at_us, t->track[k].last_us + US_PER_MS);
        anchor(&t->map[t->track[k].map], ts_ms, at_us, wall_us);
        t->track[k].broken = true;
}

static void join(struct timeline *t, unsigned k)
{
        t->track[k].map = t->track[!k].map;
        t->track[k].broken = true;
}

/* The first frame of track k: with the other track's clock if it is anywhere near it. */
static void place_first(struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        bool alone = !t->track[!k].seen;
        if (!alone && distance(ts_ms, t->track[!k].last_ms) > 10 * TIMELINE_JUMP_MS) {
                anchor_anew(t, k, ts_ms, wall_us);
                return;
        }
        t->track[k].map = alone ? 0 : t->track[!k].map;
        /* Sound began, and its pictures come later than it does. Both are moved: the sound, silent for as long once, then goes
         * beside its pictures. Left where it is, the picture would stand still until stays_late() has seen enough. */
        int64_t late_us = lateness(t, k, ts_ms, wall_us);
        if (!alone && k == TRACK_VIDEO && late_us > FIRST_LATE_US)
                move_up(t, k, ts_ms, late_us, wall_us);
}

static int64_t earliness(const struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        return apply(&t->map[t->track[k].map], ts_ms) + t->lead_us - (wall_us - t->epoch_us);
}

/* A step forwards that the wall clock has made as well, or that only brings late media nearer to it: the clock went on while
 * nothing was sent. A jump of the clock leads into the future. */
static bool is_pause(const struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        return ts_ms > t->track[k].last_ms && earliness(t, k, ts_ms, wall_us) <= TIMELINE_JUMP_MS * US_PER_MS;
}

/* Timestamps that stand tell nothing: only its arrival says where such a frame belongs. Nor does the one that rises again, if it makes up
 * for the time that they stood: those before it have been placed by theirs. */
static bool stands(const struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        bool stood = t->track[k].stood >= STANDS_FRAMES && wall_us - t->track[k].rose_wall_us > STANDS_US;
        return stood && (ts_ms <= t->track[k].last_ms || earliness(t, k, ts_ms, wall_us) > FAR_US);
}

static void note_rise(struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        bool rises = !t->track[k].seen || ts_ms > t->track[k].last_ms;
        t->track[k].stood = rises ? 0 : t->track[k].stood + 1;
        t->track[k].rose_wall_us = rises ? wall_us : t->track[k].rose_wall_us;
}

/* Which mapping the frame belongs to; may break. */
static void place(struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        int64_t step = ts_ms - t->track[k].last_ms;
        bool steady = step >= -TIMELINE_REORDER_MS && step <= TIMELINE_JUMP_MS;
        bool apart = t->track[!k].seen && t->track[k].map != t->track[!k].map;
        bool at_other = t->track[!k].seen && near_to(ts_ms, t->track[!k].last_ms);

        if (stands(t, k, ts_ms, wall_us)) {
                anchor_anew(t, k, ts_ms, wall_us);
                return;
        }
        if (steady && !(apart && at_other && distance(ts_ms, t->track[!k].last_ms) < distance(step, 0)))
                return;
        /* The other track has been there already: a hole in this one, or the other jumped first. */
        if (at_other && apply(&t->map[t->track[!k].map], ts_ms) > t->track[k].last_us - OVERLAP_US) {
                if (apart)
                        join(t, k);
        } else if (!steady && !is_pause(t, k, ts_ms, wall_us)) {
                anchor_anew(t, k, ts_ms, wall_us);
        }
}

/* Sound changes its pitch by as much. */
static int64_t slew_ppm(int64_t error_us)
{
        int64_t gentle = error_us * TIMELINE_PITCH_PPM / FAR_US;
        int64_t firm = at_least(error_us - FAR_US, 0) * TIMELINE_SLEW_PPM / FAR_US;
        return gentle + firm < TIMELINE_SLEW_PPM ? gentle + firm : TIMELINE_SLEW_PPM;
}

static void slew(struct timeline_map *m, int64_t media_step_us, int64_t wall_step_us)
{
        int64_t size = distance(m->error_us, 0);
        if (size > TIMELINE_SLEW_FROM_US)
                m->slewing = true;
        else if (size < TIMELINE_SLEW_TO_US)
                m->slewing = false;
        if (!m->slewing)
                return;
        int64_t span = media_step_us < wall_step_us ? media_step_us : wall_step_us;
        /* A pause says no more of the clock than its end does, which is one frame, and that may have been long on its way. */
        int64_t millionths = between(span, 0, SMOOTH_US) * slew_ppm(size) + m->slew_rest;
        int64_t step = between(m->error_us, -(millionths / 1000000), millionths / 1000000);
        m->slew_rest = millionths % 1000000;
        m->slew_us += step;
        m->error_us -= step;
}

/* True when all that came in the last two windows was late, and did not get any less so. */
static bool stays_late(struct timeline_map *m, int64_t late_us, int64_t wall_us)
{
        if (late_us < m->window_least_us)
                m->window_least_us = late_us;
        if (wall_us < m->window_end_us)
                return false;
        int64_t least = m->window_least_us, before = m->before_least_us;
        m->before_least_us = least;
        m->window_least_us = NEVER;
        m->window_end_us = wall_us + WINDOW_US;
        return before != NEVER && before > TIMELINE_LATE_US && least > TIMELINE_LATE_US &&
               least > before - CATCHING_UP_US;
}

/* Compares the mapping with the wall clock. A track of its own, or video where both share it, is the measure. */
static void follow(struct timeline *t, unsigned k, int64_t ts_ms, int64_t wall_us)
{
        struct timeline_map *m = &t->map[t->track[k].map];
        bool video_too = t->track[TRACK_VIDEO].seen && t->track[TRACK_VIDEO].map == t->track[k].map;
        if (k != TRACK_VIDEO && video_too)
                return;
        int64_t wall_step = at_least(wall_us - m->seen_wall_us, 0);
        int64_t media_step = (ts_ms - m->seen_ms) * US_PER_MS;
        int64_t late = lateness(t, k, ts_ms, wall_us);
        m->seen_wall_us = wall_us;
        m->seen_ms = ts_ms;
        if (stays_late(m, late, wall_us)) {
                move_up(t, k, ts_ms, late, wall_us);
                return;
        }
        /* The mean since the anchor, for as long as that is not older than what is remembered. */
        int64_t age = wall_us - m->settled_wall_us + SETTLE_US, span = between(age, at_least(wall_step, 1), SMOOTH_US);
        int64_t share = wall_step < span ? wall_step : span;
        m->error_us += (between(late - m->bias_us, -ERROR_MAX_US, ERROR_MAX_US) - m->error_us) * share / span;
        if (age < SETTLE_US)
                return;
        if (!m->settled) {
                m->bias_us = between(m->error_us, -BIAS_MAX_US, BIAS_MAX_US);
                m->error_us -= m->bias_us;
                m->settled = true;
        }
        slew(m, media_step, wall_step);
}

bool timeline_map(struct timeline *t, const struct timeline_frame *f, int64_t wall_us, struct timeline_time *out)
{
        unsigned k = f->track;
        int64_t near = t->track[k].seen    ? t->track[k].last_ms
                       : t->track[!k].seen ? t->track[!k].last_ms
                                           : t->map[0].zero_ms;
        int64_t ts_ms = unwrap(near, f->dts_ms);
        if (t->track[k].seen)
                place(t, k, ts_ms, wall_us);
        else
                place_first(t, k, ts_ms, wall_us);

        follow(t, k, ts_ms, wall_us);
        int64_t dts = apply(&t->map[t->track[k].map], ts_ms);
        if (k == TRACK_AUDIO && dts < t->start_us)
                return false;
        if (t->track[k].seen)
                dts = at_least(dts, t->track[k].last_us + 1);
        note_rise(t, k, ts_ms, wall_us);
        t->track[k].last_ms = ts_ms;
        t->track[k].last_us = dts;
        t->track[k].seen = true;
        *out = (struct timeline_time){
                .dts_us = dts,
                .cts_us = k == TRACK_VIDEO ? cts_us(f->cts_ms) : 0,
                .broken = t->track[k].broken,
        };
        t->track[k].broken = false;
        return true;
}
