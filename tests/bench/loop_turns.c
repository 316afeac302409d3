/* Preloaded into a daemon by store.py: how long the longest turn of its loop took, from the return of one wait to the beginning of the
 * next: in LOOP_TURNS, a file of two doubles, milliseconds of its thread's processor time and of the clock. A busy machine only
 * makes the second longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double *longest; /* [2] */
static double began[2];

static double now_ms(clockid_t clock)
{
        struct timespec t;
        clock_gettime(clock, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

__attribute__((constructor)) static void open_file(void)
{
        const char *path = getenv("LOOP_TURNS");
        int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC, 0644) : -1;
        if (fd >= 0 && ftruncate(fd, 2 * sizeof(double)) == 0)
                longest = mmap(NULL, 2 * sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (longest == MAP_FAILED)
                longest = NULL;
}

static void turn_ends(void)
{
        const clockid_t clocks[2] = {CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC};
        for (int i = 0; i < 2; i++) {
                double took = now_ms(clocks[i]) - began[i];
                if (began[i] > 0 && took > longest[i])
                        longest[i] = took;
        }
}

int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *mask)
{
        int (*real)(int, struct epoll_event *, int, int, const sigset_t *) =
                (int (*)(int, struct epoll_event *, int, int, const sigset_t *))dlsym(RTLD_NEXT, "epoll_pwait");
        int loop = longest && gettid() == getpid();
        if (loop)
                turn_ends();
        int n = real(fd, events, count, timeout, mask);
        if (loop) {
                began[0] = now_ms(CLOCK_THREAD_CPUTIME_ID);
                began[1] = now_ms(CLOCK_MONOTONIC);
        }
        return n;
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
        return epoll_pwait(fd, events, count, timeout, NULL);
}
