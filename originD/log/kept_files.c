#include "originD/log/kept_files.h"

#include <assert.h>

#include "common/clock.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "originD/log/disk.h"
#include "originD/stats.h"

#define FILES 2 /* of a place */

static struct kept_files *newest, *oldest; /* by when they were put back */
static size_t places;
static bool crowded; /* it was told */

static size_t most(void)
{
        size_t n = descriptors_beside_reserve() / 2 / FILES;
        return n > KEPT_FILES_PLACES_MIN ? n : KEPT_FILES_PLACES_MIN;
}

static void count(size_t now)
{
        places = now;
        stat_set(STAT_FILES_KEPT, (int64_t)(places * FILES));
        if (crowded && places < most() / 4 * 3) {
                crowded = false;
                log_info("msg=\"all files that are written can stay open again\"");
        }
}

static void tell_crowded(void)
{
        if (!crowded)
                log_warn("places=%zu msg=\"more tracks are written than files can stay open: those of some are opened for each chunk\"",
                         places);
        crowded = true;
}

static void unlink_kept(struct kept_files *k)
{
        *(k->newer ? &k->newer->older : &newest) = k->older;
        *(k->older ? &k->older->newer : &oldest) = k->newer;
        k->newer = k->older = NULL;
}

static void link_newest(struct kept_files *k)
{
        k->older = newest;
        *(newest ? &newest->newer : &oldest) = k;
        newest = k;
}

struct volume_files kept_files_take(struct kept_files *k)
{
        struct volume_files files = k->files;
        if (files.mp4 >= 0)
                unlink_kept(k);
        k->files = (struct volume_files){-1, -1};
        return files;
}

void kept_files_close(struct kept_files *k, uv_loop_t *loop)
{
        struct volume_files files = kept_files_take(k);
        if (files.mp4 >= 0) {
                disk_close(loop, files.mp4);
                disk_close(loop, files.idx);
        }
        if (k->place)
                count(places - 1);
        k->place = false;
}

bool kept_files_place(struct kept_files *k, uv_loop_t *loop)
{
        if (k->place)
                return true;
        if (places >= most() && oldest && clock_mono_us() - oldest->used_mono_us >= KEPT_FILES_IDLE_US)
                kept_files_close(oldest, loop);
        if (places >= most()) {
                tell_crowded();
                return false;
        }
        count(places + 1);
        return k->place = true;
}

void kept_files_put(struct kept_files *k, uv_loop_t *loop, struct volume_files files)
{
        assert(k->place && k->files.mp4 < 0);
        if (files.mp4 < 0) {
                kept_files_close(k, loop);
                return;
        }
        k->files = files;
        k->used_mono_us = clock_mono_us();
        link_newest(k);
        while (oldest && places > most()) /* somebody set a lower limit while we run */
                kept_files_close(oldest, loop);
}
