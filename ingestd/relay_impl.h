/* relay_impl.h - what relay.c (media, life) and relay_seek.c (finding a transcoder) share. */
#ifndef INGESTD_RELAY_IMPL_H
#define INGESTD_RELAY_IMPL_H

#include "ingestd/relay.h"

enum relay_state { RELAY_NEW, RELAY_SEEKING, RELAY_OPENING, RELAY_LIVE, RELAY_CLOSING, RELAY_DONE };

struct relay {
        struct relays *all;
        struct relay_stream stream;
        struct timeline *timeline;
        struct replay *replay;
        const struct relay_events *events;
        void *arg;
        enum relay_state state;
        uv_timer_t timer;

        struct beat_member at; /* the transcoder, OPENING to CLOSING; rpc is NULL once it is no longer ours to use */
        char address[64];      /* of it */
        struct rpc_call *call; /* OPEN or CLOSE under way; its done() finds the state that it is to act on */

        /* seeking */
        char tried[RELAY_CANDIDATES][64];
        unsigned tried_count;
        unsigned rounds;        /* over all transcoders, in vain */
        bool asking;            /* for the one that has the stream, before any is told to begin it */
        bool following;         /* the one that has it now, since ours was fenced */
        int64_t stray_us;       /* an OPEN was left without an answer; 0: none was. It may have been taken all the same */
        unsigned opened_configs; /* replay->config_changes that OPEN carried */
        int64_t offered_epoch_us;
        int64_t skew_us; /* of the transcoders' wall clock: it is ahead of ours by this */

        char session[SESSION_ID_MAX + 1];
        uint64_t handle;
        bool active;         /* it was sent frames, or is to be */
        bool standby;        /* another broadcaster is active */
        bool fresh;          /* a frame came since the last MEDIA */
        uint64_t cursor;     /* the frame to send next */
        uint64_t wire_zero;  /* the frame that was number 0 of this handle */
        uint64_t batch_end;  /* of the batch in flight, which begins at cursor */
        uint64_t sent, taken; /* how far any transcoder was sent, and took, frames */
        uint32_t credit;
        int64_t busy_since_us, moved_us, turned_out_us; /* 0: not */
        unsigned turned_out; /* times since turned_out_us that it lost the session, or the transcoder forgot it */

        bool refused;
        enum close_reason finish; /* 0: the stream goes on */
        int64_t finish_by_us;
};

/* relay_seek.c */
void relay_seek(struct relay *r);            /* the next transcoder, now; or waits */
void relay_seek_next(struct relay *r);       /* this one will not do: the next one, now */
void relay_seek_anew(struct relay *r);       /* the one that has the stream, or else the ring's first */
void relay_on_opened(struct relay *r, int err, nng_msg *reply);

/* relay.c */
const char *relay_session(const struct relay *r); /* for the log */
void relay_set_state(struct relay *r, enum relay_state next);
void relay_set_standby(struct relay *r, bool standby);
void relay_wait(struct relay *r, uint64_t ms);
void relay_call(struct relay *r, nng_msg *request, unsigned timeout_ms);
void relay_refuse(struct relay *r, int reason, const char *code, const char *text);
void relay_become_done(struct relay *r);
void relay_become_live(struct relay *r);
bool relay_finish_overdue(const struct relay *r);

#endif
