/* Preloaded into the daemons by test_slow_disk.py and test_slow_reads.py: a write or sync takes longer, when the file's path holds
 * a word. Which word and how many ms is in the file that SLOW_DISK names ("WORD MS"), read at each write, so that tests may change
 * it. Reads likewise, by SLOW_READS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long delay_ms(const char *setting, int fd)
{
        char link[64], path[4096], word[200];
        long ms = 0;
        const char *control = getenv(setting);
        FILE *f = control ? fopen(control, "r") : NULL;
        if (!f)
                return 0;
        if (fscanf(f, "%199s %ld", word, &ms) != 2)
                ms = 0;
        fclose(f);
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t len = ms ? readlink(link, path, sizeof(path) - 1) : -1;
        if (len < 0)
                return 0;
        path[len] = '\0';
        return strstr(path, word) ? ms : 0;
}

static void be_slow(const char *setting, int fd)
{
        long ms = delay_ms(setting, fd);
        if (ms > 0)
                nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
        ssize_t (*real)(int, const void *, size_t, off_t) = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
        be_slow("SLOW_DISK", fd);
        return real(fd, from, len, at);
}

int fdatasync(int fd)
{
        int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
        be_slow("SLOW_DISK", fd);
        return real(fd);
}

ssize_t pread(int fd, void *into, size_t len, off_t at)
{
        ssize_t (*real)(int, void *, size_t, off_t) = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
        be_slow("SLOW_READS", fd);
        return real(fd, into, len, at);
}
