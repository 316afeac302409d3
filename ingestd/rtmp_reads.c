/* How sockets are read: those of connections that publish to the beat (shipment.h), all others whenever something comes.
 *
 * The frames of a publisher wait for the beat anyway, and one wait for all sockets, each beat, costs the loop far less than one for each
 * packet. Those that publish are in an epoll of their own, which wakes nobody; libuv has only their writes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "ingestd/shipment.h"
#include "ingestd/rtmp_server_impl.h"

#define SAY_AGAIN_US 60000000
#define READS_A_BEAT 4 /* of READ_BYTES: 200 Mbit/s at a beat of 10 ms */

static int descriptor(const struct conn *c)
{
        uv_os_fd_t fd = -1;
        uv_fileno((const uv_handle_t *)&c->tcp, &fd);
        return fd;
}

/* What is there makes it ready once, and then only what comes after it: else the kernel would look at each socket at each beat again. */
static int watch(struct conn *c, int op)
{
        struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        return epoll_ctl(c->server->to_beat_fd, op, descriptor(c), &ev);
}

/* Less than a whole read says that there is no more for now; but of an end that is there already nothing new would come. */
static void read_to_end(struct conn *c, bool over)
{
        struct rtmp_server *s = c->server;
        for (int i = 0; i < READS_A_BEAT && c->reads == READS_TO_BEAT; i++) {
                ssize_t n = read(descriptor(c), s->read_buf, READ_BYTES);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n >= 0 || errno != EINTR)
                        rtmp_conn_has_read(c, n > 0 ? n : n == 0 ? UV_EOF : uv_translate_sys_error(errno), s->read_buf);
                if (n >= 0 && n < READ_BYTES && !over)
                        return;
        }
        if (c->reads == READS_TO_BEAT) /* there is more, for the next beat */
                watch(c, EPOLL_CTL_MOD);
}

/* What comes of one connection may close another, which is not read any more then; its memory goes on a later turn. */
static void on_beat(void *arg)
{
        struct rtmp_server *s = magic_check(arg, SERVER_MAGIC);
        int n = epoll_wait(s->to_beat_fd, s->ready, (int)s->to_beat, 0);
        for (int i = 0; i < n; i++)
                read_to_end(conn_of(s->ready[i].data.ptr), s->ready[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

/* The kernel has no room for one more (max_user_watches, memory). */
static void say_no_room(struct rtmp_server *s)
{
        if (told_may(&s->told_no_room, SAY_AGAIN_US, now_us(s), NULL))
                log_warn("error=\"%s\" connections=%u msg=\"no more broadcasters can be read to the beat; others are read whenever "
                         "something comes, which costs more\"", strerror(errno), s->count);
}

/* False: it has to be read otherwise. */
static bool join_beat(struct conn *c)
{
        struct rtmp_server *s = c->server;
        if (s->to_beat == s->ready_room) {
                s->ready_room = s->ready_room ? 2 * s->ready_room : 64;
                s->ready = mem_resize(s->ready, s->ready_room * sizeof(*s->ready));
        }
        if (watch(c, EPOLL_CTL_ADD)) {
                say_no_room(s);
                return false;
        }
        if (s->to_beat++ == 0)
                shipment_read(s->setup.shipments, on_beat, s);
        return true;
}

static void leave_beat(struct conn *c)
{
        struct rtmp_server *s = c->server;
        epoll_ctl(s->to_beat_fd, EPOLL_CTL_DEL, descriptor(c), NULL);
        if (--s->to_beat == 0)
                shipment_read(s->setup.shipments, NULL, NULL);
}

static void stop(struct conn *c)
{
        if (c->reads == READS_TO_BEAT)
                leave_beat(c);
        else if (c->reads == READS_PACKETS)
                uv_read_stop((uv_stream_t *)&c->tcp);
        c->reads = READS_NOTHING;
}

bool rtmp_reads_choose(struct conn *c)
{
        bool to_beat = c->live && !c->closing && c->server->setup.shipments;
        enum reads next = c->paused ? READS_NOTHING : to_beat ? READS_TO_BEAT : READS_PACKETS;
        if (next == c->reads || uv_is_closing((uv_handle_t *)&c->tcp))
                return true;
        stop(c);
        if (next == READS_TO_BEAT && !join_beat(c))
                next = READS_PACKETS;
        if (next == READS_PACKETS && rtmp_conn_read_packets(c))
                return false;
        c->reads = next;
        return true;
}

void rtmp_reads_stop(struct conn *c)
{
        c->paused = true;
        stop(c);
}

void rtmp_reads_open(struct rtmp_server *s)
{
        s->to_beat_fd = s->setup.shipments ? epoll_create1(EPOLL_CLOEXEC) : -1;
        if (s->to_beat_fd < 0 && s->setup.shipments) /* every watch() fails then */
                say_no_room(s);
}

void rtmp_reads_close(struct rtmp_server *s)
{
        if (s->to_beat_fd >= 0)
                close(s->to_beat_fd);
        free(s->ready);
}
