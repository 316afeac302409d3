/* chunk_log.h - one track of one session: an append-only log of chunks, in a row of volumes (volume.h).
 *
 *   WRITING  chunk_log_new()     new, or over what volumes_find() found, then
 *            chunk_log_append()  any number may be asked for; they are checked and written one after the other. A chunk of
 *                                the next volume's segments opens that one; the one before is closed behind its back
 *            chunk_log_cut()     forgets the end, from a segment on: another origin's copy is to stand there
 *   ENDED    chunk_log_end()     no more appends; readers go on; also how the log of an old recording begins;
 *            chunk_log_reopen()  back to WRITING
 *   FAILED   a sync failed, or a write that could not be taken back: nobody knows what the file holds until it is read again,
 *            so nothing is appended any more (ERR_IO); readers go on, and another log takes its place (session_retry_tracks())
 *   gone     chunk_log_free()    only when not busy
 *
 * While it is WRITING the last volume is open and, if anything is stored at all, has a chunk: its index is in memory. Of the
 * closed ones there is a row each, and an index when somebody asked for one of their segments (index_cache.h).
 *
 * A chunk exists for readers from the moment it is wholly in the file. Readers see segments: how many bytes there are now,
 * whether more will come, and the bytes themselves while the segment is among the last RECENT_SEGMENTS; older ones are
 * read from the file (disk.h). Loop thread only. */
#ifndef ORIGIND_CHUNK_LOG_H
#define ORIGIND_CHUNK_LOG_H

#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "originD/log/kept_files.h"
#include "originD/log/volumes.h"
#include "proto/store.h"

#define RECENT_SEGMENTS 12
#define APPENDS_QUEUED_MAX 16

struct recent_segment {
        struct buf *bytes; /* its len is the room it has; the first len_bytes are there and never change */
        uint32_t segment, len_bytes;
};

/* One chunk on its way into the log; the caller's memory until done(). */
struct chunk_append {
        uint32_t segment;
        uint8_t chunk, flags; /* PUT_LAST, PUT_SLATE */
        bool copied;          /* from another origin: its era has to be known before */
        int64_t start_us;
        int64_t end_us;       /* as its writer states it; 0: nobody does. Where the boxes say otherwise they guessed (index.h) */
        uint32_t generation;  /* of its writer */
        uint64_t previous;    /* chunk_log_hash() of the one it goes on from; 0: it fits behind any */
        int64_t after_us;     /* so far the track has to be stored; 0: no matter */
        struct buf *bytes;    /* the caller's reference */
        /* 0: stored, now or before. ERR_ORDER, ERR_PROTO (not a chunk), ERR_CONFLICT (its time is not what was said),
         * ERR_NOT_YET (the last chunk is not `previous`; or, early, the track is not stored up to after_us), ERR_LIMIT, ERR_NOSPACE,
         * ERR_FENCED, ERR_CLOSED (ended), ERR_FULL, ERR_IO: the log is unchanged. */
        void (*done)(struct chunk_append *a, int status);
        bool again; /* at done(): it was stored before */
        bool early; /* at done(), of ERR_NOT_YET */
        int why;    /* at done(), of ERR_IO: what the disk said; 0: it was not asked */
        struct chunk_append *next;
        struct chunk_info info;
        struct chunk_log *log;
};

struct chunk_log {
        uv_loop_t *loop;
        char *dir;
        bool sync_segments;
        bool ended, failed;
        bool rereading; /* its files are, for the log that is to take its place: whatever would change them waits, or is refused */
        bool read_failed; /* while moved() is told of a volume that could not be read: those who wait are answered, not read anew */
        struct init_info init;
        struct buf *init_bytes;
        struct volume_track volume_track; /* of the three above */
        struct volumes closed;
        struct volume_sum closed_sum; /* bytes, media_ticks, samples and peak_bytes of them all */
        bool wants;                   /* one of them is, or was, wanted: */
        uint64_t bring_below;         /* those from this number on had their turn, and could not be brought */
        int64_t bring_again_us;       /* monotonic: from then on they may have it again */

        bool open;                 /* there is an open volume: not before the first chunk, and when it ended */
        struct kept_files files;   /* of it: where they are not open, the next chunk opens them */
        uint32_t open_number;
        bool open_lacking;         /* it lost segments, or was left before its end: one that is not in its index may be elsewhere */
        uint64_t expect_from;      /* volumes before this one were removed by retention: nobody is asked for them */
        bool crc_known;
        uint32_t crc;              /* of its mp4 */
        struct index index;        /* of it */

