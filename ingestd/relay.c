/* A stream's media on its way to the transcoder that has it, and the life of the relay. Finding one is relay_seek.c's.
 */
#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/timer.h"
#include "ingestd/relay_impl.h"
#include "ingestd/rtmp_close.h"
#include "ingestd/stats.h"

#define NO_CREDIT_MS 20     /* until a transcoder that took nothing is asked again */
#define BUSY_MAX_US 2000000 /* a transcoder may be too busy to answer for so long */
#define AGAIN_US 10000000   /* what happens more often than its limit within this time will not get better */
#define FENCED_MAX 3
#define FORGOTTEN_MAX 2
#define POKED_MS 50 /* transcoders that come back are not asked by all streams at once */

static const char *const state_names[] = {"idle", "seeking", "opening", "live", "leaving", "closing", "done"};

static void send_batch(struct relay *r);

const char *relay_session(const struct relay *r)
{
        return *r->pair->session ? r->pair->session : "-";
}

/* What is under way says nothing any more: of all that was not taken it is not known whether it will be. */
void relay_ground(struct relay *r)
{
        beat_forget(&r->pair->all->beat, &r->at);
        r->sent = r->cursor;
        r->going_back = false;
}

void relay_set_state(struct relay *r, enum relay_state next)
{
        if (r->state != next)
                log_debug("session=%s stream=%s msg=\"relay: %s -> %s\"", relay_session(r), r->pair->stream.stream,
                          state_names[r->state], state_names[next]);
        if (r->state != RELAY_LIVE && next == RELAY_LIVE)
                replay_attach(r->pair->replay, &r->reader);
        else if (next != RELAY_LIVE)
                replay_detach(r->pair->replay, &r->reader);
        if (next != RELAY_LIVE)
                relay_ground(r);
        r->state = next;
        relay_pair_changed(r->pair);
}

void relay_set_standby(struct relay *r, bool standby)
{
        stats_add(STAT_STANDBY, standby - r->standby);
        r->standby = standby;
        r->pair->active = !standby;
        relay_pair_changed(r->pair);
}

static void on_timer(uv_timer_t *timer);

void relay_wait(struct relay *r, uint64_t ms)
{
        timer_start(&r->timer, on_timer, ms);
}

void relay_become_done(struct relay *r)
{
        relay_set_state(r, RELAY_DONE);
        if (r->standby)
                relay_set_standby(r, false);
        r->at.rpc = NULL;
        relay_wait(r, 0);
}

bool relay_busy(const struct relay *r)
{
        return r->call || r->at.aboard;
}

bool relay_finish_overdue(const struct relay *r)
{
        return r->pair->finish && clock_mono_us() >= r->pair->finish_by_us;
}

void relay_refuse(struct relay *r, int reason, const char *code, const char *text)
{
        r->pair->refused = true;
        relay_become_done(r);
        r->pair->events->refused(r->pair->arg, reason, code, text);
}

/* Calls ----------------------------------------------------------------------------------------------------------- */

static void lost(struct relay *r, const char *why);

static void on_called(void *arg, int err, nng_msg *reply)
{
        struct relay *r = arg;
        r->call = NULL;
        if (err == 0 && !r->at.rpc)
                err = ERR_CLOSED; /* it answered, and was forgotten before that was read */
        if (r->state == RELAY_OPENING)
                relay_on_opened(r, err, reply);
        else if (r->state == RELAY_LEAVING)
                relay_pair_left(r);
        else if (r->state == RELAY_CLOSING && err && !relay_finish_overdue(r))
                lost(r, err_text(err)); /* with frames that may not have been stored */
        else if (r->state == RELAY_CLOSING || r->state == RELAY_DONE)
                relay_become_done(r);
        if (reply)
                nng_msg_free(reply);
}

void relay_call(struct relay *r, nng_msg *request, unsigned timeout_ms)
{
        assert(!relay_busy(r));
        beat_leave(&r->pair->all->beat, &r->at);
        uv_timer_stop(&r->timer);
        r->call = r->pair->all->link->call(r->at.rpc, request, timeout_ms, on_called, r);
}

