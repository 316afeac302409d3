/* fake_fetch: an origin for tests of edged. Serves made-up objects over FETCH and counts what it is asked.
 *
 *   fake_fetch --port P [--id ID] [--die-after N] [--after MS] [--since US]
 *
 * What an object does is written in its stream id, /live/<stream>/…:
 *   whole_<bytes>               there at once, immutable
 *   grow_<bytes>_<pieces>_<ms>  from the first FETCH on, one piece every <ms>
 *   live_<bytes>_<pieces>_<ms>  a live stream: segment n begins n * pieces * ms after --since and grows; before that it is NOT_YET
 *   late_<bytes>_<ms>           NOT_YET for <ms>, then whole
 *   due_<bytes>_<ms>            the same, and says how long it will be when that is longer than it may wait
 *   never                       NOT_YET for ever
 *   missing                     NOT_FOUND for 1 s
 *   busy                        FULL
 *   text                        "version N\n", N counting the FETCHes of it, fresh for 1 s (a manifest)
 * Byte i of an object is (i * 7 + i / 251) mod 256. /api/streams lists a stream named after the id. The stream
 * "counts" answers {"<key>": FETCHes …}, whatever is asked of it; those are not counted themselves. With --die-after the
 * process ends without a word at the N-th FETCH of a growing object's later pieces. --after: each answer comes so long after its FETCH
 * at the earliest, as from an origin that is far away. --since: of the monotonic clock; its start, unless it is told.
 * Prints "ready" when it listens; ends on SIGTERM. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "common/cluster/rpc.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "proto/fetch.h"

#define OBJECTS_MAX 65536
#define PENDING_TICK_MS 5

struct object {
        char key[KEY_MAX + 1];
        int64_t born_us;
        unsigned fetches;
};

struct pending { /* a FETCH that waits */
        struct pending *next;
        struct rpc_request *req;
        struct fetch m;
        int64_t earliest_us, deadline_us;
};

static struct object *objects[OBJECTS_MAX];
static size_t object_count;
static struct pending *waiting;
static struct node_identity self = {.role = ROLE_ORIGIND, .cluster_token = ""};
static unsigned die_after, later_fetches, after_ms;
static int64_t since_us;
static struct rpc_server *server;
static uv_loop_t loop;

static struct object *find(const char *key)
{
        for (size_t i = object_count; i > 0; i--) {
                if (strcmp(objects[i - 1]->key, key) == 0)
                        return objects[i - 1];
        }
        if (object_count == OBJECTS_MAX) {
                fprintf(stderr, "too many objects\n");
                exit(1);
        }
        struct object *o = mem_alloc(sizeof(*o));
        snprintf(o->key, sizeof(o->key), "%s", key);
        o->born_us = clock_mono_us();
        objects[object_count++] = o;
        return o;
}

static void reply_body(struct rpc_request *req, const struct fetch *m, const void *bytes, size_t len, uint8_t flags,
                       uint32_t ttl_ms, const char *type)
{
        struct fetch_reply r = {.offset = m->offset, .flags = flags, .ttl_ms = ttl_ms, .bytes = bytes, .len = (uint32_t)len};
        snprintf(r.content_type, sizeof(r.content_type), "%s", type);
        rpc_reply(req, message_new(MSG_FETCH_REPLY, fetch_reply_encode, &r));
}

static void reply_status(struct rpc_request *req, const struct fetch *m, int status, uint32_t ttl_ms)
{
        struct fetch_reply r = {.status = (int8_t)status, .offset = m->offset, .ttl_ms = ttl_ms};
        rpc_reply(req, message_new(MSG_FETCH_REPLY, fetch_reply_encode, &r));
}

/* Bytes [offset, end) of an object of total bytes. */
static void reply_media(struct rpc_request *req, const struct fetch *m, uint64_t end, uint64_t total)
{
        uint64_t len = end - m->offset < BODY_MAX ? end - m->offset : BODY_MAX;
        uint8_t *bytes = mem_alloc(len + 1);
        for (uint64_t i = 0, at = m->offset; i < len; i++, at++)
                bytes[i] = (uint8_t)(at * 7 + at / 251);
        uint8_t flags = FETCH_IMMUTABLE | (m->offset + len == total ? FETCH_COMPLETE : 0);
        reply_body(req, m, bytes, len, flags, 0, "video/mp4");
        free(bytes);
}

