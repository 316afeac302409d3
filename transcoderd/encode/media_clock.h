/* media_clock.h - what time it is for a session, in media time: slate, and whatever else is due by a clock, is due by it.
 *
 * All zero, it is the wall clock. A session that goes on has a time already, which its proxy and the end of what is stored tell:
 * where the wall clock is far from both, the machine's clock is wrong, and following it would leave a hole in the session for
 * ever. The session then has a clock of its own, monotonic time from where the proxy says that it is; so the wall clock may be
 * set right meanwhile, and nothing moves.
 *
 * A value, read by any thread. */
#ifndef TRANSCODERD_ENCODE_MEDIA_CLOCK_H
#define TRANSCODERD_ENCODE_MEDIA_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define MEDIA_CLOCK_NEARER 4
#define MEDIA_CLOCK_OFF_US (10 * INT64_C(1000000)) /* two clocks that somebody keeps differ by less */

struct media_clock {
        bool own;
        int64_t zero_mono_us; /* own: when media time 0 was */
};

struct media_clock media_clock_own(int64_t now_us); /* it is now_us of media time */
int64_t media_clock_now_us(const struct media_clock *c, int64_t epoch_us);

/* Pure: whether our clock is the wrong one, when it says ours_us of media time, the proxy's says theirs_us, and end_us is stored. */
bool media_clock_ours_is_off(int64_t ours_us, int64_t theirs_us, int64_t end_us);

#endif
