#include "common/cluster/nng_tcp.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cluster/rpc_gate.h"
#include "common/daemon/descriptors.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
        int (*connect)(int fd, __CONST_SOCKADDR_ARG address, socklen_t len);
        int (*listen)(int fd, int backlog);
        int (*accept)(int fd, __SOCKADDR_ARG address, socklen_t *len);
        ssize_t (*readv)(int fd, const struct iovec *iov, int count);
        int (*close)(int fd);
        int (*getpeername)(int fd, __SOCKADDR_ARG address, socklen_t *len);
} libc;

static _Thread_local int *asked; /* who wants to know which descriptor getpeername() is called for */

static void find_libc(void)
{
        *(void **)&libc.connect = dlsym(RTLD_NEXT, "connect");
        *(void **)&libc.listen = dlsym(RTLD_NEXT, "listen");
        *(void **)&libc.accept = dlsym(RTLD_NEXT, "accept");
        *(void **)&libc.readv = dlsym(RTLD_NEXT, "readv");
        *(void **)&libc.close = dlsym(RTLD_NEXT, "close");
        *(void **)&libc.getpeername = dlsym(RTLD_NEXT, "getpeername");
        if (!libc.connect || !libc.listen || !libc.accept || !libc.readv || !libc.close || !libc.getpeername)
                abort();
}

/* Others of this process connect too, on threads of their own. */
static bool is_nngs_thread(void)
{
        char name[16] = "";
        (void)prctl(PR_GET_NAME, name);
        return strncmp(name, "nng:", 4) == 0;
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
        pthread_once(&once, find_libc);
        if (is_nngs_thread())
                rpc_gate_dials(fd);
        return libc.connect(fd, address, len);
}

int listen(int fd, int backlog)
{
        pthread_once(&once, find_libc);
        int rv = libc.listen(fd, backlog > DESCRIPTORS_BACKLOG ? backlog : DESCRIPTORS_BACKLOG);
        if (rv == 0)
                rpc_gate_listens(fd);
        return rv;
}

/* nng takes ECONNABORTED for one who went away again, and accepts the next. */
int accept(int fd, __SOCKADDR_ARG address, socklen_t *len)
{
        pthread_once(&once, find_libc);
        int got = libc.accept(fd, address, len);
        if (got < 0 || rpc_gate_comes(fd, got))
                return got;
        libc.close(got);
        errno = ECONNABORTED;
        return -1;
}

/* After ECONNRESET nng ends the connection as if the other side had, whatever state it is in, and its listener does not pause. */
ssize_t readv(int fd, const struct iovec *iov, int count)
{
        pthread_once(&once, find_libc);
        if (!rpc_gate_watches(fd))
                return libc.readv(fd, iov, count);
        rpc_gate_reads(fd);
        ssize_t n = libc.readv(fd, iov, count);
        if (n < 0 || rpc_gate_has_read(fd, iov, count, (size_t)n))
                return n;
        errno = ECONNRESET;
        return -1;
}

int close(int fd)
{
        pthread_once(&once, find_libc);
        if (rpc_gate_watches(fd))
                rpc_gate_closing(fd);
        return libc.close(fd);
}

int getpeername(int fd, __SOCKADDR_ARG address, socklen_t *len)
{
        pthread_once(&once, find_libc);
        if (asked)
                *asked = fd;
        return libc.getpeername(fd, address, len);
}

/* Whether the socket still has another side does not matter: nng has asked. */
int nng_tcp_pipe_fd(nng_pipe pipe)
{
        nng_sockaddr sa;
        int fd = -1;
        asked = &fd;
        (void)nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa);
        asked = NULL;
        return fd;
}

int nng_tcp_stream_fd(nng_stream *stream)
{
        nng_sockaddr sa;
        int fd = -1;
        asked = &fd;
        (void)nng_stream_get_addr(stream, NNG_OPT_REMADDR, &sa);
        asked = NULL;
        return fd;
}