void relay_become_live(struct relay *r)
{
        relay_set_state(r, RELAY_LIVE);
        r->live_us = clock_mono_us();
        send_batch(r);
}

static void send_close(struct relay *r, enum relay_state next, enum close_reason why)
{
        struct close_stream m = {.handle = r->handle, .reason = (uint8_t)why};
        relay_set_state(r, next);
        relay_call(r, message_new(MSG_CLOSE, close_stream_encode, &m), RELAY_CLOSE_MS);
}

/* What was sent to one that is lost may be stored, as far as anybody here knows. */
static uint64_t untaken(const struct relay *r)
{
        uint64_t from = r->state == RELAY_LIVE ? r->cursor : r->pair->sent, tail = r->pair->replay->tail;
        from = from > r->pair->replay->head ? from : r->pair->replay->head;
        return from < tail && !r->standby ? tail - from : 0;
}

void relay_say_untaken(const struct relay *r)
{
        stats_add(STAT_UNTAKEN_FRAMES, (int64_t)untaken(r));
        log_warn("session=%s stream=%s frames=%" PRIu64 " msg=\"no transcoder took the end of the stream\"", relay_session(r),
                 r->pair->stream.stream, untaken(r));
}

static void end_stream(struct relay *r)
{
        if (untaken(r) > 0)
                relay_say_untaken(r);
        send_close(r, RELAY_CLOSING, r->pair->finish);
}

void relay_leave(struct relay *r)
{
        send_close(r, RELAY_LEAVING, CLOSE_LEAVE);
}

/* Media ----------------------------------------------------------------------------------------------------------- */

/* One that stands by comes after the active one, which has more, and goes where that went. */
static void leave(struct relay *r)
{
        if (!r->standby) {
                relay_seek_next(r);
                return;
        }
        r->at.rpc = NULL;
        r->tried_count = 0;
        r->asking = true;
        relay_set_state(r, RELAY_SEEKING);
        relay_wait(r, RELAY_FOLLOW_MS);
}

static void lost(struct relay *r, const char *why)
{
        relay_ground(r);
        if (!relay_leads(r)) {
                relay_pair_lost_shadow(r, why);
                return;
        }
        log_warn("session=%s stream=%s transcoder=%s msg=\"transcoder lost\" why=\"%s\"", r->pair->session,
                 r->pair->stream.stream, r->address, why);
        stats_add(STAT_FAILOVERS, 1);
        if (!relay_pair_swap(r->pair, why, false))
                leave(r);
}

static struct relay *relay_of(struct beat_member *m)
{
        return (void *)((char *)m - offsetof(struct relay, at));
}

/* The next frame to be sent is the first in the buffer, whichever that is by now, and has this number. */
static void stay_at(struct relay *r, uint64_t seq)
{
        r->most_sent = r->sent = r->cursor = r->pair->replay->head;
        r->wire_zero = r->cursor - seq;
}

static bool is_behind(const struct relay *r)
{
        return !r->standby && (r->reader.behind || r->cursor < r->pair->replay->head);
}

