/* serve.h - FETCH of chunks that are still in memory (recent.h): /live/<stream>/<session>/<track>/init.mp4 and <n>.m4s.
 *
 *   serve_open → serve_handle(request)… serve_changed(session)… → serve_stop
 * A question about what is due soon is held until there is something to answer, or its wait is over. Loop thread only. */
#ifndef TRANSCODERD_SERVE_H
#define TRANSCODERD_SERVE_H

#include <stdbool.h>
#include <uv.h>

#include "common/cluster/rpc.h"
#include "proto/fetch.h"
#include "transcoderd/push/recent.h"

struct chunk_key {
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1], track[TRACK_NAME_MAX + 1];
        bool init;
        uint32_t segment;
};
bool chunk_key_parse(struct chunk_key *out, const char *key); /* false: names nothing that could be here */

struct held;
struct serve {
        const struct recent *(*find)(void *arg, const char *stream, const char *session); /* NULL: not here */
        void *arg;
        uv_timer_t timer; /* runs while something is held */
        struct held *held;
        bool stopping;
};

void serve_open(struct serve *sv, uv_loop_t *loop); /* find and arg are set */
void serve_handle(void *sv, struct rpc_request *req); /* an rpc_handler */
void serve_changed(struct serve *sv, const char *session); /* there is more of it, or it is gone */
void serve_stop(struct serve *sv); /* what is held is answered; what comes later is not held */
void serve_close(struct serve *sv);

#endif
