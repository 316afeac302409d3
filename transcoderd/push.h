/* push.h - one session's chunks on their way to an origin: per track a queue in order with one PUT under way.
 *
 *   push_new → push_track, push_chunk … → push_end (after the last chunk: END follows when all is stored) → push_close
 *
 * A PUT that fails for want of an answer is sent again until the origin has it: a chunk that is there already is answered
 * `stored`. Queues are bounded in bytes; over the bound the oldest unsent chunks go, counted and logged. Loop thread only. */
#ifndef TRANSCODERD_PUSH_H
#define TRANSCODERD_PUSH_H

#include <stdbool.h>
#include <uv.h>

#include "common/rpc.h"
#include "proto/store.h"
#include "transcoderd/pipeline.h"

struct push;

struct push_events {
        void (*stored)(void *arg);          /* push_stored_us() may have moved */
        void (*fenced)(void *arg);          /* another writer has the session; nothing more is sent */
        void (*lost)(void *arg);            /* the origin does not know the session (any more) */
        void (*ended)(void *arg, int err);  /* answer to END */
};

struct push *push_new(uv_loop_t *loop, struct rpc_client *origin, const char *session, uint32_t generation,
                      const struct push_events *events, void *arg);
void push_track(struct push *p, const struct track_info *info);
void push_chunk(struct push *p, const struct chunk *c);
int64_t push_stored_us(const struct push *p); /* every track is stored up to here */
size_t push_queued(const struct push *p);     /* bytes */
void push_end(struct push *p, int64_t end_us);
void push_close(struct push *p); /* no event comes after it; frees itself when nothing is under way */

#endif
