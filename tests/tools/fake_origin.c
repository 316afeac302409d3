/* fake_origin --port=N [--dir=DIR] [--id=NAME] [--delay-ms=N] [--fence-after=N] [--no-space-after=N --no-space-for=N]
 *             [--forget-after=N] - takes what a transcoder stores, and fails as it is told.
 *
 * Sessions are in memory; with --dir every track also goes to DIR/<track>.mp4, which ffprobe reads. N counts the PUTs of
 * this process: after that many all are answered ERR_FENCED; a number of them ERR_NOSPACE; or all sessions are forgotten,
 * once, as by an origin that lost its disk. On SIGUSR1, and when it ends (SIGTERM), one JSON line a session on stdout:
 *
 *   {"stream": "cam", "session": "…", "generation": 1, "ended": true, "end_us": …, "tracks": [
 *     {"name": "v360", "inits": 1, "chunks": …, "again": …, "gaps": …, "bytes": …, "first_us": …, "end_us": …}]}
 *
 * gaps counts chunks that begin more than half a chunk after the end of the one before. */
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
#include "proto/store.h"
#include "tests/unit/usual_grid.h"

struct track {
        char name[TRACK_NAME_MAX + 1];
        struct buf *init;
        FILE *file;
        unsigned inits, chunks, again, gaps;
        uint64_t bytes;
        uint32_t next_segment;
        uint8_t next_chunk;
        int64_t first_us, end_us;
};

struct session {
        struct session *next;
        char stream[STREAM_ID_MAX + 1], id[SESSION_ID_MAX + 1];
        int64_t epoch_us, end_us;
        uint32_t generation;
        bool ended, forgotten;
        struct track tracks[SESSION_TRACKS_MAX];
        uint8_t track_count;
};

struct delayed {
        uv_timer_t timer;
        struct rpc_request *req;
        nng_msg *reply;
};

static uv_loop_t loop;
static struct node_identity self = {.role = ROLE_ORIGIND, .can = CAN_SHORT_GRID, .cluster_token = ""};
static struct rpc_server *server;
static struct session *sessions;
static const char *dir;
static int puts_seen, delay_ms, fence_after = -1, no_space_after = -1, no_space_for, forget_after = -1;

/* ---- answers -------------------------------------------------------------------------------------------------------- */

static void on_delayed_closed(uv_handle_t *h)
{
        free(h->data);
}

static void on_delay_over(uv_timer_t *timer)
{
        struct delayed *d = timer->data;
        rpc_reply(d->req, d->reply);
        uv_close((uv_handle_t *)timer, on_delayed_closed);
}

static void answer(struct rpc_request *req, nng_msg *reply)
{
        if (!delay_ms) {
                rpc_reply(req, reply);
                return;
        }
        struct delayed *d = mem_alloc(sizeof(*d));
        *d = (struct delayed){.req = req, .reply = reply};
        uv_timer_init(&loop, &d->timer);
        d->timer.data = d;
        uv_timer_start(&d->timer, on_delay_over, (uint64_t)delay_ms, 0);
}

/* ---- CLAIM ---------------------------------------------------------------------------------------------------------- */

static struct session *by_id(const char *id)
{
        struct session *s = sessions;
        while (s && (s->forgotten || strcmp(s->id, id) != 0))
                s = s->next;
        return s;
}

static struct session *live_session(const char *stream)
{
        struct session *s = sessions;
        while (s && (s->forgotten || s->ended || strcmp(s->stream, stream) != 0))
                s = s->next;
        return s;
}

static void on_claim(struct rpc_request *req)
{
        struct claim m;
        if (claim_decode(&req->body, &m)) {
                rpc_drop(req, "malformed CLAIM");
                return;
        }
        struct session *s = live_session(m.stream);
        if (!s) {
                s = mem_alloc(sizeof(*s));
                memcpy(s->stream, m.stream, sizeof(s->stream));
                memcpy(s->id, m.session, sizeof(s->id));
                s->epoch_us = m.epoch_us;
                s->next = sessions;
                sessions = s;
        }
        struct claim_reply reply = {.epoch_us = s->epoch_us, .generation = ++s->generation, .track_count = s->track_count};
        memcpy(reply.session, s->id, sizeof(reply.session));
        for (int i = 0; i < s->track_count; i++) {
                const struct track *t = &s->tracks[i];
                reply.tracks[i] = (struct claim_track){.next_segment = t->next_segment, .next_chunk = t->next_chunk,
                                                       .end_us = t->end_us};
                memcpy(reply.tracks[i].name, t->name, sizeof(t->name));
        }
        log_info("session=%s stream=%s generation=%u node=%s msg=\"claimed\"", s->id, s->stream, s->generation, m.node);
        answer(req, message_new(MSG_CLAIM_REPLY, claim_reply_encode, &reply));
}

