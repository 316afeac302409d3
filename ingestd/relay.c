#include "ingestd/relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"
#include "common/timer.h"
#include "ingestd/stats.h"

#define NO_CREDIT_MS 20     /* until a transcoder that took nothing is asked again */
#define BUSY_MAX_US 2000000 /* a transcoder may be too busy to answer for so long */
#define POKED_MS 50         /* transcoders that come back are not asked by all streams at once */

/* What a state does about what happens; NULL: nothing. Of what is under way the answer comes first: timer, lost and finish are
 * told only when nothing is, but for LIVE's timer. */
struct state {
        const char *name;
        bool walks; /* the ring */
        bool reads; /* the replay, which keeps for it what it has not taken */
        void (*timer)(struct relay *r);
        void (*answered)(struct relay *r, const struct media_reply *m, const struct shipment_batch *of); /* MEDIA, well */
        void (*called)(struct relay *r, int err, nng_msg *reply);                                    /* OPEN or CLOSE */
        void (*lost)(struct relay *r);                                                               /* its connection is */
        void (*finish)(struct relay *r);
        void (*poke)(struct relay *r);
};
static const struct state states[RELAY_STATES];

bool relay_walks(const struct relay *r)
{
        return states[r->state].walks;
}

bool relay_reads(const struct relay *r)
{
        return states[r->state].reads;
}

bool relay_asks(const struct relay *r)
{
        return r->state == RELAY_ASKING || r->state == RELAY_FOLLOWING;
}

bool relay_busy(const struct relay *r)
{
        return r->call || r->at.aboard;
}

static struct replay *replay_of(const struct relay *r)
{
        return r->broadcast->replay;
}

static bool overdue(const struct relay *r)
{
        return broadcast_overdue(r->broadcast, clock_mono_us());
}

/* States and their timer ------------------------------------------------------------------------------------------- */

void relay_ground(struct relay *r)
{
        shipment_forget(&r->all->shipments, &r->at);
        acknowledged_ground(&r->ack);
}

void relay_set_state(struct relay *r, enum relay_state next)
{
        bool read = relay_reads(r);
        if (r->state != next)
                log_debug("session=%s stream=%s msg=\"relay: %s -> %s\"", broadcast_session(r->broadcast), r->broadcast->stream.stream,
                          states[r->state].name, states[next].name);
        r->state = next;
        if (!read && relay_reads(r)) {
                replay_attach(replay_of(r), &r->reader);
        } else if (!relay_reads(r)) {
                replay_detach(replay_of(r), &r->reader);
                relay_ground(r);
        }
        r->events->changed(r->pair);
}

static void on_timer(uv_timer_t *timer)
{
        struct relay *r = magic_check(timer->data, RELAY_MAGIC);
        if (states[r->state].timer)
                states[r->state].timer(r); /* may free r */
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

static void done_timer(struct relay *r)
{
        if (!r->call)
                r->events->done(r->pair);
}

/* Calls ------------------------------------------------------------------------------------------------------------ */

static void on_called(void *arg, int err, nng_msg *reply)
{
        struct relay *r = magic_check(arg, RELAY_MAGIC);
        r->call = NULL;
        if (err == 0 && !r->at.rpc)
                err = ERR_CLOSED; /* it answered, and was forgotten before that was read */
        if (states[r->state].called)
                states[r->state].called(r, err, reply);
        if (reply)
                nng_msg_free(reply);
}

static void call(struct relay *r, nng_msg *request, unsigned timeout_ms)
{
        assert(!relay_busy(r));
        shipment_leave(&r->all->shipments, &r->at);
        uv_timer_stop(&r->timer);
        r->call = r->all->link->call(r->at.rpc, request, timeout_ms, on_called, r);
}

static void send_close(struct relay *r, enum relay_state next, enum close_reason why)
{
        struct close_stream m = {.handle = r->handle, .reason = (uint8_t)why};
        relay_set_state(r, next);
        call(r, message_new(MSG_CLOSE, close_stream_encode, &m), RELAY_CLOSE_MS);
}

void relay_leave(struct relay *r)
{
        send_close(r, RELAY_LEAVING, CLOSE_LEAVE);
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
        if (err && !overdue(r))
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

/* Walking the ring ------------------------------------------------------------------------------------------------- */

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
        r->opened_configs = replay_of(r)->config_changes;
        r->beside = r->broadcast->generation;
        call(r, open_message(r), relay_asks(r) ? RELAY_ASK_MS : RELAY_OPEN_MS);
}

void relay_open_at(struct relay *r, const struct transcoder_candidate *next)
{
        r->at.rpc = next->rpc;
        memcpy(r->address, next->address, sizeof(r->address));
        relay_open_here(r);
}

static void walking_timer(struct relay *r)
{
        if (!r->call)
                r->role->seek(r, r->state);
}

static void walking_called(struct relay *r, int err, nng_msg *reply)
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

static void walking_poke(struct relay *r)
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
        acknowledged_begin(&r->ack, replay_of(r)->head);
}