/* What is next, from `sent` on. */
static bool fill(struct beat_member *m, struct media *part, struct frame *room, unsigned most, size_t max_bytes, uint64_t *end)
{
        struct relay *r = relay_of(m);
        size_t bytes = 0;
        uint64_t in_flight = r->sent - r->cursor;
        if (r->state != RELAY_LIVE)
                return false;
        if (r->standby)
                stay_at(r, r->cursor - r->wire_zero);
        if (is_behind(r)) { /* the buffer ran over since it became due */
                relay_wait(r, 0);
                return false;
        }
        *part = (struct media){.handle = r->handle,
                               .first_seq = r->sent - r->wire_zero,
                               .fresh = r->fresh || r->pair->held,
                               .shadow = !relay_leads(r),
                               .frames = room};
        r->fresh = false;
        r->says_shadow = part->shadow;
        uint64_t credit = r->credit > in_flight ? r->credit - in_flight : 0;
        if (credit < most)
                most = (unsigned)credit;
        if (r->standby)
                most = 0;
        for (; part->count < most && r->sent + part->count < r->pair->replay->tail; part->count++) {
                const struct frame *f = replay_at(r->pair->replay, r->sent + part->count);
                if (part->count > 0 && bytes + f->bytes->len > max_bytes)
                        break;
                bytes += f->bytes->len;
                room[part->count] = *f;
        }
        *end = r->sent += part->count;
        r->most_sent = r->sent > r->most_sent ? r->sent : r->most_sent;
        if (relay_leads(r) && r->sent > r->pair->sent)
                r->pair->sent = r->sent;
        r->sent_us = clock_mono_us();
        uv_timer_stop(&r->timer);
        return true;
}

/* False: it is behind what the buffer still has, and was left. */
static bool in_step(struct relay *r)
{
        if (!is_behind(r))
                return true;
        lost(r, "it takes nothing for longer than the replay buffer holds");
        return false;
}

static void send_batch(struct relay *r)
{
        if (in_step(r))
                beat_now(&r->pair->all->beat, &r->at);
}

void relay_send(struct relay *r)
{
        send_batch(r);
}

/* It is so far away that the next batch need not wait for the answer to the one before. */
static bool is_far(const struct relay *r)
{
        return r->answer_us >= RELAY_FAR_US;
}

/* When another batch may go while some are under way: they leave one after the other in as long as an answer takes, or they would
 * all leave at once whenever one is answered. INT64_MAX: when one is answered. */
static int64_t next_batch_us(const struct relay *r)
{
        if (!is_far(r) || r->going_back || r->at.aboard >= RELAY_WINDOW || r->credit <= r->sent - r->cursor)
                return INT64_MAX;
        return r->sent_us + r->answer_us / RELAY_WINDOW;
}

static void become_due(struct relay *r)
{
        int64_t at_us = r->at.aboard ? next_batch_us(r) : 0, in_us = at_us - clock_mono_us();
        if (at_us == INT64_MAX)
                return;
        if (in_us > 0)
                relay_wait(r, (uint64_t)in_us / US_PER_MS + 1);
        else if (in_step(r))
                beat_join(&r->pair->all->beat, &r->at);
}

/* It leads, and its transcoder does not know yet. */
static bool is_to_lead(const struct relay *r)
{
        return r->said_shadow && relay_leads(r);
}

/* Others are under way. */
static void go_on_flying(struct relay *r, bool more)
{
        if (more)
                become_due(r);
}

/* What to do until the next answer: the batch is back. */
static void go_on(struct relay *r, bool stuck)
{
        bool more = !r->standby && r->sent < r->pair->replay->tail;
        if (is_to_lead(r))
                send_batch(r);
        else if (r->at.aboard) /* their answers may say that more was taken */
                go_on_flying(r, more && !relay_finish_overdue(r));
        else if (r->pair->finish && (!more || relay_finish_overdue(r)))
                end_stream(r);
        else if (more && (r->credit == 0 || stuck))
                relay_wait(r, NO_CREDIT_MS);
        else if (more && (r->pair->finish || r->pair->replay->tail - r->sent >= BATCH_FRAMES_MAX / 4))
                send_batch(r);
        else if (more)
                become_due(r);
        else
                relay_wait(r, r->standby ? RELAY_STANDBY_MS : RELAY_KEEPALIVE_MS);
}

