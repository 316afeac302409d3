/* streams.h - the lists that anybody may read, as JSON.
 *
 *   /api/streams       every stream that is live, then of others the newest recording, of at most STREAMS_RECORDINGS of them: one
 *                      entry a stream. "next" where there are recordings that it does not tell
 *   /api/recordings    all recordings, of live streams too, newest first, RECORDINGS_PAGE a page; "next" is the page behind it
 *
 *     {"streams": [{"id", "session", "state", "started", "title", "tracks": [{"name", "codec", "width", "height", "bandwidth"}]}],
 *      "next": "/api/recordings"}
 *     {"recordings": [… as above …], "next": "/api/recordings/before/STARTED/SESSION"}
 *
 * What is looked at for one page is bounded, whatever the store holds: a page may so have fewer entries, or none, and a next one
 * none the less. The last page has none.
 *
 * A recording's tracks are known only while it is loaded (session.h). For the newest ones they are read, a few at a time, and then
 * kept here: for a page nothing is read. So "tracks" may be empty.
 *
 * All that is live is told, so the list of many live streams is made in steps, between which the loop does other things: streams_begin(),
 * then streams_go_on() until it says that it is made. What comes or goes meanwhile is told, or is not. Loop thread only. */
#ifndef ORIGIND_STREAMS_H
#define ORIGIND_STREAMS_H

#include "common/buf.h"
#include "originD/store.h"
#include "proto/key.h"

#define STREAMS_RECORDINGS 100
#define STREAMS_LOADS_MAX 4 /* recordings that are read for a list at a time */
#define RECORDINGS_PAGE 100 /* with all the tracks that there can be and the longest names less than BODY_MAX: one FETCH */
#define RECORDINGS_LOOKS 2000 /* sessions that are looked at for one list */

/* The tracks of the recordings that the list told last. Zeroed at first. */
struct streams_known {
        size_t count;
        struct known_tracks {
                char session[SESSION_ID_MAX + 1];
                uint64_t version; /* of the session, that they are of */
                char *tracks; /* as they are told */
        } at[STREAMS_RECORDINGS];
};

#define STREAMS_STEP 100 /* live sessions: of seven tracks some 600 µs */
struct streams_making;
struct streams_making *streams_begin(void);
struct buf *streams_go_on(struct streams_making **m, struct store *st, struct streams_known *known); /* NULL: there is more to do. Else *m is NULL */
void streams_give_up(struct streams_making **m); /* NULL is one */
struct buf *recordings_json(const struct store *st, const struct key *page); /* KEY_RECORDINGS */
void streams_forget(struct streams_known *known);

#endif
