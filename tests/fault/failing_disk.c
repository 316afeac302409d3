/* Preloaded into an originD by store_faults.py: the k-th call of a kind fails, or the process dies there. Of calls on what is in the
 * folder FAULT_BELOW only. FAULT_CALL: its kind; FAULT_AT: k, from 1; FAULT_HOW: an errno's number, "kill" (before the call, or
 * in the middle of a write); FAULT_ON=1: the later ones fail too. FAULT_WHILE: a file, while it is there each call of the kind fails, and
 * none otherwise, whatever the number. FAULT_CAME: a file that is made when the first of them fails.
 * FAULT_COUNTS: a file that is told at the end how many there were of each kind. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KINDS(X)                                                                                                       \
        X(open) X(opendir) X(read) X(pread) X(write) X(pwrite) X(fsync) X(fdatasync) X(ftruncate) X(rename) X(link)      \
        X(unlink) X(rmdir) X(mkdir) X(readdir)
enum kind {
#define X(name) KIND_##name,
        KINDS(X)
#undef X
        KIND_COUNT
};
static const char *const names[] = {
#define X(name) #name,
        KINDS(X)
#undef X
};
static atomic_uint counts[KIND_COUNT];

#define REAL(ret, name, ...) ((ret(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static const char *setting(const char *name)
{
        const char *value = getenv(name);
        return value ? value : "";
}

static int below(const char *path)
{
        const char *folder = setting("FAULT_BELOW");
        size_t len = strlen(folder);
        return len && strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int fd_below(int fd)
{
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, path, sizeof(path) - 1);
        if (len < 0)
                return 0;
        path[len] = '\0';
        return below(path);
}

static int at_below(int dir, const char *path)
{
        return path[0] == '/' || dir == AT_FDCWD ? below(path) : fd_below(dir);
}

static void tell_came(void)
{
        const char *path = setting("FAULT_CAME");
        int fd = *path ? REAL(int, open, const char *, int, ...)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
        if (fd >= 0)
                close(fd);
}

/* Counts it; whether it is the one. */
static bool chosen(enum kind kind)
{
        const char *meanwhile = setting("FAULT_WHILE");
        unsigned n = atomic_fetch_add(&counts[kind], 1) + 1, at = (unsigned)atoi(setting("FAULT_AT"));
        if (strcmp(setting("FAULT_CALL"), names[kind]) != 0)
                return false;
        if (*meanwhile)
                return access(meanwhile, F_OK) == 0;
        if (!at)
                return false;
        bool it = n == at || (n > at && *setting("FAULT_ON") == '1');
        if (it)
                tell_came();
        return it;
}

static int kills(void)
{
        return strcmp(setting("FAULT_HOW"), "kill") == 0;
}

static void die(void)
{
        kill(getpid(), SIGKILL);
        for (;;)
                pause();
}

/* -1 with errno if the call is to fail. */
static int fault(enum kind kind)
{
        if (!chosen(kind))
                return 0;
        if (kills())
                die();
        errno = atoi(setting("FAULT_HOW"));
        return -1;
}

__attribute__((destructor)) static void tell_counts(void)
{
        const char *path = setting("FAULT_COUNTS");
        FILE *f = *path ? fopen(path, "w") : NULL;
        for (int k = 0; f && k < KIND_COUNT; k++)
                fprintf(f, "%s %u\n", names[k], atomic_load(&counts[k]));
        if (f)
                fclose(f);
}

static mode_t mode_of(int flags, va_list ap)
{
        return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
        va_list ap;
        va_start(ap, flags);
        mode_t mode = mode_of(flags, ap);
        va_end(ap);
        if (below(path) && fault(KIND_open))
                return -1;
        return REAL(int, open, const char *, int, ...)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
        va_list ap;
        va_start(ap, flags);
        mode_t mode = mode_of(flags, ap);
        va_end(ap);
        if (at_below(dir, path) && fault(KIND_open))
                return -1;
        return REAL(int, openat, int, const char *, int, ...)(dir, path, flags, mode);
}

DIR *opendir(const char *path)
{
        if (below(path) && fault(KIND_opendir))
                return NULL;
        return REAL(DIR *, opendir, const char *)(path);
}

