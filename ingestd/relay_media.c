#include "ingestd/relay_media.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "ingestd/relay_ending.h"
#include "ingestd/relay_opening.h"

#define KEEPALIVE_MS 500    /* an empty batch when there is nothing to send */
#define STANDBY_MS 200      /* likewise while another broadcaster is active: its answer says when this one is */
#define NO_CREDIT_MS 20     /* until a transcoder that took nothing is asked again */
#define BUSY_MAX_US 2000000 /* a transcoder may be too busy to answer for so long */

/* Batches leave ---------------------------------------------------------------------------------------------------- */

static struct relay *relay_of(struct shipment_member *m)
{
        return (void *)((char *)m - offsetof(struct relay, at));
}

static bool is_behind(const struct relay *r)
{
        return r->state == RELAY_LIVE && (r->reader.behind || r->ack.taken < relay_replay(r)->head);
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
        for (; part->count < most && r->ack.sent + part->count < relay_replay(r)->tail; part->count++) {
                const struct frame *f = replay_at(relay_replay(r), r->ack.sent + part->count);
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
               !acknowledged_may_tell(&r->ack, relay_replay(r)->tail - r->ack.sent, clock_mono_us());
}

static bool has_more(const struct relay *r)
{
        return r->ack.sent < relay_replay(r)->tail;
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

static bool fill(struct shipment_member *m, struct media *part, struct frame *room, unsigned most, size_t max_bytes, bool asks,
                 uint64_t *end)
{
        struct relay *r = relay_of(m);
        if (!relay_reads(r))
                return false;
        if (is_behind(r)) { /* the replay ran over since it became due */
                relay_wait(r, 0);
                return false;
        }
        if (r->state == RELAY_STANDBY) /* the frames that it began with may be gone from the replay */
                acknowledged_stay(&r->ack, relay_replay(r)->head, r->ack.taken - r->ack.wire_zero);
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
void relay_media_due(struct relay *r)
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
        else if (r->at.aboard && (!more || relay_overdue(r))) /* the answers to others may say that more was taken */
                return;
        else if (r->at.aboard)
                relay_media_due(r);
        else if (r->broadcast->finish && (!more || relay_overdue(r)))
                relay_end_stream(r);
        else if (more && (r->ack.credit == 0 || stuck))
                relay_wait(r, NO_CREDIT_MS);
        else if (more && (r->broadcast->finish || relay_replay(r)->tail - r->ack.sent >= BATCH_FRAMES_MAX / 4))
                relay_send(r);
        else if (more)
                relay_media_due(r);
        else
                relay_wait(r, KEEPALIVE_MS);
}

static void go_on_standing_by(struct relay *r)
{
        if (is_to_lead(r))
                relay_send(r);
        else if (r->broadcast->finish)
                relay_end_stream(r);
        else
                relay_wait(r, STANDBY_MS);
}

/* Without frames, and there is time until the next beat. */
static void ask(struct relay *r)
{
        if (in_step(r))
                shipment_join(&r->all->shipments, &r->at);
}

void relay_media_live_timer(struct relay *r)
{
        if (r->at.aboard) {
                if (has_more(r))
                        relay_media_due(r);
                return;
        }
        bool over = r->broadcast->finish && (r->ack.taken >= relay_replay(r)->tail || relay_overdue(r));
        if (over && !is_to_lead(r))
                relay_end_stream(r);
        else if (has_more(r) || r->broadcast->finish || is_to_lead(r))
                relay_send(r);
        else
                ask(r);
}

void relay_media_standby_timer(struct relay *r)
{
        if (r->at.aboard)
                return;
        if (r->broadcast->finish && !is_to_lead(r))
                relay_end_stream(r);
        else if (is_to_lead(r))
                relay_send(r);
        else
                ask(r);
}

void relay_become_live(struct relay *r, bool standby)
{
        relay_set_state(r, standby ? RELAY_STANDBY : RELAY_LIVE);
        r->live_us = clock_mono_us();
        relay_send(r);
}

/* Batches are answered --------------------------------------------------------------------------------------------- */

/* It stands by, or did until now: nothing of the replay was asked for, and what is stored is another's, at the same places. */
static void stand_by(struct relay *r, const struct media_reply *m)
{
        const struct broadcast *b = r->broadcast;
        relay_ground(r);
        replay_trim(relay_replay(r), &r->reader, m->stored_us, relay_replay(r)->tail);
        acknowledged_stay(&r->ack, relay_replay(r)->head, m->next_seq);
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

void relay_media_standby_answered(struct relay *r, const struct media_reply *m, const struct shipment_batch *of)
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
        replay_trim(relay_replay(r), &r->reader, m->stored_us, r->ack.taken);
        r->events->taken(r->pair);
}

void relay_media_live_answered(struct relay *r, const struct media_reply *m, const struct shipment_batch *of)
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
        enum acknowledged_verdict verdict = acknowledged_read(&r->ack, m->next_seq, of->end, relay_replay(r)->head, &k);
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
        r->does[r->state].answered(r, m, of);
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

const struct shipment_ops relay_media_shipment = {.fill = fill, .asks = asks, .answered = on_answered};
