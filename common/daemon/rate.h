/* rate.h - how much of something there is a second, of late: counted in windows of a second, the last whole one told. Pure;
 * time is passed in, and never goes back. */
#ifndef COMMON_DAEMON_RATE_H
#define COMMON_DAEMON_RATE_H

#include <stdint.h>

#define RATE_WINDOW_US INT64_C(1000000)

struct rate { /* zeroed at first */
        int64_t since_us;
        uint64_t count;
        double per_s;
};

static inline void rate_add(struct rate *r, uint64_t n, int64_t now_us)
{
        if (r->since_us == 0)
                r->since_us = now_us;
        if (now_us - r->since_us >= RATE_WINDOW_US) {
                r->per_s = (double)r->count * 1e6 / (double)(now_us - r->since_us);
                r->since_us = now_us;
                r->count = 0;
        }
        r->count += n;
}

/* 0 when nothing was counted for two windows. */
static inline double rate_now(const struct rate *r, int64_t now_us)
{
        return r->since_us && now_us - r->since_us < 2 * RATE_WINDOW_US ? r->per_s : 0;
}

#endif
