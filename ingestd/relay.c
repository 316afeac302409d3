#include "ingestd/relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "ingestd/rtmp_close.h"
#include "ingestd/stats.h"

#define WAIT_FIRST_MS 100      /* between rounds over all transcoders; then doubled */
#define WAIT_MAX_MS 2000
#define NO_CREDIT_MS 20        /* until a transcoder that took nothing is asked again */
#define BUSY_MAX_US 2000000    /* a transcoder may be too busy to answer for so long */
#define AGAIN_US 10000000 /* what happens more often than its limit within this time will not get better */
#define FENCED_MAX 1
#define FORGOTTEN_MAX 2
#define MOVE_AGAIN_US 10000000

enum relay_state { RELAY_NEW, RELAY_SEEKING, RELAY_OPENING, RELAY_LIVE, RELAY_CLOSING, RELAY_DONE };
static const char *const state_names[] = {"new", "seeking", "opening", "live", "closing", "done"};

struct relay {
        struct relays *all;
        struct relay_stream stream;
        struct timeline *timeline;
        struct replay *replay;
        const struct relay_events *events;
        void *arg;
        enum relay_state state;
        uv_timer_t timer;

        struct beat_member at; /* the transcoder, OPENING to CLOSING; rpc is NULL once it is no longer ours to use */
        char address[64];      /* of it */
        struct rpc_call *call; /* OPEN or CLOSE under way; its done() finds the state that it is to act on */
        char tried[RELAY_CANDIDATES][64];
        unsigned tried_count;
        unsigned wait_ms;

        char session[SESSION_ID_MAX + 1];
        uint64_t handle;
        uint64_t cursor;     /* the frame to send next */
        uint64_t wire_zero;  /* the frame that was number 0 of this handle */
        uint64_t batch_end;  /* of the batch in flight, which begins at cursor */
        uint64_t sent, taken; /* how far any transcoder was sent, and took, frames */
        uint32_t credit;
        unsigned opened_configs; /* replay->config_changes that OPEN carried */
        int64_t offered_epoch_us;
        int64_t busy_since_us, moved_us, turned_out_us; /* 0: not */
        unsigned turned_out; /* times since turned_out_us that the transcoder did not know the handle any more */

        bool refused;
        enum close_reason finish; /* 0: the stream goes on */
        int64_t finish_by_us;
};

static void seek(struct relay *r);
static void send_batch(struct relay *r);

static const char *session_of(const struct relay *r)
{
        return *r->session ? r->session : "-";
}

static void set_state(struct relay *r, enum relay_state next)
{
        if (r->state != next)
                log_debug("session=%s stream=%s msg=\"relay: %s -> %s\"", session_of(r), r->stream.stream,
                          state_names[r->state], state_names[next]);
        r->state = next;
}

static void on_timer(uv_timer_t *timer);

static void wait_for(struct relay *r, uint64_t ms)
{
        uv_timer_start(&r->timer, on_timer, ms, 0);
}

static void become_done(struct relay *r)
{
        set_state(r, RELAY_DONE);
        r->at.rpc = NULL;
        wait_for(r, 0);
}

static bool busy(const struct relay *r)
{
        return r->call || r->at.aboard;
}

static bool finish_overdue(const struct relay *r)
{
        return r->finish && clock_mono_us() >= r->finish_by_us;
}

/* Choosing a transcoder ------------------------------------------------------------------------------------------- */

static bool was_tried(const struct relay *r, const char *address)
{
        for (unsigned i = 0; i < r->tried_count; i++) {
                if (strcmp(r->tried[i], address) == 0)
                        return true;
        }
        return false;
}

static void note_tried(struct relay *r)
{
        if (r->tried_count < RELAY_CANDIDATES && !was_tried(r, r->address))
                memcpy(r->tried[r->tried_count++], r->address, sizeof(r->address));
}

static bool choose(struct relay *r)
{
        struct relay_candidate found[RELAY_CANDIDATES];
        size_t n = r->all->link->walk(r->all->link_arg, r->stream.stream, found, RELAY_CANDIDATES);
        for (size_t i = 0; i < n; i++) {
                if (!was_tried(r, found[i].address)) {
                        r->at.rpc = found[i].rpc;
                        memcpy(r->address, found[i].address, sizeof(r->address));
                        return true;
                }
        }
        return false;
}

