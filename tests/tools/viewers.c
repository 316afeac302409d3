/* viewers - many viewers of an edge in one process that costs as little as it can: bodies are discarded in the kernel (MSG_TRUNC).
 *
 *   viewers hits   --port P --connections N --seconds S PATH…
 *           each connection asks for the next path as soon as it has the last one
 *   viewers herd   --port P --connections N --bytes B [--connected] PATH
 *           all of them ask for one object at once; the clock starts before they connect, with --connected when all have. Then waits
 *           for the end of its input before it closes them, so that memory can be looked at
 *   viewers follow --port P --connections N --seconds S --arrive-ms M --bytes B --pieces K --every MS --since US [--late-ms L] STREAM
 *           players of fake_fetch's stream live_<B>_<K>_<MS>, whose segment 0 began at --since of the monotonic clock: manifest,
 *           init segment, then each segment in its turn, L milliseconds behind; they arrive within M milliseconds
 *
 * --bytes is how long the bodies are, which a chunked answer does not tell. A body that is shorter or longer is a failure, as is any
 * status but 200. Says one JSON object a line; times are milliseconds. Ends with 0 whatever the viewers saw. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/tools/options.h"

#define HEAD_MAX 1024
#define READY_MAX 256
#define END_OF_CHUNKS "\r\n0\r\n\r\n"
#define END_LEN (sizeof(END_OF_CHUNKS) - 1)
#define SLOT_US 20 /* of the table that percentiles are read from */
#define SLOTS 1000000
#define TURN_MS 2
#define PIECES_AHEAD 2 /* a player begins when it has so many, that far before them if need be: what comes next has that long */
#define GIVE_UP_MS 60000

enum phase { AWAY, CONNECTING, IDLE, HEAD, BODY, END, GONE };

struct viewer {
        int fd, status;
        enum phase phase;
        bool chunked;
        uint32_t head_len;
        uint64_t left, got; /* of the body, in bytes */
        char head[HEAD_MAX + 1], end[END_LEN];
        int64_t asked_us, first_us;
        /* follow */
        int64_t arrives_us, late_us, due_us;
        int64_t segment; /* -2: the manifest, -1: the init segment */
        unsigned pieces_seen;
        bool plays;
};

struct times { /* in slots of SLOT_US; what is longer is in the last one */
        uint32_t *slots;
        uint64_t count;
        int64_t longest_us;
};

struct crowd {
        int64_t port, connections, seconds, pieces, every_ms, arrive_ms, late_ms, object_bytes, connected; /* as they were given */
        int epoll;
        int64_t since_us, began_us, ends_us;
        bool follows, again;
        char **paths;
        unsigned n_paths, next_path;
        struct viewer *viewers;
        int64_t open, done, failed, stalls;
        uint64_t requests, bytes;
        int64_t stalled_us;
        struct times first, last, startup, lateness;
};

/* ---- what is counted */

static void times_init(struct times *t)
{
        t->slots = mem_alloc(SLOTS * sizeof(*t->slots));
}

static void times_take(struct times *t, int64_t us)
{
        us = us > 0 ? us : 0;
        t->slots[us / SLOT_US < SLOTS ? us / SLOT_US : SLOTS - 1]++;
        t->count++;
        t->longest_us = us > t->longest_us ? us : t->longest_us;
}

static double times_ms(const struct times *t, double share)
{
        uint64_t seen = 0;
        for (unsigned i = 0; i < SLOTS && t->count; i++) {
                seen += t->slots[i];
                if ((double)seen >= share * (double)t->count)
                        return (double)i * SLOT_US / 1e3;
        }
        return 0;
}

static void times_print(const char *name, const struct times *t)
{
        printf(", \"%s\": {\"count\": %llu, \"p50\": %.2f, \"p99\": %.2f, \"max\": %.2f}", name, (unsigned long long)t->count,
               times_ms(t, 0.50), times_ms(t, 0.99), (double)t->longest_us / 1e3);
}

