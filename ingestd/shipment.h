/* shipment.h - when frames are read and sent on: all streams to the same beat, those of one transcoder in one message.
 *
 * A request over nng costs about as much CPU as receiving a whole second of a stream. So the frames of a few ms are
 * gathered and what is due for the same transcoder leaves together (MEDIA_MANY), if that transcoder takes it. Nor is there any use in
 * reading a frame sooner than that: who reads sockets does it to the same beat, just before what it brought is sent.
 *
 * Most batches want no answer: at one beat of SHIPMENT_ASKED_MS all ask for theirs, which says of all before how far they were taken. A
 * transcoder that cannot be told so, or a member that has to know, is asked each time.
 *
 *   shipment_read    at each beat from now on this is called before what is due leaves: it reads sockets
 *   shipment_join    the member has frames, and is asked for them at the next beat
 *   shipment_now     the same, at once and alone
 *   shipment_leave   the member is not asked any more
 *   shipment_forget  nothing that is aboard is told of any more
 * Between fill() and answered() a member is aboard a shipment, or several, and must stay where it is. Loop thread only. */
#ifndef INGESTD_SHIPMENT_H
#define INGESTD_SHIPMENT_H

#include <stdbool.h>
#include <uv.h>

#include "ingestd/transcoder_link.h"
#include "proto/media.h"

#define SHIPMENT_CALL_MS 1500 /* deadline of MEDIA: it is answered within milliseconds, by a loop that never works */
#define SHIPMENT_ASKED_MS 100
#define SHIPMENT_BYTES_MAX (1u << 20) /* of frames; one that is larger goes alone */

struct shipment;

struct shipment_member {
        struct rpc_client *rpc; /* where its frames go; NULL: that is not ours to use any more */
        bool takes_many;
        /* shipment.c's */
        bool due;
        struct shipment_member *next;
        unsigned aboard; /* of so many shipments */
};

/* What a shipment was to a member: end is what fill() said. */
struct shipment_batch {
        uint64_t end;
        int64_t took_us;
};

struct shipment_ops {
        /* Puts what is to be sent into part, its frames (at most `most`, which is at least 1, and at most max_bytes
         * beyond the first) into room. asks: answered() comes. False: nothing after all. *end: whatever answered() is to be told. */
        bool (*fill)(struct shipment_member *m, struct media *part, struct frame *room, unsigned most, size_t max_bytes, bool asks,
                     uint64_t *end);
        bool (*asks)(const struct shipment_member *m); /* it has to know what becomes of its batch */
        /* err 0: reply is the transcoder's. Never from inside shipment_join() or shipment_now(). */
        void (*answered)(struct shipment_member *m, int err, const struct media_reply *reply, const struct shipment_batch *of);
};

struct shipments {
        uint32_t magic;
        const struct transcoder_link *link;
        const struct shipment_ops *ops;
        unsigned gather_ms;
        uv_loop_t *loop;
        uv_timer_t timer;
        bool running;
        uint64_t asked_ms; /* when all asked last, by the loop's clock */
        bool all_ask;      /* at the beat that is under way */
        struct shipment_member *due;
        struct shipment *under_way;
        void (*read)(void *arg); /* NULL: nobody reads to the beat */
        void *read_arg;
};

void shipment_open(struct shipments *b, uv_loop_t *loop, unsigned gather_ms, const struct transcoder_link *link,
               const struct shipment_ops *ops);
void shipment_close(struct shipments *b); /* without members */

/* At each beat read(arg) is called before what is due is sent. NULL: not any more. A beat that gathers nothing has none to read to. */
void shipment_read(struct shipments *b, void (*read)(void *arg), void *arg);

void shipment_join(struct shipments *b, struct shipment_member *m);
void shipment_now(struct shipments *b, struct shipment_member *m);
void shipment_forget(struct shipments *b, struct shipment_member *m);
void shipment_leave(struct shipments *b, struct shipment_member *m);
void shipment_cancel(struct shipments *b, struct shipment_member *m); /* aboard: answered() comes soon, with ERR_CANCELED */

#endif
