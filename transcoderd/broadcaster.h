/* broadcaster.h - the broadcasters of a session, each with its proxy: one is active, one more may stand by.
 *
 * A session has a place for a primary and one for a backup. Who comes to a place that is taken takes it over; who comes
 * to the other one stands by, unless it says that it is to be active. The one that stands by is made active
 *   at once                   when the active one's proxy says that it was lost, or that it stopped
 *   after BROADCASTER_SILENT_US    without a word of the active one's proxy, or without a frame in what it says,
 * if frames come to it meanwhile. The other one then stands by, if it is still there, so that the roles swap again when
 * this one fails. Its frames come with FRAME_BREAK and overlap with what is there: the pipeline leaves out what it has.
 * Loop thread only. */
#ifndef TRANSCODERD_BROADCASTER_H
#define TRANSCODERD_BROADCASTER_H

#include <stdbool.h>

#include "common/cluster/rpc.h"
#include "proto/ahead.h"
#include "proto/media.h"

#define BROADCASTER_SILENT_US INT64_C(1500000)
#define BROADCASTER_FRESH_US INT64_C(800000) /* one that stands by says something every 200 ms */

struct session;

struct broadcaster {
        uint64_t handle; /* 0: there is none */
        uint64_t next_seq;
        int64_t heard_us, fresh_us; /* its proxy said something; frames came to it. Monotonic */
        bool backup;                /* its place */
        char publisher[64];
        uint8_t codecs[TRACK_KINDS];
        struct buf *config[TRACK_KINDS];
        struct ahead ahead; /* what it was told too soon */
};

/* Of the session whose broadcaster has this handle; NULL: none has. */
struct broadcaster *broadcaster_find(struct session *s, uint64_t handle);
bool broadcaster_place_taken(const struct session *s, const struct open *m); /* by one that is there */

/* A new broadcaster for what was opened, active or standing by. The one whose place it takes is retired. */
struct broadcaster *broadcaster_admit(struct session *s, const struct open *m);
/* The answer to its OPEN: which session it is in, and by which clock. */
void broadcaster_accept(const struct session *s, const struct broadcaster *f, struct rpc_request *open, int64_t skew_us);
/* struct open_reply's, of a session whose clock is session_ahead_us ahead of our wall clock. */
int64_t broadcaster_skew_us(const struct open *m, int64_t session_ahead_us);
void broadcaster_heard(struct broadcaster *f, bool fresh);
void broadcaster_configure(struct broadcaster *f, uint8_t track, uint8_t codec, struct buf *config);

/* Makes the one that stands by active if it is time for it. True when it did. */
bool broadcaster_look(struct session *s);
/* The active one left. False: there is nobody to take its place. */
bool broadcaster_left(struct session *s, const char *why);

void broadcaster_retire(struct session *s, struct broadcaster *f, int status); /* its MEDIA is answered that from now on */
void broadcaster_retire_all(struct session *s, int status);                    /* nobody sends to the session any more */

#endif
