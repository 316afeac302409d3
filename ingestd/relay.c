#include "ingestd/relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "ingestd/rtmp_close.h"
#include "ingestd/stats.h"

#define BATCH_BYTES (1u << 20) /* a batch is no longer than this, but for a single frame that is */
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
        struct relay *next_due;
        bool due;

        struct relay_candidate peer; /* OPENING to CLOSING; rpc NULL once it is no longer ours to use */
        struct rpc_call *call;       /* under way; its done() finds the state that it is to act on */
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
        r->peer.rpc = NULL;
        wait_for(r, 0);
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
        if (r->tried_count < RELAY_CANDIDATES && !was_tried(r, r->peer.address))
                memcpy(r->tried[r->tried_count++], r->peer.address, sizeof(r->peer.address));
}

static bool choose(struct relay *r)
{
        struct relay_candidate found[RELAY_CANDIDATES];
        size_t n = r->all->link->walk(r->all->link_arg, r->stream.stream, found, RELAY_CANDIDATES);
        for (size_t i = 0; i < n; i++) {
                if (!was_tried(r, found[i].address)) {
                        r->peer = found[i];
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
        r->peer.rpc = NULL;
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
        r->cursor = r->wire_zero = r->replay->head;
        uint64_t again_frames = r->sent > r->cursor ? r->sent - r->cursor : 0;
        stats_add(STAT_OPENS, 1);
        stats_add(STAT_REPLAYED_FRAMES, (int64_t)again_frames);
        log_info("session=%s stream=%s transcoder=%s generation=%u replayed_frames=%" PRIu64 " msg=\"%s\"", r->session,
                 r->stream.stream, r->peer.address, m->generation, again_frames, again ? "opened again" : "opened");
        set_state(r, RELAY_LIVE);
        if (r->opened_configs != r->replay->config_changes)
                seek(r); /* the buffer ran over meanwhile, and begins with another configuration now */
        else
                send_batch(r);
}

static void open_refused(struct relay *r, const struct open_reply *m)
{
        char quoted[192];
        log_warn("stream=%s transcoder=%s error=\"%s\" msg=\"not opened\" why=%s", r->stream.stream, r->peer.address,
                 err_text(m->status), log_quote(quoted, sizeof(quoted), m->text));
        const char *text = *m->text ? m->text : err_text(m->status);
        if (m->status == ERR_NOT_YET && r->finish)
                become_done(r); /* CLOSE got through, its answer did not */
        else if (m->status == ERR_NOT_YET) /* it stores the end of the session before: another one would go on with that */
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
                log_warn("stream=%s transcoder=%s error=\"%s\" msg=\"not opened\"", r->stream.stream, r->peer.address,
                         err_text(err));
                next_transcoder(r);
        } else if (message_open(&reader, reply) != MSG_OPEN_REPLY || open_reply_decode(&reader, &m)) {
                r->all->link->drop(r->peer.rpc, "malformed answer to OPEN");
                next_transcoder(r);
        } else if (m.status) {
                open_refused(r, &m);
        } else {
                adopt(r, &m);
        }
}

/* Calls ----------------------------------------------------------------------------------------------------------- */

static void on_media(struct relay *r, int err, nng_msg *reply);
static void lost(struct relay *r, const char *why);

static void on_called(void *arg, int err, nng_msg *reply)
{
        struct relay *r = arg;
        r->call = NULL;
        if (err == 0 && !r->peer.rpc)
                err = ERR_CLOSED; /* it answered, and was forgotten before that was read */
        if (r->state == RELAY_OPENING)
                on_opened(r, err, reply);
        else if (r->state == RELAY_LIVE)
                on_media(r, err, reply);
        else if (r->state == RELAY_CLOSING && err && !finish_overdue(r))
                lost(r, err_text(err)); /* with frames that may not have been stored */
        else if (r->state == RELAY_CLOSING || r->state == RELAY_DONE)
                become_done(r);
        if (reply)
                nng_msg_free(reply);
}

static void call(struct relay *r, nng_msg *request, unsigned timeout_ms)
{
        assert(!r->call);
        uv_timer_stop(&r->timer);
        r->call = r->all->link->call(r->peer.rpc, request, timeout_ms, on_called, r);
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
        call(r, message_new(MSG_CLOSE, close_stream_encode, &m), RELAY_CALL_MS);
}

/* Media ----------------------------------------------------------------------------------------------------------- */

static void lost(struct relay *r, const char *why)
{
        log_warn("session=%s stream=%s transcoder=%s msg=\"transcoder lost\" why=\"%s\"", r->session, r->stream.stream,
                 r->peer.address, why);
        stats_add(STAT_FAILOVERS, 1);
        next_transcoder(r);
}

/* How many frames from cursor on go into a batch; their bytes are added up in *bytes. */
static uint16_t measure_batch(const struct relay *r, struct frame *frames, size_t *bytes)
{
        uint32_t most = r->credit < BATCH_FRAMES_MAX ? r->credit : BATCH_FRAMES_MAX;
        uint16_t n = 0;
        *bytes = 0;
        for (; n < most && r->cursor + n < r->replay->tail; n++) {
                const struct frame *f = replay_at(r->replay, r->cursor + n);
                if (n > 0 && *bytes + f->bytes->len > BATCH_BYTES)
                        break;
                *bytes += f->bytes->len;
                frames[n] = *f;
        }
        return n;
}

static void send_batch(struct relay *r)
{
        struct frame frames[BATCH_FRAMES_MAX];
        size_t bytes;
        if (r->cursor < r->replay->head) {
                lost(r, "it takes nothing for longer than the replay buffer holds");
                return;
        }
        struct media m = {.handle = r->handle, .first_seq = r->cursor - r->wire_zero, .frames = frames};
        m.count = measure_batch(r, frames, &bytes);
        r->batch_end = r->cursor + m.count;
        if (r->batch_end > r->sent)
                r->sent = r->batch_end;
        stats_add(STAT_BATCHES, 1);
        stats_add(STAT_RELAYED_FRAMES, m.count);
        stats_add(STAT_RELAYED_BYTES, (int64_t)bytes);
        call(r, message_new(MSG_MEDIA, media_encode, &m), RELAY_CALL_MS);
}

static void become_due(struct relay *r);

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
            strcmp(best.address, r->peer.address) == 0)
                return false;
        r->moved_us = now;
        stats_add(STAT_MOVES, 1);
        log_info("session=%s stream=%s transcoder=%s msg=\"moving away, it drains\"", r->session, r->stream.stream,
                 r->peer.address);
        next_transcoder(r);
        return true;
}

