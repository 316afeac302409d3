/* relay.h - one stream on its way to a transcoder: OPEN, MEDIA batch by batch, CLOSE (proto/media.h), and another
 * transcoder whenever one fails.
 *
 *   NEW       relay_new()
 *   SEEKING   relay_open()     walks the ring for the one that has the stream, then for one that takes it; waits and
 *                              begins again when none does
 *   OPENING                    OPEN is under way
 *   LIVE      relay_kick()     frames are in the replay buffer. One batch is in flight, the next one gathers meanwhile
 *             While another broadcaster of the stream is active it stands by: empty batches, and the buffer is trimmed
 *             to what that one has stored, so that this one goes on from there when it is told to
 *   CLOSING   relay_finish()   what is left has been sent, CLOSE is under way
 *   DONE                       events.done() was called; relay_free() is due
 *
 * From LIVE any failure leads back to SEEKING, and OPEN on the next transcoder is followed by all that the buffer
 * holds. relay_finish() may be called in every state; done() comes later, never from
 * inside it: with the end of the call that is under way when RELAY_FINISH_MS are over.
 *
 * Calls and their answers go over struct relay_link, so that tests can be the transcoder. Loop thread only. */
#ifndef INGESTD_RELAY_H
#define INGESTD_RELAY_H

#include <stdbool.h>
#include <uv.h>

#include "ingestd/beat.h"
#include "ingestd/generations.h"
#include "ingestd/relay_link.h"
#include "ingestd/replay.h"
#include "ingestd/timeline.h"

#define RELAY_CLOSE_MS 2000     /* deadline of CLOSE; that of MEDIA is in beat.h */
#define RELAY_OPEN_MS 3000      /* of OPEN: the transcoder asks its origins meanwhile */
#define RELAY_ASK_MS 500        /* of OPEN_IF_HELD */
#define RELAY_KEEPALIVE_MS 500  /* an empty batch when there is nothing to send */
#define RELAY_STANDBY_MS 200    /* likewise while another broadcaster is active: as late as it hears that it is to go on */
#define RELAY_FOLLOW_MS 500     /* after the loss of a transcoder, the active broadcaster's time to find the next one */
#define RELAY_FINISH_MS 5000
#define RELAY_STRAY_US 30000000 /* so long an OPEN that was not answered may still be taken */
#define RELAY_CANDIDATES 16     /* transcoders that are tried before waiting */

struct relay;

/* What all relays of a daemon share. */
struct relays {
        uv_loop_t *loop;
        const struct relay_link *link;
        void *link_arg;
        unsigned gather_ms; /* frames wait so long for others; 0: not at all */
        struct beat beat;
        struct generations generations;
};
void relays_open(struct relays *rs);  /* the fields before beat are set */
void relays_close(struct relays *rs); /* no relay is left */

struct relay_events {
        /* The transcoder will not have this stream: reason is an enum rtmp_close. The relay does nothing any more. */
        void (*refused)(void *arg, int reason, const char *code, const char *text);
        void (*done)(void *arg);
};

/* Strings are borrowed for the life of the relay, and filled in before relay_open(). */
struct relay_stream {
        const char *stream, *publisher, *encoder, *title;
        uint8_t role; /* as the broadcaster asked: OPEN_PRIMARY, OPEN_BACKUP or OPEN_NOW */
};

struct relay *relay_new(struct relays *rs, const struct relay_stream *stream, struct timeline *timeline,
                        struct replay *replay, const struct relay_events *events, void *arg);
void relay_open(struct relay *r);
bool relay_opened(const struct relay *r);
int64_t relay_skew_us(const struct relay *r);  /* the wall clock that the stream's time is told by is so far ahead of ours */
void relay_kick(struct relay *r);              /* there is a new frame in the buffer */
void relay_poke(struct relay *r);              /* other transcoders may be there now */
void relay_lose(struct relay *r, const struct rpc_client *gone); /* its connection is no longer ours to use */
bool relay_uses(const struct relay *r, const struct rpc_client *c);
void relay_finish(struct relay *r, enum close_reason why); /* idempotent; the first reason counts */
void relay_free(struct relay *r);              /* DONE only */

#endif
