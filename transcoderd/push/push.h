/* push.h - one session's chunks on their way to the origins that own its stream.
 *
 *   push_new → push_leader → push_track, push_chunk … → push_end (END follows when all is stored) → push_close
 *
 * The owners are the first `replicas` of the stream's route. The leader is the one whose answer to CLAIM the session goes on
 * from; the others are joined to it (push_owner.h). Per owner each track is a queue of its own, in order, with several PUTs
 * under way, so that a far origin gets each chunk as it is made. What gets no answer is sent again until the origin has it: a
 * chunk that is there already is answered `stored`. An origin that started anew, or does not know the session any more, is
 * joined again, and gets what it lacks from recent.h. A queue is bounded in bytes and in seconds; over that an owner is out
 * of step, and of the last one in step the oldest chunks go, counted and logged. Loop thread only. */
#ifndef TRANSCODERD_PUSH_PUSH_H
#define TRANSCODERD_PUSH_PUSH_H

#include <stdbool.h>
#include <uv.h>

#include "proto/store.h"
#include "transcoderd/push/origins.h"
#include "transcoderd/chunk.h"
#include "transcoderd/push/recent.h"

#define PUSH_REPLICAS_MAX 3
#define PUSH_OWNERS_MAX 4 /* one more, while another is away */
#define PUSH_QUEUE_BYTES (32u << 20) /* of one owner */
#define PUSH_QUEUE_US (30 * INT64_C(1000000)) /* of one track */
/* PUTs of a track that are under way at a time: 1.6 s of it, so that neither a round trip of 300 ms nor a lost packet that TCP sends
 * again holds up what is made meanwhile. Half of what an origin's log of a track queues, for there may be two writers. */
#define PUSH_WINDOW 8
#define PUSH_WINDOW_BYTES (4u << 20)

struct push;

/* None comes from inside a push_ function; push_close() may be called in any of them. */
struct push_events {
        void (*fenced)(void *arg);                       /* another writer has the session; nothing more is sent */
        void (*lost)(void *arg);                         /* no origin has the session any more, likewise */
        void (*refused)(void *arg, const char *track, int err); /* the origin will not have this track as it is now */
        void (*ended)(void *arg, int err);               /* all that are in step answered END, the last one so; the others too, or had time to */
};

struct push_options {
        uv_loop_t *loop;
        const struct origins *origins;
        const struct recent *recent; /* hears of tracks and chunks before push does; outlives it */
        const struct claim *claim;   /* to join with: the session's own id and epoch. Copied */
        unsigned replicas;           /* 1 … PUSH_REPLICAS_MAX */
        bool quorum_one;             /* stored is what any of the owners has; otherwise what all in step have */
        bool shadow;                 /* another writer of this generation leads, until push_lead(): struct put */
        uint8_t codecs[TRACK_KINDS]; /* kinds of which tracks are to be expected */
        size_t queue_bytes;
        int64_t queue_us;
        const struct push_events *events;
        void *arg;
};

struct push *push_new(const struct push_options *options);
void push_leader(struct push *p, const struct origin *origin, const struct claim_reply *claimed); /* once */
void push_track(struct push *p, const struct track_info *info);
void push_chunk(struct push *p, const struct chunk *c);
void push_poke(struct push *p);               /* the origins' state changed: what waits for one is tried again */
void push_tick(struct push *p);               /* every 500 ms: who the owners are */
/* This writer is no shadow any more: it raises the generation to this at every owner, under its own node. */
void push_lead(struct push *p, uint32_t generation, const char *node);
void push_verify(struct push *p);             /* before anything else is sent: is it still this writer's? */
int64_t push_stored_us(struct push *p);       /* every track is stored up to here; never less than before */
/* How much of what was made is not stored, of the track that lacks most: less than to push_stored_us() where a track pauses, or has
 * none. By those in step; INT64_MAX: there is none. */
int64_t push_waiting_us(const struct push *p);
bool push_all_stored(const struct push *p);   /* by those in step */
size_t push_queued(const struct push *p);     /* bytes, of the owner that lacks most */
/* The owners, for people: at most PUSH_OWNERS_MAX; returns how many. */
struct push_view {
        char id[NODE_ID_MAX + 1];
        const char *state; /* in_step, joining or out_of_step */
        size_t queued_bytes;
};
size_t push_tell(const struct push *p, struct push_view out[PUSH_OWNERS_MAX]);
void push_end(struct push *p, int64_t end_us);
void push_close(struct push *p); /* frees itself when nothing is under way */

#endif
