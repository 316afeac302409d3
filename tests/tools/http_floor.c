/* http_floor - what merely handing one object's bytes to the kernel costs: the floor that edged's work a request is compared with.
 *
 *   http_floor --port P --bytes N [--pages] [--pieces K --every MS] [--after MS]
 *
 * One thread, one epoll, one receive and one send a request. Whatever is asked for, the answer is the same: N bytes with their
 * length; or, with --pieces, one chunk every MS milliseconds from the first request on. --after: the first bytes are there so long after
 * the first request, as if they came from far away. --pages hands references to pages of a file in memory (sendfile) instead of a copy.
 * Says "ready" when it listens; until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/tools/options.h"

#define LISTEN_BACKLOG 4096
#define PIECES_MAX 64
#define READY_MAX 256

struct connection {
        struct connection *next; /* of all that are open: each piece goes to those that wait for it */
        struct connection **link;
        int fd;
        bool asked;
        off_t sent;
};

struct floor {
        size_t object_bytes;
        unsigned pieces, every_ms, after_ms;
        bool pages;
        char *answer; /* head and body as they go over the wire */
        size_t ends[PIECES_MAX], there;
        int file;         /* the same bytes, for --pages */
        int64_t began_us; /* of the first request; 0: none yet */
        int epoll;
        struct connection *all;
};

static void make_answer(struct floor *f)
{
        size_t len = 0;
        FILE *out = open_memstream(&f->answer, &len);
        fprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nCache-Control: max-age=31536000, immutable\r\n"
                     "Access-Control-Allow-Origin: *\r\nTiming-Allow-Origin: *\r\n");
        if (f->pieces == 1)
                fprintf(out, "Content-Length: %zu\r\n\r\n", f->object_bytes);
        else
                fprintf(out, "Transfer-Encoding: chunked\r\n\r\n");
        for (unsigned i = 0; i < f->pieces; i++) {
                size_t from = f->object_bytes * i / f->pieces, end = f->object_bytes * (i + 1) / f->pieces;
                if (f->pieces > 1)
                        fprintf(out, "%zx\r\n", end - from);
                for (size_t at = from; at < end; at++)
                        fputc((int)((at * 7 + at / 251) & 255), out);
                if (f->pieces > 1)
                        fprintf(out, "\r\n%s", i + 1 == f->pieces ? "0\r\n\r\n" : "");
                f->ends[i] = (size_t)ftell(out);
        }
        fclose(out);
        f->file = memfd_create("answer", 0);
        if (f->file < 0 || write(f->file, f->answer, len) != (ssize_t)len) {
                perror("http_floor: memory for the answer");
                exit(1);
        }
}

static int listen_on(int port)
{
        const int on = 1;
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, LISTEN_BACKLOG)) {
                perror("http_floor");
                exit(1);
        }
        return fd;
}

static void drop(struct connection *c)
{
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        close(c->fd);
        free(c);
}

static void take_connections(struct floor *f, int listener)
{
        const int on = 1;
        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                struct connection *c = mem_alloc(sizeof(*c));
                *c = (struct connection){.next = f->all, .link = &f->all, .fd = fd};
                if (c->next)
                        c->next->link = &c->next;
                f->all = c;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
                epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev);
        }
}

/* Sends what is there and the connection has not got, as far as the kernel takes it. */
static void send_more(struct floor *f, struct connection *c)
{
        while (c->asked && (size_t)c->sent < f->there) {
                size_t len = f->there - (size_t)c->sent;
                ssize_t n = f->pages ? sendfile(c->fd, f->file, &c->sent, len) : send(c->fd, f->answer + c->sent, len, MSG_NOSIGNAL);
                if (n <= 0)
                        return; /* the socket is full, or its end is told by the next receive */
                if (!f->pages)
                        c->sent += n;
        }
        if ((size_t)c->sent == f->ends[f->pieces - 1])
                c->asked = false;
}

/* false: the connection is gone. A request is what ends with an empty line; viewers send the next one when the answer is whole. */
static bool take_request(struct floor *f, struct connection *c)
{
        char bytes[4096];
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
                drop(c);
                return false;
        }
        if (n >= 4 && memcmp(bytes + n - 4, "\r\n\r\n", 4) == 0) {
                c->asked = true;
                c->sent = 0;
                if (!f->began_us)
                        f->began_us = clock_mono_us();
        }
        return true;
}

/* How many milliseconds to wait for the next piece; -1: there is none to wait for. */
static int grow(struct floor *f)
{
        if (f->there == f->ends[f->pieces - 1] || !f->began_us)
                return -1;
        int64_t age_ms = (clock_mono_us() - f->began_us) / US_PER_MS - f->after_ms;
        if (age_ms < 0)
                return (int)-age_ms;
        unsigned made = f->every_ms ? 1 + (unsigned)(age_ms / f->every_ms) : f->pieces;
        made = made < f->pieces ? made : f->pieces;
        if (f->there < f->ends[made - 1]) {
                f->there = f->ends[made - 1];
                for (struct connection *c = f->all; c; c = c->next)
                        send_more(f, c);
        }
        return made < f->pieces ? (int)(made * f->every_ms - age_ms) : -1;
}

static void serve(struct floor *f, int listener)
{
        struct epoll_event ready[READY_MAX], ev = {.events = EPOLLIN};
        f->epoll = epoll_create1(0);
        epoll_ctl(f->epoll, EPOLL_CTL_ADD, listener, &ev);
        puts("ready");
        fflush(stdout);
        for (;;) {
                int n = epoll_wait(f->epoll, ready, READY_MAX, grow(f));
                for (int i = 0; i < n; i++) {
                        struct connection *c = ready[i].data.ptr;
                        if (!c)
                                take_connections(f, listener);
                        else if (!(ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || take_request(f, c))
                                send_more(f, c);
                }
        }
}

int main(int argc, char **argv)
{
        int64_t port = 0, bytes = 0, pages = 0, pieces = 1, every_ms = 0, after_ms = 0;
        const struct tool_option options[] = {{"port", &port, false},      {"bytes", &bytes, false},    {"pages", &pages, true},
                                              {"pieces", &pieces, false},  {"every", &every_ms, false}, {"after", &after_ms, false},
                                              {NULL, NULL, false}};
        if (!tool_options(argc, argv, options) || port <= 0 || bytes <= 0 || pieces <= 0 || pieces > PIECES_MAX) {
                fprintf(stderr, "usage: http_floor --port P --bytes N [--pages] [--pieces K --every MS] [--after MS]\n");
                return 2;
        }
        struct floor f = {.object_bytes = (size_t)bytes, .pieces = (unsigned)pieces, .every_ms = (unsigned)every_ms,
                          .after_ms = (unsigned)after_ms, .pages = pages != 0};
        struct rlimit files;
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        signal(SIGPIPE, SIG_IGN);
        make_answer(&f);
        if (f.pieces == 1 && f.after_ms == 0)
                f.there = f.ends[0];
        serve(&f, listen_on((int)port));
        return 0;
}