/* A quarter more or less, so that the streams of a dead transcoder do not all come back at the same instant. */
static uint64_t jittered(unsigned ms)
{
        return ms - ms / 4 + (unsigned)rand() % (ms / 2 + 1);
}

static void wait_and_seek(struct relay *r, unsigned wait_ms)
{
        set_state(r, RELAY_SEEKING);
        r->tried_count = 0;
        r->wait_ms = wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS;
        wait_for(r, jittered(r->wait_ms));
}

/* This transcoder will not do: the next one, at once. */
static void next_transcoder(struct relay *r)
{
        note_tried(r);
        r->at.rpc = NULL;
        seek(r);
}

static void refuse(struct relay *r, int reason, const char *code, const char *text)
{
        r->refused = true;
        become_done(r);
        r->events->refused(r->arg, reason, code, text);
}

/* Opening --------------------------------------------------------------------------------------------------------- */

/* A session that has ended meanwhile is followed by one that begins with what is left in the buffer. */
static int64_t epoch_to_offer(const struct relay *r)
{
        int64_t start = replay_start_us(r->replay);
        return r->timeline->epoch_us + (start > 0 ? start - start % US_PER_MS : 0);
}

static nng_msg *open_message(struct relay *r)
{
        struct open m = {.epoch_us = r->offered_epoch_us};
        snprintf(m.stream, sizeof(m.stream), "%s", r->stream.stream);
        snprintf(m.publisher, sizeof(m.publisher), "%s", r->stream.publisher);
        snprintf(m.encoder, sizeof(m.encoder), "%s", r->stream.encoder);
        snprintf(m.title, sizeof(m.title), "%s", r->stream.title);
        for (int k = 0; k < TRACK_KINDS; k++) {
                const struct buf *config = r->replay->config[k].bytes;
                m.codecs[k] = r->replay->config[k].codec;
                m.config[k].data = config ? config->data : NULL;
                m.config[k].len = config ? (uint16_t)config->len : 0;
        }
        return message_new(MSG_OPEN, open_encode, &m);
}

/* Frames move to the epoch of the session. One that begins now has its first picture at 0. */
static void adopt_epoch(struct relay *r, const struct open_reply *m)
{
        bool same = strcmp(r->session, m->session) == 0;
        int64_t delta = r->timeline->epoch_us - m->epoch_us;
        if (!same && m->epoch_us == r->offered_epoch_us && r->replay->head < r->replay->tail)
                delta = -replay_start_us(r->replay);
        if (delta == 0 && m->epoch_us == r->timeline->epoch_us)
                return;
        timeline_move(r->timeline, m->epoch_us, delta);
        replay_move(r->replay, delta);
}

static void adopt(struct relay *r, const struct open_reply *m)
{
        adopt_epoch(r, m);
        bool again = *r->session;
        memcpy(r->session, m->session, sizeof(r->session));
        r->handle = m->handle;
        r->tried_count = 0;
        r->wait_ms = 0;
        r->busy_since_us = 0;
        r->credit = BATCH_FRAMES_MAX;
        r->at.takes_many = false;
        r->cursor = r->wire_zero = r->replay->head;
        uint64_t again_frames = r->sent > r->cursor ? r->sent - r->cursor : 0;
        stats_add(STAT_OPENS, 1);
        stats_add(STAT_REPLAYED_FRAMES, (int64_t)again_frames);
        log_info("session=%s stream=%s transcoder=%s generation=%u replayed_frames=%" PRIu64 " msg=\"%s\"", r->session,
                 r->stream.stream, r->address, m->generation, again_frames, again ? "opened again" : "opened");
        set_state(r, RELAY_LIVE);
        if (r->opened_configs != r->replay->config_changes)
                seek(r); /* the buffer ran over meanwhile, and begins with another configuration now */
        else
                send_batch(r);
}