        uint64_t last_hash; /* of the last chunk; 0: not known since a restart, a cut or a reopen: the leader's fits then */
        struct recent_segment recent[RECENT_SEGMENTS]; /* by segment % RECENT_SEGMENTS */
        struct chunk_append *writing;                  /* on the pool now */
        struct chunk_append *first, **last;            /* behind it */
        unsigned queued;
        unsigned behind; /* jobs on closed volumes: one is closed, read, removed, replaced, or its file goes or comes */
        struct cut *cutting;
        struct cut *reopening;
        /* Asked before a chunk is written, with its place: 0: it may be; 1: chunk_log_go_on() will tell; ERR_*: it may not.
         * NULL: every one may. */
        int (*admit)(void *arg, struct chunk_log *log, const struct chunk_append *a);
        /* After every change that a reader or a claimer may be waiting for; chunk is NULL when only something ended. */
        void (*moved)(void *arg, struct chunk_log *log, const struct chunk_append *chunk);
        void (*volumes_changed)(void *arg, struct chunk_log *log); /* the rows are to be saved; may be NULL */
        /* They are to be saved before files are cut off: 0: that need not be waited for; 1: chunk_log_cut_on() will tell. May be NULL. */
        int (*save_rows)(void *arg, struct chunk_log *log);
        void *arg;
};

/* Takes init's reference and what was found (NULL: nothing, it is new). Where that has no open volume it is ENDED, unless it
 * is new. */
struct chunk_log *chunk_log_new(uv_loop_t *loop, const char *dir, const struct init_info *info, struct buf *init,
                                uint32_t volume_segments, unsigned chunk_ms, struct volumes_found *found, bool ended, bool sync_segments);
void chunk_log_free(struct chunk_log **log);

/* done() may come from inside the call. */
void chunk_log_append(struct chunk_log *log, struct chunk_append *a);

uint64_t chunk_log_hash(const struct buf *chunk); /* never 0 */

void chunk_log_go_on(struct chunk_log *log, int status); /* the answer that admit() owed */

/* Forgets everything from the beginning of the segment on, in the file too; done(arg, status) when the end is known again.
 * there (takes the reference; may be NULL): the segment as another origin has it; the chunks that it begins with and that are here
 * too, byte by byte, stay. What is asked to be appended meanwhile waits. One at a time; not of an ended log. When the log is
 * `failed` then it takes no more appends; on another error it is as it was. ERR_NOT_YET, from inside the call: chunk_log_may_cut()
 * says no. */
void chunk_log_cut(struct chunk_log *log, uint32_t segment, struct buf *there, void (*done)(void *arg, int status), void *arg);
void chunk_log_cut_on(struct chunk_log *log, int status); /* the answer that save_rows() owed */

/* ENDED → WRITING; done(arg, status) later. On an error it stays ENDED. ERR_NOT_YET, from inside the call:
 * chunk_log_may_cut() says no. */
void chunk_log_reopen(struct chunk_log *log, bool sync_segments, void (*done)(void *arg, int status), void *arg);

void chunk_log_fence(struct chunk_log *log); /* what is queued but not being written ends with ERR_FENCED */
bool chunk_log_stored_to(const struct chunk_log *log, int64_t us); /* the track, up to there; 0: it is */
bool chunk_log_idle(const struct chunk_log *log); /* no chunk is on its way, nothing is cut, and its files are not read anew */
bool chunk_log_busy(const struct chunk_log *log); /* something of it is on the pool: it cannot be freed */
void chunk_log_end(struct chunk_log *log); /* idle; the last segment is complete from here on */

/* Takes a closed volume away: its row at once, then, when TRACK/volumes does not name it any more, its files. The other way
 * round a crash between would leave a row without files, and the volume would be brought again from elsewhere.
 * forget: ERR_FULL, and nothing changes, when there is no such row, or something else is under way with it: may_forget says so before. */
bool chunk_log_may_forget_volume(const struct chunk_log *log, uint32_t number);
int chunk_log_forget_volume(struct chunk_log *log, uint32_t number);
void chunk_log_unlink_volume(struct chunk_log *log, uint32_t number, void (*done)(void *arg, int status), void *arg);

/* A volume that others have and this one does not, or not whole, and how it gets here (replica/fills.h); or one that is here,
 * and found to be other than it was written (scrub.h).
 *   chunk_log_expect_volumes() their rows, LACKING, with what they come to there, of numbers [from, end). Not in place of a volume that
 *                              is here. A year of them is one copy of the rows
 *   chunk_log_hide_volume()    from here on nobody begins to read what is here of it, and it is neither cut off nor removed:
 *                              its files are about to be replaced. expected: what it is to come to; NULL: it is here, and
 *                              is to be looked at. false, and nothing changes: there is no such row any more, it is here by
 *                              now (or, NULL, it is not), or not now
 *   chunk_log_take_volume()    always after that: HERE or DAMAGED, with its sum; NULL: LACKING */
