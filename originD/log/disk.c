#include "originD/log/disk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/mem.h"
#include "originD/log/pool.h"
#include "originD/stats.h"

#define PROBE_BYTES (64u << 10)
#define SAVE_SUFFIX ".tmp"
#define ASIDE_MAX 1000 /* names that are tried */

/* A job on its way through a pool, and back through the mailbox. */
struct job {
        struct pool_job pool_job; /* first: it is the job */
        struct mail mail;
        enum disk_class pool;
        void (*work)(void *arg);
        void (*after)(void *arg);
        void *arg;
};

static const struct {
        const char *name;
        unsigned threads;
        bool background;
        unsigned jobs_max; /* 0: bounded by those who ask */
        enum stat_id jobs;
} classes[DISK_CLASSES] = {
        [DISK_WRITE] = {"disk-write", 4, false, 0, STAT_DISK_WRITE_JOBS},
        [DISK_LIVE] = {"disk-live", 2, false, 0, STAT_DISK_LIVE_JOBS},
        [DISK_COLD] = {"disk-cold", 2, true, DISK_COLD_MAX, STAT_DISK_COLD_JOBS},
};

/* Loop thread only, but for the pools and the mailbox, which have locks. */
static struct {
        bool open;
        struct pool pools[DISK_CLASSES];
        struct mailbox over; /* jobs that are; keeps the loop alive while there are any under way */
        unsigned jobs[DISK_CLASSES], all_jobs;
} disk;

unsigned disk_jobs(void)
{
        return disk.all_jobs;
}

static void count_job(enum disk_class pool, int change)
{
        disk.jobs[pool] += (unsigned)change;
        disk.all_jobs += (unsigned)change;
        stat_set(classes[pool].jobs, disk.jobs[pool]);
}

static void job_over(struct mail *mail)
{
        struct job *j = (struct job *)((char *)mail - offsetof(struct job, mail));
        void (*after)(void *arg) = j->after;
        void *arg = j->arg;
        count_job(j->pool, -1);
        if (!disk.all_jobs)
                uv_unref((uv_handle_t *)&disk.over.wake);
        free(j);
        after(arg);
}

/* Pool thread. */
static void job_run(struct pool_job *pool_job)
{
        struct job *j = (struct job *)pool_job;
        if (j->work)
                j->work(j->arg);
        mailbox_post(&disk.over, &j->mail);
}

static void open_pools(uv_loop_t *loop)
{
        disk.open = true;
        mailbox_open(&disk.over, loop);
        uv_unref((uv_handle_t *)&disk.over.wake);
        for (size_t i = 0; i < DISK_CLASSES; i++)
                pool_open(&disk.pools[i], classes[i].name, classes[i].threads, classes[i].background);
}

static struct job *new_job(uv_loop_t *loop, enum disk_class pool, void (*after)(void *arg), void *arg)
{
        struct job *j = mem_alloc(sizeof(*j));
        *j = (struct job){.pool_job.run = job_run, .mail.deliver = job_over, .pool = pool, .after = after, .arg = arg};
        if (!disk.open)
                open_pools(loop);
        assert(disk.over.wake.loop == loop);
        if (!disk.all_jobs)
                uv_ref((uv_handle_t *)&disk.over.wake);
        count_job(pool, 1);
        return j;
}

int disk_run(uv_loop_t *loop, enum disk_class pool, void (*work)(void *arg), void (*after)(void *arg), void *arg)
{
        if (classes[pool].jobs_max && disk.jobs[pool] >= classes[pool].jobs_max)
                return ERR_FULL;
        struct job *j = new_job(loop, pool, after, arg);
        j->work = work;
        pool_post(&disk.pools[pool], &j->pool_job);
        return 0;
}

static void stopped(struct mailbox *mb)
{
        (void)mb;
        disk.open = false;
}

void disk_stop(void)
{
        if (!disk.open)
                return;
        while (disk.all_jobs) /* what a job's end begins is done too */
                uv_run(disk.over.wake.loop, UV_RUN_ONCE);
        for (size_t i = 0; i < DISK_CLASSES; i++)
                pool_close(&disk.pools[i]);
        mailbox_close_then(&disk.over, stopped);
        while (disk.open)
                uv_run(disk.over.wake.loop, UV_RUN_ONCE);
}

struct file_job {
        char *path;
        int fd;
        uint64_t offset;
        struct buf *bytes;
        bool sync;
        int status;
        struct disk_room room;
        disk_done *done;
        void (*created)(void *arg, int status, int fd);
        void (*measured)(void *arg, int status, struct disk_room room);
        void *arg;
};

static struct file_job *file_job(const char *path, struct buf *bytes, disk_done *done, void *arg)
{
        struct file_job *f = mem_alloc(sizeof(*f));
        *f = (struct file_job){.fd = -1, .done = done, .arg = arg};
        f->path = path ? mem_strdup(path) : NULL;
        f->bytes = bytes ? buf_ref(bytes) : NULL;
        return f;
}

