/* stats.h - what the proxy counts beside its RTMP port (rtmp_server.h): one table, shown on the admin port. */
#ifndef INGESTD_STATS_H
#define INGESTD_STATS_H

#include "common/daemon/metrics.h"

enum ingest_stat {
        STAT_PUBLISHERS,
        STAT_STANDBY,
        STAT_HELD,
        STAT_HELD_US,
        STAT_TAKEN_OVER,
        STAT_BREAKS,
        STAT_DROPPED_FRAMES,
        STAT_CUES,
        STAT_CUES_DROPPED,
        STAT_LOST_FRAMES,
        STAT_UNTAKEN_FRAMES,
        STAT_REPLAY_BYTES,
        STAT_OPENS,
        STAT_FAILOVERS,
        STAT_MOVES,
        STAT_SHADOWS,
        STAT_SHADOWS_LOST,
        STAT_SWAPS,
        STAT_REPLAYED_FRAMES,
        STAT_BATCHES,
        STAT_RELAYED_FRAMES,
        STAT_RELAYED_BYTES,
        STAT_IMPOSSIBLE_GENERATIONS,
        STATS
};

void stats_register(void); /* at start, once */
void stats_add(enum ingest_stat stat, int64_t n);
int64_t stats_get(enum ingest_stat stat);

#endif
