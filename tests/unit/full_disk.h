/* full_disk.h - a disk that takes nothing beyond a place in any file, until the test says that there is room again. */
#ifndef TESTS_FULL_DISK_H
#define TESTS_FULL_DISK_H

#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

static struct rlimit room_before;

static inline void fill_disk(uint64_t bytes)
{
        getrlimit(RLIMIT_FSIZE, &room_before);
        struct rlimit full = {.rlim_cur = bytes, .rlim_max = room_before.rlim_max};
        signal(SIGXFSZ, SIG_IGN); /* the call fails instead */
        setrlimit(RLIMIT_FSIZE, &full);
}

static inline void empty_disk(void)
{
        setrlimit(RLIMIT_FSIZE, &room_before);
}

#endif