static void file_job_free(struct file_job *f)
{
        buf_unref(&f->bytes);
        free(f->path);
        free(f);
}

static void file_after(void *arg)
{
        struct file_job *f = arg;
        if (f->created)
                f->created(f->arg, f->status, f->fd);
        else if (f->measured)
                f->measured(f->arg, f->status, f->room);
        else if (f->done)
                f->done(f->arg, f->status);
        file_job_free(f);
}

/* Refused or not, done() comes later. */
static void file_run(uv_loop_t *loop, enum disk_class pool, void (*work)(void *arg), struct file_job *f)
{
        int refused = disk_run(loop, pool, work, file_after, f);
        if (refused) {
                f->status = refused;
                struct job *j = new_job(loop, pool, file_after, f);
                mailbox_post(&disk.over, &j->mail);
        }
}

static int last_error(void)
{
        return err_from_errno(errno);
}

static int write_at(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
        while (len) {
                ssize_t n = pwrite(fd, data, len, (off_t)offset);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return last_error();
                data += n;
                len -= (size_t)n;
                offset += (uint64_t)n;
        }
        return 0;
}

static void append_work(void *arg)
{
        struct file_job *f = arg;
        f->status = write_at(f->fd, f->bytes->data, f->bytes->len, f->offset);
        if (!f->status && f->sync && fdatasync(f->fd) < 0)
                f->status = last_error();
        if (f->status && ftruncate(f->fd, (off_t)f->offset) < 0)
                log_error("msg=\"cannot cut back a failed write\" error=\"%s\"", strerror(errno));
}

void disk_append(uv_loop_t *loop, int fd, uint64_t offset, struct buf *bytes, bool sync, disk_done *done, void *arg)
{
        struct file_job *f = file_job(NULL, bytes, done, arg);
        f->fd = fd;
        f->offset = offset;
        f->sync = sync;
        file_run(loop, DISK_WRITE, append_work, f);
}

int disk_set_aside_now(const char *path, const char *word)
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

/* A file of that name that nobody knows of is left from a start that ended in mid-way, or is somebody's: it is not written over. */
static int open_new(const char *path)
{
        int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, fd = open(path, flags, 0644);
        if (fd < 0 && errno == EEXIST && disk_set_aside_now(path, "found") == 0)
                fd = open(path, flags, 0644);
        return fd;
}

static void create_work(void *arg)
{
        struct file_job *f = arg;
        f->fd = open_new(f->path);
        if (f->fd < 0) {
                f->status = last_error();
                return;
        }
        f->status = write_at(f->fd, f->bytes->data, f->bytes->len, 0);
        if (f->status) {
                close(f->fd);
                unlink(f->path);
                f->fd = -1;
        }
}

void disk_create(uv_loop_t *loop, const char *path, struct buf *bytes, void (*done)(void *arg, int status, int fd),
                 void *arg)
{
        struct file_job *f = file_job(path, bytes, NULL, arg);
        f->created = done;
        file_run(loop, DISK_WRITE, create_work, f);
}

static char *folder_of(const char *path)
{
        char *folder = mem_strdup(path);
        char *slash = strrchr(folder, '/');
        if (slash)
                *slash = '\0';
        return folder;
}

/* Its name is on the disk too: a file is not durable in a folder that a power failure takes away. -1 with errno: it is not there. */
static int make_folder(const char *folder)
{
        if (mkdir(folder, 0755) < 0)
                return -1;
        char *parent = folder_of(folder);
        int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = fd < 0 ? -1 : fsync(fd), why = errno;
        if (fd >= 0)
                close(fd);
        if (rc < 0) /* so that who tries again does not take it for durable */
                rmdir(folder);
        free(parent);
        errno = why;
        return rc;
}

/* The folder of a file in it, made if need be, open for fsync; -1 with errno. */
static int open_folder(const char *path)
{
        char *folder = folder_of(path);
        int rc = make_folder(folder), why = errno;
        if (rc < 0 && why == ENOENT) {
                char *parent = folder_of(folder);
                if ((rc = make_folder(parent)) == 0 || errno == EEXIST)
                        rc = make_folder(folder);
                why = errno;
                free(parent);
        }
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && rc < 0 && why != EEXIST)
                errno = why;
        free(folder);
        return fd;
}

/* What is there under that name is half of an earlier save, and never the only copy. */
static int write_beside(const char *path, const struct buf *text)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
                return last_error();
        int status = write_at(fd, text->data, text->len, 0);
        if (!status && fsync(fd) < 0)
                status = last_error();
        close(fd);
        return status;
}

static void save_work(void *arg)
{
        struct file_job *f = arg;
        int folder = open_folder(f->path);
        if (folder < 0) {
                f->status = last_error();
                return;
        }
        char *beside = mem_printf("%s" SAVE_SUFFIX, f->path);
        f->status = write_beside(beside, f->bytes);
        if (!f->status && (rename(beside, f->path) < 0 || fsync(folder) < 0))
                f->status = last_error();
        if (f->status)
                unlink(beside);
        free(beside);
        close(folder);
}

