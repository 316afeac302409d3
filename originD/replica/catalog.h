/* catalog.h - what an origin tells another one of its sessions, as JSON: both ways. FETCHed by nng only, never by HTTP:
 *
 *   /peer/ended/<n>      those that ended, in the order in which what is told of them changed, behind change n: at most
 *                        CATALOG_PAGE of them, the change to ask from next, and whether there is more. Who has read all asks
 *                        from there on for what is new; the changes are counted anew when the process starts
 *   /peer/live/<n>       those that are live, with their tracks, in the order in which they started, the newest first; of them those
 *                        that have moved, by a chunk or else, behind move n (0: all), page by page: as much as is made in some
 *                        milliseconds, the move to ask from next time, and where the next page begins, /peer/live/<n>/<ms>/<session>. So what 10,000 live
 *                        sessions cost is what moves in them, and no page stops a loop
 *   /peer/session/<id>   one with its tracks and the newest of their closed volumes, which of one that ended are loaded first; an
 *                        empty list when it is not here
 *   /peer/session/<id>/<n>  the same with the newest of the volumes before number n: so all of them can be read, page after page
 * (and /peer/events, which is webhooks.h's)
 *
 * In a list a session that ended is its head: what its tracks come to, and a digest of them.
 * It is how two copies of a track are compared without looking at them: as far as the eras are the same so are the bytes,
 * so of two copies whose eras do not part one begins with the other (catch_up.h). */
#ifndef ORIGIND_CATALOG_H
#define ORIGIND_CATALOG_H

#include "originD/store.h"

#define CATALOG_PAGE 500
#define CATALOG_LIVE_PARTS 700   /* tracks and eras in one page of live sessions: some hundred; a tenth of what one answer may be */
#define CATALOG_LIVE_LOOKS 4000 /* sessions that are looked at for one page */
#define CATALOG_VOLUMES 250 /* of a track, in one answer: two days. Of all tracks they are one answer (BODY_MAX), made and read in some milliseconds */
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
        struct volumes volumes; /* the closed ones, with their state there; crc 0: not to be had whole there now. Only where one session is told, */
        bool older_volumes;     /* and there may be some before those that are told */
        size_t rows_room;       /* catalog.c's: for so many before volumes.rows in its memory */
};

struct peer_session {
        char id[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1], node[NODE_ID_MAX + 1], title[128];
        int64_t epoch_us, end_us, ended_wall_us;
        uint32_t generation, grace_ms, volume_segments;
        uint8_t chunk_ms;
        bool ended, ended_by_writer, long_parts, captions;
        bool whole;             /* its tracks are told; otherwise the sum */
        uint32_t volumes_from;  /* of all its tracks, volumes from this number on are told; 0: all of them */
        struct session_sum sum; /* of one that ended, in a list */
        size_t track_count;
        struct peer_track *tracks;
        struct cues *cues; /* only where one session is told */
};

struct catalog {
        struct peer_session *sessions;
        size_t count;
        uint64_t next; /* of a page: to ask from next */
        bool more;     /* and that there is more by now */
        int64_t before_ms; /* of those that are live, with more: where the next page begins */
        char before[SESSION_ID_MAX + 1];
        size_t left_out; /* sessions with a generation that there cannot be (generation.h): by it they would win over every copy */
};

/* since: a move; before: "" with INT64_MAX for the first page. */
struct buf *catalog_write_live(const struct store *st, uint64_t since, int64_t before_ms, const char *before);
struct buf *catalog_write_ended(struct store *st, uint64_t since);
/* s is loaded; NULL: an empty list. below: the newest page of volumes before that number. */
struct buf *catalog_write_one(const struct session *s, uint64_t below);

int catalog_read(struct catalog *out, const char *text, size_t len_bytes); /* ERR_PROTO: nothing is held */
void catalog_free(struct catalog *l);

/* The next page of a session's volumes goes before those that it has; nothing else changes, whatever else the page tells. ERR_PROTO: it
 * is no such page, and nothing changes. */
int catalog_add_older(struct peer_session *to, const struct catalog *page);

#endif
