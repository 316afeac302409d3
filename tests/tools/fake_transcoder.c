/* fake_transcoder --port=N [--id=NAME] [--stored-lag-ms=N] [--full] [--delays] - takes every stream that an ingestd relays, throws
 * the frames away and says that they are stored. On SIGUSR1, and when it ends (SIGTERM), one JSON line a stream on
 * stdout:
 *
 *   {"stream": "cam", "session": "…", "opens": 1, "closed": 1, "shadow": false, "frames": …, "bytes": …, "first_us": …,
 *    "last_us": …, "video": …, "keys": …, "audio": …, "configs": …, "breaks": …, "out_of_order": …, "backwards": …}
 *
 * closed is the enum close_reason of the last CLOSE, 0 without one; shadow: that was what it was told last; backwards
 * counts decoding times that fell. With --delays one more line says how long rtmp_load's pictures were on their way (load_stamp.h),
 * since the last SIGUSR2:
 *
 *   {"pictures": …, "delay_p50_ms": …, "delay_p99_ms": …, "delay_most_ms": …} */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/cluster/rpc.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "proto/ahead.h"
#include "proto/media.h"
#include "tests/tools/load_stamp.h"

#define DELAY_STEP_US 100 /* so exactly a delay is told */
#define DELAYS 10000      /* and so many steps; what was longer counts as the last */

struct stream {
        struct stream *next;
        char name[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1];
        int64_t epoch_us;
        uint64_t handle, next_seq;
        uint32_t generation;
        bool shadow; /* of another transcoder's session, until it is told that it leads */
        unsigned opens, closed;
        uint64_t frames, bytes, video, keys, audio, configs, breaks, out_of_order, backwards;
        int64_t first_us, last_us[TRACK_KINDS];
        bool seen[TRACK_KINDS];
        struct ahead ahead;
};

static uv_loop_t loop;
static struct node_identity self = {.role = ROLE_TRANSCODERD, .can = CAN_BE_TOLD, .cluster_token = ""};
static struct rpc_server *server;
static struct stream *streams;
static uint64_t handles;
static int64_t stored_lag_us;
static bool full, tell_delays;
static struct {
        uint64_t of[DELAYS], count;
        int64_t most_us;
} delays;

static double delay_ms(double share)
{
        uint64_t left = (uint64_t)(share * (double)delays.count);
        unsigned i = 0;
        while (i + 1 < DELAYS && left >= delays.of[i])
                left -= delays.of[i++];
        return (i + 1) * DELAY_STEP_US / 1e3;
}

static void print_delays(void)
{
        printf("{\"pictures\": %" PRIu64 ", \"delay_p50_ms\": %.1f, \"delay_p99_ms\": %.1f, \"delay_most_ms\": %.1f}\n", delays.count,
               delay_ms(0.5), delay_ms(0.99), (double)delays.most_us / 1e3);
}

static void print_stream(const struct stream *s)
{
        int64_t last = s->last_us[0] > s->last_us[1] ? s->last_us[0] : s->last_us[1];
        printf("{\"stream\": \"%s\", \"session\": \"%s\", \"opens\": %u, \"closed\": %u, \"shadow\": %s, \"frames\": %" PRIu64
               ", \"bytes\": %" PRIu64 ", \"first_us\": %" PRId64 ", \"last_us\": %" PRId64 ", \"video\": %" PRIu64
               ", \"keys\": %" PRIu64 ", \"audio\": %" PRIu64 ", \"configs\": %" PRIu64 ", \"breaks\": %" PRIu64
               ", \"out_of_order\": %" PRIu64 ", \"backwards\": %" PRIu64 "}\n",
               s->name, s->session, s->opens, s->closed, s->shadow ? "true" : "false", s->frames, s->bytes, s->first_us, last, s->video, s->keys,
               s->audio, s->configs, s->breaks, s->out_of_order, s->backwards);
}

static void print_all(void)
{
        for (const struct stream *s = streams; s; s = s->next)
                print_stream(s);
        if (tell_delays)
                print_delays();
        fflush(stdout);
}

static struct stream *by_name(const char *name)
{
        struct stream *s = streams;
        while (s && strcmp(s->name, name) != 0)
                s = s->next;
        if (!s) {
                s = mem_alloc(sizeof(*s));
                snprintf(s->name, sizeof(s->name), "%s", name);
                s->next = streams;
                streams = s;
        }
        return s;
}

static struct stream *by_handle(uint64_t handle)
{
        struct stream *s = streams;
        while (s && s->handle != handle)
                s = s->next;
        return s;
}