void relay_become_live(struct relay *r, bool standby)
{
        relay_set_state(r, standby ? RELAY_STANDBY : RELAY_LIVE);
        r->live_us = clock_mono_us();
        relay_send(r);
}

/* The end of the broadcast ----------------------------------------------------------------------------------------- */

/* What was sent to one that is lost may be stored, as far as anybody here knows. */
static uint64_t untaken(const struct relay *r)
{
        uint64_t from = r->state == RELAY_LIVE ? r->ack.taken : r->broadcast->sent, tail = replay_of(r)->tail;
        from = from > replay_of(r)->head ? from : replay_of(r)->head;
        return from < tail && r->broadcast->place != PLACE_STANDBY ? tail - from : 0;
}

void relay_say_untaken(const struct relay *r)
{
        stats_add(STAT_UNTAKEN_FRAMES, (int64_t)untaken(r));
        log_warn("session=%s stream=%s frames=%" PRIu64 " msg=\"no transcoder took the end of the stream\"",
                 broadcast_session(r->broadcast), r->broadcast->stream.stream, untaken(r));
}

static void idle_finish(struct relay *r)
{
        if (untaken(r) > 0) /* it was not its turn yet */
                relay_say_untaken(r);
        relay_become_done(r);
}

static void reading_finish(struct relay *r)
{
        relay_wait(r, 0);
}

static void end_stream(struct relay *r)
{
        if (untaken(r) > 0)
                relay_say_untaken(r);
        send_close(r, RELAY_CLOSING, r->broadcast->finish);
}

/* Media: batches leave --------------------------------------------------------------------------------------------- */

void relay_lost(struct relay *r, const char *why)
{
        relay_ground(r);
        r->role->lost(r, why);
}

static void reading_lost(struct relay *r)
{
        relay_lost(r, "it is gone");
}

static struct relay *relay_of(struct shipment_member *m)
{
        return (void *)((char *)m - offsetof(struct relay, at));
}

static bool is_behind(const struct relay *r)
{
        return r->state == RELAY_LIVE && (r->reader.behind || r->ack.taken < replay_of(r)->head);
}

/* False: it is behind what the replay still has, and was left. */
static bool in_step(struct relay *r)
{
        if (!is_behind(r))
                return true;
        relay_lost(r, "it takes nothing for longer than the replay buffer holds");
        return false;
}

/* What is next, of at most `most` frames. */
static void load(const struct relay *r, struct media *part, struct frame *room, uint64_t most, size_t max_bytes)
{
        size_t bytes = 0;
        for (; part->count < most && r->ack.sent + part->count < replay_of(r)->tail; part->count++) {
                const struct frame *f = replay_at(replay_of(r), r->ack.sent + part->count);
                if (part->count > 0 && bytes + f->bytes->len > max_bytes)
                        break;
                bytes += f->bytes->len;
                room[part->count] = *f;
        }
}

