#include "common/daemon/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/daemon/log.h"

static int fd = -1;
static struct sockaddr_un address;
static socklen_t address_len;
static int64_t watchdog_us;

static int64_t number_in(const char *name)
{
        const char *text = getenv(name);
        return text ? strtoll(text, NULL, 10) : 0;
}

static void read_watchdog(void)
{
        int64_t pid = number_in("WATCHDOG_PID"), us = number_in("WATCHDOG_USEC");
        watchdog_us = us > 0 && (pid == 0 || pid == getpid()) ? us : 0;
}

void notify_open(void)
{
        const char *path = getenv("NOTIFY_SOCKET");
        size_t len = path ? strlen(path) : 0;
        read_watchdog();
        if (len >= sizeof(address.sun_path) || (len && *path != '/' && *path != '@')) {
                log_warn("msg=\"NOTIFY_SOCKET is no address that can be used: the service manager is told nothing\"");
        } else if (len) {
                address.sun_family = AF_UNIX;
                memcpy(address.sun_path, path, len);
                if (*path == '@')
                        address.sun_path[0] = '\0'; /* Linux's abstract names */
                address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        }
        if (fd < 0)
                watchdog_us = 0;
        unsetenv("NOTIFY_SOCKET");
        unsetenv("WATCHDOG_PID");
        unsetenv("WATCHDOG_USEC");
}

void notify_close(void)
{
        if (fd >= 0)
                close(fd);
        fd = -1;
        watchdog_us = 0;
}

void notify_send(const char *lines)
{
        if (fd < 0)
                return;
        ssize_t sent = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&address, address_len);
        (void)sent;
}

int64_t notify_watchdog_us(void)
{
        return watchdog_us;
}