static void on_open(struct rpc_request *req)
{
        struct open m;
        struct open_reply reply = {.status = full ? ERR_FULL : 0};
        if (open_decode(&req->body, &m)) {
                rpc_drop(req, "malformed OPEN");
                return;
        }
        if (!full) {
                struct stream *s = by_name(m.stream);
                s->shadow = m.when & OPEN_BESIDE;
                if (s->shadow) {
                        memcpy(s->session, m.session, sizeof(s->session));
                        s->epoch_us = m.epoch_us;
                } else if (!*s->session || s->closed == CLOSE_STOPPED) {
                        session_id_make(s->session, m.epoch_us);
                        s->epoch_us = m.epoch_us;
                }
                s->opens++;
                ahead_clear(&s->ahead);
                s->closed = 0;
                s->next_seq = 0;
                s->handle = reply.handle = ++handles;
                reply.epoch_us = s->epoch_us;
                reply.generation = s->generation = s->shadow ? m.generation : m.generation + 1;
                memcpy(reply.node, self.id, sizeof(reply.node));
                memcpy(reply.session, s->session, sizeof(reply.session));
        }
        rpc_reply(req, message_new(MSG_OPEN_REPLY, open_reply_encode, &reply));
}

static void count_delay(const struct frame *f)
{
        struct reader r;
        reader_init(&r, f->bytes->data, f->bytes->len);
        reader_skip(&r, LOAD_STAMP_AT);
        uint64_t stamp = reader_u64(&r);
        int64_t us = clock_mono_us() - reader_i64(&r);
        if (r.err || stamp != LOAD_STAMP || us < 0)
                return;
        delays.of[us / DELAY_STEP_US < DELAYS ? us / DELAY_STEP_US : DELAYS - 1]++;
        delays.count++;
        delays.most_us = us > delays.most_us ? us : delays.most_us;
}

static void count_frame(struct stream *s, const struct frame *f)
{
        s->bytes += f->bytes->len;
        s->configs += f->flags & FRAME_CONFIG ? 1 : 0;
        s->breaks += f->flags & FRAME_BREAK ? 1 : 0;
        if (f->flags & FRAME_CONFIG)
                return;
        if (s->frames++ == 0)
                s->first_us = f->dts_us;
        if (f->track == TRACK_VIDEO) {
                s->video++;
                s->keys += f->flags & FRAME_KEY;
                count_delay(f);
        } else {
                s->audio++;
        }
        if (s->seen[f->track] && f->dts_us <= s->last_us[f->track])
                s->backwards++;
        s->seen[f->track] = true;
        s->last_us[f->track] = f->dts_us;
}

static int64_t stored_us(const struct stream *s)
{
        int64_t least = INT64_MAX;
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (s->seen[k] && s->last_us[k] < least)
                        least = s->last_us[k];
        }
        return least == INT64_MAX ? 0 : least - stored_lag_us;
}

static void release_msg(void *msg)
{
        nng_msg_free(msg);
}

static void take_ahead(struct stream *s)
{
        struct ahead_batch *b;
        while ((b = ahead_due(&s->ahead, s->next_seq))) {
                for (uint16_t i = 0; i < b->count; i++) {
                        if (b->first_seq + i == s->next_seq) {
                                count_frame(s, &b->frames[i]);
                                s->next_seq++;
                        }
                }
                ahead_drop(b);
        }
}

static int take_media(struct reader *body, struct buf *whole, bool told, struct media_reply *reply)
{
        static struct frame frames[BATCH_FRAMES_MAX];
        struct media m;
        if (media_decode(body, &m, frames, whole))
                return ERR_PROTO;
        struct stream *s = by_handle(m.handle);
        *reply = (struct media_reply){.credit = BATCH_FRAMES_MAX, .draining = self.draining, .takes_many = 1};
        if (!s) {
                reply->status = ERR_NOT_FOUND;
        } else if (m.first_seq > s->next_seq || s->next_seq - m.first_seq > m.count) {
                if (!told || m.first_seq < s->next_seq || !ahead_keep(&s->ahead, &m))
                        s->out_of_order++;
                reply->status = ERR_ORDER;
                reply->next_seq = s->next_seq;
        } else {
                for (int i = (int)(s->next_seq - m.first_seq); i < m.count; i++) /* those that it had are passed over */
                        count_frame(s, &frames[i]);
                s->next_seq = m.first_seq + m.count;
                take_ahead(s);
                reply->next_seq = s->next_seq;
                reply->stored_us = stored_us(s);
                s->generation += s->shadow && !m.shadow ? 1 : 0;
                s->shadow = m.shadow;
                reply->generation = s->generation;
        }
        for (int i = 0; i < m.count; i++)
                buf_unref(&frames[i].bytes);
        return 0;
}

static struct buf *take_message(struct rpc_request *req)
{
        nng_msg *msg = req->msg;
        req->msg = NULL;
        return buf_wrap(nng_msg_body(msg), nng_msg_len(msg), release_msg, msg);
}

