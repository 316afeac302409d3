/* broken_disk.h - calls of the C library on what is in a folder that fail when a test says so: it is linked before the library is.
 * Include once, after cmocka.h. */
#ifndef TESTS_BROKEN_DISK_H
#define TESTS_BROKEN_DISK_H

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* 0, or the errno of the call that fails. */
static struct {
        atomic_int statvfs, fsync, rename, unlink, unlinkat, mkdir;
        atomic_bool read_only; /* the file system says so; writing works all the same */
        atomic_uint files; /* 0, or one more than the files that the disk has room for */
} broken;
static atomic_uint rename_calls, statvfs_calls;

#define BROKEN_REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fstatvfs(int fd, struct statvfs *out)
{
        atomic_fetch_add(&statvfs_calls, 1);
        if (!broken.statvfs) {
                int rc = BROKEN_REAL(fstatvfs)(fd, out);
                out->f_files = 1000;
                out->f_favail = broken.files ? broken.files - 1 : out->f_files;
                return rc;
        }
        errno = broken.statvfs;
        return -1;
}

int statvfs(const char *path, struct statvfs *out)
{
        int rc = BROKEN_REAL(statvfs)(path, out);
        out->f_flag |= broken.read_only ? ST_RDONLY : 0;
        return rc;
}

int mkdir(const char *path, mode_t mode)
{
        if (!broken.mkdir)
                return BROKEN_REAL(mkdir)(path, mode);
        errno = broken.mkdir;
        return -1;
}

int fsync(int fd)
{
        if (!broken.fsync)
                return BROKEN_REAL(fsync)(fd);
        errno = broken.fsync;
        return -1;
}

int rename(const char *from, const char *to)
{
        atomic_fetch_add(&rename_calls, strstr(to, ".removed") != NULL);
        if (!broken.rename)
                return BROKEN_REAL(rename)(from, to);
        errno = broken.rename;
        return -1;
}

int unlink(const char *path)
{
        if (!broken.unlink)
                return BROKEN_REAL(unlink)(path);
        errno = broken.unlink;
        return -1;
}

int unlinkat(int fd, const char *path, int flags)
{
        if (!broken.unlinkat)
                return BROKEN_REAL(unlinkat)(fd, path, flags);
        errno = broken.unlinkat;
        return -1;
}

#endif