/* A transcoder that wants to leave is left as soon as there is another one. */
static bool move_away(struct relay *r)
{
        int64_t now = clock_mono_us();
        struct relay_candidate best;
        if (!relay_leads(r))
                return false; /* its transcoder gives it up by itself */
        if (relay_pair_may_swap(r->pair)) {
                stats_add(STAT_MOVES, 1);
                return relay_pair_swap(r->pair, "it drains", true);
        }
        if (relay_pair_shadow_is_near(r->pair))
                return false;
        if (r->pair->finish || (r->moved_us && now - r->moved_us < MOVE_AGAIN_US))
                return false;
        if (r->pair->all->link->walk(r->pair->all->link_arg, r->pair->stream.stream, &best, 1) == 0 ||
            best.draining || strcmp(best.address, r->address) == 0)
                return false;
        r->moved_us = now;
        stats_add(STAT_MOVES, 1);
        log_info("session=%s stream=%s transcoder=%s msg=\"moving away, it drains\"", r->pair->session,
                 r->pair->stream.stream, r->address);
        leave(r);
        return true;
}

static void open_anew(struct relay *r, const char *why)
{
        log_warn("session=%s stream=%s transcoder=%s msg=\"opening again\" why=\"%s\"", r->pair->session,
                 r->pair->stream.stream, r->address, why);
        relay_seek_anew(r);
}

/* It stands by, or did until now: nothing of the buffer was asked for, and what is stored is another's, at the same
 * places. */
static void on_stood_by(struct relay *r, const struct media_reply *m)
{
        bool promoted = !m->standby;
        replay_trim(r->pair->replay, &r->reader, m->stored_us, r->pair->replay->tail);
        stay_at(r, m->next_seq);
        r->credit = m->credit;
        r->at.takes_many = m->takes_many;
        if (r->standby != (bool)m->standby)
                log_info("session=%s stream=%s transcoder=%s frames=%" PRIu64 " msg=\"%s\"", r->pair->session,
                         r->pair->stream.stream, r->address, r->pair->replay->tail - r->pair->replay->head,
                         m->standby ? "stands by: another broadcaster is active" : "active now");
        relay_set_standby(r, m->standby);
        r->pair->events->taken(r->pair->arg);
        if (promoted && r->opened_configs != r->pair->replay->config_changes)
                open_anew(r, "the codec configuration has changed");
        else if (!m->draining || !move_away(r))
                go_on(r, false);
}

/* At the end of a stream what is left is sent as long as it is taken: that of a film may be seconds. */
static void take_longer(struct relay_pair *p)
{
        if (!p->finish || p->all->leaving)
                return;
        int64_t by_us = clock_mono_us() + RELAY_FINISH_MS * US_PER_MS;
        p->finish_by_us = by_us < p->finish_most_us ? by_us : p->finish_most_us;
}

/* It had no room for all, or a batch has overtaken the one before it. */
static void go_back(struct relay *r, uint64_t frames)
{
        if (!r->going_back && r->at.aboard)
                log_debug("session=%s stream=%s transcoder=%s frames=%" PRIu64 " batches=%u msg=\"some frames were not taken: again\"",
                          relay_session(r), r->pair->stream.stream, r->address, frames, r->at.aboard);
        r->going_back = true;
}

static void on_taken(struct relay *r, const struct media_reply *m, const struct beat_batch *of)
{
        if (m->standby && !relay_leads(r)) {
                lost(r, "it has another broadcaster");
                return;
        }
        if (r->standby || m->standby) {
                relay_ground(r);
                on_stood_by(r, m);
                return;
        }
        uint64_t taken = r->wire_zero + m->next_seq;
        if (taken > r->most_sent) {
                r->pair->all->link->drop(r->at.rpc, "took frames that it was not sent");
                lost(r, "answer makes no sense");
                return;
        }
        if (r->reader.behind && !in_step(r))
                return;
        if (of->end < r->cursor && taken < r->cursor) { /* a later one overtook it, and what it says was taken may be gone from the buffer */
                if (r->going_back && !r->at.aboard)
                        relay_ground(r);
                go_on(r, false);
                return;
        }
        if (taken < r->pair->replay->head) {
                lost(r, "it wants frames that are stored already");
                return;
        }
        bool stuck = taken <= r->cursor && of->end > r->cursor;
        if (taken > r->cursor)
                take_longer(r->pair);
        if (taken < of->end)
                go_back(r, of->end - taken);
        r->cursor = taken;
        if (r->sent < r->cursor || (r->going_back && !r->at.aboard))
                relay_ground(r);
        r->credit = m->credit;
        r->at.takes_many = m->takes_many;
        replay_trim(r->pair->replay, &r->reader, m->stored_us, taken);
        r->pair->events->taken(r->pair->arg);
        if (!m->draining || !move_away(r))
                go_on(r, stuck);
}

