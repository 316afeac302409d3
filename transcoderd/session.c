#include "transcoderd/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/media.h"
#include "proto/store.h"
#include "transcoderd/push.h"
#include "transcoderd/stats.h"

#define TICK_MS 500
#define SILENT_US (2 * US_PER_S)
#define CLAIM_DEADLINE_MS 3000
#define BEHIND_US US_PER_S

enum state { CLAIMING, LIVE, GRACE, DRAINING, ENDING };
static const char *const state_names[] = {"claiming", "live", "grace", "draining", "ending"};

struct session {
        struct session *next, **link;
        struct sessions *all;
        enum state state;
        char stream[STREAM_ID_MAX + 1], id[SESSION_ID_MAX + 1], title[128];
        int64_t epoch_us;
        uint32_t generation;
        uint64_t handle, next_seq;
        bool fenced, behind;
        int64_t heard_us, grace_until_us; /* monotonic */
        struct rpc_request *opening;      /* the OPEN that waits for the claim */
        uint8_t codecs[TRACK_KINDS];
        struct buf *config[TRACK_KINDS];
        struct pipeline *pipeline;
        struct push *push;
        struct rpc_client *origin;
        struct pipeline_stats counted;
};

static void become(struct session *s, enum state state)
{
        log_info("session=%s stream=%s state=%s was=%s", s->id, s->stream, state_names[state], state_names[s->state]);
        s->state = state;
}

static void session_free(struct session *s)
{
        *s->link = s->next;
        if (s->next)
                s->next->link = s->link;
        metric_set(&stats_sessions, --s->all->count);
        pipeline_close(s->pipeline);
        if (s->push)
                push_close(s->push);
        for (int k = 0; k < TRACK_KINDS; k++)
                buf_unref(&s->config[k]);
        free(s);
}

static void reply_open(struct rpc_request *req, const struct open_reply *m)
{
        rpc_reply(req, message_new(MSG_OPEN_REPLY, open_reply_encode, m));
}

static void refuse_open(struct rpc_request *req, int status, const char *text)
{
        struct open_reply m = {.status = (int8_t)status};
        strncpy(m.text, text, sizeof(m.text) - 1);
        reply_open(req, &m);
}

static void accept_open(struct session *s, struct rpc_request *req, int64_t resume_us)
{
        struct open_reply m = {.epoch_us = s->epoch_us, .generation = s->generation, .resume_us = resume_us};
        memcpy(m.session, s->id, sizeof(m.session));
        m.handle = s->handle = ++s->all->last_handle;
        s->next_seq = 0;
        s->heard_us = clock_mono_us();
        reply_open(req, &m);
}

/* ---- events of pipeline and push ---- */

static void on_track(void *arg, const struct track_info *info)
{
        struct session *s = arg;
        push_track(s->push, info);
}

static void on_chunk(void *arg, const struct chunk *c)
{
        struct session *s = arg;
        push_chunk(s->push, c);
}

static void on_drained(void *arg, int64_t end_us)
{
        struct session *s = arg;
        become(s, ENDING);
        push_end(s->push, end_us);
}

static void drain(struct session *s)
{
        if (s->state == DRAINING || s->state == ENDING)
                return;
        s->handle = 0;
        become(s, DRAINING);
        pipeline_drain(s->pipeline);
}

static void on_failed(void *arg, int err, const char *text)
{
        struct session *s = arg;
        log_error("session=%s stream=%s msg=\"encoding failed: %s\" error=\"%s\"", s->id, s->stream, text, err_text(err));
        drain(s);
}

static const struct pipeline_events pipeline_events = {on_track, on_chunk, on_drained, on_failed};

static void on_stored(void *arg)
{
        (void)arg;
}

static void give_up(struct session *s, const char *why)
{
        log_warn("session=%s stream=%s msg=\"session given up: %s\"", s->id, s->stream, why);
        session_free(s);
}

static void on_fenced(void *arg)
{
        give_up(arg, "another writer has it");
}

static void on_lost(void *arg)
{
        give_up(arg, "the origin does not know it");
}

static void on_ended(void *arg, int err)
{
        struct session *s = arg;
        log_info("session=%s stream=%s msg=\"session ended\" result=\"%s\"", s->id, s->stream, err_text(err));
        session_free(s);
}

static const struct push_events push_events = {on_stored, on_fenced, on_lost, on_ended};

/* ---- OPEN ---- */

static int start_pipeline(struct session *s, const struct claim_reply *m)
{
        struct pipeline_options o = {.session = s->id, .epoch_us = s->epoch_us,
                                     .encoder_threads = (int)s->all->encoder_threads,
                                     .decoder_threads = (int)s->all->decoder_threads,
                                     .slate_after_us = s->all->slate_after_ms * US_PER_MS,
                                     .resume_count = m->track_count};
        ladder_for_stream(&o.ladder, s->all->ladder, s->stream);
        for (int k = 0; k < TRACK_KINDS; k++) {
                o.codecs[k] = s->codecs[k];
                o.config[k] = s->config[k];
        }
        for (int i = 0; i < m->track_count; i++) {
                memcpy(o.resume[i].track, m->tracks[i].name, sizeof(o.resume[i].track));
                o.resume[i].end_us = m->tracks[i].end_us;
        }
        return pipeline_open(&s->pipeline, s->all->mailbox, &o, &pipeline_events, s);
}