static void reply_counts(struct rpc_request *req, const struct fetch *m)
{
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        fputc('{', out);
        for (size_t i = 0; i < object_count; i++)
                fprintf(out, "%s\"%s\": %u", i ? ", " : "", objects[i]->key, objects[i]->fetches);
        fputs("}\n", out);
        fclose(out);
        len = len < BODY_MAX ? len : BODY_MAX;
        reply_body(req, m, text, m->offset < len ? len - m->offset : 0, FETCH_COMPLETE, 1, "application/json");
        free(text);
}

static bool answer_growing(struct rpc_request *req, const struct fetch *m, int64_t born_us, uint64_t total,
                           unsigned pieces, unsigned piece_ms)
{
        int64_t age_ms = (clock_mono_us() - born_us) / US_PER_MS;
        if (age_ms < 0)
                return false;
        uint64_t there = 1 + (uint64_t)age_ms / (piece_ms ? piece_ms : 1);
        uint64_t end = there >= pieces ? total : total * there / pieces;
        if (m->offset > 0 && m->offset < total && die_after && ++later_fetches >= die_after)
                _exit(9);
        if (m->offset >= end && end < total)
                return false;
        reply_media(req, m, end > m->offset ? end : m->offset, total);
        return true;
}

/* What is no segment of a live stream is its manifest or its init segment: some bytes, which mean nothing. */
static bool answer_live(struct rpc_request *req, const struct fetch *m, uint64_t total, unsigned pieces, unsigned piece_ms)
{
        static const char manifest[] = "<MPD/>\n";
        unsigned long long segment;
        if (sscanf(strrchr(m->key, '/'), "/%llu.m4s", &segment) == 1)
                return answer_growing(req, m, since_us + (int64_t)(segment * pieces * piece_ms) * US_PER_MS, total, pieces, piece_ms);
        if (strstr(m->key, "/manifest.mpd"))
                reply_body(req, m, manifest, strlen(manifest), FETCH_COMPLETE, 1000, "application/dash+xml");
        else
                reply_media(req, m, 1000, 1000);
        return true;
}

/* false: nothing to say yet. */
static bool answer(struct rpc_request *req, const struct fetch *m, struct object *o)
{
        unsigned pieces, ms;
        unsigned long long total;
        char text[64];
        const char *stream = m->key + strlen("/live/");
        if (sscanf(stream, "whole_%llu/", &total) == 1) {
                reply_media(req, m, total, total);
        } else if (sscanf(stream, "grow_%llu_%u_%u/", &total, &pieces, &ms) == 3) {
                return answer_growing(req, m, o->born_us, total, pieces, ms);
        } else if (sscanf(stream, "live_%llu_%u_%u/", &total, &pieces, &ms) == 3) {
                return answer_live(req, m, total, pieces, ms);
        } else if (sscanf(stream, "late_%llu_%u/", &total, &ms) == 2) {
                if (clock_mono_us() < o->born_us + ms * US_PER_MS)
                        return false;
                reply_media(req, m, total, total);
        } else if (sscanf(stream, "due_%llu_%u/", &total, &ms) == 2) {
                int64_t due_ms = (o->born_us - clock_mono_us()) / US_PER_MS + ms;
                if (due_ms > (int64_t)m->wait_ms)
                        reply_status(req, m, ERR_NOT_YET, (uint32_t)due_ms);
                else if (due_ms > 0)
                        return false;
                else
                        reply_media(req, m, total, total);
        } else if (strncmp(stream, "never/", 6) == 0) {
                return false;
        } else if (strncmp(stream, "busy/", 5) == 0) {
                reply_status(req, m, ERR_FULL, 0);
        } else if (strncmp(stream, "text/", 5) == 0) {
                snprintf(text, sizeof(text), "version %u\n", o->fetches);
                reply_body(req, m, text, strlen(text), FETCH_COMPLETE, 1000, "application/dash+xml");
        } else {
                reply_status(req, m, ERR_NOT_FOUND, 1000);
        }
        return true;
}

