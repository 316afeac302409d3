/* track.h - one track of a session: what was declared of it, what its log says, and how it is declared.
 *
 *   declared  session_add_track(): its file is made, then session.json names it, then it is told
 *   loaded    session_load(): of a session that ended, read from session.json and the files when somebody asks
 *   gone      track_drop(), or the session is freed or unloaded: only when nothing of it is on its way to the disk
 * Each is memory of its own, so that a session which ended and is not read costs nothing for its tracks. Loop thread only. */
#ifndef ORIGIND_TRACK_H
#define ORIGIND_TRACK_H

#include "originD/eras.h"
#include "originD/log/chunk_log.h"

struct session;

/* What there is of a track, for manifests and for those who compare. */
struct track_facts {
        uint32_t first_segment, last_segment; /* that are there; before the first they were removed, or never came */
        int64_t end_us;
        int64_t guess_us; /* so much too long the last sample may be thought to last */
        uint64_t file_bytes;
        uint32_t average_bps, peak_bps, fps_milli;
        bool any; /* there are chunks */
};

#define ROWS_NOT_SAVED UINT64_MAX

struct track {
        char name[TRACK_NAME_MAX + 1];
        struct init_info init;
        struct buf *init_bytes;
        int64_t start_us; /* the Period it begins in */
        uint32_t first_segment;
        uint32_t bandwidth, fps_milli; /* as declared; 0: not */
        struct chunk_log *log;         /* NULL: its folder is being made, or cannot be read now (unreadable) */
        bool making;
        bool unreadable;               /* it is tried again; nothing is begun in its place */
        struct adding *same; /* who declared it too while it was made */
        uint64_t rows_saved;           /* log->closed.changes that TRACK/volumes has, or is being given; ROWS_NOT_SAVED */
        struct eras eras;
        uint64_t eras_version;     /* of session.json, that the newest era was given to be saved with */
        uint32_t led_generation;   /* that leader_late is about */
        bool leader_late;          /* its shadow does not wait for it (shadow_turns.h) */
        int64_t trimmed_mono_us;   /* when the minute began, */
        size_t trimmed;            /* in which so many volumes went behind the window */
        struct track_facts at_end; /* as it was when the session ended; not looked at before */
};

struct track *session_track(const struct session *s, const char *name); /* NULL: none */
bool track_playable(const struct session *s, const struct track *t); /* of sound or video, declared, saved, has chunks */
struct track_facts track_facts(const struct session *s, const struct track *t);

/* Of a track that ended: segments [*first, *end), the first of them not before `from`, that nobody ever wrote, so that they are nowhere.
 * false: there are no more. What is only lacking here is none. Known of a volume as far as its index is in memory. */
bool track_hole(const struct track *t, uint32_t from, uint32_t *first, uint32_t *end);
/* A volume that has a hole, and of which it is not known where; NULL: none. */
const struct volume_row *track_unseen_hole(const struct session *s, const struct track *t);

/* Declares a track. done(arg, status) after the file is made and session.json names it: 0; ERR_PROTO, ERR_UNSUPPORTED,
 * ERR_LIMIT (too many), ERR_NOSPACE, ERR_IO. The same again: 0, when it is made; with other bytes: ERR_CONFLICT. */
void session_add_track(struct session *s, const struct put *p, void (*done)(void *arg, int status), void *arg);

/* Takes a track out whose log is not busy, and its folder away: done(arg, status). */
void track_drop(struct session *s, struct track *t, void (*done)(void *arg, int status), void *arg);
void track_remove(struct session *s, struct track *t); /* only out of the list */

/* Reads what is on the disk of a track that session.json names; blocks. append: its last volume is opened for that. Then
 * track_opened(), on the loop, makes its log. */
struct track_found {
        struct init_info init;
        struct buf *init_bytes;
        struct volumes_found volumes;
        bool rows_saved; /* what was found is what TRACK/volumes says */
};
int track_find(const struct session *s, const char *dir, const struct track *t, bool append, struct track_found *out);
void track_opened(struct session *s, struct track *t, struct track_found *found, bool ended);
void track_found_free(struct track_found *f);
char *track_dir(const struct session *s, const char *name); /* the caller's to free */

/* Reads what could not be read, and what nobody knows any more: of a track whose log has failed. Readers keep that log until another one
 * takes its place. */
void session_retry_tracks(struct session *s);
bool session_readable(const struct session *s); /* none of them is such a one */

uint32_t track_first_segment(const struct session *s, const struct track *t); /* that can still be had */

/* A place in the session's list for a track that is read rather than declared: at its end. */
struct track *track_append(struct session *s);
void tracks_free(struct session *s); /* and what was said beside them */

/* Where its log goes on: behind its last chunk, and behind the volumes that it knows to lack. */
void track_next(const struct track *t, uint32_t *segment, uint8_t *chunk, int64_t *end_us);

/* Whether something is missing between the end of the track and this chunk. */
bool track_ahead(const struct track *t, uint32_t segment, uint8_t chunk);
uint64_t track_end_place(const struct session *s, const struct track *t); /* behind the last chunk, on the grid of eras.h */

#endif
