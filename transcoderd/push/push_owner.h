/* push_owner.h - push.h's inside: one origin that stores the session.
 *
 *   OUT       not in step: it has no queue, and is asked again and again to take the session up (push_join.c)
 *   JOINING   it took it up and what it lacks is queued for it; it counts for nothing yet
 *   IN_STEP   it has what the others have
 *
 * An owner that fails is OUT at once, but for the last one in step: that one keeps its queue and is tried again.
 * The end of the session is for all that are up: one that heard nothing of it would let another writer go on with what is over. So
 * one that is OUT then is joined, to get the rest if that is in memory, and told END in any case.
 * For push*.c only; loop thread. */
#ifndef TRANSCODERD_PUSH_PUSH_OWNER_H
#define TRANSCODERD_PUSH_PUSH_OWNER_H

#include "transcoderd/push/push_queue.h"

enum owner_state { OWNER_OUT, OWNER_JOINING, OWNER_IN_STEP };

struct owner {
        struct push *push;
        bool used;            /* false: the place is free */
        struct origin origin; /* rpc is not used: origins_call() looks it up */
        enum owner_state state;
        struct claim_reply claimed; /* its last answer to CLAIM */
        uint32_t generation;
        struct lane lanes[SESSION_TRACKS_MAX];
        size_t queued_bytes;
        unsigned calls;   /* under way */
        uv_timer_t *timer; /* active: nothing is sent until it fires; OUT: when it is joined next */
        unsigned failures;
        bool join_under_way, end_under_way, ended;
        int64_t joined_us;     /* when it took the session up */
        int64_t down_since_us; /* 0: it is up */
        struct told told_lost, told_refused, told_failing;
        bool failing_told, no_space; /* what the log says; why it fails */
        bool lacks_told;             /* likewise, of one that is OUT */
        uint64_t lost;               /* chunks, since it last worked */
};

struct push {
        struct push_options o;
        struct claim claim;
        struct claim_reply begun_with; /* what the session had when this writer began */
        uint32_t generation;           /* what this writer writes by */
        int64_t begun_us;
        struct owner owners[PUSH_OWNERS_MAX];
        uv_timer_t timers[PUSH_OWNERS_MAX];
        unsigned calls, handles;
        bool ending, stopped, closed;
        struct told told_oversize;
        int64_t end_us, stored_us; /* stored: as it was last said */
        int64_t ending_us;         /* when the end was asked for */
        int end_err;
};

/* push.c */
int64_t push_owner_stored_us(const struct push *p, const struct owner *o);
void push_stop(struct push *p, void (*event)(void *arg)); /* nothing more is sent */
void push_look_for_end(struct push *p);                   /* raises ended(), when all that are in step have */
void push_free_if_done(struct push *p);

/* push_owner.c */
void owner_pump(struct owner *o); /* sends whatever may be sent now. Raises no event */
void owner_set_state(struct owner *o, enum owner_state state);
void owner_failed(struct owner *o, int err);
void owner_out(struct owner *o, const char *why);
void owner_pause(struct owner *o, unsigned ms); /* a quarter more or less */
void owner_look_if_in_step(struct owner *o, int64_t enough_us); /* whether it caught up: has what counts, or counted, as stored */
bool owner_may_go(const struct owner *o);       /* it is not the last one in step */
void owner_send_end(struct owner *o);           /* of what it has */
bool owner_ends_late(const struct owner *o);    /* out of step: END is on its way to it, and waited for a little */
void owner_uncount(const struct owner *o);      /* it is an owner no longer */

/* push_join.c */
struct owner *join_add(struct push *p, const struct origin *origin); /* OUT; NULL: there is no place */
void join_now(struct owner *o);  /* IN_STEP: nothing else is sent until it is answered */
void join_look(struct push *p);  /* who is to be an owner, who comes back, who is forgotten */
const struct claim_track *claimed_track(const struct claim_reply *m, const char *name); /* NULL: not there */

#endif