/* What becomes of a batch is to be known when it may not be taken, or when the broadcast or the transcoder's part in it changes. */
static bool asks(const struct shipment_member *m)
{
        const struct relay *r = (const void *)((const char *)m - offsetof(struct relay, at));
        return r->state != RELAY_LIVE || m->aboard || r->broadcast->finish || r->said_shadow == r->role->leads ||
               !acknowledged_may_tell(&r->ack, replay_of(r)->tail - r->ack.sent, clock_mono_us());
}

static bool has_more(const struct relay *r)
{
        return r->ack.sent < replay_of(r)->tail;
}

/* A batch does. Of those that are only told, the first sees to it that one is asked about them, also when no more frames come; and what
 * there was no room for is sent at once, as no answer comes with which it could leave. */
static void leaves(struct relay *r, unsigned frames, bool asks)
{
        if (asks) {
                acknowledged_send(&r->ack, frames, clock_mono_us());
                uv_timer_stop(&r->timer);
                return;
        }
        bool asked_later = r->ack.told && uv_is_active((const uv_handle_t *)&r->timer);
        acknowledged_tell(&r->ack, frames);
        if (has_more(r))
                relay_wait(r, 0);
        else if (!asked_later)
                relay_wait(r, RELAY_TOLD_US / US_PER_MS);
}

static bool fill(struct shipment_member *m, struct media *part, struct frame *room, unsigned most, size_t max_bytes, bool asks, uint64_t *end)
{
        struct relay *r = relay_of(m);
        if (!relay_reads(r))
                return false;
        if (is_behind(r)) { /* the replay ran over since it became due */
                relay_wait(r, 0);
                return false;
        }
        if (r->state == RELAY_STANDBY) /* the frames that it began with may be gone from the replay */
                acknowledged_stay(&r->ack, replay_of(r)->head, r->ack.taken - r->ack.wire_zero);
        *part = (struct media){.handle = r->handle,
                               .first_seq = acknowledged_seq(&r->ack),
                               .fresh = r->fresh || r->broadcast->held,
                               .shadow = !r->role->leads,
                               .frames = room};
        r->fresh = false;
        r->says_shadow = part->shadow;
        if (r->state == RELAY_LIVE) {
                uint64_t allowed = acknowledged_room(&r->ack);
                load(r, part, room, allowed < most ? allowed : most, max_bytes);
        }
        leaves(r, part->count, asks);
        *end = r->ack.sent;
        if (r->role->leads && r->ack.sent > r->broadcast->sent)
                r->broadcast->sent = r->ack.sent;
        return true;
}

void relay_send(struct relay *r)
{
        if (in_step(r))
                shipment_now(&r->all->shipments, &r->at);
}

/* Its frames leave with the next beat, or later while others are under way; or when one of those is answered. */
static void become_due(struct relay *r)
{
        int64_t at_us = r->at.aboard ? acknowledged_next_us(&r->ack, r->at.aboard) : 0, in_us = at_us - clock_mono_us();
        if (at_us == INT64_MAX)
                return;
        if (in_us > 0)
                relay_wait(r, (uint64_t)in_us / US_PER_MS + 1);
        else if (in_step(r))
                shipment_join(&r->all->shipments, &r->at);
}

/* It leads, and its transcoder does not know yet. */
static bool is_to_lead(const struct relay *r)
{
        return r->said_shadow && r->role->leads;
}

/* What to do until the next answer: the batch is back. */
static void go_on_live(struct relay *r, bool stuck)
{
        bool more = has_more(r);
        if (is_to_lead(r))
                relay_send(r);
        else if (r->at.aboard && (!more || overdue(r))) /* the answers to others may say that more was taken */
                return;
        else if (r->at.aboard)
                become_due(r);
        else if (r->broadcast->finish && (!more || overdue(r)))
                end_stream(r);
        else if (more && (r->ack.credit == 0 || stuck))
                relay_wait(r, NO_CREDIT_MS);
        else if (more && (r->broadcast->finish || replay_of(r)->tail - r->ack.sent >= BATCH_FRAMES_MAX / 4))
                relay_send(r);
        else if (more)
                become_due(r);
        else
                relay_wait(r, RELAY_KEEPALIVE_MS);
}

