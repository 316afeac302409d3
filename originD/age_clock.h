/* age_clock.h - the time by which recordings grow old. What is removed for its age is removed by this clock and by no other.
 *
 * The system's clock may be set by anybody, to anything, and a machine may come up with a wrong one. This one goes on with the time that
 * passes, and is never ahead of the system's: set back, it is back at once, and everything is kept for longer. What it is behind it
 * makes up at one second a second, so that it goes twice as fast at most: whatever the system's clock says, no recording
 * goes sooner than after half of the time that it is to be kept, and an operator who was told has as long to put the clock right.
 * How far it has ever been is the past all the same: a machine that comes up in 1970, or is set back, and is put right later is at once
 * where it was. After a day behind that, AGE_CLOCK_DOUBT_US, it was rather the time before that was wrong.
 * That is kept in DATA_DIR/.age_clock; a start goes on from there, or, where there is none, from the newest thing that is
 * stored. So an origin that was off for a week removes what is due within the week after that.
 *
 *   age_clock_begin()   when the store has started
 *   age_clock_look()    a few times a second
 *
 * Loop thread. */
#ifndef ORIGIND_AGE_CLOCK_H
#define ORIGIND_AGE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/clock.h"

#define AGE_CLOCK_TOLD_US (600 * US_PER_S) /* a difference of so much is told */
#define AGE_CLOCK_SAVE_US (60 * US_PER_S)
#define AGE_CLOCK_DOUBT_US (24 * 3600 * US_PER_S)

struct age_clock {
        int64_t now_us;     /* since 1970, when it was looked at last; 0: it has not begun */
        int64_t looked_us;  /* clock_boot_us() then */
        int64_t reached_us; /* how far it has ever been */
        int64_t before_us;  /* so long the system's clock has been before that */
        int64_t saved_us;   /* what the file says; 0: nothing */
        bool saving, save_failed, told;
};

/* Pure. reached_us: what the file says, newest_us: when the newest thing was stored; 0: nothing is known of that. */
void age_clock_begin(struct age_clock *c, int64_t reached_us, int64_t newest_us, int64_t real_us, int64_t boot_us);
void age_clock_look(struct age_clock *c, int64_t real_us, int64_t boot_us); /* tells, too, and counts */

/* The file. 0: there is none that could be read. */
int64_t age_clock_load(const char *data_dir);
void age_clock_save(struct age_clock *c, uv_loop_t *loop, const char *data_dir); /* when it is time for that */

#endif
