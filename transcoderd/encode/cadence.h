/* cadence.h - the rhythm of pictures: how far apart they are, whether the next one can be foretold, which ones a rung
 * with a lower frame rate leaves out, and how many a rung has in the end. Pure: media time comes in as an argument. */
#ifndef TRANSCODERD_ENCODE_CADENCE_H
#define TRANSCODERD_ENCODE_CADENCE_H

#include <stdbool.h>
#include <stdint.h>

#define CADENCE_GAPS 32       /* remembered */
#define CADENCE_NEWEST_GAPS 8 /* of them these make the forecast */
#define CADENCE_DEFAULT_US 33333 /* until two pictures have been seen */

struct cadence { /* zeroed: nothing seen */
        bool any;
        int64_t last_us;
        int64_t gaps_us[CADENCE_GAPS];
        unsigned count; /* gaps seen since the last interruption */
};

void cadence_add(struct cadence *c, int64_t pts_us); /* pts_us rises; a gap of a second or more starts afresh */
int64_t cadence_interval_us(const struct cadence *c);
/* The gaps differ by no more than millisecond rounding explains: the next one is due an interval after the last. */
bool cadence_steady(const struct cadence *c);

/* Pictures per 1000 s: as measured, over the newest gaps while they are steady and over all that are remembered otherwise; until
 * there are some what the source says of itself (0: nothing). */
uint32_t cadence_rate_milli(const struct cadence *c, uint32_t declared_milli);

/* Leaves pictures out so that the others lie in even steps: every second, every third … is kept, the least that brings the rate
 * down to what is allowed. So segments begin with the first picture that is kept in them, which in a limited rung may be another
 * one than in the others: 25 a second, halved, begin every other segment 40 ms later. */
struct fps_limit { /* zeroed: nothing seen yet */
        bool any;
        unsigned every;    /* one of so many is within the limit; 0: not known yet */
        unsigned left_out; /* since the one that was kept last */
};
/* The least that is enough for max_milli (0: no limit), which may be exceeded by 6 %: a clock of whole milliseconds makes 31.25 of
 * 30 and 62.5 of 60, and 25 are not halved for a limit of 24. Near that bound the answer stays what it was. */
unsigned fps_limit_every(struct fps_limit *l, uint32_t rate_milli, int64_t max_milli);
bool fps_limit_keep(struct fps_limit *l, unsigned every);
void fps_limit_restart(struct fps_limit *l); /* the next one is kept, and the steps count from it */
void fps_limit_align(struct fps_limit *l, unsigned number, unsigned every); /* the next one is that of those counted from a kept one */

/* How many pictures a rung has, counted by segments; a rate is per 1000 s, and rounded as by cadence_fps_milli(). A segment of which
 * less than half a second was seen does not count. */
#define PACE_SEGMENTS 4
struct pace { /* zeroed: nothing seen */
        int64_t first_us;
        unsigned pictures; /* of the segment that is under way */
        uint32_t milli[PACE_SEGMENTS];
        unsigned segments; /* counted */
};
void pace_add(struct pace *p, int64_t pts_us, uint32_t declared_milli);
uint32_t pace_milli(const struct pace *p); /* the highest of the last segments; 0: none is counted */
/* More pictures than an encoder was opened for are bits beyond the limit, at once; fewer are bits that are not used, and a source
 * without a steady rate is not worth a new encoder each second. So the last segment is enough for more, and it takes all of the
 * last PACE_SEGMENTS for fewer. */
bool pace_is_another(const struct pace *p, uint32_t opened_milli);

/* The rate to announce for a rung: what the source says of itself (0: nothing) if what was measured is that or a whole
 * fraction of it; otherwise the usual rate nearest to the measured interval. */
uint32_t cadence_fps_milli(uint32_t declared_milli, int64_t interval_us);

#endif
