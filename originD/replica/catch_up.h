/* catch_up.h - keeps this origin in step with the others: knows what they have more, and copies it (copy_session.h).
 *
 *   catch_up_open    → settled() once, when those that are up were compared with, or none is for CATCH_UP_ALONE_US;
 *                    then caught_up() once, when no live session is behind, or after CATCH_UP_READY_US
 *   catch_up_peers_changed, catch_up_session_changed, catch_up_look, catch_up_wait, catch_up_elsewhere
 *   catch_up_stop    what is under way ends soon; those who wait are answered
 *   catch_up_close   after that
 * A peer that comes up, or up again, is compared with in full: what ended there page after page, and in between, every half
 * second, what is live: all of it every few seconds, in pages, and what has moved in between. What is live here and not among that is
 * asked for by its name, for a session that ended elsewhere must not be claimed again. All peers are compared with every few seconds as
 * to what is live or ended lately. Live sessions are copied first, then the newest. A session that is not here is taken if this is one of
 * its stream's owners, of all origins seen since the start; otherwise it is only known where to ask for it. Loop thread only. */
#ifndef ORIGIND_CATCH_UP_H
#define ORIGIND_CATCH_UP_H

#include "originD/replica/allowance.h"
#include "originD/replica/peer_link.h"
#include "originD/serve.h"
#include "originD/store.h"

#define CATCH_UP_COPIES_MAX 4        /* at a time, */
#define CATCH_UP_OLD_COPIES_MAX 2    /* of them of what ended: these are slow on purpose, and live ones do not wait for that */
#define CATCH_UP_LACKS_MAX 2000      /* sessions that are known to be behind; the rest when half of them are not any more */
#define CATCH_UP_FOREIGN_MAX 1000    /* sessions of other owners that are known */
#define CATCH_UP_ALONE_US (2 * US_PER_S)
#define CATCH_UP_SETTLED_US (5 * US_PER_S) /* longer nobody waits for a peer that is up but does not answer, or for the last
                                            * page of what ended there; but for what is live here and may have ended there */
#define CATCH_UP_READY_US (30 * US_PER_S)
#define CATCH_UP_BEHIND_US (2 * US_PER_S)  /* between comparisons while something is behind, */
#define CATCH_UP_SILENT_US (US_PER_S / 2)  /* while a live session hears nothing: its writer may have only the peer */
#define CATCH_UP_EVERY_US (5 * US_PER_S)   /* and otherwise */
#define CATCH_UP_LIVE_SHARE 10             /* all that is live there is read once in so many times what that costs this loop */
#define CATCH_UP_HOLD_US (500 * US_PER_MS) /* a PUT that is ahead waits for what is missing before it */

struct catch_up;

/* Somebody who waits until a session was compared with every peer, and what it lacked is here or cannot be got. */
struct catch_up_wait {
        struct catch_up_wait *next;
        char session[SESSION_ID_MAX + 1];
        int64_t deadline_us;
        void (*done)(struct catch_up_wait *w, int status); /* 0; ERR_NOT_YET: it takes longer; ERR_CANCELED; owns w again */
};

struct catch_up_events {
        void (*settled)(void *arg);
        void (*caught_up)(void *arg);
        void *arg;
};

struct catch_up_options {
        const char *self; /* this node's id; outlives catch_up */
        const char *zone; /* as self */
        size_t replicas;  /* so many origins have each recording: the first of the stream's ring */
        struct allowance *old; /* for what ended; NULL: it is copied as fast as it can be. It outlives catch_up */
};

void catch_up_open(struct catch_up **out, uv_loop_t *loop, struct store *st, const struct catch_up_options *options,
                 const struct catch_up_events *events);
void catch_up_link(struct catch_up *r, struct peer_link *link); /* once, before anything else; its changed() is below */
void catch_up_peers_changed(struct catch_up *r);
void catch_up_session_changed(struct catch_up *r, const struct session *s);

/* Compares one session with every peer now. What catch_up_wait() begins with; by itself for tests. */
void catch_up_look(struct catch_up *r, const struct session *s);

/* The same, and tells when that is over. false: no peer is up, done() does not come. */
bool catch_up_wait(struct catch_up *r, const struct session *s, struct catch_up_wait *w,
                 void (*done)(struct catch_up_wait *w, int status));

/* The nth peer, from 0 on, that has more of what key names, as far as is known; its id. NULL: there are fewer, and *nth is less by
 * their number. than: only of a newer session. */
const char *catch_up_elsewhere(const struct catch_up *r, const struct key *key, const struct session *than, unsigned *nth);

void catch_up_stop(struct catch_up *r);
void catch_up_close(struct catch_up *r); /* after the link is closed; freed by the loop */

#endif
