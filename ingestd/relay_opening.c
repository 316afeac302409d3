#include "ingestd/relay_opening.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"

#define OPEN_MS 3000 /* deadline of OPEN: the transcoder asks its origins meanwhile */
#define ASK_MS 500   /* of OPEN_IF_HELD */
#define POKED_MS 50 /* transcoders that come back are not asked by all streams at once */

size_t relay_candidates(const struct relay *r, struct transcoder_candidate found[TRANSCODER_CANDIDATES])
{
        return r->all->link->walk(r->all->link_arg, r->broadcast->stream.stream, found, TRANSCODER_CANDIDATES);
}

static enum relay_state asking(enum relay_state quest)
{
        return quest == RELAY_SEEKING ? RELAY_ASKING : quest == RELAY_RECLAIMING ? RELAY_FOLLOWING : quest;
}

static enum relay_state not_asking(enum relay_state quest)
{
        return quest == RELAY_ASKING ? RELAY_SEEKING : quest == RELAY_FOLLOWING ? RELAY_RECLAIMING : quest;
}

void relay_stop_asking(struct relay *r)
{
        relay_set_state(r, not_asking(r->state));
}

void relay_seek_next(struct relay *r, enum relay_state quest)
{
        walk_note(&r->walk, r->address);
        r->at.rpc = NULL;
        r->role->seek(r, quest);
}

void relay_seek_anew(struct relay *r)
{
        walk_begin(&r->walk);
        r->at.rpc = NULL;
        r->role->seek(r, RELAY_ASKING);
}

void relay_open_anew(struct relay *r, const char *why)
{
        log_warn("session=%s stream=%s transcoder=%s msg=\"opening again\" why=\"%s\"", r->broadcast->session,
                 r->broadcast->stream.stream, r->address, why);
        relay_seek_anew(r);
}

void relay_wait_and_seek(struct relay *r)
{
        const struct broadcast *b = r->broadcast;
        bool ask = r->role->leads && (!*b->session || b->place == PLACE_STANDBY);
        relay_set_state(r, ask ? asking(r->state) : not_asking(r->state));
        relay_wait(r, walk_again(&r->walk, (unsigned)rand()));
}

static nng_msg *open_message(const struct relay *r)
{
        struct clock_ahead ahead = r->all->link->clock(r->at.rpc);
        struct open m = {.epoch_us = r->offered_epoch_us,
                         .ahead_us = clock_ahead_wrong_us(&ahead, r->broadcast->skew_us),
                         .generation = generations_get(&r->all->generations, r->broadcast->stream.stream)};
        broadcast_fill_open(r->broadcast, &m);
        r->role->ask(r, &m);
        return message_new(MSG_OPEN, open_encode, &m);
}

void relay_open_here(struct relay *r)
{
        r->offered_epoch_us = broadcast_epoch_us(r->broadcast);
        r->opened_configs = relay_replay(r)->config_changes;
        r->beside = r->broadcast->generation;
        relay_call(r, open_message(r), relay_asks(r) ? ASK_MS : OPEN_MS);
}

void relay_open_at(struct relay *r, const struct transcoder_candidate *next)
{
        r->at.rpc = next->rpc;
        memcpy(r->address, next->address, sizeof(r->address));
        relay_open_here(r);
}

void relay_opening_timer(struct relay *r)
{
        if (!r->call)
                r->role->seek(r, r->state);
}

void relay_opening_called(struct relay *r, int err, nng_msg *reply)
{
        struct reader reader;
        struct open_reply m;
        if (err) {
                r->role->unopened(r, err);
        } else if (message_open(&reader, reply) != MSG_OPEN_REPLY || open_reply_decode(&reader, &m)) {
                r->all->link->drop(r->at.rpc, "malformed answer to OPEN");
                relay_seek_next(r, r->state);
        } else {
                r->role->opened(r, &m);
        }
}

void relay_opening_poke(struct relay *r)
{
        if (r->call)
                return;
        walk_reset(&r->walk);
        if (r->broadcast->place != PLACE_STANDBY)
                relay_wait(r, (unsigned)rand() % POKED_MS);
}

void relay_begin_at(struct relay *r, const struct open_reply *m)
{
        r->handle = m->handle;
        r->keeps_time = m->keeps_time;
        memcpy(r->node, m->node, sizeof(r->node));
        r->busy_since_us = 0;
        r->at.takes_many = false;
        r->said_shadow = !r->role->leads;
        acknowledged_begin(&r->ack, relay_replay(r)->head);
}
