/* disk.h - what touches the disk, on threads of its own: three pools, so that who reads old media in bulk never stands
 * before a chunk that is to be stored, nor before a live viewer.
 *
 *   DISK_WRITE  4 threads: appends, saves. Bounded by design: one write a track, one save a session
 *   DISK_LIVE   2 threads: reads of what live viewers ask for, and small facts. Bounded by who asks (serve.h)
 *   DISK_COLD   2 threads, last in line for disk and processor: reads and loads of old media, removal, checks. What is
 *               more than DISK_COLD_MAX is refused: ERR_FULL
 *
 * Every function returns at once; after() and done() come on the loop thread, never from inside the call. The pools begin with the
 * first job. A loop that waits for jobs stays alive.
 *   disk_stop()  after uv_run() has returned and before uv_loop_close(): what is queued is done and told, the threads are
 *                joined. The next job may be of another loop.
 *
 * Status: 0, or errno by err_from_errno(): ERR_NOSPACE (disk, quota or file size limit), ERR_NOT_FOUND (there is no such file, and
 * nothing else means that), ERR_LIMIT (no descriptor or memory left), ERR_DENIED, ERR_READ_ONLY, ERR_IO. Paths are copied. Jobs may
 * overtake each other: who needs an order starts the next one from done(). Loop thread only; what a job calls on its thread is file.h. */
#ifndef ORIGIND_DISK_H
#define ORIGIND_DISK_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"

enum disk_class { DISK_WRITE, DISK_LIVE, DISK_COLD, DISK_CLASSES };
#define DISK_COLD_MAX 1024

typedef void disk_done(void *arg, int status);

/* work(arg) on the pool, then after(arg) on the loop. ERR_FULL (DISK_COLD only): neither comes. */
int disk_run(uv_loop_t *loop, enum disk_class pool, void (*work)(void *arg), void (*after)(void *arg), void *arg);
unsigned disk_jobs(void); /* how many have not come back, of all pools */
/* How many writes have come back so far, while there are some that have not. false: there are none under way. */
bool disk_writes_under_way(uint64_t *over);
void disk_stop(void);

/* DISK_WRITE. file_save(). */
void disk_save(uv_loop_t *loop, const char *path, struct buf *text, unsigned folders, disk_done *done, void *arg);

/* DISK_LIVE or DISK_COLD (ERR_FULL then too). Fills `into` from offset; ERR_IO also when the file is shorter. A reference is
 * held until done(). */
void disk_read(uv_loop_t *loop, enum disk_class pool, const char *path, uint64_t offset, struct buf *into, disk_done *done,
               void *arg);

/* DISK_WRITE. Closes fd (which may take as long as a write does). */
void disk_close(uv_loop_t *loop, int fd);

/* Of the file system that holds folder: DISK_LIVE. fd: the folder, as it was opened at the start; what its path names may be
 * another one by now, when a mount has gone. probe: also try whether writing works, in all that a save and a new session need of the
 * disk, in a folder of its own there: DISK_WRITE. An error says that nothing is
 * known: not how much is free, nor whether anything is. ERR_NOT_FOUND: the path does not name that folder now. */
struct disk_room {
        uint64_t free_bytes, total_bytes;
        uint64_t free_files; /* that can still be made; UINT64_MAX where the file system has no bound but its bytes */
        /* Of the probe: 0, or why writing does not work (ERR_NOSPACE, ERR_IO, …). ERR_READ_ONLY also without a probe, where the file
         * system says so by itself. */
        int write_status;
        int write_errno; /* the same as the disk said it; 0: it said nothing more */
};
void disk_space(uv_loop_t *loop, const char *folder, int fd, bool probe,
                void (*done)(void *arg, int status, struct disk_room room), void *arg);

#endif
