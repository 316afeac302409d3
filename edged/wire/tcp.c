/* A file of its own because <linux/tcp.h>, which has tcpi_bytes_acked, and <netinet/tcp.h>, which uv.h brings, exclude each
 * other. */
#include "edged/wire/tcp.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

uint64_t tcp_acked_bytes(int fd)
{
        struct tcp_info info = {0};
        socklen_t len = sizeof(info);
        return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_acked : 0;
}

void tcp_path(int fd, struct tcp_path *out)
{
        struct tcp_info info = {0};
        socklen_t len = sizeof(info);
        *out = (struct tcp_path){0};
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
                return;
        uint64_t kbps = info.tcpi_delivery_rate / 125;
        out->kbps = kbps < TCP_KBPS_MAX ? kbps : TCP_KBPS_MAX;
        out->rtt_us = info.tcpi_rtt;
}

int tcp_unsent_bytes(int fd)
{
        int n = 0;
        return ioctl(fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

/* TCP_NODELAY is set already: setting it sends what waits, also of who said that more follows (tcp(7) says so of TCP_CORK). */
void tcp_push(int fd)
{
        int on = 1, gone = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)gone; /* then nothing waits */
}
