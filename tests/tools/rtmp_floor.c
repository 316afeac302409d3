/* rtmp_floor --port=N - reads whatever comes in on a port and throws it away: the floor that an RTMP server's CPU is
 * compared with. Until it is killed. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char bytes[64 << 10];

static int listen_on(int port)
{
        const int on = 1;
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 511)) {
                perror("rtmp_floor");
                exit(1);
        }
        return fd;
}

static void watch(int epoll, int fd)
{
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

int main(int argc, char **argv)
{
        int port;
        if (argc != 2 || sscanf(argv[1], "--port=%d", &port) != 1) {
                fprintf(stderr, "usage: rtmp_floor --port=N\n");
                return 2;
        }
        int listener = listen_on(port), epoll = epoll_create1(0);
        watch(epoll, listener);
        for (;;) {
                struct epoll_event ready[64];
                int n = epoll_wait(epoll, ready, 64, -1);
                for (int i = 0; i < n; i++) {
                        int fd = ready[i].data.fd;
                        if (fd == listener)
                                watch(epoll, accept(listener, NULL, NULL));
                        else if (read(fd, bytes, sizeof(bytes)) <= 0)
                                close(fd);
                }
        }
}
