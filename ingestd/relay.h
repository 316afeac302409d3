/* relay.h - one way to a transcoder: OPEN, MEDIA batch by batch, CLOSE (proto/media.h), and another transcoder whenever
 * one fails. A publication has one, which leads, or two (relay_roles.h).
 *
 *   IDLE      relay_new()
 *   ASKING                     walks the ring for the transcoder that has the stream
 *   SEEKING                    walks it for one that takes the stream; waits and begins again when none does
 *   FOLLOWING                  as ASKING, after the session was led to another transcoder: for that one
 *   RECLAIMING                 as SEEKING, after FOLLOWING in vain: for one where no other broadcaster has our place
 *   LIVE                       the replay's frames are sent. One batch is in flight, the next one gathers meanwhile; to a
 *             transcoder that is far away there are several
 *   STANDBY                    another broadcaster of the stream is active: batches are empty, and the replay is trimmed to what
 *             that one has stored, so that this one goes on from there when the transcoder says so
 *   LEAVING                    CLOSE_LEAVE is under way: the transcoder is no longer needed, the broadcast goes on
 *   CLOSING                    what is left has been sent, CLOSE is under way
 *   DONE                       relay_free() is due
 *
 * The four that walk the ring wait for their timer, or for the answer to OPEN. What each state does about each event is in the
 * table of relay.c; what a relay does otherwise when it leads than as a shadow is in its struct relay_role. relay_finish() may be
 * called in every state.
 *
 * Calls and their answers go over struct transcoder_link, so that tests can be the transcoder. Loop thread only. */
#ifndef INGESTD_RELAY_H
#define INGESTD_RELAY_H

#include <stdbool.h>
#include <uv.h>

#include "ingestd/acknowledged.h"
#include "ingestd/shipment.h"
#include "ingestd/broadcast.h"
#include "ingestd/generations.h"
#include "ingestd/transcoder_link.h"
#include "ingestd/walk.h"

#define RELAY_CLOSE_MS 2000    /* deadline of CLOSE; that of MEDIA is in shipment.h */
#define RELAY_OPEN_MS 3000     /* of OPEN: the transcoder asks its origins meanwhile */
#define RELAY_ASK_MS 500       /* of OPEN_IF_HELD */
#define RELAY_KEEPALIVE_MS 500 /* an empty batch when there is nothing to send */
#define RELAY_STANDBY_MS 200   /* likewise while another broadcaster is active: its answer says when this one is */
#define RELAY_FOLLOW_MS 500    /* after the loss of a transcoder, the active broadcaster's time to find the next one */

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
void relays_open(struct relays *rs);  /* the fields before shipments are set */
void relays_close(struct relays *rs); /* no relay is left */

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

#define RELAY_MAGIC 0x52454c59

struct relay {
        uint32_t magic;
        struct relay_pair *pair;
        struct relays *all;
        struct broadcast *broadcast;
        const struct relay_role *role;
        const struct relay_events *events;
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

struct relay *relay_new(struct relays *rs, struct relay_pair *p, struct broadcast *b, const struct relay_role *role,
                        const struct relay_events *events);
void relay_free(struct relay *r); /* DONE only */

/* What happens outside. */
void relay_kick(struct relay *r);                                /* a frame is in the replay */
void relay_poke(struct relay *r);                                /* other transcoders may be there */
void relay_lose(struct relay *r, const struct rpc_client *gone); /* its connection is no longer ours to use */
void relay_finish(struct relay *r);                              /* the broadcast ends: broadcast_finish() was called */

/* What a role decides. */
bool relay_walks(const struct relay *r); /* ASKING to RECLAIMING */
bool relay_asks(const struct relay *r);  /* the transcoder is opened only if it has the stream: ASKING or FOLLOWING */
bool relay_reads(const struct relay *r); /* LIVE or STANDBY */
bool relay_busy(const struct relay *r);  /* a call or a batch is under way */
void relay_set_state(struct relay *r, enum relay_state next);
void relay_wait(struct relay *r, uint64_t ms); /* for the timer of its state */
void relay_begin_at(struct relay *r, const struct open_reply *m); /* the transcoder has opened it: the replay's head is its frame 0 */
void relay_become_live(struct relay *r, bool standby);
void relay_become_done(struct relay *r);
void relay_ground(struct relay *r); /* of what is under way nothing is known any more */
void relay_send(struct relay *r);   /* LIVE or STANDBY, not busy: the next batch, now, be it an empty one */
void relay_leave(struct relay *r);  /* LIVE or STANDBY, not busy: CLOSE_LEAVE. left() comes later */
void relay_lost(struct relay *r, const char *why);
void relay_say_untaken(const struct relay *r); /* the broadcast ends without what is left, which is counted */

/* Walking. */
size_t relay_candidates(const struct relay *r, struct transcoder_candidate found[TRANSCODER_CANDIDATES]);
void relay_open_at(struct relay *r, const struct transcoder_candidate *next); /* OPEN */
void relay_open_here(struct relay *r);                                   /* the same transcoder, with the conditions of its state */
void relay_stop_asking(struct relay *r);                                 /* ASKING, FOLLOWING: any transcoder will do from now on */
void relay_seek_next(struct relay *r, enum relay_state quest);           /* this transcoder will not do: the next one, now */
void relay_seek_anew(struct relay *r);                                   /* the one that has the stream, or else the ring's first */
void relay_open_anew(struct relay *r, const char *why);                  /* the same, said in the log */
void relay_wait_and_seek(struct relay *r);                               /* nobody took it: a new round, later */

#endif
