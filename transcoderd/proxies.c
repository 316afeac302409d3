#include "transcoderd/proxies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "proto/generation.h"
#include "transcoderd/stats.h"
#include "transcoderd/encode/cost.h"
#include "transcoderd/session.h"

/* ---- handles -------------------------------------------------------------------------------------------------------- */

static struct session *by_handle(struct sessions *ss, uint64_t handle)
{
        struct session *s = ss->first;
        while (s && !broadcaster_find(s, handle))
                s = s->next;
        return s;
}

/* ---- OPEN ----------------------------------------------------------------------------------------------------------- */

static int64_t cost_of(const struct sessions *ss, const struct open *m)
{
        struct ladder ladder;
        ladder_for_stream(&ladder, *ss->ladder, m->stream);
        return cost_of_stream(&ladder, m->codecs, m->config[TRACK_VIDEO].data, m->config[TRACK_VIDEO].len);
}

static void open_new(struct sessions *ss, struct rpc_request *req, const struct open *m, int64_t until_us)
{
        int64_t cost = cost_of(ss, m);
        const char *closed = sessions_closed(ss);
        const char *full = m->when & OPEN_GOES_ON ? NULL : sessions_full(ss, cost);
        if (closed) {
                log_warn_of(m->publisher, "stream=%s publisher=%s why=\"%s\" msg=\"stream refused\"", m->stream,
                            *m->publisher ? m->publisher : "-", closed);
                opens_refuse(req, ERR_FULL, closed);
                return;
        }
        if (full && m->when & OPEN_BESIDE) { /* a second transcoder is a luxury */
                session_tell_full(m->stream, m->publisher, cost, full);
                opens_refuse(req, ERR_FULL, full);
                return;
        }
        if (!(m->when & (OPEN_BESIDE | OPEN_GOES_ON)) && sessions_new_ones(ss) >= STARTS_NEW_MAX) {
                opens_wait_turn(&ss->opens, req, m->stream, until_us);
                return;
        }
        /* Encoders that are closing use CPU and memory as those of a session do, so max_sessions bounds both together. */
        if (ss->count + ss->reaper->closing >= ss->max_sessions) {
                opens_wait(&ss->opens, req, m->stream, until_us);
                return;
        }
        struct session *s = session_new(ss, m, req, until_us, cost, full);
        if (!s) {
                opens_refuse(req, ERR_CLOSED, "no origin is up");
                return;
        }
        broadcaster_admit(s, m);
        s->active.handle = 0; /* until there is a pipeline for its frames */
        memset(s->config_due, 0, sizeof(s->config_due)); /* the pipeline is opened with them */
        memset(s->break_due, 0, sizeof(s->break_due));
}

/* The broadcaster is back, or another proxy has it now, or it is the stream's other broadcaster: the pipeline goes on. */
static void open_again(struct session *s, struct rpc_request *req, const struct open *m)
{
        bool fed = s->active.handle;
        if (m->when & OPEN_IF_FREE && broadcaster_place_taken(s, m)) {
                opens_refuse(req, ERR_CONFLICT, "the stream is published elsewhere");
                return;
        }
        bool leads = s->shadow && !(m->when & OPEN_BESIDE);
        if (leads)
                session_lead(s);
        struct broadcaster *f = broadcaster_admit(s, m);
        log_info("session=%s stream=%s publisher=%s role=%s msg=\"%s\"", s->id, s->stream,
                 *m->publisher ? m->publisher : "-", f->backup ? "backup" : "primary",
                 f == &s->standby ? "stands by" : fed ? "taken over" : "fed again");
        broadcaster_accept(s, f, req,
                           m->when & OPEN_BESIDE ? 0 : broadcaster_skew_us(m, s->epoch_us + session_now_us(s) - clock_wall_us()));
        session_run(s);
}

/* The stream's session, unless its claim is too old for this OPEN: it is given up then. */
static struct session *fresh_session(struct sessions *ss, const struct open *m)
{
        struct session *s = session_find(ss, m->stream);
        if (!s || !session_takes_opens(s) || !session_is_stale(s, m->generation))
                return s;
        s->given_up = "another one has written since it was claimed";
        session_run(s);
        return session_find(ss, m->stream);
}

/* What is here is another session, or another writer's of it: the shadow of m's leader begins anew. */
static struct session *session_beside(struct sessions *ss, const struct open *m)
{
        struct session *s = session_find(ss, m->stream);
        if (!s || !session_takes_opens(s) || session_is_beside(s, m) || s->generation > m->generation)
                return s;
        session_leave(s);
        session_run(s);
        return session_find(ss, m->stream);
}

