/* reserve.h - a port that stays ours while nobody listens on it: for servers that are started later, or again.
 *
 * A bound socket that does not listen keeps it. The kernel gives such a port to nobody who asks for any port, nor to an
 * outgoing connection, while one who asks for this port by its number may have it (SO_REUSEADDR, which all our servers set).
 * At every address: one that is ours at 127.0.0.1 only may be in use at another, and then no server gets it at 0.0.0.0. */
#ifndef TESTS_RESERVE_H
#define TESTS_RESERVE_H

#include <arpa/inet.h>
#include <sys/socket.h>

/* Until this process ends. */
static inline int reserve_port(void)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
        socklen_t len = sizeof(sa);
        int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
        return ntohs(sa.sin_port);
}

#endif