/* True when it happened more than most times within AGAIN_US. */
bool relay_too_often(struct relay_limit *l, unsigned most)
{
        int64_t now = clock_mono_us();
        if (!l->since_us || now - l->since_us > AGAIN_US)
                *l = (struct relay_limit){.since_us = now};
        return ++l->times > most;
}

static void taken_over(struct relay *r)
{
        relay_refuse(r, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName", "the stream is published elsewhere");
}

/* Another transcoder has the session: the other broadcaster of the stream has led it there, or an OPEN of ours that was
 * given up for lost; or ours has connected to another proxy, whose place is then not to be taken from it. */
static void on_fenced(struct relay *r)
{
        if (relay_pair_swap_turned_out(r->pair, "fenced"))
                return;
        if (relay_too_often(&r->pair->turned_out, FENCED_MAX)) {
                taken_over(r);
                return;
        }
        log_warn("session=%s stream=%s transcoder=%s msg=\"following the session to another transcoder\"",
                 r->pair->session, r->pair->stream.stream, r->address);
        r->pair->active = false;
        r->following = true;
        r->asking = true;
        relay_seek_next(r);
}

/* The transcoder gave the session up, or another proxy has opened it there. */
static void on_forgotten(struct relay *r)
{
        if (relay_pair_swap_turned_out(r->pair, "handle not known any more"))
                return;
        if (relay_too_often(&r->pair->turned_out, FORGOTTEN_MAX))
                relay_refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Failed",
                             "the stream cannot be kept: published elsewhere, or of no use to the transcoder");
        else
                open_anew(r, "handle not known any more");
}

static void on_media_status(struct relay *r, const struct media_reply *m, const struct beat_batch *of)
{
        if (m->status && m->status != ERR_ORDER)
                relay_ground(r);
        if (!relay_leads(r) && m->status && m->status != ERR_ORDER) {
                lost(r, err_text(m->status));
                return;
        }
        switch (m->status) {
        case 0:
        case ERR_ORDER:
                relay_pair_heard(r, m->generation);
                on_taken(r, m, of);
                break;
        case ERR_FENCED:
                on_fenced(r);
                break;
        case ERR_CONFLICT:
                taken_over(r);
                break;
        case ERR_NOT_FOUND:
                on_forgotten(r);
                break;
        case ERR_CLOSED:
                if (r->pair->finish)
                        relay_become_done(r);
                else if (!relay_pair_swap_turned_out(r->pair, "session ended"))
                        open_anew(r, "session ended");
                break;
        default:
                lost(r, err_text(m->status));
        }
}

/* Too many requests there, or too many calls here: no reason to leave it, for a while. */
static void on_busy(struct relay *r)
{
        int64_t now = clock_mono_us();
        if (!r->busy_since_us)
                r->busy_since_us = now;
        if (now - r->busy_since_us > BUSY_MAX_US)
                lost(r, err_text(ERR_FULL));
        else
                relay_wait(r, NO_CREDIT_MS);
}

/* The least of late, which grows slowly: a transcoder that is busy for a moment is not far away. */
static void note_answer(struct relay *r, int64_t took_us)
{
        bool less = !r->answer_us || took_us < r->answer_us;
        r->answer_us = less ? took_us : r->answer_us + (took_us - r->answer_us) / 32;
}

