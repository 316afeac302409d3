/* push.h - one session's chunks on their way to the origins that own its stream (one now; owners are an array).
 *
 *   push_new → push_owner (each) → push_track, push_chunk … → push_end (END follows when all is stored) → push_close
 *
 * Per owner each track is a queue of its own, in order, with one PUT under way. What gets no answer is sent again until
 * the origin has it: a chunk that is there already is answered `stored`. An origin that started anew, or does not know
 * the session any more, is claimed again, and gets what it lacks from recent.h. A queue is bounded in bytes and in
 * seconds; over that the oldest chunks go, counted and logged. Loop thread only. */
#ifndef TRANSCODERD_PUSH_H
#define TRANSCODERD_PUSH_H

#include <stdbool.h>
#include <uv.h>

#include "proto/store.h"
#include "transcoderd/origins.h"
#include "transcoderd/pipeline.h"
#include "transcoderd/recent.h"

#define PUSH_OWNERS_MAX 1
#define PUSH_QUEUE_BYTES (32u << 20) /* of one owner */
#define PUSH_QUEUE_US (30 * INT64_C(1000000)) /* of one track */

struct push;

/* None comes from inside a push_ function; push_close() may be called in any of them. */
struct push_events {
        void (*fenced)(void *arg);                       /* another writer has the session; nothing more is sent */
        void (*lost)(void *arg);                         /* the origin has no such session any more, likewise */
        void (*refused)(void *arg, const char *track, int err); /* the origin will not have this track as it is now */
        void (*ended)(void *arg, int err);               /* the answer to END */
        /* Is it certain that no other transcoder was given the session meanwhile? Claiming again takes it from that one. */
        bool (*may_claim)(void *arg);
};

struct push_options {
        uv_loop_t *loop;
        const struct origins *origins;
        const struct recent *recent; /* hears of tracks and chunks before push does; outlives it */
        const struct claim *claim;   /* to claim again with: the session's own id and epoch. Copied */
        uint8_t codecs[TRACK_KINDS]; /* kinds of which tracks are to be expected */
        size_t queue_bytes;
        int64_t queue_us;
        const struct push_events *events;
        void *arg;
};

struct push *push_new(const struct push_options *options);
void push_owner(struct push *p, const struct origin *origin, const struct claim_reply *claimed);
void push_track(struct push *p, const struct track_info *info);
void push_chunk(struct push *p, const struct chunk *c);
void push_poke(struct push *p);               /* the origins' state changed: what waits for one is tried again */
int64_t push_stored_us(const struct push *p); /* every track is stored up to here */
size_t push_queued(const struct push *p);     /* bytes */
void push_end(struct push *p, int64_t end_us);
void push_close(struct push *p); /* frees itself when nothing is under way */

#endif
