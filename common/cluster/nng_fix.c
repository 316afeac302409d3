#include "common/cluster/nng_fix.h"

#include <dlfcn.h>
#include <errno.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TURNS 4096

typedef void stream_call(nng_stream *stream, nng_aio *aio);
typedef ssize_t sendmsg_call(int fd, const struct msghdr *msg, int flags);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static stream_call *real_send, *real_recv;
static sendmsg_call *real_sendmsg;
static _Thread_local unsigned sending; /* nng_stream_send() of this thread: with TLS one is in the other */
static atomic_uint turns[TURNS]; /* of operations, by aio; two aios that share one only hide a moment from each other */
static atomic_uint cured;

static void find_nng(void)
{
        *(void **)&real_send = dlsym(RTLD_NEXT, "nng_stream_send");
        *(void **)&real_recv = dlsym(RTLD_NEXT, "nng_stream_recv");
        *(void **)&real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
        if (!real_send || !real_recv || !real_sendmsg)
                abort(); /* then nng could not have been linked either */
}

/* An operation that nng did not begin has the result NNG_ECANCELED at once and is in nobody's hands. One that began has
 * another result while it is under way, and none of those who end it say NNG_ECANCELED. By the time it is looked at here, it may have
 * ended already and another one have begun with the same aio, on another thread: that one took a turn before. */
static void call(stream_call *real, nng_stream *stream, nng_aio *aio)
{
        atomic_uint *turn = &turns[((uintptr_t)aio >> 4) * 2654435761u % TURNS];
        unsigned mine = atomic_fetch_add(turn, 1) + 1;
        real(stream, aio);
        if (nng_aio_result(aio) != NNG_ECANCELED || atomic_load(turn) != mine)
                return;
        atomic_fetch_add(&cured, 1);
        nng_aio_finish(aio, NNG_ECLOSED);
}

void nng_stream_send(nng_stream *stream, nng_aio *aio)
{
        pthread_once(&once, find_nng);
        sending++;
        call(real_send, stream, aio);
        sending--;
}

void nng_stream_recv(nng_stream *stream, nng_aio *aio)
{
        pthread_once(&once, find_nng);
        call(real_recv, stream, aio);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
        pthread_once(&once, find_nng);
        ssize_t n = real_sendmsg(fd, msg, flags);
        if (n < 0 && errno == EPIPE && sending > 0)
                errno = ECONNRESET;
        return n;
}

unsigned nng_fix_count(void)
{
        return atomic_load(&cured);
}
