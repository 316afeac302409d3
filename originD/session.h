/* session.h - one broadcast: a stream id, an epoch, a generation, tracks; and the session.json that survives a crash.
 *
 *   LIVE   session_new() (claimed now) or session_restore() (found on disk);  tracks come, chunks come
 *   ENDED  session_end(): by its writer, or by the store when nobody wrote for the grace time. Its tracks' indexes are
 *          dropped with the process and read again when somebody asks: session_load()
 *   gone   session_free(): only when nothing of it is on its way to or from the disk (session_busy)
 *
 * What is promised to a writer (generation, tracks, end) is in session.json before the promise is made: session_save(), then
 * answer from its callback. Loop thread only. */
#ifndef ORIGIND_SESSION_H
#define ORIGIND_SESSION_H

#include <stdbool.h>
#include <uv.h>

#include "originD/log/chunk_log.h"
#include "originD/eras.h"
#include "originD/events.h"
#include "proto/store.h"

enum session_state { SESSION_LIVE, SESSION_ENDED };
enum load_state { LOAD_NO, LOAD_UNDER_WAY, LOAD_DONE, LOAD_FAILED };

struct track {
        char name[TRACK_NAME_MAX + 1];
        struct init_info init;
        struct buf *init_bytes;
        int64_t start_us; /* the Period it begins in */
        uint32_t first_segment;
        uint32_t bandwidth, fps_milli; /* as declared; 0: not */
        struct chunk_log *log;         /* NULL: session not loaded, or its file is being made */
        bool making;
        struct adding *same; /* who declared it too while it was made */
        struct eras eras;
        uint32_t led_generation; /* that leader_late is about */
        bool leader_late;        /* its shadow does not wait for it (shadow_turns.h) */
        /* As it was when the session ended; not looked at before. */
        struct track_facts {
                uint32_t last_segment;
                int64_t end_us;
                uint64_t file_bytes;
                uint32_t average_bps, peak_bps, fps_milli;
                bool any; /* there are chunks */
        } at_end;
};

/* Somebody who waits for the session to be saved, and (quiet) for no chunk to be on its way to the disk. */
struct session_wait {
        struct session_wait *next;
        uint64_t version;
        bool quiet;
        void (*done)(struct session_wait *w, int status); /* owns w again */
};

struct session {
        char id[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1], node[NODE_ID_MAX + 1], title[128];
        int64_t epoch_us;
        uint32_t generation, grace_ms;
        enum session_state state;
        bool ended_by_writer;
        bool claimed; /* since this process started: before, PUTs of a writer that may have been fenced are not taken */
        int64_t ended_wall_us, end_us;

        struct track tracks[SESSION_TRACKS_MAX];
        size_t track_count;

        bool slate;                  /* the last video chunk (or audio, without video) stands for nothing received */
        int64_t slate_us;            /* media time since which that is so; -1: since this process started no chunk came */
        struct told told;            /* events.h; webhooks.c's */
        int64_t heard_mono_us;       /* last claim or chunk */
        int64_t first_chunk_mono_us; /* 0: none yet */
        int64_t last_track_mono_us;

        enum load_state load;
        int64_t load_again_us; /* of LOAD_FAILED: monotonic, not tried before that */
        unsigned pins;              /* reads of its files, and requests, under way */
        unsigned turns;            /* PUTs that wait (shadow_turns.h) */
        uint64_t moves;            /* how often changed() was told, as far as shadow_turns.h knows */
        uint32_t misfit_generation; /* whose chunks did not fit, as was logged already; 0: nobody's */

        uv_loop_t *loop;
        char *dir;
        bool sync_segments;
        uint64_t version, saved_version; /* of session.json: changed, on disk */
        uint64_t saving_version;         /* 0: no save under way */
        bool save_failed; /* and it was told; it is tried again */
        int save_status;
        struct session_wait *waits, *end_waits;
        bool ending; /* takes no more chunks; SESSION_ENDED when those under way are in */
        bool over_elsewhere; /* it ended at another origin, and does so here once what it lacks is copied: not claimed again */

        /* A chunk came, a track came, the session ended, a load ended: whoever waits should look again. */
        void (*changed)(void *arg, struct session *s);
        void *arg;
        struct session *next_by_id, *next_of_stream; /* the store's */
};

/* Of the claim only who it is: id, stream, epoch. */
struct session *session_new(uv_loop_t *loop, const char *data_dir, const struct claim *c, bool sync_segments);
void session_free(struct session **s);
bool session_busy(const struct session *s);

/* Wakes w when what the session is now is on disk. w->quiet: and no chunk is on its way. */
void session_save(struct session *s, struct session_wait *w, bool quiet,
                  void (*done)(struct session_wait *w, int status));

struct track *session_track(struct session *s, const char *name); /* NULL: none */
bool track_playable(const struct session *s, const struct track *t); /* declared, saved, has chunks */
struct track_facts track_facts(const struct session *s, const struct track *t);

/* Declares a track. done(arg, status) after the file is made and session.json names it: 0; ERR_PROTO, ERR_UNSUPPORTED,
 * ERR_LIMIT (too many), ERR_NOSPACE, ERR_IO. The same again: 0, when it is made; with other bytes: ERR_CONFLICT. */
void session_add_track(struct session *s, const struct put *p, void (*done)(void *arg, int status), void *arg);

/* A new writer, or (CLAIM_JOIN) one that has the session at another origin too: older ones are fenced from here on; done
 * when that is on disk and their last chunk is in or out. Whether it may is store_claim()'s to say. */
void session_claim(struct session *s, const struct claim *c, struct session_wait *w,
                   void (*done)(struct session_wait *w, int status));

/* No more chunks. Done likewise. */
void session_end(struct session *s, int64_t end_us, bool by_writer, struct session_wait *w,
                 void (*done)(struct session_wait *w, int status));

/* Reads the tracks' indexes of an ended session from the disk; changed() tells when load is LOAD_DONE, or
 * LOAD_FAILED when the files cannot be read: calling it again tries again, but for the next SESSION_LOAD_AGAIN_US. */
#define SESSION_LOAD_AGAIN_US (5 * US_PER_S)
void session_load(struct session *s);

void session_heard(struct session *s);
void session_retry_save(struct session *s); /* what could not be saved for lack of space is tried again */
/* Whether something is missing between the end of the track and this chunk. */
bool track_ahead(const struct track *t, uint32_t segment, uint8_t chunk);

/* The generation that the newest stored chunk is of; 0: none is stored. */
uint32_t session_written_generation(const struct session *s);
uint64_t track_end_place(const struct session *s, const struct track *t); /* behind the last chunk, on the grid of eras.h */

size_t session_claim_tracks(const struct session *s, struct claim_track out[SESSION_TRACKS_MAX]);
/* Valid as long as the session is and does not change. */
void session_event_facts(const struct session *s, struct event_facts *out);
const char *session_state_name(const struct session *s); /* live, slate, ended */
int64_t session_live_edge_us(const struct session *s);   /* media time now, by the wall clock */
uint64_t session_bytes(const struct session *s);

/* session.json: both ways, for startup.c too. parse: ERR_CORRUPT. */
struct buf *session_to_json(const struct session *s);
int session_from_json(struct session *s, const char *text, size_t len_bytes);
void session_restore(struct session *s, uv_loop_t *loop, const char *data_dir, bool sync_segments); /* then the loop's */
void session_watch_log(struct session *s, struct chunk_log *log);

#endif
