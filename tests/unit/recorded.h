/* recorded.h - what a writer has stored, for tests of the store. Include after cmocka.h; session "S1" of stream "cam" where nothing else
 * is said. */
#ifndef TESTS_RECORDED_H
#define TESTS_RECORDED_H

#include <sys/stat.h>

#include "tests/unit/origin_store.h"

static inline struct session *recorded(const char *stream, const char *id, int64_t epoch_us)
{
        int err;
        struct session *s = claim(stream, id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned k = 0; k < 5; k++)
                assert_int_equal(put_video(s, "v720", 0, k), 0);
        return s;
}

static inline bool there(const char *stream, const char *id)
{
        char path[200];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s/%s", data_dir, stream, id);
        return stat(path, &st) == 0;
}

static inline void drain(void)
{
        UNTIL(&loop, !disk_jobs());
}

static inline void damage(const char *name, off_t at)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, "garbage!", 8, at), 8);
        close(fd);
}

static inline bool kept(const char *name)
{
        char path[200];
        snprintf(path, sizeof(path), "%s/cam/S1/%s", data_dir, name);
        return access(path, F_OK) == 0;
}

/* A broadcast of so many seconds, in volumes of one; all but the last are closed. */
static inline struct session *of_many_volumes(unsigned seconds)
{
        store.options.volume_segments = 1;
        struct session *s = recorded("cam", "S1", 5000000);
        for (unsigned n = 1; n < seconds; n++)
                for (unsigned k = 0; k < 5; k++)
                        assert_int_equal(put_video(s, "v720", n, k), 0);
        drain();
        return s;
}

#endif
