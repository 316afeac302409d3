#include "originD/log/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"

#define ASIDE_MAX 1000 /* names that are tried */
#define COPY_BYTES (1u << 20)

static int last_error(void)
{
        return err_from_errno(errno);
}

/* ---- an open file ------------------------------------------------------------------------------------------------ */

int file_open(const char *path, int flags)
{
        int fd = open(path, flags | O_CLOEXEC, 0644);
        return fd < 0 ? last_error() : fd;
}

int file_create(const char *path)
{
        return file_open(path, O_RDWR | O_CREAT | O_EXCL);
}

int file_size(int fd, uint64_t *bytes)
{
        struct stat st;
        int rc = fstat(fd, &st) < 0 ? last_error() : 0;
        *bytes = rc ? 0 : (uint64_t)st.st_size;
        return rc;
}

int file_truncate(int fd, uint64_t bytes)
{
        return ftruncate(fd, (off_t)bytes) < 0 ? last_error() : 0;
}

int file_sync(int fd)
{
        return fsync(fd) < 0 ? last_error() : 0;
}

int file_sync_data(int fd)
{
        return fdatasync(fd) < 0 ? last_error() : 0;
}

void file_forget(int fd)
{
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int file_write(int fd, const void *data, size_t len, uint64_t offset)
{
        for (size_t done = 0; done < len;) {
                ssize_t n = pwrite(fd, (const uint8_t *)data + done, len - done, (off_t)(offset + done));
                if (n > 0)
                        done += (size_t)n;
                else if (n == 0 || errno != EINTR)
                        return n == 0 ? ERR_IO : last_error();
        }
        return 0;
}

ssize_t file_read(int fd, void *dst, size_t len, uint64_t offset)
{
        size_t got = 0;
        while (got < len) {
                ssize_t n = pread(fd, (uint8_t *)dst + got, len - got, (off_t)(offset + got));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return last_error();
                if (n == 0)
                        break;
                got += (size_t)n;
        }
        return (ssize_t)got;
}

int file_read_all(int fd, void *dst, size_t len, uint64_t offset)
{
        ssize_t n = file_read(fd, dst, len, offset);
        return n < 0 ? (int)n : (size_t)n < len ? ERR_IO : 0;
}

static size_t block_of(uint64_t left)
{
        return left < COPY_BYTES ? (size_t)left : COPY_BYTES;
}

int file_copy(int from, uint64_t offset, uint64_t len, int to, uint64_t at)
{
        uint8_t *block = mem_resize(NULL, COPY_BYTES); /* not zeroed first: it is a megabyte, and often one chunk is copied */
        int rc = 0;
        while (len && !rc) {
                ssize_t n = file_read(from, block, block_of(len), offset);
                rc = n < 0 ? (int)n : n == 0 ? ERR_IO : file_write(to, block, (size_t)n, at);
                if (!rc) {
                        offset += (uint64_t)n;
                        at += (uint64_t)n;
                        len -= (uint64_t)n;
                }
        }
        free(block);
        return rc;
}

/* ---- a whole file by its name ------------------------------------------------------------------------------------ */

int file_load(const char *path, size_t most, struct buf **out)
{
        int fd = file_open(path, O_RDONLY);
        uint64_t bytes;
        *out = NULL;
        if (fd < 0)
                return fd;
        int rc = file_size(fd, &bytes);
        if (!rc && (!bytes || bytes > most))
                rc = ERR_CORRUPT;
        if (!rc) {
                *out = buf_new((size_t)bytes);
                rc = file_read_all(fd, (*out)->data, (*out)->len, 0);
        }
        if (rc)
                buf_unref(out);
        close(fd);
        return rc;
}

int file_put(const char *path, const void *data, size_t len)
{
        int fd = file_open(path, O_WRONLY | O_CREAT | O_TRUNC);
        if (fd < 0)
                return fd;
        int rc = file_write(fd, data, len, 0);
        rc = rc ? rc : file_sync(fd);
        close(fd);
        return rc;
}

int file_replace(const char *path, const void *data, size_t len)
{
        char *beside = mem_printf("%s" FILE_SAVE_SUFFIX, path);
        int rc = file_put(beside, data, len);
        rc = rc ? rc : file_rename(beside, path);
        if (rc)
                unlink(beside);
        free(beside);
        return rc;
}

int file_save(const char *path, const void *data, size_t len, unsigned folders)
{
        int folder = file_open_folder_of(path, folders);
        if (folder < 0)
                return folder;
        int rc = file_replace(path, data, len);
        if (!rc)
                rc = file_sync(folder);
        close(folder);
        return rc;
}

int file_rename(const char *from, const char *to)
{
        return rename(from, to) < 0 ? last_error() : 0;
}

int file_remove(const char *path)
{
        return unlink(path) < 0 && errno != ENOENT ? last_error() : 0;
}

int file_compare(const char *path, int fd)
{
        struct stat named, opened;
        if (stat(path, &named) < 0 || fstat(fd, &opened) < 0)
                return last_error();
        return named.st_dev == opened.st_dev && named.st_ino == opened.st_ino ? 0 : ERR_NOT_FOUND;
}

int file_set_aside(const char *path, const char *word)
{
        for (unsigned n = 1;; n++) {
                char *aside = mem_printf("%s.%s-%u", path, word, n);
                int rv = renameat2(AT_FDCWD, path, AT_FDCWD, aside, RENAME_NOREPLACE), why = rv < 0 ? errno : 0;
                if (why == EINVAL) /* a file system that cannot say it in one step: nobody else makes such names */
                        why = access(aside, F_OK) == 0 ? EEXIST : errno != ENOENT ? errno : rename(path, aside) < 0 ? errno : 0;
                if (!why)
                        log_warn("path=%s msg=\"set aside\" as=%s-%u", path, word, n);
                free(aside);
                if (why != EEXIST || n == ASIDE_MAX)
                        return err_from_errno(why);
        }
}

char *file_unused_name(const char *path, const char *word)
{
        for (unsigned n = 1;; n++) {
                char *name = mem_printf("%s.%s-%u", path, word, n);
                if (access(name, F_OK) < 0 || n == ASIDE_MAX)
                        return name;
                free(name);
        }
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

char *file_folder(const char *path)
{
        char *folder = mem_strdup(path);
        char *slash = strrchr(folder, '/');
        if (slash)
                *slash = '\0';
        return folder;
}

int file_sync_folder(const char *folder)
{
        int fd = file_open(folder, O_RDONLY | O_DIRECTORY), rc = fd < 0 ? fd : file_sync(fd);
        if (fd >= 0)
                close(fd);
        return rc;
}

/* Its name is on the disk too: a file is not durable in a folder that a power failure takes away. */
static int make_folder(const char *folder)
{
        if (mkdir(folder, 0755) < 0)
                return last_error();
        char *parent = file_folder(folder);
        int rc = file_sync_folder(parent);
        if (rc) /* so that who tries again does not take it for durable */
                rmdir(folder);
        free(parent);
        return rc;
}

static int make_folders(const char *folder, unsigned most)
{
        int rc = most ? make_folder(folder) : 0;
        if (rc != ERR_NOT_FOUND || most < 2)
                return rc;
        char *parent = file_folder(folder);
        rc = make_folders(parent, most - 1);
        free(parent);
        return !rc || rc == ERR_CONFLICT ? make_folder(folder) : rc;
}

int file_open_folder_of(const char *path, unsigned folders)
{
        char *folder = file_folder(path);
        int rc = make_folders(folder, folders);
        int fd = file_open(folder, O_RDONLY | O_DIRECTORY);
        free(folder);
        return fd < 0 && rc && rc != ERR_CONFLICT ? rc : fd;
}

/* With the folders in it. Goes on after an error, and tells it. */
static int remove_content(int fd)
{
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        int status = d ? 0 : last_error();
        if (!d && fd >= 0)
                close(fd);
        if (!d)
                return status;
        struct dirent *e;
        while ((errno = 0, e = readdir(d))) {
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(dirfd(d), e->d_name, 0) == 0)
                        continue;
                int rc = errno != EISDIR
                                 ? last_error()
                                 : remove_content(openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
                if (!rc && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0)
                        rc = last_error();
                status = rc ? rc : status;
        }
        if (errno)
                status = last_error();
        closedir(d);
        return status;
}

int file_mark_removed(const char *folder, char **marked)
{
        size_t len = strlen(folder), suffix = strlen(FILE_REMOVED_SUFFIX);
        bool is_marked = len > suffix && strcmp(folder + len - suffix, FILE_REMOVED_SUFFIX) == 0;
        *marked = is_marked ? mem_strdup(folder) : mem_printf("%s" FILE_REMOVED_SUFFIX, folder);
        return !is_marked && rename(folder, *marked) < 0 ? last_error() : 0;
}

int file_remove_folder(const char *folder)
{
        char *path, *parent = file_folder(folder);
        int status = file_mark_removed(folder, &path);
        status = status ? status : remove_content(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!status && rmdir(path) < 0)
                status = last_error();
        (void)rmdir(parent); /* fails, as it should, while other sessions are in it */
        free(parent);
        free(path);
        return status;
}

/* Whether only what a save of `name` leaves is in the folder. An error says that it cannot be known. */
static int look_for_others(const char *folder, const char *name)
{
        DIR *d = opendir(folder);
        struct dirent *e;
        int status = 0;
        size_t len = strlen(name);
        if (!d)
                return last_error();
        while (!status && (errno = 0, e = readdir(d)))
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                    (strncmp(e->d_name, name, len) != 0 || (e->d_name[len] && strcmp(e->d_name + len, FILE_SAVE_SUFFIX) != 0)))
                        status = ERR_CONFLICT;
        if (!status && errno)
                status = last_error();
        closedir(d);
        return status;
}

int file_remove_unused_folder(const char *path)
{
        char *folder = file_folder(path), *parent = file_folder(folder), *beside = mem_printf("%s" FILE_SAVE_SUFFIX, path);
        int status = look_for_others(folder, path + strlen(folder) + 1);
        status = status ? status : file_remove(beside);
        status = status ? status : file_remove(path);
        if (!status && rmdir(folder) < 0)
                status = last_error();
        if (!status)
                (void)rmdir(parent); /* fails, as it should, while other sessions are in it */
        free(beside);
        free(parent);
        free(folder);
        return status;
}