static void on_answered(struct beat_member *m, int err, const struct media_reply *reply, const struct beat_batch *of)
{
        struct relay *r = relay_of(m);
        assert(r->state == RELAY_LIVE);
        if (!err) {
                r->said_shadow = r->says_shadow;
                note_answer(r, of->took_us);
        }
        if (err || (!relay_leads(r) && !relay_pair_wants_shadow(r->pair)))
                relay_ground(r);
        if (!relay_leads(r) && !relay_pair_wants_shadow(r->pair)) { /* since it was sent */
                if (err)
                        relay_pair_left(r);
                else
                        relay_leave(r);
        } else if (err == ERR_FULL) {
                on_busy(r);
        } else if (err) {
                lost(r, err == ERR_CANCELED ? "it is gone" : err_text(err));
        } else {
                r->busy_since_us = 0;
                on_media_status(r, reply, of);
        }
}

static const struct beat_ops beat_ops = {.fill = fill, .answered = on_answered};

static void on_timer(uv_timer_t *timer)
{
        struct relay *r = timer->data;
        if (r->state == RELAY_LIVE && r->at.aboard)
                go_on_flying(r, r->sent < r->pair->replay->tail);
        if (relay_busy(r))
                return;
        if (r->state == RELAY_SEEKING)
                relay_seek(r);
        else if (r->state == RELAY_LIVE && r->pair->finish && !is_to_lead(r) &&
                 (r->standby || r->cursor >= r->pair->replay->tail || relay_finish_overdue(r)))
                end_stream(r);
        else if (r->state == RELAY_LIVE)
                send_batch(r);
        else if (r->state == RELAY_DONE)
                relay_pair_on_done(r->pair); /* may free r */
}

/* Life ------------------------------------------------------------------------------------------------------------ */

void relays_open(struct relays *rs)
{
        beat_open(&rs->beat, rs->loop, rs->gather_ms, rs->link, &beat_ops);
}

void relays_close(struct relays *rs)
{
        beat_close(&rs->beat);
}

struct relay *relay_new(struct relay_pair *p)
{
        struct relay *r = mem_alloc(sizeof(*r));
        r->pair = p;
        uv_timer_init(p->all->loop, &r->timer);
        r->timer.data = r;
        return r;
}

void relay_kick(struct relay *r)
{
        r->fresh = true;
        if (r->state != RELAY_LIVE || r->standby || r->call || r->at.due)
                return;
        if (r->at.aboard)
                go_on_flying(r, true);
        else if (r->credit > 0)
                become_due(r);
}

void relay_poke(struct relay *r)
{
        if (r->state != RELAY_SEEKING)
                return;
        r->tried_count = 0;
        r->rounds = 0;
        if (!r->standby)
                relay_wait(r, (unsigned)rand() % POKED_MS);
}

static bool uses(const struct relay *r, const struct rpc_client *c)
{
        return c && r->at.rpc == c;
}

void relay_lose(struct relay *r, const struct rpc_client *gone)
{
        if (!uses(r, gone))
                return;
        if (relay_busy(r)) {
                r->at.rpc = NULL; /* the answer, or that there is none, goes on from here */
                if (r->call)
                        r->pair->all->link->cancel(r->call);
                else
                        beat_cancel(&r->pair->all->beat, &r->at);
        } else if (r->state == RELAY_LIVE) {
                lost(r, "it is gone");
        }
}

void relay_finish(struct relay *r)
{
        if (r->state == RELAY_IDLE) {
                if (untaken(r) > 0) /* it was not its turn yet */
                        relay_say_untaken(r);
                relay_become_done(r);
        } else if (r->state == RELAY_LIVE && !relay_busy(r)) {
                relay_wait(r, 0);
        }
}

static void on_timer_closed(uv_handle_t *h)
{
        free(h->data);
}

void relay_free(struct relay *r)
{
        assert(r->state == RELAY_DONE && !relay_busy(r));
        beat_leave(&r->pair->all->beat, &r->at);
        uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