static void on_media(struct rpc_request *req)
{
        struct media_reply reply;
        struct buf *whole = take_message(req);
        if (take_media(&req->body, whole, false, &reply))
                rpc_drop(req, "malformed MEDIA");
        else
                rpc_reply(req, message_new(MSG_MEDIA_REPLY, media_reply_encode, &reply));
        buf_unref(&whole);
}

static void on_media_many(struct rpc_request *req)
{
        static struct media_many_reply reply;
        struct reader parts[MEDIA_MANY_MAX];
        struct buf *whole = take_message(req);
        int err = media_many_decode(&req->body, parts, &reply.count);
        for (int i = 0; !err && i < reply.count; i++)
                err = take_media(&parts[i], whole, false, &reply.parts[i]);
        if (err)
                rpc_drop(req, "malformed MEDIA_MANY");
        else
                rpc_reply(req, message_new(MSG_MEDIA_MANY_REPLY, media_many_reply_encode, &reply));
        buf_unref(&whole);
}

static void on_media_told(struct rpc_request *req)
{
        struct media_reply reply;
        struct reader parts[MEDIA_MANY_MAX];
        uint16_t count;
        struct buf *whole = take_message(req);
        int err = media_many_decode(&req->body, parts, &count);
        for (int i = 0; !err && i < count; i++)
                err = take_media(&parts[i], whole, true, &reply);
        if (err)
                rpc_drop(req, "malformed MEDIA_TOLD");
        else
                rpc_pass(req);
        buf_unref(&whole);
}

static void on_close(struct rpc_request *req)
{
        struct close_stream m;
        struct status_reply reply = {0};
        if (close_stream_decode(&req->body, &m)) {
                rpc_drop(req, "malformed CLOSE");
                return;
        }
        struct stream *s = by_handle(m.handle);
        reply.status = s ? 0 : ERR_NOT_FOUND;
        if (s) {
                s->closed = m.reason;
                s->handle = 0;
        }
        rpc_reply(req, message_new(MSG_CLOSE_REPLY, status_reply_encode, &reply));
}

static void on_request(void *arg, struct rpc_request *req)
{
        (void)arg;
        if (req->type == MSG_OPEN)
                on_open(req);
        else if (req->type == MSG_MEDIA)
                on_media(req);
        else if (req->type == MSG_MEDIA_MANY)
                on_media_many(req);
        else if (req->type == MSG_MEDIA_TOLD)
                on_media_told(req);
        else if (req->type == MSG_CLOSE)
                on_close(req);
        else
                rpc_drop(req, "not for a transcoder");
}

static void on_signal(uv_signal_t *h, int signum)
{
        print_all();
        if (signum == SIGUSR1)
                return;
        rpc_server_close(server);
        uv_stop(h->loop);
}

static void on_forget(uv_signal_t *h, int signum)
{
        (void)h, (void)signum;
        memset(&delays, 0, sizeof(delays));
}

static void watch(uv_signal_t *h, int signum)
{
        uv_signal_init(&loop, h);
        uv_signal_start(h, signum == SIGUSR2 ? on_forget : on_signal, signum);
}

int main(int argc, char **argv)
{
        int port = 0, lag_ms = 0;
        snprintf(self.id, sizeof(self.id), "fake-%d", (int)uv_os_getpid());
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--full") == 0)
                        full = true;
                else if (strcmp(argv[i], "--delays") == 0)
                        tell_delays = true;
                else if (sscanf(argv[i], "--port=%d", &port) != 1 &&
                         sscanf(argv[i], "--id=%63[A-Za-z0-9._-]", self.id) != 1 &&
                         sscanf(argv[i], "--stored-lag-ms=%d", &lag_ms) != 1)
                        goto usage;
        }
        if (port <= 0)
                goto usage;
        stored_lag_us = lag_ms * US_PER_MS;
        self.incarnation_us = clock_wall_us();
        log_init(self.id, LOG_INFO);
        uv_loop_init(&loop);
        uv_signal_t term, interrupt, show, forget;
        watch(&term, SIGTERM);
        watch(&interrupt, SIGINT);
        watch(&show, SIGUSR1);
        watch(&forget, SIGUSR2);
        int err = rpc_server_open(&server, &loop, "127.0.0.1", port, 1024, &self, on_request, NULL);
        if (err) {
                log_error("port=%d error=\"%s\" msg=\"cannot listen\"", port, err_text(err));
                return 1;
        }
        log_info("port=%d msg=\"listening\"", port);
        uv_run(&loop, UV_RUN_DEFAULT);
        return 0;
usage:
        fprintf(stderr, "usage: fake_transcoder --port=N [--id=NAME] [--stored-lag-ms=N] [--full] [--delays]\n");
        return 2;
}