static void on_taken(struct relay *r, const struct media_reply *m)
{
        uint64_t taken = r->wire_zero + m->next_seq;
        if (m->next_seq > r->batch_end - r->wire_zero) {
                r->all->link->drop(r->peer.rpc, "took frames that it was not sent");
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
                 r->peer.address, why);
        r->peer.rpc = NULL;
        seek(r);
}

/* Another writer has the session. Once that may be a transcoder which was too slow for us and came back; again means that
 * the broadcaster has connected elsewhere. */
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

static void on_media(struct relay *r, int err, nng_msg *reply)
{
        struct reader reader;
        struct media_reply m;
        if (err == ERR_FULL) {
                on_busy(r);
        } else if (err) {
                lost(r, err_text(err));
        } else if (message_open(&reader, reply) != MSG_MEDIA_REPLY || media_reply_decode(&reader, &m)) {
                r->all->link->drop(r->peer.rpc, "malformed answer to MEDIA");
                lost(r, err_text(ERR_PROTO));
        } else {
                r->busy_since_us = 0;
                on_media_status(r, &m);
        }
}

static void on_timer(uv_timer_t *timer)
{
        struct relay *r = timer->data;
        if (r->call)
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

/* The beat ------------------------------------------------------------------------------------------------------- */

static void on_beat(uv_timer_t *timer)
{
        struct relays *rs = timer->data;
        struct relay *r = rs->due;
        rs->due = NULL;
        rs->beating = false;
        for (struct relay *next; r; r = next) {
                next = r->next_due;
                r->due = false;
                if (r->state == RELAY_LIVE && !r->call)
                        send_batch(r);
        }
}

static void become_due(struct relay *r)
{
        struct relays *rs = r->all;
        if (r->due)
                return;
        r->due = true;
        r->next_due = rs->due;
        rs->due = r;
        if (rs->beating)
                return;
        rs->beating = true;
        uint64_t wait = rs->gather_ms ? rs->gather_ms - uv_now(rs->loop) % rs->gather_ms : 0;
        uv_timer_start(&rs->beat, on_beat, wait, 0);
}

static void not_due(struct relay *r)
{
        struct relay **link = &r->all->due;
        if (!r->due)
                return;
        while (*link != r)
                link = &(*link)->next_due;
        *link = r->next_due;
        r->due = false;
}

void relays_open(struct relays *rs)
{
        uv_timer_init(rs->loop, &rs->beat);
        rs->beat.data = rs;
        rs->beating = false;
        rs->due = NULL;
}

void relays_close(struct relays *rs)
{
        assert(!rs->due);
        uv_close((uv_handle_t *)&rs->beat, NULL);
}

/* Life ------------------------------------------------------------------------------------------------------------ */

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
        if (r->state == RELAY_LIVE && !r->call && !r->due && r->credit > 0)
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
        return c && r->peer.rpc == c;
}

void relay_lose(struct relay *r, const struct rpc_client *gone)
{
        if (!relay_uses(r, gone))
                return;
        if (r->call) {
                r->peer.rpc = NULL; /* done() goes on from here */
                r->all->link->cancel(r->call);
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
        else if (r->state == RELAY_LIVE && !r->call)
                wait_for(r, 0);
}

static void on_timer_closed(uv_handle_t *h)
{
        free(h->data);
}

void relay_free(struct relay *r)
{
        assert(r->state == RELAY_DONE && !r->call);
        not_due(r);
        uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}
