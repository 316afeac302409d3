/* peer_clock.h - how far a peer's wall clock is ahead of ours, by the round trips of HELLO, as NTP tells it.
 *
 * Of each round trip four times are known: when HELLO left (ours), when it came and when the answer left (theirs), when that came
 * (ours). Half of what the way took is the most that can be wrong, so of the last PEER_CLOCK_KEPT round trips the one that took least
 * decides: a peer that was slow for a second, a queue on the way or a process that was stopped only makes round trips that do not
 * count. One that is older counts as less certain, by what two clocks may have been slewed apart since.
 * Times that cannot be (an answer that left before HELLO came, or took longer than the round trip) are passed over. What a peer says of
 * its clock is believed, for it says so of nothing else: who goes by it (ingestd/relay_pair.h, transcoderd/broadcaster.h) bounds that.
 *
 * A value without a thread of its own; pure, time is passed in. All zero: nothing is known. */
#ifndef COMMON_CLUSTER_PEER_CLOCK_H
#define COMMON_CLUSTER_PEER_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

#define PEER_CLOCK_KEPT 64 /* round trips, one each RPC_HELLO_MS: half a minute */
#define PEER_CLOCK_PPM (2 * CLOCK_SLEW_PPM) /* ours and theirs */
#define PEER_CLOCK_NOISE_US (50 * US_PER_MS) /* clocks that differ by less are the same to everybody */

struct peer_clock_times {
        int64_t left_us, back_us;     /* by our wall clock */
        int64_t came_us, answered_us; /* by theirs */
};

struct peer_clock {
        struct peer_clock_trip {
                int64_t at_us; /* by our wall clock */
                int64_t ahead_us, error_us;
        } trips[PEER_CLOCK_KEPT];
        unsigned count, next;
};

/* What is known: theirs is ahead_us ahead of ours, give or take error_us. */
struct clock_ahead {
        bool known;
        int64_t ahead_us, error_us;
};

void peer_clock_take(struct peer_clock *c, const struct peer_clock_times *t);
struct clock_ahead peer_clock_ahead(const struct peer_clock *c, int64_t now_us);

/* From used_us, by which theirs was taken to be ahead, to what is known: 0 where the two are the same as far as anybody can tell. */
int64_t clock_ahead_wrong_us(const struct clock_ahead *a, int64_t used_us);

#endif
