/* session.h - one broadcast: a stream id, an epoch, a generation, tracks; and the session.json that survives a crash.
 *
 *   LIVE   session_new() (claimed now) or session_restore() (found on disk);  tracks come, chunks come
 *   ENDED  session_end(): by its writer, or by the store when nobody wrote for the grace time. Its tracks are read when
 *          somebody asks, session_load(), and dropped when nobody did for a while, session_unload(): what is left is the
 *          head, a few hundred bytes
 *   gone   session_free(): only when nothing of it is on its way to or from the disk (session_busy)
 *
 * What is promised to a writer (generation, tracks, end) is in session.json before the promise is made: session_save(), then
 * answer from its callback. Loop thread only. */
#ifndef ORIGIND_SESSION_H
#define ORIGIND_SESSION_H

#include <stdbool.h>
#include <uv.h>

#include "originD/cues.h"
#include "originD/events.h"
#include "originD/track.h"
#include "proto/store.h"

#define GRACE_MAX_MS 600000 /* who asks for more gets this */

enum session_state { SESSION_LIVE, SESSION_ENDED };
enum load_state { LOAD_NO, LOAD_UNDER_WAY, LOAD_DONE, LOAD_FAILED };

/* Somebody who waits for the session to be saved, and (quiet) for no chunk to be on its way to the disk. */
struct session_wait {
        struct session_wait *next;
        uint64_t version;
        bool quiet;
        void (*done)(struct session_wait *w, int status); /* owns w again */
};

/* What of an ended session's tracks is known without them: enough for lists, for retention and to see that two copies are
 * alike. */
struct session_sum {
        uint64_t bytes;
        uint64_t digest; /* of each track's name, bytes and eras; alike: so are the copies */
        uint64_t written_place; /* where the era of the newest chunk begins, */
        uint32_t written_generation; /* and its generation; 0: none is stored */
        uint32_t lacking; /* volumes that are not here, or not whole */
        struct archive_sum archive;
        uint8_t tracks;
        bool playable; /* a track has chunks */
};

struct session {
        char id[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1], node[NODE_ID_MAX + 1];
        const char *title; /* "" for none; session_set_title() */
        int64_t epoch_us;
        uint32_t generation, grace_ms;
        uint32_t volume_segments; /* of each volume of its tracks: the same at all owners, and as long as it lasts */
        uint8_t chunk_ms;         /* its grid, CHUNK_MS or CHUNK_MS_SHORT: likewise, from its first track on */
        enum session_state state;
        /* Of a session that began while an origin was of an older version: false as long as it lasts. Otherwise it may have parts of
         * three times PART_MS (playlist.h), and cues have IDs that end with their time. */
        bool long_parts;
        bool ended_by_writer;
        bool captions; /* somebody said something in closed captions (captions.h) */
        bool claimed; /* since this process started: before, PUTs of a writer that may have been fenced are not taken */
        int64_t ended_wall_us, end_us;

        struct track **tracks; /* of one that ended: only while it is loaded */
        size_t track_count;
        struct cues *cues;      /* what was said beside the picture; likewise */
        struct session_sum sum; /* of one that ended: what its tracks come to */

        bool slate;                  /* the last video chunk (or audio, without video) stands for nothing received */
        int64_t slate_us;            /* media time since which that is so; -1: since this process started no chunk came */
        struct told told;            /* events.h; webhooks.c's */
        int64_t heard_mono_us;       /* last claim or chunk */
        int64_t ended_mono_us;       /* when it ended by a clock that was behind what age_clock.h had reached; 0: by a right one */
        int64_t first_chunk_mono_us; /* 0: none yet */
        int64_t last_track_mono_us;

        enum load_state load;       /* of the tracks; a live session's are always there */
        int64_t asked_mono_us;      /* when somebody wanted them last */
        int64_t archive_again_us; /* of one that ended: monotonic, the archiver does not look at it before that, */
        uint64_t archive_version; /* while this is its version */
        int64_t load_again_us; /* of LOAD_FAILED: monotonic, not tried before that */
        int64_t remove_again_us; /* the disk refused to remove it: monotonic, likewise (removals.h) */
        unsigned pins;              /* reads of its files, and requests, under way */
        unsigned reads;             /* of the pins: who reads media by an index, so that no file may be put in another's place */
        unsigned turns;            /* PUTs that wait (shadow_turns.h) */
        uint64_t moves;            /* how often changed() was told, as far as shadow_turns.h knows */
        uint32_t misfit_generation; /* whose chunks did not fit, as was logged already; 0: nobody's */

        uv_loop_t *loop;
        const char *data_dir;
        bool sync_segments;
        uint64_t version, saved_version; /* of session.json and the rows of volumes: changed, on disk */
        uint64_t saving_version;         /* 0: no save under way */
        int save_status; /* of the last save: not 0, it was told, and it is tried again */
        struct session_wait *waits, *end_waits;
        bool ending; /* takes no more chunks; SESSION_ENDED when those under way are in */
        bool over_elsewhere; /* it ended at another origin, and does so here once what it lacks is copied: not claimed again */

        /* A chunk came, a track came, the session ended, a load ended: whoever waits should look again. */
        void (*changed)(void *arg, struct session *s);
        void (*unsaved)(void *arg, int status); /* a save failed; may be NULL */
        void *arg;
        /* The store's. */
        struct session *next_by_id, *next_of_stream, *prev_of_stream, *next_loaded;
        struct session *newer, *older; /* of the live ones, or of those that ended */
        struct stream *of_stream;
        int64_t listed_wall_us;
        uint64_t listed_bytes; /* as they count in the sum of its stream's recordings */
        enum session_list { LIST_NONE, LIST_LIVE, LIST_ENDED } list;
        bool in_loaded;
        struct session *changed_before, *changed_after; /* the store's order of changes */
        uint64_t change, change_version;                /* its place there, and the version that has it */
        uint64_t moved; /* store.moves as it changed last */
};