/* The end of a folder and a failure are told apart by errno. */
struct dirent *readdir(DIR *d)
{
        if (fd_below(dirfd(d)) && fault(KIND_readdir))
                return NULL;
        return REAL(struct dirent *, readdir, DIR *)(d);
}

ssize_t read(int fd, void *into, size_t len)
{
        if (fd_below(fd) && fault(KIND_read))
                return -1;
        return REAL(ssize_t, read, int, void *, size_t)(fd, into, len);
}

ssize_t pread(int fd, void *into, size_t len, off_t at)
{
        if (fd_below(fd) && fault(KIND_pread))
                return -1;
        return REAL(ssize_t, pread, int, void *, size_t, off_t)(fd, into, len, at);
}

/* A write that fails, or in which the process dies, has written half of it. */
ssize_t write(int fd, const void *from, size_t len)
{
        ssize_t (*real)(int, const void *, size_t) = REAL(ssize_t, write, int, const void *, size_t);
        if (!fd_below(fd) || !chosen(KIND_write))
                return real(fd, from, len);
        (void)!real(fd, from, len / 2);
        if (kills())
                die();
        errno = atoi(setting("FAULT_HOW"));
        return -1;
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
        ssize_t (*real)(int, const void *, size_t, off_t) = REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
        if (!fd_below(fd) || !chosen(KIND_pwrite))
                return real(fd, from, len, at);
        (void)!real(fd, from, len / 2, at);
        if (kills())
                die();
        errno = atoi(setting("FAULT_HOW"));
        return -1;
}

/* The C library's own goes by no call that could be failed from here. */
int dprintf(int fd, const char *format, ...)
{
        char text[256];
        va_list ap;
        va_start(ap, format);
        int len = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        return len < 0 || (size_t)len >= sizeof(text) ? -1 : (int)write(fd, text, (size_t)len);
}

int fsync(int fd)
{
        return fd_below(fd) && fault(KIND_fsync) ? -1 : REAL(int, fsync, int)(fd);
}

int fdatasync(int fd)
{
        return fd_below(fd) && fault(KIND_fdatasync) ? -1 : REAL(int, fdatasync, int)(fd);
}

int ftruncate(int fd, off_t len)
{
        return fd_below(fd) && fault(KIND_ftruncate) ? -1 : REAL(int, ftruncate, int, off_t)(fd, len);
}

int rename(const char *from, const char *to)
{
        return below(from) && fault(KIND_rename) ? -1 : REAL(int, rename, const char *, const char *)(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
        if (at_below(from_dir, from) && fault(KIND_rename))
                return -1;
        return REAL(int, renameat, int, const char *, int, const char *)(from_dir, from, to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
        if (at_below(from_dir, from) && fault(KIND_rename))
                return -1;
        return REAL(int, renameat2, int, const char *, int, const char *, unsigned)(from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
        return below(from) && fault(KIND_link) ? -1 : REAL(int, link, const char *, const char *)(from, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
        if (at_below(from_dir, from) && fault(KIND_link))
                return -1;
        return REAL(int, linkat, int, const char *, int, const char *, int)(from_dir, from, to_dir, to, flags);
}

int unlink(const char *path)
{
        return below(path) && fault(KIND_unlink) ? -1 : REAL(int, unlink, const char *)(path);
}

int unlinkat(int dir, const char *path, int flags)
{
        enum kind kind = flags & AT_REMOVEDIR ? KIND_rmdir : KIND_unlink;
        return at_below(dir, path) && fault(kind) ? -1 : REAL(int, unlinkat, int, const char *, int)(dir, path, flags);
}

int rmdir(const char *path)
{
        return below(path) && fault(KIND_rmdir) ? -1 : REAL(int, rmdir, const char *)(path);
}

int mkdir(const char *path, mode_t mode)
{
        return below(path) && fault(KIND_mkdir) ? -1 : REAL(int, mkdir, const char *, mode_t)(path, mode);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
        return at_below(dir, path) && fault(KIND_mkdir) ? -1 : REAL(int, mkdirat, int, const char *, mode_t)(dir, path, mode);
}