void disk_save(uv_loop_t *loop, const char *path, struct buf *text, disk_done *done, void *arg)
{
        file_run(loop, DISK_WRITE, save_work, file_job(path, text, done, arg));
}

static void read_work(void *arg)
{
        struct file_job *f = arg;
        int fd = open(f->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                f->status = last_error();
                return;
        }
        for (size_t got = 0; got < f->bytes->len && !f->status;) {
                ssize_t n = pread(fd, f->bytes->data + got, f->bytes->len - got, (off_t)(f->offset + got));
                if (n > 0)
                        got += (size_t)n;
                else if (n == 0)
                        f->status = ERR_IO;
                else if (errno != EINTR)
                        f->status = last_error();
        }
        close(fd);
}

void disk_read(uv_loop_t *loop, enum disk_class pool, const char *path, uint64_t offset, struct buf *into, disk_done *done,
               void *arg)
{
        struct file_job *f = file_job(path, into, done, arg);
        f->offset = offset;
        file_run(loop, pool, read_work, f);
}

static void close_work(void *arg)
{
        struct file_job *f = arg;
        close(f->fd);
}

void disk_close(uv_loop_t *loop, int fd)
{
        struct file_job *f = file_job(NULL, NULL, NULL, NULL);
        f->fd = fd;
        file_run(loop, DISK_WRITE, close_work, f);
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

int disk_remove_now(const char *folder)
{
        size_t len = strlen(folder), suffix = strlen(DISK_REMOVED_SUFFIX);
        bool marked = len > suffix && strcmp(folder + len - suffix, DISK_REMOVED_SUFFIX) == 0;
        char *path = marked ? mem_strdup(folder) : mem_printf("%s" DISK_REMOVED_SUFFIX, folder);
        char *parent = folder_of(folder);
        int status = !marked && rename(folder, path) < 0 ? last_error() : 0;
        status = status ? status : remove_content(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!status && rmdir(path) < 0)
                status = last_error();
        (void)rmdir(parent); /* fails, as it should, while other sessions are in it */
        free(parent);
        free(path);
        return status;
}

static void remove_work(void *arg)
{
        struct file_job *f = arg;
        f->status = disk_remove_now(f->path);
}

void disk_remove(uv_loop_t *loop, const char *folder, disk_done *done, void *arg)
{
        file_run(loop, DISK_COLD, remove_work, file_job(folder, NULL, done, arg));
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
                    (strncmp(e->d_name, name, len) != 0 || (e->d_name[len] && strcmp(e->d_name + len, SAVE_SUFFIX) != 0)))
                        status = ERR_CONFLICT;
        if (!status && errno)
                status = last_error();
        closedir(d);
        return status;
}

static void remove_unused_work(void *arg)
{
        struct file_job *f = arg; /* path: folder/name */
        char *folder = folder_of(f->path), *parent = folder_of(folder), *beside = mem_printf("%s" SAVE_SUFFIX, f->path);
        f->status = look_for_others(folder, f->path + strlen(folder) + 1);
        if (!f->status && ((unlink(beside) < 0 && errno != ENOENT) || (unlink(f->path) < 0 && errno != ENOENT) || rmdir(folder) < 0))
                f->status = last_error();
        if (!f->status)
                (void)rmdir(parent); /* fails, as it should, while other sessions are in it */
        free(beside);
        free(parent);
        free(folder);
}

void disk_remove_unused(uv_loop_t *loop, const char *folder, const char *name, disk_done *done, void *arg)
{
        char *path = mem_printf("%s/%s", folder, name);
        file_run(loop, DISK_COLD, remove_unused_work, file_job(path, NULL, done, arg));
        free(path);
}

static int probe(const char *folder)
{
        char *path = mem_printf("%s/.probe", folder);
        struct buf *b = buf_new(PROBE_BYTES);
        memset(b->data, 0, b->len);
        int status = write_beside(path, b);
        unlink(path);
        buf_unref(&b);
        free(path);
        return status;
}

static void space_work(void *arg)
{
        struct file_job *f = arg;
        struct statvfs st;
        if (statvfs(f->path, &st) < 0) {
                f->status = last_error();
                return;
        }
        f->room = (struct disk_room){(uint64_t)st.f_bavail * st.f_frsize, (uint64_t)st.f_blocks * st.f_frsize};
        if (f->sync)
                f->status = probe(f->path);
}

void disk_space(uv_loop_t *loop, const char *folder, bool probe_too,
                void (*done)(void *arg, int status, struct disk_room room), void *arg)
{
        struct file_job *f = file_job(folder, NULL, NULL, arg);
        f->sync = probe_too;
        f->measured = done;
        file_run(loop, probe_too ? DISK_WRITE : DISK_LIVE, space_work, f);
}