/* The session that is here would be given up for one that there cannot be. */
static void judge_generation(struct open *m, bool again)
{
        if (generation_possible(m->generation))
                return;
        if (!again) {
                metric_add(&stats_impossible_generations, 1);
                log_warn("stream=%s publisher=%s msg=\"there is no such generation: it does not count\" generation=%u", m->stream,
                         *m->publisher ? m->publisher : "-", m->generation);
        }
        m->generation = 0;
}

/* until_us: how long it may wait; again: it did. */
static void handle_open(struct sessions *ss, struct rpc_request *req, int64_t until_us, bool again)
{
        struct open m;
        if (open_decode(&req->body, &m) != 0) {
                rpc_drop(req, "malformed OPEN");
                return;
        }
        bool beside = m.when & OPEN_BESIDE;
        judge_generation(&m, again);
        struct session *s = beside ? session_beside(ss, &m) : fresh_session(ss, &m);
        const char *why;
        int banned = opens_banned(&ss->opens, m.stream, &why);
        if (banned)
                opens_refuse(req, banned, why);
        else if (!job_supports(m.codecs))
                opens_refuse(req, ERR_UNSUPPORTED, "only H.264 and AAC are supported");
        else if (beside && s && s->generation > m.generation)
                opens_refuse(req, ERR_FENCED, "there is a newer writer");
        else if (s && s->shadow && m.when & OPEN_IF_HELD)
                opens_refuse(req, ERR_NOT_FOUND, ""); /* ask the one that leads */
        else if (s && session_takes_opens(s))
                open_again(s, req, &m);
        else if (m.when & OPEN_IF_HELD)
                opens_refuse(req, s && !ss->draining ? ERR_NOT_YET : ERR_NOT_FOUND, "");
        else if (!s)
                open_new(ss, req, &m, until_us);
        else if (ss->draining)
                opens_refuse(req, ERR_FULL, "stopping");
        else
                opens_wait(&ss->opens, req, m.stream, until_us);
}

void proxies_again(void *sessions, struct rpc_request *open, int64_t until_us)
{
        handle_open(magic_check(sessions, SESSIONS_MAGIC), open, until_us, true);
}

/* ---- MEDIA ---------------------------------------------------------------------------------------------------------- */

static void release_msg(void *msg)
{
        nng_msg_free(msg);
}

/* What OPEN carried comes before the frames that it describes. False: no room. */
static bool push_configs(struct session *s)
{
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (!s->config_due[k])
                        continue;
                if (pipeline_room(s->pipeline) == 0)
                        return false;
                struct frame f = {.track = (uint8_t)k, .codec = s->codecs[k], .flags = FRAME_CONFIG,
                                  .dts_us = session_now_us(s), .bytes = s->config[k]};
                pipeline_push(s->pipeline, &f);
                s->config_due[k] = false;
        }
        return true;
}

/* Those that it had before are passed over: batches are under way together, and one of them may have been sent again. */
static void take_frames(struct session *s, const struct media *m)
{
        size_t room = push_configs(s) ? pipeline_room(s->pipeline) : 0;
        for (int i = (int)(s->active.next_seq - m->first_seq); i < m->count && room > 0; i++, room--) {
                struct frame f = m->frames[i];
                if (f.flags & FRAME_CONFIG)
                        broadcaster_configure(&s->active, f.track, f.codec, f.bytes);
                else if (s->break_due[f.track])
                        f.flags |= FRAME_BREAK;
                s->break_due[f.track] = s->break_due[f.track] && f.flags & FRAME_CONFIG;
                pipeline_push(s->pipeline, &f);
                s->active.next_seq++;
                s->frames++;
                s->bytes += f.bytes->len;
        }
}

/* What has waited for the frames that are there now. */
static void take_ahead(struct session *s)
{
        struct ahead_batch *b;
        while ((b = ahead_due(&s->active.ahead, s->active.next_seq))) {
                const struct media m = {.first_seq = b->first_seq, .count = b->count, .frames = b->frames};
                if (s->active.next_seq - m.first_seq <= m.count)
                        take_frames(s, &m);
                ahead_drop(b);
        }
}

/* told: there is no answer, so nobody sends it again at once if it came too soon. */
static void take_media(struct sessions *ss, const struct media *m, bool told, struct media_reply *reply)
{
        struct session *s = by_handle(ss, m->handle);
        *reply = (struct media_reply){.draining = ss->draining, .takes_many = 1};
        if (!s) {
                reply->status = (int8_t)opens_retired(&ss->opens, m->handle);
                return;
        }
        if (s->shadow && !m->shadow)
                session_lead(s);
        broadcaster_heard(broadcaster_find(s, m->handle), m->fresh || m->count > 0);
        bool switched = broadcaster_look(s);
        struct broadcaster *f = broadcaster_find(s, m->handle);
        reply->standby = f == &s->standby;
        if (!reply->standby && (m->first_seq > f->next_seq || f->next_seq - m->first_seq > m->count))
                reply->status = ERR_ORDER;
        else if (!reply->standby)
                take_frames(s, m);
        if (told && reply->status == ERR_ORDER && m->first_seq > f->next_seq)
                (void)ahead_keep(&f->ahead, m);
        else if (!reply->standby)
                take_ahead(s);
        reply->next_seq = f->next_seq;
        reply->stored_us = push_stored_us(s->push);
        reply->generation = s->generation;
        reply->credit = session_credit(s);
        if (switched)
                session_run(s);
}

