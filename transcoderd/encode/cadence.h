/* cadence.h - the rhythm of pictures: how far apart they are, whether the next one can be foretold, which ones a rung
 * with a lower frame rate leaves out. Pure: media time comes in as an argument. */
#ifndef TRANSCODERD_ENCODE_CADENCE_H
#define TRANSCODERD_ENCODE_CADENCE_H

#include <stdbool.h>
#include <stdint.h>

#define CADENCE_GAPS 8
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

/* Leaves pictures out so that at most about fps remain. Only what lies inside one segment decides, and its first
 * picture is always kept: two transcoders that see the same segment keep the same pictures. */
struct fps_limit { /* zeroed: nothing kept yet */
        bool any;
        int64_t kept_us;
};
bool fps_limit_keep(struct fps_limit *l, int64_t pts_us, int64_t fps_milli); /* fps_milli 0: keep all */

/* The rate to announce for a rung: what the source says of itself (0: nothing) if what was measured is that or a whole
 * fraction of it; otherwise the usual rate nearest to the measured interval. */
uint32_t cadence_fps_milli(uint32_t declared_milli, int64_t interval_us);

#endif