static void open_refused(struct relay *r, const struct open_reply *m)
{
        char quoted[192];
        log_warn("stream=%s transcoder=%s error=\"%s\" msg=\"not opened\" why=%s", r->stream.stream, r->address,
                 err_text(m->status), log_quote(quoted, sizeof(quoted), m->text));
        const char *text = *m->text ? m->text : err_text(m->status);
        if (m->status == ERR_NOT_YET && r->finish)
                become_done(r); /* CLOSE got through, its answer did not */
        else if (m->status == ERR_NOT_YET) /* it stores the end of the session before; another would go on with it */
                wait_and_seek(r, WAIT_FIRST_MS);
        else if (m->status == ERR_DENIED)
                refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Denied", text);
        else if (m->status == ERR_UNSUPPORTED)
                refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", text);
        else
                next_transcoder(r);
}

static void on_opened(struct relay *r, int err, nng_msg *reply)
{
        struct reader reader;
        struct open_reply m;
        if (err) {
                log_warn("stream=%s transcoder=%s error=\"%s\" msg=\"not opened\"", r->stream.stream, r->address,
                         err_text(err));
                next_transcoder(r);
        } else if (message_open(&reader, reply) != MSG_OPEN_REPLY || open_reply_decode(&reader, &m)) {
                r->all->link->drop(r->at.rpc, "malformed answer to OPEN");
                next_transcoder(r);
        } else if (m.status) {
                open_refused(r, &m);
        } else {
                adopt(r, &m);
        }
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
                on_opened(r, err, reply);
        else if (r->state == RELAY_CLOSING && err && !finish_overdue(r))
                lost(r, err_text(err)); /* with frames that may not have been stored */
        else if (r->state == RELAY_CLOSING || r->state == RELAY_DONE)
                become_done(r);
        if (reply)
                nng_msg_free(reply);
}

static void call(struct relay *r, nng_msg *request, unsigned timeout_ms)
{
        assert(!busy(r));
        beat_leave(&r->all->beat, &r->at);
        uv_timer_stop(&r->timer);
        r->call = r->all->link->call(r->at.rpc, request, timeout_ms, on_called, r);
}

static void seek(struct relay *r)
{
        if (finish_overdue(r)) {
                log_warn("session=%s stream=%s frames=%" PRIu64 " msg=\"no transcoder took the end of the stream\"",
                         session_of(r), r->stream.stream, r->replay->tail - r->replay->head);
                become_done(r);
                return;
        }
        set_state(r, RELAY_SEEKING);
        if (!choose(r)) {
                wait_and_seek(r, r->wait_ms ? 2 * r->wait_ms : WAIT_FIRST_MS);
                return;
        }
        set_state(r, RELAY_OPENING);
        r->offered_epoch_us = epoch_to_offer(r);
        r->opened_configs = r->replay->config_changes;
        call(r, open_message(r), RELAY_OPEN_MS);
}

static void send_close(struct relay *r)
{
        struct close_stream m = {.handle = r->handle, .reason = (uint8_t)r->finish};
        set_state(r, RELAY_CLOSING);
        call(r, message_new(MSG_CLOSE, close_stream_encode, &m), RELAY_CLOSE_MS);
}

/* Media ----------------------------------------------------------------------------------------------------------- */

static void lost(struct relay *r, const char *why)
{
        log_warn("session=%s stream=%s transcoder=%s msg=\"transcoder lost\" why=\"%s\"", r->session, r->stream.stream,
                 r->address, why);
        stats_add(STAT_FAILOVERS, 1);
        next_transcoder(r);
}

static struct relay *relay_of(struct beat_member *m)
{
        return (void *)((char *)m - offsetof(struct relay, at));
}

/* What is next, from cursor on. */
static bool fill(struct beat_member *m, struct media *part, struct frame *room, unsigned most, size_t max_bytes)
{
        struct relay *r = relay_of(m);
        size_t bytes = 0;
        if (r->state != RELAY_LIVE)
                return false;
        if (r->cursor < r->replay->head) { /* the buffer ran over since it became due */
                wait_for(r, 0);
                return false;
        }
        *part = (struct media){.handle = r->handle, .first_seq = r->cursor - r->wire_zero, .frames = room};
        if (r->credit < most)
                most = r->credit;
        for (; part->count < most && r->cursor + part->count < r->replay->tail; part->count++) {
                const struct frame *f = replay_at(r->replay, r->cursor + part->count);
                if (part->count > 0 && bytes + f->bytes->len > max_bytes)
                        break;
                bytes += f->bytes->len;
                room[part->count] = *f;
        }
        r->batch_end = r->cursor + part->count;
        if (r->batch_end > r->sent)
                r->sent = r->batch_end;
        uv_timer_stop(&r->timer);
        return true;
}