/* ---- PUT ------------------------------------------------------------------------------------------------------------ */

static struct track *find_track(struct session *s, const char *name)
{
        for (int i = 0; i < s->track_count; i++) {
                if (strcmp(s->tracks[i].name, name) == 0)
                        return &s->tracks[i];
        }
        return NULL;
}

static void write_bytes(struct track *t, const struct put *m)
{
        t->bytes += m->len;
        if (t->file && fwrite(m->bytes, 1, m->len, t->file) != m->len)
                log_error("track=%s msg=\"cannot write\"", t->name);
}

static int put_init(struct session *s, const struct put *m)
{
        struct track *t = find_track(s, m->track);
        if (t) {
                t->inits++;
                return t->init->len == m->len && memcmp(t->init->data, m->bytes, m->len) == 0 ? 0 : ERR_CONFLICT;
        }
        if (s->track_count == SESSION_TRACKS_MAX)
                return ERR_LIMIT;
        t = &s->tracks[s->track_count++];
        *t = (struct track){.init = buf_copy(m->bytes, m->len), .inits = 1, .end_us = m->start_us, .first_us = -1};
        memcpy(t->name, m->track, sizeof(t->name));
        if (dir) {
                char path[1024];
                snprintf(path, sizeof(path), "%s/%s.mp4", dir, t->name);
                t->file = fopen(path, "wb");
        }
        write_bytes(t, m);
        return 0;
}

static int put_chunk(struct session *s, const struct put *m)
{
        struct track *t = find_track(s, m->track);
        if (!t)
                return ERR_NOT_FOUND;
        if (m->start_us + m->duration_us / 2 < t->end_us) {
                t->again++;
                return m->start_us + m->duration_us <= t->end_us + US_PER_MS ? 0 : ERR_ORDER;
        }
        t->gaps += t->first_us >= 0 && m->start_us > t->end_us + CHUNK_US / 2;
        t->first_us = t->first_us < 0 ? m->start_us : t->first_us;
        t->end_us = m->start_us + m->duration_us;
        t->next_segment = (uint32_t)(t->end_us / SEGMENT_US);
        t->next_chunk = (uint8_t)(t->end_us % SEGMENT_US / CHUNK_US);
        t->chunks++;
        write_bytes(t, m);
        return 0;
}

static void forget_all(void)
{
        for (struct session *s = sessions; s; s = s->next)
                s->forgotten = true;
        log_info("msg=\"all sessions forgotten\"");
}

static int judge_put(const struct put *m)
{
        int n = puts_seen++;
        if (n == forget_after)
                forget_all();
        struct session *s = by_id(m->session);
        if (!s || s->ended)
                return ERR_NOT_FOUND;
        if (m->generation != s->generation || (fence_after >= 0 && n >= fence_after))
                return ERR_FENCED;
        if (no_space_after >= 0 && n >= no_space_after && n < no_space_after + no_space_for)
                return ERR_NOSPACE;
        return m->flags & PUT_INIT ? put_init(s, m) : put_chunk(s, m);
}

static void on_put(struct rpc_request *req)
{
        struct put m;
        if (put_decode(&req->body, &m)) {
                rpc_drop(req, "malformed PUT");
                return;
        }
        struct put_reply reply = {.status = (int8_t)judge_put(&m)};
        struct session *s = by_id(m.session);
        struct track *t = s ? find_track(s, m.track) : NULL;
        if (t) {
                reply.next_segment = t->next_segment;
                reply.next_chunk = t->next_chunk;
                reply.end_us = t->end_us;
        }
        answer(req, message_new(MSG_PUT_REPLY, put_reply_encode, &reply));
}

/* ---- END ------------------------------------------------------------------------------------------------------------ */

