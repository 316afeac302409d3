/* repair.h - keeps this origin in step with the others: knows what they have more, and copies it (copy.h).
 *
 *   repair_open    → settled() once, when those that are up were compared with, or none is for REPAIR_ALONE_US;
 *                    then caught_up() once, when no live session is behind, or after REPAIR_CATCH_UP_US
 *   repair_peers_changed, repair_session_changed, repair_look, repair_wait, repair_elsewhere
 *   repair_stop    what is under way ends soon; those who wait are answered
 *   repair_close   after that
 * A peer that comes up, or up again, is compared with in full; all of them every few seconds as to what is live or ended
 * lately. Live sessions are copied first, then the newest. A session that is not here is taken if this is one of its
 * stream's owners, of all origins seen since the start; otherwise it is only known where to ask for it. Loop thread only. */
#ifndef ORIGIND_REPAIR_H
#define ORIGIND_REPAIR_H

#include "originD/peer_link.h"
#include "originD/serve.h"
#include "originD/store.h"

#define REPAIR_COPIES_MAX 4        /* at a time */
#define REPAIR_LACKS_MAX 2000      /* sessions that are known to be behind; the rest when half of them are not any more */
#define REPAIR_FOREIGN_MAX 1000    /* sessions of other owners that are known */
#define REPAIR_ALONE_US (2 * US_PER_S)
#define REPAIR_SETTLED_US (5 * US_PER_S) /* longer nobody waits for a peer that is up but does not answer */
#define REPAIR_CATCH_UP_US (30 * US_PER_S)
#define REPAIR_BEHIND_US (2 * US_PER_S)  /* between comparisons while something is behind, */
#define REPAIR_SILENT_US (US_PER_S / 2)  /* while a live session hears nothing: its writer may have only the peer */
#define REPAIR_EVERY_US (5 * US_PER_S)   /* and otherwise */
#define REPAIR_HOLD_US (500 * US_PER_MS) /* a PUT that is ahead waits for what is missing before it */

struct repair;

/* Somebody who waits until a session was compared with every peer, and what it lacked is here or cannot be got. */
struct repair_wait {
        struct repair_wait *next;
        char session[SESSION_ID_MAX + 1];
        int64_t deadline_us;
        void (*done)(struct repair_wait *w, int status); /* 0; ERR_NOT_YET: it takes longer; ERR_CANCELED; owns w again */
};

struct repair_events {
        void (*settled)(void *arg);
        void (*caught_up)(void *arg);
        void *arg;
};

struct repair_options {
        const char *self; /* this node's id; outlives the repair */
        const char *zone; /* as self */
        size_t replicas;  /* so many origins have each recording: the first of the stream's ring */
};

void repair_open(struct repair **out, uv_loop_t *loop, struct store *st, const struct repair_options *options,
                 const struct repair_events *events);
void repair_link(struct repair *r, struct peer_link *link); /* once, before anything else; its changed() is below */
void repair_peers_changed(struct repair *r);
void repair_session_changed(struct repair *r, const struct session *s);

/* Compares one session with every peer now: it was joined, or is ahead of its writer. */
void repair_look(struct repair *r, const struct session *s);

/* The same, and tells when that is over. false: no peer is up, done() does not come. */
bool repair_wait(struct repair *r, const struct session *s, struct repair_wait *w,
                 void (*done)(struct repair_wait *w, int status));

/* The peer that has more of what key names, as far as is known; its id. NULL: none does. than: only of a newer session. */
const char *repair_elsewhere(const struct repair *r, const struct key *key, const struct session *than);

void repair_stop(struct repair *r);
void repair_close(struct repair *r); /* after the link is closed; freed by the loop */

#endif
