#include "ingestd/relay.h"

#include <assert.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"
#include "ingestd/relay_ending.h"
#include "ingestd/relay_media.h"
#include "ingestd/relay_opening.h"

/* What is left to a state ------------------------------------------------------------------------------------------ */

static void reading_finish(struct relay *r)
{
        relay_wait(r, 0);
}

static void reading_lost(struct relay *r)
{
        relay_lost(r, "it is gone");
}

static void leaving_called(struct relay *r, int err, nng_msg *reply)
{
        (void)err;
        (void)reply;
        r->events->left(r);
}

static void closing_called(struct relay *r, int err, nng_msg *reply)
{
        (void)reply;
        if (err && !relay_overdue(r))
                relay_lost(r, err_text(err)); /* with frames that may not have been stored */
        else
                relay_become_done(r);
}

static void done_called(struct relay *r, int err, nng_msg *reply)
{
        (void)err;
        (void)reply;
        relay_become_done(r);
}

static void done_timer(struct relay *r)
{
        if (!r->call)
                r->events->done(r->pair);
}

/* The table -------------------------------------------------------------------------------------------------------- */

#define WALKS .walks = true, .timer = relay_opening_timer, .called = relay_opening_called, .poke = relay_opening_poke
#define READS .reads = true, .lost = reading_lost, .finish = reading_finish

static const struct relay_does does[RELAY_STATES] = {
        [RELAY_IDLE] = {"idle", .finish = relay_end_idle},
        /* The end of the broadcast finds those that walk at their next step: what the replay keeps may still be taken. */
        [RELAY_ASKING] = {"asking", WALKS},
        [RELAY_SEEKING] = {"seeking", WALKS},
        [RELAY_FOLLOWING] = {"following", WALKS},
        [RELAY_RECLAIMING] = {"reclaiming", WALKS},
        [RELAY_LIVE] = {"live", READS, .timer = relay_media_live_timer, .answered = relay_media_live_answered},
        [RELAY_STANDBY] = {"standby", READS, .timer = relay_media_standby_timer, .answered = relay_media_standby_answered},
        [RELAY_LEAVING] = {"leaving", .called = leaving_called},
        [RELAY_CLOSING] = {"closing", .called = closing_called},
        [RELAY_DONE] = {"done", .timer = done_timer, .called = done_called},
};

void relay_kick(struct relay *r)
{
        r->fresh = true;
        if (r->state != RELAY_LIVE || r->at.due)
                return;
        if (r->at.aboard || r->ack.credit > 0)
                relay_media_due(r);
}

void relay_poke(struct relay *r)
{
        if (r->does[r->state].poke)
                r->does[r->state].poke(r);
}

void relay_lose(struct relay *r, const struct rpc_client *gone)
{
        if (!gone || r->at.rpc != gone)
                return;
        if (relay_busy(r)) {
                r->at.rpc = NULL; /* the answer, or that there is none, goes on from here */
                if (r->call)
                        r->all->link->cancel(r->call);
                else
                        shipment_cancel(&r->all->shipments, &r->at);
        } else if (r->does[r->state].lost) {
                r->does[r->state].lost(r);
        }
}

void relay_finish(struct relay *r)
{
        if (r->does[r->state].finish && !relay_busy(r))
                r->does[r->state].finish(r);
}

/* Life ------------------------------------------------------------------------------------------------------------- */

void relays_open(struct relays *rs)
{
        shipment_open(&rs->shipments, rs->loop, rs->gather_ms, rs->link, &relay_media_shipment);
}

void relays_close(struct relays *rs)
{
        shipment_close(&rs->shipments);
}

struct relay *relay_new(struct relays *rs, struct relay_pair *p, struct broadcast *b, const struct relay_role *role,
                        const struct relay_events *events)
{
        struct relay *r = mem_alloc(sizeof(*r));
        r->magic = RELAY_MAGIC;
        r->pair = p;
        r->all = rs;
        r->broadcast = b;
        r->does = does;
        r->role = role;
        r->events = events;
        uv_timer_init(rs->loop, &r->timer);
        r->timer.data = r;
        return r;
}

static void on_timer_closed(uv_handle_t *h)
{
        free(h->data);
}

void relay_free(struct relay *r)
{
        assert(r->state == RELAY_DONE && !relay_busy(r));
        shipment_leave(&r->all->shipments, &r->at);
        r->magic = 0;
        uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