static void go_on_standing_by(struct relay *r)
{
        if (is_to_lead(r))
                relay_send(r);
        else if (r->broadcast->finish)
                end_stream(r);
        else
                relay_wait(r, RELAY_STANDBY_MS);
}

/* Without frames, and there is time until the next beat. */
static void ask(struct relay *r)
{
        if (in_step(r))
                shipment_join(&r->all->shipments, &r->at);
}

static void live_timer(struct relay *r)
{
        if (r->at.aboard) {
                if (has_more(r))
                        become_due(r);
                return;
        }
        bool over = r->broadcast->finish && (r->ack.taken >= replay_of(r)->tail || overdue(r));
        if (over && !is_to_lead(r))
                end_stream(r);
        else if (has_more(r) || r->broadcast->finish || is_to_lead(r))
                relay_send(r);
        else
                ask(r);
}

static void standby_timer(struct relay *r)
{
        if (r->at.aboard)
                return;
        if (r->broadcast->finish && !is_to_lead(r))
                end_stream(r);
        else if (is_to_lead(r))
                relay_send(r);
        else
                ask(r);
}

/* Media: batches are answered -------------------------------------------------------------------------------------- */

/* It stands by, or did until now: nothing of the replay was asked for, and what is stored is another's, at the same places. */
static void stand_by(struct relay *r, const struct media_reply *m)
{
        const struct broadcast *b = r->broadcast;
        relay_ground(r);
        replay_trim(replay_of(r), &r->reader, m->stored_us, replay_of(r)->tail);
        acknowledged_stay(&r->ack, replay_of(r)->head, m->next_seq);
        r->ack.credit = m->credit;
        r->at.takes_many = m->takes_many;
        if ((b->place == PLACE_STANDBY) != (bool)m->standby)
                log_info("session=%s stream=%s transcoder=%s frames=%" PRIu64 " msg=\"%s\"", b->session, b->stream.stream, r->address,
                         b->replay->tail - b->replay->head, m->standby ? "stands by: another broadcaster is active" : "active now");
        broadcast_set_place(r->broadcast, m->standby ? PLACE_STANDBY : PLACE_ACTIVE);
        relay_set_state(r, m->standby ? RELAY_STANDBY : RELAY_LIVE);
        r->events->taken(r->pair);
        if (!m->standby && r->opened_configs != b->replay->config_changes)
                relay_open_anew(r, "the codec configuration has changed");
        else if (m->draining && r->role->drained(r))
                return;
        else if (m->standby)
                go_on_standing_by(r);
        else
                go_on_live(r, false);
}

static void standby_answered(struct relay *r, const struct media_reply *m, const struct shipment_batch *of)
{
        (void)of;
        stand_by(r, m);
}

/* What the transcoder took is acknowledged here; what it says is stored the replay may let go of. */
static void acknowledge(struct relay *r, const struct media_reply *m, const struct acknowledgement *k)
{
        if (k->more && r->broadcast->finish && !r->all->leaving)
                broadcast_progress(r->broadcast, clock_mono_us());
        r->ack.credit = m->credit;
        r->at.takes_many = m->takes_many;
        replay_trim(replay_of(r), &r->reader, m->stored_us, r->ack.taken);
        r->events->taken(r->pair);
}

static void live_answered(struct relay *r, const struct media_reply *m, const struct shipment_batch *of)
{
        struct acknowledgement k = {0};
        bool went_back = r->ack.going_back;
        if (m->standby && !r->role->leads) {
                relay_lost(r, "it has another broadcaster");
                return;
        }
        if (m->standby) {
                stand_by(r, m);
                return;
        }
        if (!acknowledged_possible(&r->ack, m->next_seq)) {
                r->all->link->drop(r->at.rpc, "took frames that it was not sent");
                relay_lost(r, "answer makes no sense");
                return;
        }
        if (r->reader.behind && !in_step(r))
                return;
        enum acknowledged_verdict verdict = acknowledged_read(&r->ack, m->next_seq, of->end, replay_of(r)->head, &k);
        if (verdict == ACK_GONE) {
                relay_lost(r, "it wants frames that are stored already");
                return;
        }
        if (!went_back && r->ack.going_back && r->at.aboard)
                log_debug("session=%s stream=%s transcoder=%s frames=%" PRIu64 " batches=%u msg=\"some frames were not taken: again\"",
                          broadcast_session(r->broadcast), r->broadcast->stream.stream, r->address, k.again, r->at.aboard);
        if (acknowledged_stranded(&r->ack, r->at.aboard))
                relay_ground(r);
        if (verdict == ACK_TAKEN)
                acknowledge(r, m, &k);
        if (verdict == ACK_OVERTAKEN || !m->draining || !r->role->drained(r))
                go_on_live(r, k.stuck);
}

