#include "ingestd/relay_state.h"

#include <assert.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/timer.h"

bool relay_walks(const struct relay *r)
{
        return r->does[r->state].walks;
}

bool relay_reads(const struct relay *r)
{
        return r->does[r->state].reads;
}

bool relay_asks(const struct relay *r)
{
        return r->state == RELAY_ASKING || r->state == RELAY_FOLLOWING;
}

bool relay_busy(const struct relay *r)
{
        return r->call || r->at.aboard;
}

void relay_ground(struct relay *r)
{
        shipment_forget(&r->all->shipments, &r->at);
        acknowledged_ground(&r->ack);
}

void relay_lost(struct relay *r, const char *why)
{
        relay_ground(r);
        r->role->lost(r, why);
}

void relay_set_state(struct relay *r, enum relay_state next)
{
        bool read = relay_reads(r);
        if (r->state != next)
                log_debug("session=%s stream=%s msg=\"relay: %s -> %s\"", broadcast_session(r->broadcast), r->broadcast->stream.stream,
                          r->does[r->state].name, r->does[next].name);
        r->state = next;
        if (!read && relay_reads(r)) {
                replay_attach(relay_replay(r), &r->reader);
        } else if (!relay_reads(r)) {
                replay_detach(relay_replay(r), &r->reader);
                relay_ground(r);
        }
        r->events->changed(r->pair);
}

static void on_timer(uv_timer_t *timer)
{
        struct relay *r = magic_check(timer->data, RELAY_MAGIC);
        if (r->does[r->state].timer)
                r->does[r->state].timer(r); /* may free r */
}

void relay_wait(struct relay *r, uint64_t ms)
{
        timer_start(&r->timer, on_timer, ms);
}

void relay_become_done(struct relay *r)
{
        relay_set_state(r, RELAY_DONE);
        if (r->role->leads && r->broadcast->place == PLACE_STANDBY)
                broadcast_set_place(r->broadcast, PLACE_UNKNOWN);
        r->at.rpc = NULL;
        relay_wait(r, 0);
}

static void on_called(void *arg, int err, nng_msg *reply)
{
        struct relay *r = magic_check(arg, RELAY_MAGIC);
        r->call = NULL;
        if (err == 0 && !r->at.rpc)
                err = ERR_CLOSED; /* it answered, and was forgotten before that was read */
        if (r->does[r->state].called)
                r->does[r->state].called(r, err, reply);
        if (reply)
                nng_msg_free(reply);
}

void relay_call(struct relay *r, nng_msg *request, unsigned timeout_ms)
{
        assert(!relay_busy(r));
        shipment_leave(&r->all->shipments, &r->at);
        uv_timer_stop(&r->timer);
        r->call = r->all->link->call(r->at.rpc, request, timeout_ms, on_called, r);
}
