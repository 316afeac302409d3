/* <linux/tcp.h> has tcpi_min_rtt, which <netinet/tcp.h> lacks; the two exclude each other. */
#include "common/cluster/long_way.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const char algorithm[] = "bbr";

bool long_way_fit(int fd, int64_t long_us)
{
        struct tcp_info info = {0};
        socklen_t len = sizeof(info);
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_rtt == 0)
                return false;
        /* The least round trip, as bbr goes by it too: the latest ones may be a queue's, or a peer's that is busy. */
        if (info.tcpi_min_rtt < long_us)
                return false;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, strlen(algorithm)); /* where there is none it stays as it is */
        return true;
}