/* False: it is behind what the buffer still has, and was left. */
static bool in_step(struct relay *r)
{
        if (r->cursor >= r->replay->head)
                return true;
        lost(r, "it takes nothing for longer than the replay buffer holds");
        return false;
}

static void send_batch(struct relay *r)
{
        if (in_step(r))
                beat_now(&r->all->beat, &r->at);
}

static void become_due(struct relay *r)
{
        if (in_step(r))
                beat_join(&r->all->beat, &r->at);
}

/* What to do until the next answer: the batch is back. */
static void go_on(struct relay *r, bool stuck)
{
        bool more = r->cursor < r->replay->tail;
        if (r->finish && (!more || finish_overdue(r)))
                send_close(r);
        else if (more && (r->credit == 0 || stuck))
                wait_for(r, NO_CREDIT_MS);
        else if (more && (r->finish || r->replay->tail - r->cursor >= BATCH_FRAMES_MAX / 4))
                send_batch(r);
        else if (more)
                become_due(r);
        else
                wait_for(r, RELAY_KEEPALIVE_MS);
}

/* A transcoder that wants to leave is left as soon as there is another one. */
static bool move_away(struct relay *r)
{
        int64_t now = clock_mono_us();
        struct relay_candidate best;
        if (r->finish || (r->moved_us && now - r->moved_us < MOVE_AGAIN_US))
                return false;
        if (r->all->link->walk(r->all->link_arg, r->stream.stream, &best, 1) == 0 ||
            strcmp(best.address, r->address) == 0)
                return false;
        r->moved_us = now;
        stats_add(STAT_MOVES, 1);
        log_info("session=%s stream=%s transcoder=%s msg=\"moving away, it drains\"", r->session, r->stream.stream,
                 r->address);
        next_transcoder(r);
        return true;
}

static void on_taken(struct relay *r, const struct media_reply *m)
{
        uint64_t taken = r->wire_zero + m->next_seq;
        if (m->next_seq > r->batch_end - r->wire_zero) {
                r->all->link->drop(r->at.rpc, "took frames that it was not sent");
                lost(r, "answer makes no sense");
                return;
        }
        if (taken < r->replay->head) {
                lost(r, "it wants frames that are stored already");
                return;
        }
        bool stuck = taken <= r->cursor && r->batch_end > r->cursor;
        r->cursor = taken;
        if (taken > r->taken)
                r->taken = taken;
        r->credit = m->credit;
        r->at.takes_many = m->takes_many;
        replay_trim(r->replay, m->stored_us, r->taken < taken ? r->taken : taken);
        if (!m->draining || !move_away(r))
                go_on(r, stuck);
}

/* True when it happened more than most times within AGAIN_US. */
static bool too_often(struct relay *r, unsigned most)
{
        int64_t now = clock_mono_us();
        if (!r->turned_out_us || now - r->turned_out_us > AGAIN_US) {
                r->turned_out_us = now;
                r->turned_out = 0;
        }
        return ++r->turned_out > most;
}

static void open_anew(struct relay *r, const char *why)
{
        log_warn("session=%s stream=%s transcoder=%s msg=\"opening again\" why=\"%s\"", r->session, r->stream.stream,
                 r->address, why);
        r->at.rpc = NULL;
        seek(r);
}

/* Another writer has the session. Once that may be a transcoder which was too slow for us and came back; again means
 * that the broadcaster has connected elsewhere. */
