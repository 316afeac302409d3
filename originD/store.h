/* store.h - every session this origin has: found by id, by stream, kept on disk, ended when nobody writes.
 *
 *   store_open    reads what data_dir holds, on the pool; ready() when that is done. What was found so far is in the store
 *                 before, for readers only: a session or a stream that is not there may yet come (started)
 *   store_claim … store_streams
 *   store_stop    no more claims and chunks; idle() when the last byte is on disk
 *   store_close   after that
 * Loop thread only. */
#ifndef ORIGIND_STORE_H
#define ORIGIND_STORE_H

#include <stdbool.h>
#include <uv.h>

#include "originD/by_start.h"
#include "originD/copied.h"
#include "originD/log/disk.h"
#include "originD/removals.h"
#include "originD/age_clock.h"
#include "originD/retention.h"
#include "originD/room.h"
#include "originD/session.h"
#include "originD/space.h"
#include "originD/trimming.h"
#include "proto/names.h"

#define STORE_BUCKETS 65536
#define STORE_SLICE 1000 /* sessions that a start hands over before the loop does something else */
#define STORE_RETRY_US (1 * US_PER_S) /* of what could not be read */
#define STORE_SLOW_US (US_PER_S / 2)  /* a start that takes longer is told: slow() */
#define STORE_TICK_MS 250
#define STORE_START_TICK_MS 50 /* while it starts: so much is found in between that the loop can take it in a moment */
#define VOLUME_SEGMENTS 600
#define VOLUME_SEGMENTS_MIN 2
#define STORE_LOADED_MAX 256                /* ended sessions whose tracks are kept, */
#define STORE_LOADED_US (300 * US_PER_S)    /* so long after somebody asked for them last; */
#define STORE_LOADED_MANY_US (2 * US_PER_S) /* when there are more, so long */

struct stream {
        char id[STREAM_ID_MAX + 1];
        struct session *sessions; /* newest first, by next_of_stream */
        struct session *oldest;
        uint64_t ended_bytes; /* of its recordings */
        int64_t rewind_s; /* retention.h; 0: nobody has asked */
        size_t live;          /* of its sessions; those that are ending too */
        struct stream *next;      /* of the bucket */
        struct stream *next_all, **prev_all;
};

struct store_options {
        const char *data_dir;
        int64_t retention_us;    /* 0: for ever */
        int64_t retention_bytes; /* 0: no bound */
        int64_t min_free_bytes;
        int64_t live_max;
        const json_t *recording; /* retention.h; NULL: every stream as the rest of this says. It outlives the store */
        int64_t time_shift_us;
        bool refuse_when_full; /* rather than removing the oldest media */
        bool has_archive; /* and reads from it: what it has need not be here */
        bool sync_segments;
        uint32_t volume_segments; /* 0: VOLUME_SEGMENTS */
};

struct store_events {
        void (*ready)(void *arg, int status);                  /* an error: not all that is stored could be read */
        void (*slow)(void *arg);                               /* that takes long: what is in the store by now can be read. NULL: nobody asks */
        void (*changed)(void *arg, struct session *s);         /* somebody may be waiting for this */
        void (*space)(void *arg, int why_not);                 /* writing became possible (0), or impossible: space.h */
        void (*idle)(void *arg);                               /* after store_stop() */
        /* It is no recording any more, and its files are about to go; on a thread of the pool, and may block. May be NULL */
        void (*removing)(void *arg, const char *stream, const char *session);
        void (*removed)(void *arg, const char *stream, const char *session); /* its files are gone. May be NULL */
        void (*volume_removed)(void *arg, const char *stream, const char *session); /* of a live one; the archive has it. May be NULL */
        void *arg;
};

