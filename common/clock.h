/* clock.h - the clocks. Microseconds. Any thread, without a lock. Pure code takes the time as an argument.
 *
 *   clock_wall_us()  what media lives by (epochs, availability, /time): the same on all machines as far as their clocks
 *                    agree, but never stepped. It is the system's clock as it was when the process started and the time that
 *                    has passed since then, slewed towards the system's clock by CLOCK_SLEW_PPM at most. When NTP or a person
 *                    steps the system's clock, no media time and no availability moves at once, and no token and no certificate
 *                    is suddenly over, or good again
 *   clock_real_us()  the system's clock as it is: for the time stamps of log lines, when a recording ended, and how old it is
 *                    (originD/age_clock.h), which outlive processes and are compared with what other machines wrote down
 *   clock_mono_us()  deadlines and intervals
 *
 * The time for which a machine sleeps has passed (CLOCK_BOOTTIME). One that came up without the time may be hours behind, and slewing
 * would take months then: the wall clock leaps forwards over more than CLOCK_LEAP_US at once while the machine is up for less than
 * CLOCK_EARLY_US, or the clock says what nobody can have meant. It never leaps otherwise: of a clock that was set by hours under running
 * broadcasts it is more likely that the one who set it was wrong, and other nodes that say the same may just have been started since. It
 * never leaps back. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)

#define CLOCK_SLEW_PPM 500 /* what a timeline follows at an error of 125 ms (TIMELINE_PITCH_PPM), as much as NTP's own slewing */
#define CLOCK_LEAP_US (60 * US_PER_S)
#define CLOCK_EARLY_US (600 * US_PER_S)
#define CLOCK_SURE_US (INT64_C(1767225600) * US_PER_S) /* 2026: before that it was not written */

int64_t clock_wall_us(void); /* since 1970-01-01T00:00:00Z; stands still for 50 µs now and then, never goes back further */
int64_t clock_real_us(void); /* likewise */
int64_t clock_mono_us(void);
int64_t clock_boot_us(void); /* monotonic too, and goes on while the machine sleeps */

/* How far the wall clock is ahead of the system's now. 0 but for the time after the system's clock was stepped. */
int64_t clock_offset_us(void);

/* Pure: where the wall clock's offset to the time since the machine came up goes from offset_us in elapsed_us, when the system's clock
 * says that it ought to be target_us; and whether it may leap, when the machine is up for boot_us. */
int64_t clock_slew(int64_t offset_us, int64_t target_us, int64_t elapsed_us, bool may_leap);
bool clock_may_leap(int64_t offset_us, int64_t boot_us);

/* "2026-01-31T12:34:56.789Z" into dst, cut to cap. Returns dst. */
#define CLOCK_ISO_MAX 32
char *clock_iso(char *dst, size_t cap, int64_t wall_us);

#endif