static void on_fenced(struct relay *r)
{
        if (too_often(r, FENCED_MAX))
                refuse(r, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName", "the stream is published elsewhere");
        else
                open_anew(r, err_text(ERR_FENCED));
}

/* The transcoder gave the session up, or another proxy has opened it there. */
static void on_forgotten(struct relay *r)
{
        if (too_often(r, FORGOTTEN_MAX))
                refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Failed",
                       "the stream cannot be kept: published elsewhere, or of no use to the transcoder");
        else
                open_anew(r, "handle not known any more");
}

static void on_media_status(struct relay *r, const struct media_reply *m)
{
        switch (m->status) {
        case 0:
        case ERR_ORDER:
                on_taken(r, m);
                break;
        case ERR_FENCED:
                on_fenced(r);
                break;
        case ERR_NOT_FOUND:
                on_forgotten(r);
                break;
        case ERR_CLOSED:
                if (r->finish)
                        become_done(r);
                else
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
                wait_for(r, NO_CREDIT_MS);
}

static void on_answered(struct beat_member *m, int err, const struct media_reply *reply)
{
        struct relay *r = relay_of(m);
        assert(r->state == RELAY_LIVE);
        if (err == ERR_FULL) {
                on_busy(r);
        } else if (err) {
                lost(r, err == ERR_CANCELED ? "it is gone" : err_text(err));
        } else {
                r->busy_since_us = 0;
                on_media_status(r, reply);
        }
}

static const struct beat_ops beat_ops = {.fill = fill, .answered = on_answered};

static void on_timer(uv_timer_t *timer)
{
        struct relay *r = timer->data;
        if (busy(r))
                return;
        if (r->state == RELAY_SEEKING)
                seek(r);
        else if (r->state == RELAY_LIVE && r->finish && (r->cursor >= r->replay->tail || finish_overdue(r)))
                send_close(r);
        else if (r->state == RELAY_LIVE)
                send_batch(r);
        else if (r->state == RELAY_DONE)
                r->events->done(r->arg); /* frees r */
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

struct relay *relay_new(struct relays *rs, const struct relay_stream *stream, struct timeline *timeline,
                        struct replay *replay, const struct relay_events *events, void *arg)
{
        struct relay *r = mem_alloc(sizeof(*r));
        r->all = rs;
        r->stream = *stream;
        r->timeline = timeline;
        r->replay = replay;
        r->events = events;
        r->arg = arg;
        uv_timer_init(rs->loop, &r->timer);
        r->timer.data = r;
        return r;
}

void relay_open(struct relay *r)
{
        assert(r->state == RELAY_NEW && !r->finish);
        seek(r);
}

bool relay_opened(const struct relay *r)
{
        return r->state != RELAY_NEW;
}

void relay_kick(struct relay *r)
{
        if (r->state == RELAY_LIVE && !busy(r) && !r->at.due && r->credit > 0)
                become_due(r);
}

void relay_poke(struct relay *r)
{
        if (r->state != RELAY_SEEKING)
                return;
        r->tried_count = 0;
        r->wait_ms = 0;
        seek(r);
}

bool relay_uses(const struct relay *r, const struct rpc_client *c)
{
        return c && r->at.rpc == c;
}

void relay_lose(struct relay *r, const struct rpc_client *gone)
{
        if (!relay_uses(r, gone))
                return;
        if (busy(r)) {
                r->at.rpc = NULL; /* the answer, or that there is none, goes on from here */
                if (r->call)
                        r->all->link->cancel(r->call);
                else
                        beat_cancel(&r->all->beat, &r->at);
        } else if (r->state == RELAY_LIVE) {
                lost(r, "it is gone");
        }
}

void relay_finish(struct relay *r, enum close_reason why)
{
        if (r->finish || r->state == RELAY_DONE)
                return;
        r->finish = why;
        r->finish_by_us = clock_mono_us() + RELAY_FINISH_MS * US_PER_MS;
        if (r->state == RELAY_NEW)
                become_done(r);
        else if (r->state == RELAY_LIVE && !busy(r))
                wait_for(r, 0);
}

static void on_timer_closed(uv_handle_t *h)
{
        free(h->data);
}

void relay_free(struct relay *r)
{
        assert(r->state == RELAY_DONE && !busy(r));
        beat_leave(&r->all->beat, &r->at);
        uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