static void on_claimed(void *arg, int err, nng_msg *reply)
{
        struct session *s = arg;
        struct claim_reply m = {0};
        struct reader rd;
        if (!err && message_open(&rd, reply) != MSG_CLAIM_REPLY)
                err = ERR_CLOSED;
        if (!err)
                err = claim_reply_decode(&rd, &m);
        nng_msg_free(reply);
        if (!err)
                err = m.status;
        if (!err) {
                memcpy(s->id, m.session, sizeof(s->id));
                s->epoch_us = m.epoch_us;
                s->generation = m.generation;
                s->push = push_new(s->all->loop, s->origin, s->id, s->generation, &push_events, s);
                err = start_pipeline(s, &m);
        }
        struct rpc_request *req = s->opening;
        s->opening = NULL;
        if (err) {
                refuse_open(req, err, err == ERR_UNSUPPORTED ? "codec not supported" : "no origin took the session");
                session_free(s);
                return;
        }
        int64_t resume_us = m.track_count ? INT64_MAX : 0;
        for (int i = 0; i < m.track_count; i++)
                resume_us = m.tracks[i].end_us < resume_us ? m.tracks[i].end_us : resume_us;
        accept_open(s, req, resume_us);
        become(s, LIVE);
}

static void take_configs(struct session *s, const struct open *m)
{
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (m->codecs[k] == CODEC_NONE)
                        continue;
                buf_unref(&s->config[k]);
                s->codecs[k] = m->codecs[k];
                s->config[k] = buf_copy(m->config[k].data, m->config[k].len);
        }
}

static void open_new(struct sessions *ss, struct rpc_request *req, const struct open *m)
{
        struct peer *origin;
        if (ss->draining || ss->count >= ss->max_sessions) {
                refuse_open(req, ERR_FULL, ss->draining ? "stopping" : "at max_sessions");
                return;
        }
        if (peers_route(ss->origins, m->stream, &origin, 1) == 0) {
                refuse_open(req, ERR_CLOSED, "no origin is live");
                return;
        }
        struct session *s = mem_alloc(sizeof(*s));
        *s = (struct session){.all = ss, .opening = req, .epoch_us = m->epoch_us, .origin = origin->rpc,
                              .link = &ss->first, .next = ss->first};
        if (s->next)
                s->next->link = &s->next;
        ss->first = s;
        metric_set(&stats_sessions, ++ss->count);
        memcpy(s->stream, m->stream, sizeof(s->stream));
        session_id_make(s->id, m->epoch_us);
        take_configs(s, m);
        struct claim claim = {.epoch_us = m->epoch_us, .grace_ms = (uint32_t)ss->grace_ms};
        memcpy(claim.stream, s->stream, sizeof(claim.stream));
        memcpy(claim.session, s->id, sizeof(claim.session));
        memcpy(claim.node, ss->self->id, sizeof(claim.node));
        memcpy(claim.title, m->title, sizeof(claim.title));
        rpc_call(s->origin, message_new(MSG_CLAIM, claim_encode, &claim), CLAIM_DEADLINE_MS, on_claimed, s);
}

/* The broadcaster is back, or another proxy has it now: the pipeline goes on. */
static void open_again(struct session *s, struct rpc_request *req, const struct open *m)
{
        int64_t now_us = clock_wall_us() - s->epoch_us;
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (m->codecs[k] == CODEC_NONE)
                        continue;
                struct buf *config = buf_copy(m->config[k].data, m->config[k].len);
                struct frame f = {.track = (uint8_t)k, .codec = m->codecs[k], .flags = FRAME_CONFIG, .dts_us = now_us,
                                  .bytes = config};
                if (pipeline_room(s->pipeline) > 0)
                        pipeline_push(s->pipeline, &f);
                buf_unref(&config);
        }
        take_configs(s, m);
        accept_open(s, req, push_stored_us(s->push));
        if (s->state != LIVE)
                become(s, LIVE);
}

static void handle_open(struct sessions *ss, struct rpc_request *req)
{
        struct open m;
        if (open_decode(&req->body, &m) != 0) {
                rpc_drop(req, "malformed OPEN");
                return;
        }
        struct session *s = ss->first;
        while (s && strcmp(s->stream, m.stream) != 0)
                s = s->next;
        if (!s)
                open_new(ss, req, &m);
        else if (s->state == LIVE || s->state == GRACE)
                open_again(s, req, &m);
        else
                refuse_open(req, ERR_NOT_YET, "the stream's last session is still being stored");
}

/* ---- MEDIA, CLOSE ---- */

static struct session *by_handle(struct sessions *ss, uint64_t handle)
{
        struct session *s = ss->first;
        while (s && (s->handle != handle || !handle))
                s = s->next;
        return s;
}

static void release_msg(void *msg)
{
        nng_msg_free(msg);
}

