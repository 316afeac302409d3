#include "originD/log/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"

#define PROBE_BYTES (64u << 10)

struct job {
        uv_work_t work;
        void (*run)(void *arg);
        void (*after)(void *arg);
        void *arg;
};

static unsigned jobs;

unsigned disk_jobs(void)
{
        return jobs;
}

static void job_run(uv_work_t *w)
{
        struct job *j = w->data;
        j->run(j->arg);
}

static void job_after(uv_work_t *w, int status)
{
        struct job *j = w->data;
        (void)status; /* jobs are never canceled */
        void (*after)(void *arg) = j->after;
        void *arg = j->arg;
        free(j);
        jobs--;
        after(arg);
}

void disk_run(uv_loop_t *loop, void (*work)(void *arg), void (*after)(void *arg), void *arg)
{
        struct job *j = mem_alloc(sizeof(*j));
        *j = (struct job){.run = work, .after = after, .arg = arg};
        j->work.data = j;
        jobs++;
        uv_queue_work(loop, &j->work, job_run, job_after);
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

static int last_error(void)
{
        int e = errno;
        if (e == ENOSPC || e == EDQUOT || e == EFBIG)
                return ERR_NOSPACE;
        return e == ENOENT ? ERR_NOT_FOUND : ERR_IO;
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
        disk_run(loop, append_work, file_after, f);
}

static void create_work(void *arg)
{
        struct file_job *f = arg;
        f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
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
        disk_run(loop, create_work, file_after, f);
}

static char *folder_of(const char *path)
{
        char *folder = mem_strdup(path);
        char *slash = strrchr(folder, '/');
        if (slash)
                *slash = '\0';
        return folder;
}

/* The folder of a file in it, made if need be, open for fsync; -1 with errno. */
static int open_folder(const char *path)
{
        char *folder = folder_of(path);
        if (mkdir(folder, 0755) < 0 && errno == ENOENT) {
                char *parent = folder_of(folder);
                if (mkdir(parent, 0755) == 0 || errno == EEXIST)
                        (void)mkdir(folder, 0755); /* open() below says what is wrong */
                free(parent);
        }
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        free(folder);
        return fd;
}

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
        char *beside = mem_printf("%s.tmp", f->path);
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
        disk_run(loop, save_work, file_after, file_job(path, text, done, arg));
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
                else if (n == 0 || errno != EINTR)
                        f->status = ERR_IO;
        }
        close(fd);
}

void disk_read(uv_loop_t *loop, const char *path, uint64_t offset, struct buf *into, disk_done *done, void *arg)
{
        struct file_job *f = file_job(path, into, done, arg);
        f->offset = offset;
        disk_run(loop, read_work, file_after, f);
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
        disk_run(loop, close_work, file_after, f);
}

static int remove_files(const char *folder)
{
        DIR *d = opendir(folder);
        if (!d)
                return last_error();
        int status = 0;
        struct dirent *e;
        while ((e = readdir(d)))
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dirfd(d), e->d_name, 0) < 0)
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
        status = status ? status : remove_files(path);
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
        disk_run(loop, remove_work, file_after, file_job(folder, NULL, done, arg));
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
        disk_run(loop, space_work, file_after, f);
}
