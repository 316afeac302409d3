/* kept_files.h - the files of volumes that are being written: they stay open between two chunks, where there are descriptors for that.
 *
 * An origin may have more live tracks than descriptors, each with two files. So no track needs any to be live, only to be written at
 * this moment: its next chunk opens the files again (volume_reopen()) if they are not open, which takes some microseconds. Who has
 * them open keeps them while it is written; who is not for KEPT_FILES_IDLE_US makes place for another. Were the place of the one that
 * was written longest ago always given away, all would lose it in turn, and none would find its files open.
 *
 *   KEPT      kept_files_put(): open, nobody uses them
 *   IN USE    kept_files_take(): the one who took them, until it puts them back
 *   NONE      zeroed at first (KEPT_FILES_NONE); kept_files_close(); or they made place
 *
 * There are half as many places as the descriptors outside the reserve allow (descriptors.h): the other half is for who reads, and for
 * other nodes. The loop thread's alone. */
#ifndef ORIGIND_KEPT_FILES_H
#define ORIGIND_KEPT_FILES_H

#include <uv.h>

#include "originD/log/volume.h"

#define KEPT_FILES_IDLE_US INT64_C(2000000)
#define KEPT_FILES_PLACES_MIN 8 /* however few descriptors there are */

struct kept_files {
        struct volume_files files;
        bool place; /* it counts among those that may be open */
        int64_t used_mono_us;
        struct kept_files *newer, *older; /* while they are kept */
};
#define KEPT_FILES_NONE {.files = {-1, -1}}

/* Whether there is a place for k: it has one from then on. Without one whoever opens files closes them when it is done. */
bool kept_files_place(struct kept_files *k, uv_loop_t *loop);

struct volume_files kept_files_take(struct kept_files *k); /* -1, -1: they are not open */
void kept_files_put(struct kept_files *k, uv_loop_t *loop, struct volume_files files); /* k has a place; -1, -1: it has it no more */
void kept_files_close(struct kept_files *k, uv_loop_t *loop); /* on the pool */

#endif
