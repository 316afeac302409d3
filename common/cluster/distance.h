/* distance.h - whether a peer is farther away than what broadcasts are on time over, said once. For common/cluster/rpc_client.c.
 *
 *   all zero → distance_take() with the round trip of each HELLO → distance_forget(), with the connection
 * The least of the last DISTANCE_KEPT round trips decides, so that a peer that is busy for a moment, or a queue on the way, is not
 * far. It is far from DISTANCE_FAR_US on, and near again below DISTANCE_MADE_FOR_US. Then each is one line of the log, and
 * freshet_far_peers counts those that are. Loop thread only. */
#ifndef COMMON_CLUSTER_DISTANCE_H
#define COMMON_CLUSTER_DISTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define DISTANCE_MADE_FOR_US (300 * US_PER_MS)
#define DISTANCE_FAR_US (350 * US_PER_MS)
#define DISTANCE_KEPT 8 /* one each RPC_HELLO_MS */

struct distance {
        int64_t trips_us[DISTANCE_KEPT];
        unsigned taken;
        bool far;
};

void distance_register(void); /* the metric; any number of times */
void distance_take(struct distance *d, const char *address, const char *id, int64_t round_trip_us);
void distance_forget(struct distance *d);
int64_t distance_us(const struct distance *d); /* the least; 0: not known */

#endif
