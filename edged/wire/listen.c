/* The sockets that listen, one a thread, and what they accept. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/descriptors.h"
#include "edged/wire/server.h"

#define UNSENT_BYTES (32 << 10)
#define ACCEPTS_A_TURN 64 /* those that are there already are served between them */
#define NONE_LEFT_US (100 * US_PER_MS)

/* The first socket is bound and listens alone, and lets others in only then: with SO_REUSEPORT from the beginning another edge would get
 * the same port without a word, and each would have a part of the other's viewers. */
int listen_open(const char *address, int port, bool beside)
{
        char service[8];
        snprintf(service, sizeof(service), "%d", port);
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *ai;
        if (getaddrinfo(address, service, &hints, &ai) != 0) {
                errno = EINVAL;
                return -1;
        }
        /* Of who reads slowly the kernel would take all that is to be sent, up to 4 MB a connection. So it takes what is under way and a
         * little more, and the rest stays the cache's, of which there is one for all. It takes 64 kB at once when it takes any: so who
         * reads nothing has that, and with less than 32 kB it would not be less. Connections inherit these options. */
        int on = 1, shared = beside, unsent = UNSENT_BYTES, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared)) == 0 &&
                  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) == 0 &&
                  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 /* each sending is a whole answer or piece */ &&
                  bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, DESCRIPTORS_BACKLOG) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
        freeaddrinfo(ai);
        if (ok)
                return fd;
        int why = errno;
        if (fd >= 0)
                close(fd);
        errno = why;
        return -1;
}

int listen_port(int fd)
{
        struct sockaddr_storage a;
        socklen_t len = sizeof(a);
        char service[8] = "0";
        if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
                getnameinfo((struct sockaddr *)&a, len, NULL, 0, service, sizeof(service), NI_NUMERICSERV);
        return atoi(service);
}

/* The last descriptors are for what the edge itself needs. */
static bool is_admitted(int fd, const struct sockaddr *peer, socklen_t len)
{
        char text[INET6_ADDRSTRLEN] = "-";
        getnameinfo(peer, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
        return descriptors_admit(fd, "HTTP", text);
}

void listen_accept(struct wire_thread *t, const struct wire_listener *l,
                   void (*begin)(struct wire_thread *t, const struct wire_listener *l, int fd, const struct sockaddr *peer))
{
        for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
                struct sockaddr_storage peer = {0};
                socklen_t len = sizeof(peer);
                int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
                        t->accept_again_us = clock_mono_us() + NONE_LEFT_US; /* nobody tells when there is one again */
                if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
                        return;
                if (fd >= 0 && is_admitted(fd, (struct sockaddr *)&peer, len))
                        begin(t, l, fd, (struct sockaddr *)&peer);
                else if (fd >= 0)
                        close(fd);
        }
}
