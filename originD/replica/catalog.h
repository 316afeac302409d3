/* catalog.h - what an origin tells another one of its sessions, as JSON: both ways. FETCHed by nng only, never by HTTP:
 *
 *   /peer/ended/<n>      those that ended, in the order in which what is told of them changed, behind change n: at most
 *                        CATALOG_PAGE of them, the change to ask from next, and whether there is more. Who has read all asks
 *                        from there on for what is new; the changes are counted anew when the process starts
 *   /peer/live           those that are live, with their tracks, the newest first
 *   /peer/session/<id>   one with its tracks and their closed volumes, which of one that ended are loaded first; an empty list
 *                        when it is not here
 * (and /peer/events, which is webhooks.h's)
 *
 * In a list a session that ended is its head: what its tracks come to, and a digest of them.
 * It is how two copies of a track are compared without looking at them: as far as the eras are the same so are the bytes,
 * so of two copies whose eras do not part one begins with the other (catch_up.h). */
#ifndef ORIGIND_CATALOG_H
#define ORIGIND_CATALOG_H

#include "originD/store.h"

#define CATALOG_PAGE 500
#define CATALOG_VOLUMES 1000 /* the newest of a track: a week. So one session, of all tracks, is one answer (BODY_MAX) */
#define CATALOG_SESSIONS_MAX 20000    /* in one list */
#define CATALOG_MAX_BYTES (64u << 20) /* of JSON that is read */

struct peer_track {
        char name[TRACK_NAME_MAX + 1];
        int64_t start_us, end_us;
        uint32_t first_segment, bandwidth, fps_milli;
        uint32_t first_here; /* segments before it were removed there */
        uint32_t next_segment;
        uint8_t next_chunk;
        uint64_t bytes; /* of all volumes, with their init segments */
        struct eras eras;
        struct volumes volumes; /* the closed ones, with their state there; crc 0: not to be had whole there now. Only where one session is told */
};

struct peer_session {
        char id[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1], node[NODE_ID_MAX + 1], title[128];
        int64_t epoch_us, end_us, ended_wall_us;
        uint32_t generation, grace_ms, volume_segments;
        bool ended, ended_by_writer;
        bool whole;             /* its tracks are told; otherwise the sum */
        struct session_sum sum; /* of one that ended, in a list */
        size_t track_count;
        struct peer_track *tracks;
};

struct catalog {
        struct peer_session *sessions;
        size_t count;
        uint64_t next; /* of a page: to ask from next */
        bool more;     /* and that there is more by now */
};

struct buf *catalog_write_live(struct store *st);
struct buf *catalog_write_ended(struct store *st, uint64_t since);
struct buf *catalog_write_one(const struct session *s); /* which is loaded; NULL: an empty list */

int catalog_read(struct catalog *out, const char *text, size_t len_bytes); /* ERR_PROTO: nothing is held */
void catalog_free(struct catalog *l);

#endif