static double cpu_s(void)
{
        struct rusage r;
        getrusage(RUSAGE_SELF, &r);
        return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* ---- one request */

static void leave(struct crowd *c, struct viewer *v, bool failed)
{
        if (v->phase == GONE)
                return;
        if (v->phase != AWAY) {
                close(v->fd);
                c->open--;
        }
        v->phase = GONE;
        c->failed += failed;
        c->done++;
}

__attribute__((format(printf, 3, 4))) static void ask(struct crowd *c, struct viewer *v, const char *path, ...)
{
        char target[1500], text[1800];
        va_list args;
        va_start(args, path);
        vsnprintf(target, sizeof(target), path, args);
        va_end(args);
        int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: edge\r\nUser-Agent: viewers\r\n\r\n", target);
        v->asked_us = clock_mono_us();
        v->first_us = 0;
        v->head_len = 0;
        v->got = 0;
        v->phase = HEAD;
        v->pieces_seen = 0;
        if (send(v->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
                leave(c, v, true);
}

/* Each viewer has an address of this machine to itself, and each crowd has others than the one before. From one address the kernel would
 * have to look for a port that no viewer of the last minute had: of 9,500 that cost a second of this process's time, and looked like the
 * server's. */
static void bind_viewer(const struct crowd *c, const struct viewer *v)
{
        const int on = 1;
        uint32_t n = (uint32_t)(v - c->viewers), crowd = (uint32_t)getpid() % 200;
        uint32_t address = 127u << 24 | (1 + crowd) << 16 | n / 250 % 250 << 8 | (1 + n % 250);
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
        if (setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) || bind(v->fd, (struct sockaddr *)&from, sizeof(from))) {
                perror("viewers: an address of its own");
                exit(1);
        }
}

static void connect_viewer(struct crowd *c, struct viewer *v)
{
        const int on = 1;
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (v->fd < 0) {
                perror("viewers: socket");
                exit(1);
        }
        setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        bind_viewer(c, v);
        v->phase = CONNECTING;
        c->open++;
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = v};
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, v->fd, &ev);
        if (connect(v->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
                leave(c, v, true);
}

/* The head is whole in v->head. */
static void read_head(struct crowd *c, struct viewer *v)
{
        const char *length = strcasestr(v->head, "\r\nContent-Length:");
        v->status = atoi(v->head + strlen("HTTP/1.1 "));
        v->chunked = strcasestr(v->head, "\r\nTransfer-Encoding: chunked") != NULL;
        uint64_t expected = v->chunked && !(c->follows && v->segment < 0) ? (uint64_t)c->object_bytes : 0; /* no segment: of any length */
        v->left = v->chunked ? expected : length ? strtoull(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
        memset(v->end, 0, END_LEN);
        v->phase = v->left ? BODY : v->chunked ? END : IDLE;
}

/* len bytes behind the head that were really read. What is left over of a chunked body is its framing and its end. */
static void take_bytes(struct viewer *v, const char *bytes, size_t len)
{
        size_t body = v->phase == BODY ? (len < v->left ? len : v->left) : 0;
        v->left -= body;
        v->got += body;
        if (v->phase == BODY && v->left == 0)
                v->phase = v->chunked ? END : IDLE;
        for (size_t i = body; i < len && v->phase == END; i++) {
                memmove(v->end, v->end + 1, END_LEN - 1);
                v->end[END_LEN - 1] = bytes[i];
                if (memcmp(v->end, END_OF_CHUNKS, END_LEN) == 0)
                        v->phase = IDLE;
        }
}

static ssize_t receive(struct crowd *c, struct viewer *v)
{
        char bytes[HEAD_MAX];
        if (v->phase == BODY) {
                ssize_t n = recv(v->fd, NULL, v->left, MSG_TRUNC);
                if (n > 0) {
                        v->left -= (uint64_t)n;
                        v->got += (uint64_t)n;
                        if (v->left == 0)
                                v->phase = v->chunked ? END : IDLE;
                }
                return n;
        }
        if (v->phase != HEAD) {
                ssize_t n = recv(v->fd, bytes, sizeof(bytes), 0);
                if (n > 0)
                        take_bytes(v, bytes, (size_t)n);
                return n;
        }
        ssize_t n = recv(v->fd, v->head + v->head_len, HEAD_MAX - v->head_len, 0);
        if (n <= 0)
                return v->head_len == HEAD_MAX ? 0 : n; /* a head this long is none of ours */
        v->head_len += (uint32_t)n;
        v->head[v->head_len] = '\0';
        char *body = strstr(v->head, "\r\n\r\n");
        if (body) {
                size_t at = (size_t)(body + 4 - v->head), len = v->head_len - at;
                memcpy(bytes, v->head + at, len);
                body[2] = '\0';
                v->first_us = clock_mono_us();
                read_head(c, v);
                take_bytes(v, bytes, len);
        }
        return n;
}

/* ---- follow: a player */

static int64_t segment_us(const struct crowd *c)
{
        return c->pieces * c->every_ms * US_PER_MS;
}

/* How much of the current segment is here, in pieces; the framing counts as body until the end, which is some bytes of a piece. */
static unsigned pieces_here(const struct crowd *c, const struct viewer *v)
{
        return v->segment < 0 || v->status != 200 ? 0 : (unsigned)(v->got * (uint64_t)c->pieces / (uint64_t)c->object_bytes);
}

/* Pieces came: how late they are, and whether the picture stood still for want of them. */
static void watch_pieces(struct crowd *c, struct viewer *v, int64_t now_us)
{
        unsigned here = pieces_here(c, v);
        if (here == v->pieces_seen)
                return;
        int64_t piece_us = c->every_ms * US_PER_MS, segment_at = c->since_us + v->segment * segment_us(c);
        int64_t newest_made_us = segment_at + (here - 1) * piece_us;
        int64_t needed_us = segment_at + v->pieces_seen * piece_us + v->late_us; /* when the picture comes to the first that was missing */
        /* A piece that was made before it was asked for is late by the viewer's own choice. */
        if (newest_made_us > v->asked_us)
                times_take(&c->lateness, now_us - newest_made_us);
        if (!v->plays && here >= PIECES_AHEAD) {
                int64_t picture_at = segment_at + ((int64_t)here - PIECES_AHEAD) * piece_us; /* the newest place it may begin at */
                v->late_us = now_us - picture_at > v->late_us ? now_us - picture_at : v->late_us;
                v->plays = true;
                times_take(&c->startup, now_us - v->arrives_us);
        } else if (v->plays && now_us > needed_us) {
                c->stalls++;
                c->stalled_us += now_us - needed_us;
                v->late_us += now_us - needed_us; /* the picture goes on from where it stood */
        }
        v->pieces_seen = here;
}

static void ask_for_segment(struct crowd *c, struct viewer *v)
{
        int64_t now_us = clock_mono_us(), begins_us = c->since_us + v->segment * segment_us(c);
        if (now_us >= c->ends_us) {
                leave(c, v, false);
        } else if (now_us < begins_us) {
                v->due_us = begins_us; /* players ask for what the manifest says is there */
        } else {
                v->due_us = 0;
                ask(c, v, "/live/%s/s/v720/%lld.m4s", c->paths[0], (long long)v->segment);
        }
}

static void follow_on(struct crowd *c, struct viewer *v)
{
        if (v->segment == -2) {
                v->segment = -1;
                ask(c, v, "/live/%s/s/v720/init.mp4", c->paths[0]);
                return;
        }
        v->segment = v->segment == -1 ? (clock_mono_us() - c->since_us - v->late_us) / segment_us(c) : v->segment + 1;
        ask_for_segment(c, v);
}

/* ---- what happens when an answer is whole, or a moment has come */

static void answered(struct crowd *c, struct viewer *v)
{
        int64_t now_us = clock_mono_us();
        c->requests++;
        c->bytes += v->got;
        if (v->status != 200) {
                leave(c, v, true);
                return;
        }
        times_take(&c->first, v->first_us - (c->again || c->follows ? v->asked_us : c->began_us));
        times_take(&c->last, now_us - (c->again || c->follows ? v->asked_us : c->began_us));
        if (c->follows)
                follow_on(c, v);
        else if (c->again && now_us < c->ends_us)
                ask(c, v, "%s", c->paths[c->next_path++ % c->n_paths]);
        else if (c->again)
                leave(c, v, false);
        else
                c->done++;
}

static void readable(struct crowd *c, struct viewer *v)
{
        while (v->phase == HEAD || v->phase == BODY || v->phase == END) {
                ssize_t n = receive(c, v);
                if (n == 0 || (n < 0 && errno != EAGAIN)) {
                        leave(c, v, true);
                        return;
                }
                if (n < 0)
                        return;
                if (c->follows)
                        watch_pieces(c, v, clock_mono_us());
                if (v->phase == IDLE) {
                        answered(c, v);
                        return; /* who is answered quickly does not keep the others waiting: the next answer is an event of its own */
                }
        }
}

static void established(struct crowd *c, struct viewer *v)
{
        v->phase = IDLE;
        if (c->follows)
                ask(c, v, "/live/%s/manifest.mpd", c->paths[0]);
        else if (!c->connected)
                ask(c, v, "%s", c->paths[c->next_path++ % c->n_paths]);
        else
                c->done++;
}

static void follow_turn(struct crowd *c)
{
        int64_t now_us = clock_mono_us();
        for (int64_t i = 0; i < c->connections; i++) {
                struct viewer *v = &c->viewers[i];
                if (v->phase == AWAY && now_us >= v->arrives_us)
                        connect_viewer(c, v);
                else if (v->phase == IDLE && v->due_us && now_us >= v->due_us)
                        ask_for_segment(c, v);
        }
}

/* Until all are done; false: not within patience_us. */
static bool until_done(struct crowd *c, int64_t patience_us)
{
        struct epoll_event ready[READY_MAX];
        int64_t until_us = clock_mono_us() + patience_us;
        while (c->done < c->connections) {
                if (clock_mono_us() > until_us)
                        return false;
                int n = epoll_wait(c->epoll, ready, READY_MAX, c->follows ? TURN_MS : 100);
                for (int i = 0; i < n; i++) {
                        struct viewer *v = ready[i].data.ptr;
                        if (v->phase == CONNECTING && ready[i].events & (EPOLLERR | EPOLLHUP))
                                leave(c, v, true);
                        else if (v->phase == CONNECTING && ready[i].events & EPOLLOUT)
                                established(c, v);
                        if (ready[i].events & EPOLLIN)
                                readable(c, v);
                }
                if (c->follows)
                        follow_turn(c);
        }
        return true;
}

static void run(struct crowd *c)
{
        c->began_us = clock_mono_us();
        c->ends_us = c->began_us + c->seconds * US_PER_S;
        for (int64_t i = 0; i < c->connections; i++) {
                struct viewer *v = &c->viewers[i];
                *v = (struct viewer){.phase = AWAY, .segment = -2, .late_us = c->late_ms * US_PER_MS,
                                     .arrives_us = c->began_us + c->arrive_ms * US_PER_MS * i / c->connections};
                if (!c->follows)
                        connect_viewer(c, v);
        }
        if (c->connected && until_done(c, GIVE_UP_MS * US_PER_MS)) {
                c->done = c->failed;
                c->connected = 0;
                c->began_us = clock_mono_us();
                for (int64_t i = 0; i < c->connections; i++) {
                        if (c->viewers[i].phase == IDLE)
                                established(c, &c->viewers[i]);
                }
        }
        if (!until_done(c, c->seconds * US_PER_S + GIVE_UP_MS * US_PER_MS))
                c->failed += c->connections - c->done;
}

static void report(const struct crowd *c)
{
        double took_s = (double)(clock_mono_us() - c->began_us) / 1e6;
        printf("{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.4f, \"failed\": %lld, \"client_cpu_s\": %.4f, \"stalls\": %lld, "
               "\"stalled_s\": %.3f", (unsigned long long)c->requests, (unsigned long long)c->bytes, took_s, (long long)c->failed, cpu_s(),
               (long long)c->stalls,
               (double)c->stalled_us / 1e6);
        times_print("first", &c->first);
        times_print("last", &c->last);
        times_print("startup", &c->startup);
        times_print("lateness", &c->lateness);
        puts("}");
        fflush(stdout);
}

int main(int argc, char **argv)
{
        struct crowd c = {.late_ms = 1000};
        const struct tool_option options[] = {{"port", &c.port, false},           {"connections", &c.connections, false},
                                              {"seconds", &c.seconds, false},     {"bytes", &c.object_bytes, false},
                                              {"pieces", &c.pieces, false},       {"every", &c.every_ms, false},
                                              {"arrive-ms", &c.arrive_ms, false}, {"late-ms", &c.late_ms, false},
                                              {"since", &c.since_us, false},      {"connected", &c.connected, true},
                                              {NULL, NULL, false}};
        bool good = tool_options(argc, argv, options);
        const char *what = optind < argc ? argv[optind++] : "";
        c.again = strcmp(what, "hits") == 0;
        c.follows = strcmp(what, "follow") == 0;
        c.paths = argv + optind;
        c.n_paths = (unsigned)(argc - optind);
        if (!good || c.port <= 0 || c.connections <= 0 || !c.n_paths || (!c.again && c.object_bytes <= 0) ||
            (c.follows && (c.pieces <= 0 || c.every_ms <= 0)) || (!c.again && !c.follows && strcmp(what, "herd") != 0)) {
                fprintf(stderr, "usage: viewers hits|herd|follow --port P --connections N … PATH…, see tests/tools/viewers.c\n");
                return 2;
        }
        struct rlimit files;
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        times_init(&c.first), times_init(&c.last), times_init(&c.startup), times_init(&c.lateness);
        c.viewers = mem_alloc((size_t)c.connections * sizeof(*c.viewers));
        c.epoll = epoll_create1(0);
        run(&c);
        report(&c);
        if (!c.again && !c.follows) {
                while (getchar() != EOF)
                        ;
        }
        return 0;
}
