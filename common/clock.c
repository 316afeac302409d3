#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
        return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
        return read_clock(CLOCK_MONOTONIC);
}

char *clock_iso(char *dst, size_t cap, int64_t wall_us)
{
        time_t s = wall_us / US_PER_S;
        struct tm tm;
        gmtime_r(&s, &tm);
        snprintf(dst, cap, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday,
                 tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_us % US_PER_S / US_PER_MS));
        return dst;
}