static void handle_media(struct sessions *ss, struct rpc_request *req)
{
        struct frame frames[BATCH_FRAMES_MAX];
        struct media m;
        nng_msg *msg = req->msg;
        req->msg = NULL;
        struct buf *whole = buf_wrap(nng_msg_body(msg), nng_msg_len(msg), release_msg, msg);
        if (media_decode(&req->body, &m, frames, whole) != 0) {
                buf_unref(&whole);
                rpc_drop(req, "malformed MEDIA");
                return;
        }
        struct session *s = by_handle(ss, m.handle);
        struct media_reply reply = {.status = s ? 0 : ERR_NOT_FOUND, .draining = ss->draining};
        if (s) {
                s->heard_us = clock_mono_us();
                if (m.first_seq != s->next_seq)
                        reply.status = ERR_ORDER;
                size_t room = pipeline_room(s->pipeline);
                for (int i = 0; !reply.status && i < m.count && room > 0; i++, room--, s->next_seq++)
                        pipeline_push(s->pipeline, &frames[i]);
                reply.next_seq = s->next_seq;
                reply.stored_us = push_stored_us(s->push);
                reply.credit = (uint32_t)pipeline_room(s->pipeline);
        }
        for (int i = 0; i < m.count; i++)
                buf_unref(&frames[i].bytes);
        buf_unref(&whole);
        rpc_reply(req, message_new(MSG_MEDIA_REPLY, media_reply_encode, &reply));
}

static void begin_grace(struct session *s)
{
        s->handle = 0;
        s->grace_until_us = clock_mono_us() + s->all->grace_ms * US_PER_MS;
        become(s, GRACE);
}

static void handle_close(struct sessions *ss, struct rpc_request *req)
{
        struct close_stream m;
        if (close_stream_decode(&req->body, &m) != 0) {
                rpc_drop(req, "malformed CLOSE");
                return;
        }
        struct session *s = by_handle(ss, m.handle);
        struct status_reply reply = {.status = s ? 0 : ERR_NOT_FOUND};
        if (s && m.reason == CLOSE_LOST)
                begin_grace(s);
        else if (s)
                drain(s);
        rpc_reply(req, message_new(MSG_CLOSE_REPLY, status_reply_encode, &reply));
}

void sessions_handle(void *arg, struct rpc_request *req)
{
        switch (req->type) {
        case MSG_OPEN:
                handle_open(arg, req);
                break;
        case MSG_MEDIA:
                handle_media(arg, req);
                break;
        case MSG_CLOSE:
                handle_close(arg, req);
                break;
        default:
                rpc_drop(req, "not a message for a transcoder");
        }
}

/* ---- time ---- */

static void count(struct session *s, int64_t *worst_us)
{
        struct pipeline_stats now, *old = &s->counted;
        pipeline_stats(s->pipeline, &now);
        metric_add(&stats_decoded, (int64_t)(now.decoded - old->decoded));
        metric_add(&stats_encoded, (int64_t)(now.encoded - old->encoded));
        metric_add(&stats_late, (int64_t)(now.late_dropped - old->late_dropped));
        metric_add(&stats_corrupt, (int64_t)(now.corrupt - old->corrupt));
        metric_add(&stats_shed, (int64_t)(now.shed - old->shed));
        metric_add(&stats_slate_us, now.slate_us - old->slate_us);
        *old = now;
        *worst_us = now.behind_us > *worst_us ? now.behind_us : *worst_us;
        if ((now.behind_us > BEHIND_US) != s->behind) {
                s->behind = !s->behind;
                log_warn("session=%s stream=%s msg=\"%s\" behind_ms=%lld", s->id, s->stream,
                         s->behind ? "encoding is behind real time" : "encoding keeps up again",
                         (long long)(now.behind_us / US_PER_MS));
        }
}

static void on_tick(uv_timer_t *t)
{
        struct sessions *ss = t->data;
        int64_t now_us = clock_mono_us(), worst_us = 0, queued = 0;
        for (struct session *s = ss->first, *next; s; s = next) {
                next = s->next;
                if (!s->pipeline)
                        continue;
                count(s, &worst_us);
                queued += (int64_t)push_queued(s->push);
                if (s->state == LIVE && now_us - s->heard_us > SILENT_US) {
                        log_warn("session=%s stream=%s msg=\"the proxy is gone\"", s->id, s->stream);
                        begin_grace(s);
                } else if (s->state == GRACE && now_us > s->grace_until_us) {
                        drain(s);
                }
        }
        metric_set(&stats_behind_us, worst_us);
        metric_set(&stats_queued, queued);
}

void sessions_start(struct sessions *ss)
{
        uv_timer_init(ss->loop, &ss->ticker);
        ss->ticker.data = ss;
        uv_timer_start(&ss->ticker, on_tick, TICK_MS, TICK_MS);
}

void sessions_drain(struct sessions *ss)
{
        ss->draining = true;
        for (struct session *s = ss->first; s; s = s->next) {
                if (s->state != CLAIMING)
                        drain(s);
        }
}

void sessions_stop(struct sessions *ss)
{
        while (ss->first)
                session_free(ss->first);
        uv_close((uv_handle_t *)&ss->ticker, NULL);
}
