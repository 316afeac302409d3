/* relay_state.h - a relay (relay.h), and what whoever makes it up may do with it: change its state, wait, call its transcoder.
 *
 * Each of these files calls those below it:
 *   relay_roles.c    what one that leads does otherwise than a shadow
 *   relay.c          what each state does about each event; the beginning and the end of a relay
 *   relay_media.c    batches leave and are answered
 *   relay_opening.c  the ring is walked for a transcoder that opens the stream;  relay_ending.c  it is told that it is over
 *   relay_state.c    this
 * Loop thread only. */
#ifndef INGESTD_RELAY_STATE_H
#define INGESTD_RELAY_STATE_H

#include <stdbool.h>
#include <uv.h>

#include "common/clock.h"
#include "ingestd/acknowledged.h"
#include "ingestd/broadcast.h"
#include "ingestd/generations.h"
#include "ingestd/shipment.h"
#include "ingestd/transcoder_link.h"
#include "ingestd/walk.h"

/* What all relays of a daemon share. */
struct relays {
        uv_loop_t *loop;
        const struct transcoder_link *link;
        void *link_arg;
        unsigned gather_ms; /* frames wait so long for others; 0: not at all */
        bool leaving;       /* the daemon ends */
        struct shipments shipments;
        struct generations generations;
};

enum relay_state {
        RELAY_IDLE,
        RELAY_ASKING, RELAY_SEEKING, RELAY_FOLLOWING, RELAY_RECLAIMING,
        RELAY_LIVE, RELAY_STANDBY,
        RELAY_LEAVING, RELAY_CLOSING, RELAY_DONE,
        RELAY_STATES
};

struct relay;
struct relay_pair; /* whose relay it is; nothing here looks into it */

/* What one that leads does otherwise than a shadow. A swap exchanges the two. */
struct relay_role {
        bool leads;
        void (*ask)(const struct relay *r, struct open *m);              /* fills in the conditions of OPEN */
        void (*seek)(struct relay *r, enum relay_state quest);           /* the next transcoder, now; or waits */
        void (*unopened)(struct relay *r, int err);                      /* OPEN had no answer */
        void (*opened)(struct relay *r, const struct open_reply *m);     /* it had one, whatever its status */
        bool (*unwanted)(const struct relay *r);                         /* the transcoder is to be left with the next answer */
        void (*turned_out)(struct relay *r, int status);                 /* MEDIA was answered so: the transcoder has it no more */
        void (*lost)(struct relay *r, const char *why);                  /* the transcoder is */
        bool (*drained)(struct relay *r);                                /* the transcoder wants to leave. True: it was left */
};

/* What the pair is told, of either. */
struct relay_events {
        void (*changed)(struct relay_pair *p);                     /* the state of one of them */
        void (*taken)(struct relay_pair *p);                       /* frames were */
        void (*heard)(struct relay *r, uint32_t generation);       /* in an answer to MEDIA */
        void (*left)(struct relay *r);                             /* CLOSE_LEAVE is through, or the transcoder gone */
        void (*done)(struct relay_pair *p);                        /* one of them is DONE; may free both */
};

/* What a state does about what happens; NULL: nothing. Of what is under way the answer comes first: timer, lost and finish are
 * told only when nothing is, but for LIVE's timer. */
struct relay_does {
        const char *name;
        bool walks; /* the ring */
        bool reads; /* the replay, which keeps for it what it has not taken */
        void (*timer)(struct relay *r);
        void (*answered)(struct relay *r, const struct media_reply *m, const struct shipment_batch *of); /* MEDIA, well */
        void (*called)(struct relay *r, int err, nng_msg *reply);                                    /* OPEN or CLOSE */
        void (*lost)(struct relay *r);                                                               /* its connection is */
        void (*finish)(struct relay *r);
        void (*poke)(struct relay *r);
};

#define RELAY_MAGIC 0x52454c59

struct relay {
        uint32_t magic;
        struct relay_pair *pair;
        struct relays *all;
        struct broadcast *broadcast;
        const struct relay_role *role;
        const struct relay_events *events;
        const struct relay_does *does; /* about what happens, by state */
        enum relay_state state;
        uv_timer_t timer;

        struct shipment_member at; /* the transcoder, from OPEN to CLOSE; rpc is NULL once it is no longer ours to use */
        char address[64];      /* of it */
        char node[NODE_ID_MAX + 1];
        struct rpc_call *call; /* OPEN or CLOSE under way */

        struct walk walk;
        unsigned opened_configs; /* replay->config_changes that OPEN carried */
        uint32_t beside;         /* the generation that OPEN_BESIDE carried */
        int64_t offered_epoch_us;

        uint64_t handle;
        bool keeps_time;              /* the session has a clock of its own, which HELLO does not tell of */
        struct replay_reader reader;  /* attached while LIVE or STANDBY */
        struct acknowledged ack;
        bool fresh;                   /* a frame came since the last MEDIA */
        bool said_shadow;             /* so the last MEDIA that was answered, or OPEN, had it */
        bool says_shadow;             /* so does the one under way */
        int64_t live_us;              /* since when it is LIVE or STANDBY, monotonic */
        int64_t busy_since_us;        /* since when the transcoder is too busy to answer; 0: it is not */
};

static inline struct replay *relay_replay(const struct relay *r)
{
        return r->broadcast->replay;
}

static inline bool relay_overdue(const struct relay *r)
{
        return broadcast_overdue(r->broadcast, clock_mono_us());
}

bool relay_walks(const struct relay *r); /* ASKING to RECLAIMING */
bool relay_asks(const struct relay *r);  /* the transcoder is opened only if it has the stream: ASKING or FOLLOWING */
bool relay_reads(const struct relay *r); /* LIVE or STANDBY */
bool relay_busy(const struct relay *r);  /* a call or a batch is under way */
void relay_set_state(struct relay *r, enum relay_state next);
void relay_wait(struct relay *r, uint64_t ms); /* for the timer of its state */
void relay_call(struct relay *r, nng_msg *request, unsigned timeout_ms); /* not busy; called() of its state has the answer */
void relay_ground(struct relay *r); /* of what is under way nothing is known any more */
void relay_lost(struct relay *r, const char *why);
void relay_become_done(struct relay *r);

#endif
