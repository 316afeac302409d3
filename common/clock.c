#include "common/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define LOOK_EVERY_US (100 * US_PER_MS)

static int64_t read_clock(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

/* offset: wall − time since the machine came up. looked: when it was last compared; whoever moves it on compares. 0: not yet. */
static _Atomic int64_t offset, looked;

int64_t clock_real_us(void)
{
        return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
        return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_boot_us(void)
{
        return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_slew(int64_t offset_us, int64_t target_us, int64_t elapsed_us, bool may_leap)
{
        int64_t error_us = target_us - offset_us, most_us = elapsed_us * CLOCK_SLEW_PPM / 1000000;
        if (error_us > CLOCK_LEAP_US && may_leap)
                return target_us;
        if (error_us > most_us)
                error_us = most_us;
        else if (error_us < -most_us)
                error_us = -most_us;
        return offset_us + error_us;
}

bool clock_may_leap(int64_t offset_us, int64_t boot_us)
{
        return boot_us < CLOCK_EARLY_US || boot_us + offset_us < CLOCK_SURE_US;
}

/* Before main(), so that no two threads begin at once. */
__attribute__((constructor)) static void begin(void)
{
        int64_t boot_us = clock_boot_us();
        atomic_store(&offset, clock_real_us() - boot_us);
        atomic_store(&looked, boot_us);
}

static void follow(int64_t boot_us)
{
        int64_t since_us = atomic_load_explicit(&looked, memory_order_relaxed);
        if (boot_us - since_us < LOOK_EVERY_US || !atomic_compare_exchange_strong(&looked, &since_us, boot_us))
                return;
        int64_t now_us = atomic_load(&offset), target_us = clock_real_us() - boot_us;
        bool may_leap = clock_may_leap(now_us, boot_us);
        atomic_compare_exchange_strong(&offset, &now_us, clock_slew(now_us, target_us, boot_us - since_us, may_leap));
}

int64_t clock_wall_us(void)
{
        int64_t boot_us = clock_boot_us();
        follow(boot_us);
        return boot_us + atomic_load_explicit(&offset, memory_order_relaxed);
}

int64_t clock_offset_us(void)
{
        return clock_wall_us() - clock_real_us();
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
