/* Preloaded into the daemons by test_clock_step.py: the system's clock is off by what the file that STEP_CLOCK names says, µs
 * as a native 64-bit integer; it is mapped, so that a test steps the clocks of all daemons at one instant. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t none;
static volatile const int64_t *off_us = &none;

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("STEP_CLOCK");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *at = fd >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
        if (at != MAP_FAILED)
                off_us = at;
        if (fd >= 0)
                close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
        int rc = (int)syscall(SYS_clock_gettime, id, ts);
        if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
                int64_t us = ts->tv_sec * INT64_C(1000000) + ts->tv_nsec / 1000 + *off_us;
                ts->tv_sec = us / 1000000;
                ts->tv_nsec = us % 1000000 * 1000;
        }
        return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
        struct timespec ts;
        (void)zone;
        clock_gettime(CLOCK_REALTIME, &ts);
        tv->tv_sec = ts.tv_sec;
        tv->tv_usec = ts.tv_nsec / 1000;
        return 0;
}

time_t time(time_t *out)
{
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        if (out)
                *out = ts.tv_sec;
        return ts.tv_sec;
}
