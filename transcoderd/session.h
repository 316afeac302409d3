/* session.h - one broadcast in this transcoder: a claim at the origin, a pipeline, a push, and the proxy that feeds it.
 *
 *   CLAIMING  session_open(): CLAIM is under way
 *   LIVE      frames come
 *   GRACE     the proxy is gone or said that the broadcaster is lost: slate, until somebody opens the stream again
 *   DRAINING  the last chunks are being made
 *   ENDING    they are being stored, then END
 *   GONE      freed
 * Loop thread only. */
#ifndef TRANSCODERD_SESSION_H
#define TRANSCODERD_SESSION_H

#include <stdbool.h>

#include "common/mailbox.h"
#include "common/peers.h"
#include "common/rpc.h"
#include "transcoderd/pipeline.h"

struct session;
struct sessions {
        uv_loop_t *loop;
        struct mailbox *mailbox;
        struct peers *origins;
        const struct node_identity *self;
        const json_t *ladder;
        int64_t max_sessions, grace_ms, slate_after_ms, encoder_threads, decoder_threads;
        struct session *first;
        unsigned count;
        uint64_t last_handle;
        uv_timer_t ticker;
        bool draining;
};

void sessions_start(struct sessions *ss);
void sessions_handle(void *arg, struct rpc_request *req); /* an rpc_handler: OPEN, MEDIA, CLOSE */
void sessions_drain(struct sessions *ss);                 /* every session ends; no new ones */
void sessions_stop(struct sessions *ss);                  /* at once, without END */

#endif
