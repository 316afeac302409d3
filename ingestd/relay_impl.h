/* relay_impl.h - what relay.c (media, life), relay_seek.c (finding a transcoder) and relay_pair.c (which of two leads)
 * share. */
#ifndef INGESTD_RELAY_IMPL_H
#define INGESTD_RELAY_IMPL_H

#include "common/daemon/told.h"
#include "ingestd/relay_pair.h"

#define MOVE_AGAIN_US INT64_C(1000000) /* by then HELLO has said who else wants to leave */

enum relay_state { RELAY_IDLE, RELAY_SEEKING, RELAY_OPENING, RELAY_LIVE, RELAY_LEAVING, RELAY_CLOSING, RELAY_DONE };

/* One way to a transcoder. */
struct relay {
        struct relay_pair *pair;
        enum relay_state state;
        uv_timer_t timer;

        struct beat_member at; /* the transcoder, OPENING to CLOSING; rpc is NULL once it is no longer ours to use */
        char address[64];      /* of it */
        char node[NODE_ID_MAX + 1];
        struct rpc_call *call; /* OPEN or CLOSE under way; its done() finds the state that it is to act on */

        /* seeking */
        char tried[RELAY_CANDIDATES][64];
        unsigned tried_count;
        unsigned rounds;         /* over all transcoders, in vain; of a shadow also those that were live for a moment */
        bool asking;             /* for the one that has the stream, before any is told to begin it */
        bool following;          /* the one that has it now, since ours was fenced */
        struct told told_refused; /* that no transcoder opened it, for this reason */
        int told_status;
        unsigned opened_configs; /* replay->config_changes that OPEN carried */
        uint32_t beside;         /* the generation that OPEN_BESIDE carried */
        int64_t offered_epoch_us;

        uint64_t handle;
        struct replay_reader reader; /* attached while LIVE */
        bool keeps_time;             /* its session has a clock of its own, which HELLO does not tell of */
        bool standby;                /* another broadcaster is active; of the leader only */
        bool fresh;                  /* a frame came since the last MEDIA */
        bool said_shadow;            /* so the last MEDIA that was answered, or OPEN, had it */
        bool says_shadow;            /* so does the one under way */
        uint64_t cursor;             /* all before it was taken */
        uint64_t sent;               /* and all before this one sent: the frame to send next */
        uint64_t most_sent;          /* by this handle, ever: it may have been set back since */
        int64_t sent_us, answer_us;  /* when it was; and how long an answer to MEDIA takes at least; 0: not known */
        bool going_back;             /* of what is under way not all was taken: nothing is sent until all is answered */
        uint64_t wire_zero;          /* the frame that was number 0 of this handle */
        uint32_t credit;
        int64_t live_us;                 /* when it became LIVE */
        int64_t busy_since_us, moved_us; /* 0: not */
};

/* How often something that ought not to has happened lately; relay_too_often(). */
struct relay_limit {
        int64_t since_us;
        unsigned times;
};

/* A publication's way to its transcoders: what is true of it whichever transcoder leads. */
struct relay_pair {
        struct relays *all;
        struct relay_stream stream;
        struct timeline *timeline;
        struct replay *replay;
        const struct relay_events *events;
        void *arg;
        struct relay *leader, *shadow; /* shadow is NULL without redundancy; a swap exchanges them */

        char session[SESSION_ID_MAX + 1]; /* "" before the first one */
        uint32_t generation;              /* the newest that was heard of this session */
        char claimer[NODE_ID_MAX + 1];    /* the transcoder that claimed it */
        int64_t skew_us;                  /* the session's clock is ahead of our wall clock by this */
        int64_t followed_us;              /* when it was compared with that, monotonic */
        bool said_apart;                  /* that it is not what OPEN said */
        int64_t stray_us;                 /* an OPEN was left without an answer, and may have been taken; 0: none */
        bool active;                      /* transcoders were sent frames, or are to be: no other broadcaster is */
        uint64_t sent;                    /* how far any leader was sent frames */
        int64_t fresh_us;                 /* when the last frame came; 0: never */
        struct relay_limit turned_out;    /* it lost the session, or the transcoder forgot it, with no shadow to lead */
        struct relay_limit swaps;         /* for the same reasons */