/* Of the claim only who it is: id, stream, epoch, grid. */
struct session *session_new(uv_loop_t *loop, const char *data_dir, const struct claim *c, uint32_t volume_segments,
                            bool sync_segments);
void session_free(struct session **s);
void session_set_title(struct session *s, const char *title);
char *session_dir(const struct session *s); /* its folder; the caller's to free */
bool session_busy(const struct session *s);
bool session_at_rest(const struct session *s); /* it ended, can be read, and nothing of it is being copied from another origin */

/* Whether IDs of cues end with their time. Those that a live player was told stay: another ID is another cue to him. The
 * recording of a session without long parts has them anew. */
static inline bool session_times_cues(const struct session *s)
{
        return s->long_parts || s->state == SESSION_ENDED;
}

/* Wakes w when what the session is now is on disk. w->quiet: and no chunk is on its way. */
#define SESSION_SAVE_ROWS 10000 /* after so many of a track's volumes a save goes on in another turn of the loop */
void session_save(struct session *s, struct session_wait *w, bool quiet,
                  void (*done)(struct session_wait *w, int status));
void session_wait_saved(struct session *s, struct session_wait *w, bool quiet,
                        void (*done)(struct session_wait *w, int status)); /* a save that was asked for already */
/* Nothing is on its way to the disk any more, or a save is over: whom that makes go on. save_status: why they wait in vain; 0: they do not. */
void session_answer_waits(struct session *s, int save_status);

/* A new writer, or (CLAIM_JOIN) one that has the session at another origin too: older ones are fenced from here on; done
 * when that is on disk and their last chunk is in or out. Whether it may is store_claim()'s to say. */
void session_claim(struct session *s, const struct claim *c, struct session_wait *w,
                   void (*done)(struct session_wait *w, int status));

/* The generation that a claim gives, of this session or (NULL) of a new one. */
uint32_t session_next_generation(const struct session *s, const struct claim *c);

/* No more chunks. Done likewise. */
void session_end(struct session *s, int64_t end_us, bool by_writer, struct session_wait *w,
                 void (*done)(struct session_wait *w, int status));

/* Reads the tracks of an ended session from the disk; changed() tells when load is LOAD_DONE, or
 * LOAD_FAILED when the files cannot be read: calling it again tries again, but for the next SESSION_LOAD_AGAIN_US. */
#define SESSION_LOAD_AGAIN_US (5 * US_PER_S)
void session_load(struct session *s);
bool session_loadable(const struct session *s); /* session_load() would begin */
bool session_unload(struct session *s); /* false: it is live, or somebody is busy with it */

/* What catching up does to a session beyond what a writer does. */
void session_adopt_generation(struct session *s, uint32_t generation, const char *node); /* if it is newer than that here, which is fenced, and can be */

/* Opens the logs of an ended session that is loaded for appending, all or none: done(arg, status) later, with
 * ERR_NOT_YET while a file that this takes comes from the archive. The session stays ended for everybody else. session_close_ended(): ends the logs again and notes where they end; nothing is being appended. */
void session_open_ended(struct session *s, void (*done)(void *arg, int status), void *arg);
void session_close_ended(struct session *s);
void session_reopen(struct session *s); /* after session_open_ended(): it goes on at another origin, so it does here */

void session_tell(struct session *s); /* changed() */
void session_heard(struct session *s);
void session_retry_save(struct session *s); /* what could not be saved for lack of space is tried again */

/* The generation that the newest stored chunk is of; 0: none is stored. */
uint32_t session_written_generation(const struct session *s);

size_t session_claim_tracks(const struct session *s, struct claim_track out[SESSION_TRACKS_MAX]);
/* Valid as long as the session is and does not change. */
void session_event_facts(const struct session *s, struct event_facts *out);
const char *session_state_name(const struct session *s); /* live, slate, ended */
int64_t session_live_edge_us(const struct session *s);   /* media time now, by the wall clock */
struct session_sum session_sum(const struct session *s);
uint64_t session_bytes(const struct session *s);
uint64_t session_here_bytes(const struct session *s); /* without those that only the archive has */
size_t session_tracks(const struct session *s); /* how many; loaded or not */
bool session_playable(const struct session *s); /* one of its tracks is */

/* session.json: two values on two lines, the head and the tracks, and so short that the loop makes it: what grows with the
 * broadcast is in a file of each track (log/volumes_file.h), which is saved with it and before it. Reading it: ERR_CORRUPT, and nothing is held. The tracks
 * are read of a session that is live, and if they are asked for. *wrong: which member it was, if it is ERR_CORRUPT; static. */
struct buf *session_to_json(const struct session *s);
int session_from_json(struct session *s, const char *text, size_t len_bytes, bool tracks, const char **wrong);
/* The same of the file in that folder; blocks. ERR_NOT_FOUND: it is not there, for certain; all else but ERR_CORRUPT: it
 * cannot be known now. */
int session_read(struct session *s, const char *dir, bool tracks, const char **wrong);
void session_restore(struct session *s, uv_loop_t *loop, const char *data_dir, bool sync_segments); /* then the loop's */
void session_watch_log(struct session *s, struct chunk_log *log);

#endif
