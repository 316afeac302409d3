/* stats.h - what originD counts; interfaces.md names the series. Any thread. */
#ifndef ORIGIND_STATS_H
#define ORIGIND_STATS_H

#include "common/metrics.h"

enum stat_id {
        STAT_SESSIONS_LIVE, STAT_SESSIONS_ENDED,
        STAT_CHUNKS, STAT_CHUNKS_AGAIN, STAT_CHUNKS_SLATE, STAT_CHUNKS_SHADOW,
        STAT_BYTES,
        STAT_PUTS_FENCED, STAT_PUTS_ORDER, STAT_PUTS_NOSPACE, STAT_PUTS_CONFLICT, STAT_PUTS_PROTO, STAT_PUTS_OTHER,
        STAT_PUTS_MISFIT, STAT_LEADER_LATE,
        STAT_FETCHES_OK, STAT_FETCHES_NOT_YET, STAT_FETCHES_NOT_FOUND, STAT_FETCHES_FULL, STAT_FETCHES_ERROR,
        STAT_FETCHES_WAITING, STAT_FETCHES_ELSEWHERE,
        STAT_DISK_READS,
        STAT_REPAIRED_SEGMENTS, STAT_CUT_SEGMENTS, STAT_REPAIR_FAILED, STAT_BEHIND,
        STAT_FREE_BYTES, STAT_STORED_BYTES,
        STAT_REMOVED_AGE, STAT_REMOVED_BYTES,
        STAT_TORN_BYTES,
        STAT_HTTP_REQUESTS, STAT_HTTP_SLOW,
        STATS
};

void stats_register(void); /* once, at start */
void stat_add(enum stat_id s, int64_t n);
void stat_set(enum stat_id s, int64_t v);
int64_t stat_get(enum stat_id s);

#endif
