/* long_way.h - how a TCP connection between nodes deals with loss when its two ends are far apart. For common/cluster/rpc_gate.c.
 *
 * What loss costs grows with the round trip: with 1 % of it over 300 ms `cubic`, which most systems have, carries 0.6 Mbit/s, and takes
 * each lost packet for a queue that is full. `bbr` goes by the rate that arrives and carries the ladder of a broadcast. Over short ways
 * there is nothing to gain, so they stay as the machine has them. Where the kernel has no bbr, or does not allow it, so do all.
 *
 * How long a way is, its least round trip says, for bbr believes that one. A connection that was near and is far now would have next to
 * nothing under way with bbr, fall behind for ten seconds and take as long again to come up. It stays as it is until it is a new one, or
 * the kernel has forgotten the near way (after five minutes). */
#ifndef COMMON_CLUSTER_LONG_WAY_H
#define COMMON_CLUSTER_LONG_WAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define LONG_WAY_US (40 * US_PER_MS) /* the round trip from which on a way is long */

/* Looks at fd's least round trip, as the kernel has measured it. true: it is a long way, and what can be done about it is done; false:
 * look again later. Any thread. */
bool long_way_fit(int fd, int64_t long_us);

#endif