static void on_end(struct rpc_request *req)
{
        struct end m;
        if (end_decode(&req->body, &m)) {
                rpc_drop(req, "malformed END");
                return;
        }
        struct session *s = by_id(m.session);
        struct status_reply reply = {.status = !s ? ERR_NOT_FOUND : m.generation != s->generation ? ERR_FENCED : 0};
        if (!reply.status) {
                s->ended = true;
                s->end_us = m.end_us;
                log_info("session=%s stream=%s end_us=%" PRId64 " msg=\"ended\"", s->id, s->stream, s->end_us);
        }
        answer(req, message_new(MSG_END_REPLY, status_reply_encode, &reply));
}

static void on_request(void *arg, struct rpc_request *req)
{
        (void)arg;
        if (req->type == MSG_CLAIM)
                on_claim(req);
        else if (req->type == MSG_PUT)
                on_put(req);
        else if (req->type == MSG_END)
                on_end(req);
        else
                rpc_drop(req, "not for an origin's writers' port");
}

/* ---- what there is ---------------------------------------------------------------------------------------------------- */

static void print_session(const struct session *s)
{
        printf("{\"stream\": \"%s\", \"session\": \"%s\", \"generation\": %u, \"ended\": %s, \"end_us\": %" PRId64
               ", \"tracks\": [", s->stream, s->id, s->generation, s->ended ? "true" : "false", s->end_us);
        for (int i = 0; i < s->track_count; i++) {
                const struct track *t = &s->tracks[i];
                printf("%s{\"name\": \"%s\", \"inits\": %u, \"chunks\": %u, \"again\": %u, \"gaps\": %u, \"bytes\": %" PRIu64
                       ", \"first_us\": %" PRId64 ", \"end_us\": %" PRId64 "}", i ? ", " : "", t->name, t->inits, t->chunks,
                       t->again, t->gaps, t->bytes, t->first_us, t->end_us);
                if (t->file)
                        fflush(t->file);
        }
        printf("]}\n");
}

static void free_sessions(void)
{
        while (sessions) {
                struct session *s = sessions;
                sessions = s->next;
                for (int i = 0; i < s->track_count; i++) {
                        buf_unref(&s->tracks[i].init);
                        if (s->tracks[i].file)
                                fclose(s->tracks[i].file);
                }
                free(s);
        }
}

static void on_signal(uv_signal_t *h, int signum)
{
        for (const struct session *s = sessions; s; s = s->next)
                print_session(s);
        fflush(stdout);
        if (signum == SIGUSR1)
                return;
        rpc_server_close(server);
        uv_stop(h->loop);
}

static void watch(uv_signal_t *h, int signum)
{
        uv_signal_init(&loop, h);
        uv_signal_start(h, on_signal, signum);
}

static bool parse(const char *arg, int *port)
{
        if (strncmp(arg, "--dir=", 6) == 0) {
                dir = arg + 6;
                return true;
        }
        return sscanf(arg, "--port=%d", port) == 1 || sscanf(arg, "--id=%63[A-Za-z0-9._-]", self.id) == 1 ||
               sscanf(arg, "--delay-ms=%d", &delay_ms) == 1 || sscanf(arg, "--fence-after=%d", &fence_after) == 1 ||
               sscanf(arg, "--no-space-after=%d", &no_space_after) == 1 ||
               sscanf(arg, "--no-space-for=%d", &no_space_for) == 1 || sscanf(arg, "--forget-after=%d", &forget_after) == 1;
}

int main(int argc, char **argv)
{
        int port = 0;
        bool ok = true;
        snprintf(self.id, sizeof(self.id), "fake-origin");
        for (int i = 1; i < argc; i++)
                ok = ok && parse(argv[i], &port);
        if (!ok || port <= 0) {
                fprintf(stderr, "usage: fake_origin --port=N [--dir=DIR] [--id=NAME] [--delay-ms=N] [--fence-after=N] "
                                "[--no-space-after=N --no-space-for=N] [--forget-after=N]\n");
                return 2;
        }
        self.incarnation_us = clock_wall_us();
        log_init(self.id, LOG_INFO);
        uv_loop_init(&loop);
        uv_signal_t term, interrupt, show;
        watch(&term, SIGTERM);
        watch(&interrupt, SIGINT);
        watch(&show, SIGUSR1);
        int err = rpc_server_open(&server, &loop, "127.0.0.1", port, 256, &self, on_request, NULL);
        if (err) {
                log_error("port=%d error=\"%s\" msg=\"cannot listen\"", port, err_text(err));
                return 1;
        }
        log_info("port=%d msg=\"listening\"", port);
        uv_run(&loop, UV_RUN_DEFAULT);
        free_sessions();
        return 0;
}
