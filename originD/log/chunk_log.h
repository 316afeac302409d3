/* chunk_log.h - one track of one session: an append-only log of chunks, and the fragmented MP4 file it lives in.
 *
 *   WRITING  chunk_log_new()     over a file made or walked by the caller (fd), then
 *            chunk_log_append()  any number may be asked for; they are checked and written one after the other
 *            chunk_log_cut()     forgets the end, from a segment on: another origin's copy is to stand there
 *   ENDED    chunk_log_end()     no more appends; readers go on; also how the log of an old recording begins (fd -1);
 *            chunk_log_reopen()  back to WRITING
 *   gone     chunk_log_free()    only when idle
 *
 * A chunk exists for readers from the moment it is wholly in the file. Readers see segments: how many bytes there are now,
 * whether more will come, and the bytes themselves while the segment is among the last RECENT_SEGMENTS; older ones are
 * read from the file (disk.h). Loop thread only. */
#ifndef ORIGIND_CHUNK_LOG_H
#define ORIGIND_CHUNK_LOG_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "originD/log/index.h"
#include "proto/store.h"

#define RECENT_SEGMENTS 12
#define APPENDS_QUEUED_MAX 16

struct recent_segment {
        struct buf *bytes; /* its len is the room it has; the first len_bytes of the row are there and never change */
        uint32_t segment;
};

/* One chunk on its way into the log; the caller's memory until done(). */
struct chunk_append {
        uint32_t segment;
        uint8_t chunk, flags; /* PUT_LAST, PUT_SLATE */
        bool copied;          /* from another origin: its era has to be known before */
        int64_t start_us;
        uint32_t generation;  /* of its writer */
        uint64_t previous;    /* chunk_log_hash() of the one it goes on from; 0: it fits behind any */
        struct buf *bytes;    /* the caller's reference */
        /* 0: stored, now or before. ERR_ORDER, ERR_PROTO (not a chunk), ERR_CONFLICT (its time is not what was said),
         * ERR_NOT_YET (the last chunk is not `previous`), ERR_LIMIT, ERR_NOSPACE, ERR_FENCED, ERR_CLOSED (ended), ERR_FULL,
         * ERR_IO: the log is unchanged. */
        void (*done)(struct chunk_append *a, int status);
        bool again; /* at done(): it was stored before */
        struct chunk_append *next;
        struct chunk_info info;
        struct chunk_log *log;
};

struct chunk_log {
        uv_loop_t *loop;
        char *path;
        int fd; /* -1: ended */
        bool sync_segments;
        bool ended;
        struct init_info init;
        struct buf *init_bytes;
        struct index index;
        uint64_t last_hash; /* of the last chunk; 0: not known since a restart, a cut or a reopen: the leader's fits then */
        struct recent_segment recent[RECENT_SEGMENTS]; /* by segment % RECENT_SEGMENTS */
        struct chunk_append *writing;                  /* on the pool now */
        struct chunk_append *first, **last;            /* behind it */
        unsigned queued;
        struct cut *cutting;
        /* Asked before a chunk is written, with its place: 0: it may be; 1: chunk_log_go_on() will tell; ERR_*: it may not.
         * NULL: every one may. */
        int (*admit)(void *arg, struct chunk_log *log, const struct chunk_append *a);
        /* After every change that a reader or a claimer may be waiting for; chunk is NULL when only something ended. */
        void (*moved)(void *arg, struct chunk_log *log, const struct chunk_append *chunk);
        void *arg;
};

/* Takes fd, init's reference and the index. */
struct chunk_log *chunk_log_new(uv_loop_t *loop, const char *path, int fd, const struct init_info *info,
                                struct buf *init, const struct index *index, bool sync_segments);
void chunk_log_free(struct chunk_log **log);

/* done() may come from inside the call. */
void chunk_log_append(struct chunk_log *log, struct chunk_append *a);

uint64_t chunk_log_hash(const struct buf *chunk); /* never 0 */

void chunk_log_go_on(struct chunk_log *log, int status); /* the answer that admit() owed */

/* Forgets everything from the beginning of the segment on, in the file too; done(arg, status) when the end is known again.
 * What is asked to be appended meanwhile waits. One at a time; not of an ended log. ERR_IO: the log takes no more appends. */
void chunk_log_cut(struct chunk_log *log, uint32_t segment, void (*done)(void *arg, int status), void *arg);

/* ENDED → WRITING, of a log whose index was read: fd is the file, open for writing. */
void chunk_log_reopen(struct chunk_log *log, int fd, bool sync_segments);

void chunk_log_fence(struct chunk_log *log); /* what is queued but not being written ends with ERR_FENCED */
bool chunk_log_idle(const struct chunk_log *log);
void chunk_log_end(struct chunk_log *log); /* idle; the last segment is complete from here on */

/* What there is of a segment. false: nothing. */
struct segment_view {
        uint64_t offset; /* in the file */
        uint32_t len_bytes;
        bool complete;
        struct buf *bytes; /* borrowed; NULL: only in the file */
};
bool chunk_log_segment(const struct chunk_log *log, uint32_t segment, struct segment_view *out);

#endif