struct store {
        uv_loop_t *loop;
        uv_timer_t tick;
        struct store_options options;
        struct store_events events;
        struct session *by_id[STORE_BUCKETS];
        struct stream *by_name[STORE_BUCKETS];
        struct stream *all;
        /* In the order in which what is told of them changed: who has read as far as some change needs only what is behind
         * it (replica/catalog.h). */
        struct session *changed_first, *changed_last;
        uint64_t changes, instance; /* instance: of this start of the process, which changes are counted from */
        struct names_gone gone;     /* sessions that are not in it any more: names.c */
        size_t live, ended;
        struct session *first_live; /* by older */
        struct session *newest_ended, *oldest_ended; /* by when they ended */
        struct by_start by_start; /* all of them, */
        struct by_start live_by_start; /* and the live ones */
        uint64_t moves; /* how often any session changed, chunks too */
        struct session *sweep_at; /* where retention goes on */
        struct session *archive_at; /* where the archiver goes on: likewise */
        struct session *scrub_at; /* where the scrubber goes on: the live ones, then those that ended, the newest first */
        int lock; /* of data_dir */
        int folder; /* data_dir itself, as it was at the start */
        struct starting *starting; /* of the start, until all of it is here */
        uv_idle_t handing;
        struct startup_folder *unreadable; /* sessions that cannot be read now */
        struct removals removals;
        struct trimming *untrimmed; /* trimming.c's: what the disk refused */
        struct trimmed trimmed;
        struct copied copied;
        struct room making_room;
        bool retrying;
        char retrying_id[SESSION_ID_MAX + 16];
        int64_t retried_mono_us;
        size_t retry_at; /* of live_by_start: whose tracks are looked at next, in this round */
        struct session *loaded; /* ended, with their tracks; by next_loaded */
        size_t loaded_count;
        bool started, stopping, idle_told, slow_told;
        bool long_parts; /* sessions that begin may have them: all other origins know them, as far as they are known */
        int64_t opened_mono_us;
        int why_full;     /* 0, or, until a look at the disk finds enough space again, and that it can be written, why PUTs are
                           * refused: ERR_NOSPACE, or why a write failed */
        struct space space;
        int64_t swept_mono_us;
        struct disk_room room;  /* when it was looked at last */
        double fill_bytes_s;    /* what is stored a second, over about a minute */
        struct retention retention;
        struct age_clock age;
        uint64_t ended_bytes;
        int64_t removed_until_wall_us; /* what ended until then was removed by retention: it is not copied again */
};

int store_open(struct store *st, uv_loop_t *loop, const struct store_options *options,
               const struct store_events *events); /* errno says why data_dir cannot be used; ERR_CONFLICT, logged: another originD does */
void store_stop(struct store *st);
void store_close(struct store *st);

struct session *store_session(struct store *st, const char *id); /* NULL: none */
struct stream *store_stream(struct store *st, const char *id);   /* NULL: none; otherwise it has a session */
struct session *stream_live(const struct stream *s);             /* NULL: none is live */
bool session_newer(int64_t epoch_us, const char *id, const struct session *than); /* the order of a stream's sessions */

bool store_unreadable(const struct store *st, const char *id); /* it is here, and cannot be read now, or is on its way out: nothing may be put in its place */

/* The stream's live session, or the one proposed. ERR_FULL, ERR_NOSPACE, ERR_LIMIT (there is no such generation, or none is left for a moment),
 * ERR_IO (what is here of it cannot be read now, or nothing can be written);
 * ERR_CONFLICT: the proposed id is taken. With CLAIM_ONLY_LIVE ERR_NOT_FOUND: there is no live one that has something. With CLAIM_JOIN the one proposed or none: ERR_FENCED (a newer writer, or a newer
 * session of the stream), ERR_CLOSED (it ended here). An older session that is alive begins to end. */
int store_claim(struct store *st, const struct claim *c, struct session **out);

struct session *store_changed_behind(const struct store *st, uint64_t change); /* the first that changed after it; NULL: none */

void store_no_space(struct store *st); /* a write failed for it */

/* Takes an ended session out and removes its files; when the disk refuses, removals.h says what becomes of it. */
void store_remove(struct store *st, struct session *s);
void store_remove_for(struct store *st, struct session *s, const struct removal_reason *reason);
void store_add(struct store *st, struct session *s); /* startup.c's */

#endif
