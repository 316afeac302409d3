#include "common/daemon/healthcheck.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/err.h"

#define ANSWER_MAX 4096

static bool wait_for(int fd, short events, int64_t until_us)
{
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left_ms;
        while ((left_ms = (until_us - clock_mono_us()) / US_PER_MS) > 0) {
                int n = poll(&p, 1, (int)left_ms);
                if (n > 0)
                        return true;
                if (n < 0 && errno != EINTR)
                        return false;
        }
        errno = ETIMEDOUT;
        return false;
}

static bool connect_to(int fd, const struct sockaddr_storage *to, int64_t until_us)
{
        int err = 0;
        socklen_t len = sizeof(err);
        if (fd < 0)
                return false;
        if (connect(fd, (const struct sockaddr *)to, address_len(to)) == 0)
                return true;
        if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, until_us))
                return false;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0)
                errno = err;
        return err == 0;
}

/* The answer's beginning, as a string; its length, or -1: errno. */
static ssize_t ask(int fd, const char *path, char *answer, size_t cap, int64_t until_us)
{
        char request[128];
        size_t len = 0;
        int n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
        if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
                return -1;
        while (len < cap - 1) {
                if (!wait_for(fd, POLLIN, until_us))
                        return -1;
                ssize_t got = recv(fd, answer + len, cap - 1 - len, 0);
                if (got < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (got < 0)
                        return -1;
                if (got == 0)
                        break;
                len += (size_t)got;
        }
        answer[len] = '\0';
        return (ssize_t)len;
}

bool healthcheck(const char *bind, int port, const char *path, char *why, size_t why_cap)
{
        struct sockaddr_storage to;
        char answer[ANSWER_MAX];
        int64_t until_us = clock_mono_us() + HEALTHCHECK_MS * US_PER_MS;
        int status = 0;
        if (address_parse(&to, bind, port) != 0) {
                snprintf(why, why_cap, "\"%s\" is no numeric address", bind);
                return false;
        }
        address_to_loopback(&to);
        int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (!connect_to(fd, &to, until_us) || ask(fd, path, answer, sizeof(answer), until_us) < 0) {
                snprintf(why, why_cap, "port %d of %s: %s", port, bind, strerror(errno));
        } else {
                const char *body = strstr(answer, "\r\n\r\n");
                if (sscanf(answer, "HTTP/1.%*d %d", &status) != 1 || !body)
                        snprintf(why, why_cap, "port %d of %s: what answers there is no daemon", port, bind);
                else
                        snprintf(why, why_cap, "%.*s", (int)strcspn(body + 4, "\r\n"), body + 4);
        }
        if (fd >= 0)
                close(fd);
        return status == 200;
}