void chunk_log_expect_volumes(struct chunk_log *log, const struct volumes *there, uint32_t from, uint32_t end);
bool chunk_log_hide_volume(struct chunk_log *log, uint32_t number, const struct volume_sum *expected);
void chunk_log_take_volume(struct chunk_log *log, uint32_t number, enum volume_state state, const struct volume_sum *sum);

/* The archive (archive/archiver.h) has a closed volume, or is to have it alone. `of` is the row as it was when that began; false, and
 * nothing changes: it is another by now, or something else is under way with it.
 *   chunk_log_copied()     HERE: the archive has it too
 *   chunk_log_archive()    HERE, copied → ARCHIVED: from here on nobody begins to read its file. Then, when TRACK/volumes says so,
 *                          chunk_log_drop_file(), or, when that could not be saved, chunk_log_keep_file()
 *   chunk_log_wanted()     ARCHIVED: one whose file is needed here again, and may be fetched now; NULL: none
 *   chunk_log_bring_file() ARCHIVED: what was fetched (VOLUME_FETCHED) becomes its file: done(arg, status); HERE then
 *   chunk_log_not_brought() it could not be had: the others have their turn first, and it not before again_us */
bool chunk_log_copied(struct chunk_log *log, const struct volume_row *of);
bool chunk_log_archive(struct chunk_log *log, const struct volume_row *of);
void chunk_log_drop_file(struct chunk_log *log, uint32_t number, void (*done)(void *arg, int status), void *arg);
void chunk_log_keep_file(struct chunk_log *log, uint32_t number);
bool chunk_log_bring_file(struct chunk_log *log, const struct volume_row *of, void (*done)(void *arg, int status), void *arg);
const struct volume_row *chunk_log_wanted(const struct chunk_log *log, int64_t now_mono_us);
void chunk_log_not_brought(struct chunk_log *log, uint32_t number, int64_t again_mono_us);

/* Its file is needed here until then: the archiver brings it and leaves it, so that nobody who is given up keeps it for long. Who still
 * needs it asks again; who does not lets it go. false: it is not ARCHIVED (any more). */
bool chunk_log_want_file(struct chunk_log *log, uint32_t number, int64_t until_mono_us);
void chunk_log_let_go(struct chunk_log *log, uint32_t number);

/* Whether the log can be cut from the segment on (UINT32_MAX: be opened again): what it goes on with then has to be here. Where that is
 * in the archive it is wanted from now on: ask again later. */
bool chunk_log_may_cut(struct chunk_log *log, uint32_t segment);

/* What is appended next does not go on from the end: the rest of the open volume is elsewhere. It is DAMAGED from here on. */
void chunk_log_skip(struct chunk_log *log);

/* What is appended next passes over a segment that others have, or had, and that cannot be had now: it is lacking, not a hole, and so
 * is its volume when that is closed. Whether that was known of the volume before; if not, the rows are to be saved before anything
 * is appended. */
bool chunk_log_miss(struct chunk_log *log, uint32_t segment);

/* What there is of a segment. */
enum segment_state {
        SEGMENT_NONE,    /* nothing, so far: it never was, or is not yet */
        SEGMENT_HERE,    /* out says what; more of it may come */
        SEGMENT_UNREAD,  /* an index has to be read first */
        SEGMENT_LOADING, /* moved() when it is known */
        SEGMENT_LACKING, /* it is not here, or not to its end, but was, or should be: others may have it */
        SEGMENT_BUSY,    /* too much is being read: ask again later */
        SEGMENT_UNREADABLE /* the disk said no */
};
struct segment_view {
        uint32_t volume; /* whose file: volume_path(log->dir, volume, "mp4") */
        bool archived;   /* it is not here: archive_read() */
        uint64_t offset; /* in it */
        uint32_t len_bytes;
        bool complete;
        struct buf *bytes; /* borrowed; NULL: only in the file */
};
/* may_read: an index that is not in memory is read for it. */
enum segment_state chunk_log_segment(struct chunk_log *log, uint32_t segment, bool may_read, struct segment_view *out);

/* The rows as they are saved: without what is being cut off, and with the open volume if it is not whole: what is stored behind it
 * makes it a closed one, and a start must not take it for more; what it comes to is not known yet, so it is opened then. out is
 * the caller's to free; the indexes in it are the log's. */
void chunk_log_rows(const struct chunk_log *log, struct volumes *out);

uint32_t chunk_log_lacking(const struct chunk_log *log); /* closed volumes that are not here, or not whole */

/* Bytes of closed volumes: what the archive is to have and has not, what it has as well, and what it alone has. */
struct archive_sum {
        uint64_t uncopied, copied, archived;
};
void chunk_log_archive_sum(const struct chunk_log *log, struct archive_sum *sum); /* adds its own */

/* What all volumes come to, wherever they are; peak_bytes of the largest segment; false: there are no chunks. */
bool chunk_log_sum(const struct chunk_log *log, struct volume_sum *out);

#endif