static int decode_and_take(struct sessions *ss, struct reader *body, struct buf *whole, bool told, struct media_reply *reply)
{
        struct frame frames[BATCH_FRAMES_MAX];
        struct media m;
        if (media_decode(body, &m, frames, whole) != 0)
                return ERR_PROTO;
        take_media(ss, &m, told, reply);
        for (int i = 0; i < m.count; i++)
                buf_unref(&frames[i].bytes);
        return 0;
}

/* The bytes of its frames outlive the request. */
static struct buf *take_message(struct rpc_request *req)
{
        nng_msg *msg = req->msg;
        req->msg = NULL;
        return buf_wrap(nng_msg_body(msg), nng_msg_len(msg), release_msg, msg);
}

static void handle_media(struct sessions *ss, struct rpc_request *req)
{
        struct media_reply reply;
        struct buf *whole = take_message(req);
        if (decode_and_take(ss, &req->body, whole, false, &reply) == 0)
                rpc_reply(req, message_new(MSG_MEDIA_REPLY, media_reply_encode, &reply));
        else
                rpc_drop(req, "malformed MEDIA");
        buf_unref(&whole);
}

static void handle_media_many(struct sessions *ss, struct rpc_request *req)
{
        struct reader parts[MEDIA_MANY_MAX];
        struct media_many_reply reply;
        struct buf *whole = take_message(req);
        int err = media_many_decode(&req->body, parts, &reply.count);
        for (int i = 0; !err && i < reply.count; i++)
                err = decode_and_take(ss, &parts[i], whole, false, &reply.parts[i]);
        if (!err)
                rpc_reply(req, message_new(MSG_MEDIA_MANY_REPLY, media_many_reply_encode, &reply));
        else
                rpc_drop(req, "malformed MEDIA_MANY");
        buf_unref(&whole);
}

static void handle_media_told(struct sessions *ss, struct rpc_request *req)
{
        struct reader parts[MEDIA_MANY_MAX];
        struct media_reply reply;
        uint16_t count;
        struct buf *whole = take_message(req);
        int err = media_many_decode(&req->body, parts, &count);
        for (int i = 0; !err && i < count; i++)
                err = decode_and_take(ss, &parts[i], whole, true, &reply);
        if (!err)
                rpc_pass(req);
        else
                rpc_drop(req, "malformed MEDIA_TOLD");
        buf_unref(&whole);
}

/* ---- CLOSE ---------------------------------------------------------------------------------------------------------- */

static void handle_close(struct sessions *ss, struct rpc_request *req)
{
        struct close_stream m;
        if (close_stream_decode(&req->body, &m) != 0) {
                rpc_drop(req, "malformed CLOSE");
                return;
        }
        struct session *s = by_handle(ss, m.handle);
        struct status_reply reply = {.status = s ? 0 : ERR_NOT_FOUND};
        rpc_reply(req, message_new(MSG_CLOSE_REPLY, status_reply_encode, &reply));
        if (!s)
                return;
        if (m.reason == CLOSE_LEAVE)
                session_leave(s);
        else if (broadcaster_find(s, m.handle) == &s->standby)
                broadcaster_retire(s, &s->standby, ERR_NOT_FOUND);
        else if (broadcaster_left(s, m.reason == CLOSE_LOST ? "the active one is lost" : "the active one stopped"))
                log_debug("session=%s stream=%s msg=\"goes on with the other broadcaster\"", s->id, s->stream);
        else if (m.reason == CLOSE_LOST)
                s->lost = true;
        else
                s->stop = true;
        session_run(s);
}

void proxies_handle(void *arg, struct rpc_request *req)
{
        struct sessions *ss = magic_check(arg, SESSIONS_MAGIC);
        switch (req->type) {
        case MSG_OPEN:
                handle_open(ss, req, clock_mono_us() + OPENS_WAIT_US, false);
                break;
        case MSG_MEDIA:
                handle_media(ss, req);
                break;
        case MSG_MEDIA_MANY:
                handle_media_many(ss, req);
                break;
        case MSG_MEDIA_TOLD:
                handle_media_told(ss, req);
                break;
        case MSG_CLOSE:
                handle_close(ss, req);
                break;
        default:
                rpc_drop(req, "not a message for this port");
        }
}
