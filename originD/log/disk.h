/* disk.h - what touches the disk, on libuv's thread pool.
 *
 * Every function returns at once; done() comes on the loop thread, never from inside the call, with 0 or ERR_NOSPACE
 * (disk, quota or file size limit), ERR_NOT_FOUND, ERR_IO. Paths are copied. Jobs may overtake each other: who needs an
 * order starts the next one from done(). Loop thread only. */
#ifndef ORIGIND_DISK_H
#define ORIGIND_DISK_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"

typedef void disk_done(void *arg, int status);

/* work(arg) on the pool, then after(arg) on the loop. */
void disk_run(uv_loop_t *loop, void (*work)(void *arg), void (*after)(void *arg), void *arg);
unsigned disk_jobs(void); /* how many have not come back */

/* Writes bytes (a reference is held) at offset, the end of the file. On an error the file is cut back to offset, so that
 * what was there is unharmed. sync: durable before done(). */
void disk_append(uv_loop_t *loop, int fd, uint64_t offset, struct buf *bytes, bool sync, disk_done *done, void *arg);

/* Makes the file anew with these bytes. fd, for reading and writing, is the callee's; -1 on error, and no file then. */
void disk_create(uv_loop_t *loop, const char *path, struct buf *bytes, void (*done)(void *arg, int status, int fd),
                 void *arg);

/* Replaces a small file in one step: written beside it, synced, renamed. The folder and its parent are made. */
void disk_save(uv_loop_t *loop, const char *path, struct buf *text, disk_done *done, void *arg);

/* Fills `into` from offset; ERR_IO when the file is shorter. A reference is held until done(). */
void disk_read(uv_loop_t *loop, const char *path, uint64_t offset, struct buf *into, disk_done *done, void *arg);

/* Closes fd (which may take as long as a write does). */
void disk_close(uv_loop_t *loop, int fd);

/* Removes a folder and the files in it, then its parent if that is empty. It is renamed first: a half removed one
 * is never taken for a session. */
void disk_remove(uv_loop_t *loop, const char *folder, disk_done *done, void *arg);
#define DISK_REMOVED_SUFFIX ".removed"
int disk_remove_now(const char *folder); /* the same, at once: pool thread */

/* Of the file system that holds folder. probe: also try whether writing works (ERR_NOSPACE if it does not). */
struct disk_room {
        uint64_t free_bytes, total_bytes;
};
void disk_space(uv_loop_t *loop, const char *folder, bool probe, void (*done)(void *arg, int status, struct disk_room room),
                void *arg);

#endif