        bool said_alone;     /* that there is no second transcoder */
        int shadows_counted; /* in the gauge */
        bool refused, done;
        enum close_reason finish; /* 0: the stream goes on */
        int64_t finish_by_us, finish_most_us;
        bool held; /* relay_pair_hold() */
};

/* relay.c */
const char *relay_session(const struct relay *r); /* for the log */
void relay_set_state(struct relay *r, enum relay_state next);
void relay_set_standby(struct relay *r, bool standby);
void relay_wait(struct relay *r, uint64_t ms);
void relay_call(struct relay *r, nng_msg *request, unsigned timeout_ms);
void relay_refuse(struct relay *r, int reason, const char *code, const char *text);
void relay_become_done(struct relay *r);
void relay_become_live(struct relay *r);
void relay_begin_at(struct relay *r, uint64_t handle); /* it has taken nothing yet: with the buffer's head */
bool relay_busy(const struct relay *r);                /* a call or a batch is under way */
void relay_ground(struct relay *r);                    /* no batch is, as far as anybody here is told */
bool relay_finish_overdue(const struct relay *r);
void relay_say_untaken(const struct relay *r); /* the stream ends without what is left, which is counted */
bool relay_too_often(struct relay_limit *l, unsigned most);
struct relay *relay_new(struct relay_pair *p);
void relay_free(struct relay *r); /* DONE only */
void relay_kick(struct relay *r);
void relay_send(struct relay *r); /* LIVE and not busy: the next batch, now, be it an empty one */
void relay_poke(struct relay *r);
void relay_lose(struct relay *r, const struct rpc_client *gone);
void relay_finish(struct relay *r);
void relay_leave(struct relay *r); /* LIVE and not busy: tells the transcoder so; relay_pair_left() comes later */

/* relay_seek.c */
void relay_seek(struct relay *r);           /* the next transcoder, now; or waits */
void relay_seek_next(struct relay *r);      /* this one will not do: the next one, now */
void relay_seek_anew(struct relay *r);      /* the one that has the stream, or else the ring's first */
unsigned relay_backoff_ms(unsigned rounds); /* what is waited before the next one: never 0 */
void relay_note_tried(struct relay *r);
void relay_on_opened(struct relay *r, int err, nng_msg *reply);

/* relay_pair.c: what a shadow does otherwise, and when it leads */
bool relay_leads(const struct relay *r);
bool relay_pair_wants_shadow(const struct relay_pair *p);
void relay_pair_changed(
        struct relay_pair *p);         /* of the leader or of what is to become of the stream: the shadow follows */
void relay_pair_left(struct relay *r); /* a shadow is without a transcoder: it seeks one, waits or is done */
void relay_pair_lost_shadow(struct relay *r, const char *why);
void relay_pair_on_opened(struct relay *r, const struct open_reply *m); /* a shadow, with status 0 */
void relay_pair_heard(struct relay *r, uint32_t generation);            /* in an answer to MEDIA */
bool relay_pair_may_swap(const struct relay_pair *p);
bool relay_pair_shadow_is_near(const struct relay_pair *p); /* it is live, or will be in a moment unless refused */
/* The shadow leads from now on, if it can: true. The leader, which is not busy, is the shadow then; it has still the
 * transcoder if that `drains`, and tells it. */
bool relay_pair_swap(struct relay_pair *p, const char *why, bool drains);
bool relay_pair_swap_turned_out(struct relay_pair *p, const char *why); /* the same, but not for ever */
void relay_pair_on_done(struct relay_pair *p);                          /* one of them is DONE */

#endif