static void on_fetch(void *arg, struct rpc_request *req)
{
        (void)arg;
        struct fetch m;
        char text[128];
        if (req->type != MSG_FETCH || fetch_decode(&req->body, &m) != 0) {
                rpc_drop(req, "not a FETCH");
                return;
        }
        if (strncmp(m.key, "/live/counts/", 13) == 0) {
                reply_counts(req, &m);
                return;
        }
        struct object *o = find(m.key);
        o->fetches++;
        if (strcmp(m.key, "/api/streams") == 0) {
                snprintf(text, sizeof(text), "{\"streams\": [{\"id\": \"%s\", \"state\": \"live\"}]}", self.id);
                reply_body(req, &m, text, strlen(text), FETCH_COMPLETE, 1000, "application/json");
                return;
        }
        if (strncmp(m.key, "/live/", 6) != 0) {
                reply_status(req, &m, ERR_NOT_FOUND, 1000);
                return;
        }
        if (!after_ms && answer(req, &m, o))
                return;
        struct pending *p = mem_alloc(sizeof(*p));
        int64_t earliest_us = clock_mono_us() + after_ms * US_PER_MS;
        *p = (struct pending){waiting, req, m, earliest_us, earliest_us + m.wait_ms * US_PER_MS};
        waiting = p;
}

static void on_tick(uv_timer_t *timer)
{
        (void)timer;
        int64_t now_us = clock_mono_us();
        for (struct pending **at = &waiting, *p; (p = *at);) {
                bool done = now_us >= p->earliest_us && answer(p->req, &p->m, find(p->m.key));
                if (!done && now_us >= p->deadline_us) {
                        reply_status(p->req, &p->m, ERR_NOT_YET, 0);
                        done = true;
                }
                if (!done) {
                        at = &p->next;
                        continue;
                }
                *at = p->next;
                free(p);
        }
}

static void on_signal(uv_signal_t *signal, int signum)
{
        (void)signal, (void)signum;
        _exit(0);
}

int main(int argc, char **argv)
{
        static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                                {"id", required_argument, NULL, 'i'},
                                                {"die-after", required_argument, NULL, 'd'},
                                                {"after", required_argument, NULL, 'a'},
                                                {"since", required_argument, NULL, 's'},
                                                {NULL, 0, NULL, 0}};
        int port = 0, c;
        snprintf(self.id, sizeof(self.id), "fake-origin");
        since_us = clock_mono_us();
        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (c == 'p')
                        port = atoi(optarg);
                else if (c == 'i')
                        snprintf(self.id, sizeof(self.id), "%s", optarg);
                else if (c == 'd')
                        die_after = (unsigned)atoi(optarg);
                else if (c == 'a')
                        after_ms = (unsigned)atoi(optarg);
                else if (c == 's')
                        since_us = strtoll(optarg, NULL, 10);
                else
                        return 2;
        }
        if (port <= 0) {
                fprintf(stderr, "usage: fake_fetch --port P [--id ID] [--die-after N] [--after MS] [--since US]\n");
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        log_init(self.id, LOG_INFO);
        self.incarnation_us = clock_wall_us();
        uv_loop_init(&loop);
        if (rpc_server_open(&server, &loop, "127.0.0.1", port, 512, &self, on_fetch, NULL) != 0) {
                fprintf(stderr, "cannot listen on port %d\n", port);
                return 1;
        }
        uv_timer_t timer;
        uv_signal_t term;
        uv_timer_init(&loop, &timer);
        uv_timer_start(&timer, on_tick, PENDING_TICK_MS, PENDING_TICK_MS);
        uv_signal_init(&loop, &term);
        uv_signal_start(&term, on_signal, SIGTERM);
        puts("ready");
        fflush(stdout);
        return uv_run(&loop, UV_RUN_DEFAULT);
}