/* Too many requests there, or too many calls here: no reason to leave it, for a while. */
static void on_busy(struct relay *r)
{
        int64_t now = clock_mono_us();
        if (!r->busy_since_us)
                r->busy_since_us = now;
        if (now - r->busy_since_us > BUSY_MAX_US)
                relay_lost(r, err_text(ERR_FULL));
        else
                relay_wait(r, NO_CREDIT_MS);
}

static void on_status(struct relay *r, const struct media_reply *m, const struct shipment_batch *of)
{
        r->busy_since_us = 0;
        if (m->status && m->status != ERR_ORDER) {
                relay_ground(r);
                r->role->turned_out(r, m->status);
                return;
        }
        r->events->heard(r, m->generation);
        states[r->state].answered(r, m, of);
}

static void on_answered(struct shipment_member *member, int err, const struct media_reply *reply, const struct shipment_batch *of)
{
        struct relay *r = relay_of(member);
        assert(relay_reads(r));
        if (!err) {
                r->said_shadow = r->says_shadow;
                acknowledged_took(&r->ack, of->took_us);
        }
        bool unwanted = r->role->unwanted(r);
        if (err || unwanted)
                relay_ground(r);
        if (unwanted && err)
                r->events->left(r);
        else if (unwanted)
                relay_leave(r);
        else if (err == ERR_FULL)
                on_busy(r);
        else if (err)
                relay_lost(r, err == ERR_CANCELED ? "it is gone" : err_text(err));
        else
                on_status(r, reply, of);
}

/* The table -------------------------------------------------------------------------------------------------------- */

static const struct state states[RELAY_STATES] = {
        [RELAY_IDLE] = {"idle", .finish = idle_finish},
        /* The end of the broadcast finds those that walk at their next step: what the replay keeps may still be taken. */
        [RELAY_ASKING] = {"asking", .walks = true, .timer = walking_timer, .called = walking_called, .poke = walking_poke},
        [RELAY_SEEKING] = {"seeking", .walks = true, .timer = walking_timer, .called = walking_called, .poke = walking_poke},
        [RELAY_FOLLOWING] = {"following", .walks = true, .timer = walking_timer, .called = walking_called, .poke = walking_poke},
        [RELAY_RECLAIMING] = {"reclaiming", .walks = true, .timer = walking_timer, .called = walking_called, .poke = walking_poke},
        [RELAY_LIVE] = {"live", .reads = true, .timer = live_timer, .answered = live_answered, .lost = reading_lost,
                        .finish = reading_finish},
        [RELAY_STANDBY] = {"standby", .reads = true, .timer = standby_timer, .answered = standby_answered, .lost = reading_lost,
                           .finish = reading_finish},
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
                become_due(r);
}

void relay_poke(struct relay *r)
{
        if (states[r->state].poke)
                states[r->state].poke(r);
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
        } else if (states[r->state].lost) {
                states[r->state].lost(r);
        }
}

void relay_finish(struct relay *r)
{
        if (states[r->state].finish && !relay_busy(r))
                states[r->state].finish(r);
}

/* Life ------------------------------------------------------------------------------------------------------------- */

static const struct shipment_ops shipment_ops = {.fill = fill, .asks = asks, .answered = on_answered};

void relays_open(struct relays *rs)
{
        shipment_open(&rs->shipments, rs->loop, rs->gather_ms, rs->link, &shipment_ops);
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
