/* scratch.h - a folder for a moment. In memory where that can be had: what is tested here syncs its files often, and on a disk
 * that others use as well a test would take minutes. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void scratch_dir(char *dst, size_t cap)
{
        snprintf(dst, cap, "%s/freshet-unit-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert_non_null(mkdtemp(dst));
}

#endif
