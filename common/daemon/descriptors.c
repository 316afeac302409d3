#include "common/daemon/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/daemon/metrics.h"

#define RESERVE_SHARE 4      /* of the limit: one so-manieth */
#define CONNECTIONS_LEAST 16 /* that are possible however few descriptors there are */

enum { EXHAUSTED, NEXT, LIMIT, REFUSED, METRICS };
static struct metric metrics[METRICS] = {
        [EXHAUSTED] = {.name = "freshet_descriptors_exhausted", .type = METRIC_GAUGE,
                       .help = "1 while no file descriptor is free: nobody can connect, no file can be opened."},
        [NEXT] = {.name = "freshet_descriptors", .type = METRIC_GAUGE,
                  .help = "File descriptors in use, or a few more: the number that the next one gets."},
        [LIMIT] = {.name = "freshet_descriptors_limit", .type = METRIC_GAUGE, .help = "How many file descriptors there may be."},
        [REFUSED] = {.name = "freshet_descriptors_refused_total", .type = METRIC_COUNTER,
                     .help = "Connections closed at once, since the last file descriptors are kept for what must work."},
};

static _Atomic int limit = INT_MAX, reserve_from = INT_MAX; /* the reserve's first number */
static enum { PLENTY, FEW, NONE } state;                    /* that was told; the loop's */

/* Anew each second: somebody may set another limit while we run. */
static void read_limit(void)
{
        struct rlimit lim;
        if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
                return;
        int most = lim.rlim_cur < INT_MAX ? (int)lim.rlim_cur : INT_MAX;
        int reserve = most / RESERVE_SHARE;
        atomic_store(&limit, most);
        atomic_store(&reserve_from, most - (reserve < DESCRIPTORS_RESERVE_MOST ? reserve : DESCRIPTORS_RESERVE_MOST));
        metric_set(&metrics[LIMIT], most);
}

/* Every connection and every track that is written is one; the usual soft limit of 1024 is for programs that select(). */
void descriptors_raise(void)
{
        struct rlimit lim;
        if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
                lim.rlim_cur = lim.rlim_max;
                setrlimit(RLIMIT_NOFILE, &lim);
        }
        read_limit();
        metrics_register(metrics, METRICS);
}

static void tell(int next)
{
        int most = atomic_load(&limit);
        if (state == NONE)
                log_error("limit=%d msg=\"out of file descriptors: nobody can connect\"", most);
        else if (state == FEW)
                log_warn("limit=%d used=%d msg=\"few file descriptors are left: strangers get none of them\"", most, next);
        else
                log_info("limit=%d used=%d msg=\"file descriptors are free again\"", most, next);
}

void descriptors_watch(void)
{
        read_limit();
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0); /* the lowest that is free, as accept() would get it */
        bool none = fd < 0 && errno == EMFILE;
        if (fd < 0 && !none)
                return;
        int next = none ? atomic_load(&limit) : fd;
        if (fd >= 0)
                close(fd);
        metric_set(&metrics[EXHAUSTED], none);
        metric_set(&metrics[NEXT], next);
        int now = none ? NONE : next >= atomic_load(&reserve_from) ? FEW : PLENTY;
        if (now == (int)state)
                return;
        state = now;
        tell(next);
}

bool descriptors_admit(int fd, const char *port, const char *peer)
{
        if (fd < atomic_load_explicit(&reserve_from, memory_order_relaxed))
                return true;
        metric_add(&metrics[REFUSED], 1);
        log_warn_of(peer, "port=%s peer=%s descriptor=%d limit=%d msg=\"refused: the last file descriptors are kept\"", port, peer, fd,
                    atomic_load(&limit));
        return false;
}

unsigned descriptors_beside_reserve(void)
{
        return (unsigned)atomic_load_explicit(&reserve_from, memory_order_relaxed);
}

unsigned descriptors_connections(const char *key, int64_t wanted, int64_t beside, double each)
{
        int64_t all = atomic_load(&limit), reserve = all - atomic_load(&reserve_from);
        int64_t most = (int64_t)((double)(all - (beside > reserve ? beside : reserve)) / each);
        if (most >= wanted)
                return (unsigned)wanted;
        most = most < CONNECTIONS_LEAST ? CONNECTIONS_LEAST : most;
        log_warn("key=%s wanted=%lld possible=%lld msg=\"fewer connections than configured: file descriptors\"", key,
                 (long long)wanted, (long long)most);
        return (unsigned)(most < wanted ? most : wanted);
}
