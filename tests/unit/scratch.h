/* scratch.h - files and folders for a moment. They are in TMPDIR, which tests/run-units makes for each program and removes when
 * that has ended, however it did: one that fails or is killed leaves nothing behind. In memory where that can be had: what is
 * tested here syncs its files often, and on a disk that others use as well a test would take minutes. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline const char *scratch_root(void)
{
        const char *given = getenv("TMPDIR");
        return given && *given ? given : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static inline void scratch_dir(char *dst, size_t cap)
{
        assert_true((size_t)snprintf(dst, cap, "%s/freshet-unit-XXXXXX", scratch_root()) < cap);
        assert_non_null(mkdtemp(dst));
}

static inline void scratch_file(char *dst, size_t cap)
{
        assert_true((size_t)snprintf(dst, cap, "%s/freshet-unit-XXXXXX", scratch_root()) < cap);
        int fd = mkstemp(dst);
        assert_true(fd >= 0);
        close(fd);
}

#endif
