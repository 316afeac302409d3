#include "originD/log/disk.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mailbox.h"
#include "common/mem.h"
#include "originD/log/file.h"
#include "originD/log/pool.h"
#include "originD/stats.h"

#define PROBE_BYTES (64u << 10)

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
        uint64_t writes_over;
} disk;

unsigned disk_jobs(void)
{
        return disk.all_jobs;
}

bool disk_writes_under_way(uint64_t *over)
{
        *over = disk.writes_over;
        return disk.jobs[DISK_WRITE] > 0;
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
        disk.writes_over += j->pool == DISK_WRITE;
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
        bool probe;
        unsigned folders; /* that a save may make */
        int status;
        struct disk_room room;
        disk_done *done;
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
        if (f->measured)
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

static void save_work(void *arg)
{
        struct file_job *f = arg;
        f->status = file_save(f->path, f->bytes->data, f->bytes->len, f->folders);
}

void disk_save(uv_loop_t *loop, const char *path, struct buf *text, unsigned folders, disk_done *done, void *arg)
{
        struct file_job *f = file_job(path, text, done, arg);
        f->folders = folders;
        file_run(loop, DISK_WRITE, save_work, f);
}

static void read_work(void *arg)
{
        struct file_job *f = arg;
        int fd = file_open(f->path, O_RDONLY);
        f->status = fd < 0 ? fd : file_read_all(fd, f->bytes->data, f->bytes->len, f->offset);
        if (fd >= 0)
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

static int write_on_trial(const char *folder)
{
        uint8_t *zeros = mem_alloc(PROBE_BYTES);
        char *path = mem_printf("%s/made", folder), *named = mem_printf("%s/named", folder);
        /* One may be left of a process that died in here. */
        int rc = mkdir(folder, 0755) < 0 && errno != EEXIST ? err_from_errno(errno) : 0;
        rc = rc ? rc : file_put(path, zeros, PROBE_BYTES);
        rc = rc ? rc : file_rename(path, named);
        rc = rc ? rc : file_sync_folder(folder);
        int why = errno;
        unlink(path);
        unlink(named); /* what cannot be removed is no reason to store nothing: removals tell of it */
        rmdir(folder);
        free(named);
        free(path);
        free(zeros);
        errno = why;
        return rc;
}

/* A folder, a file, its bytes, their sync, another name: any of these may be what a disk refuses alone. */
static void probe(const char *data_dir, struct disk_room *room)
{
        char *folder = mem_printf("%s/.trial", data_dir);
        room->write_status = write_on_trial(folder);
        int why = errno;
        room->write_errno = room->write_status && err_from_errno(why) == room->write_status ? why : 0;
        free(folder);
}

static void space_work(void *arg)
{
        struct file_job *f = arg;
        struct statvfs st, named;
        f->status = file_compare(f->path, f->fd);
        if (!f->status && fstatvfs(f->fd, &st) < 0)
                f->status = err_from_errno(errno);
        if (f->status)
                return;
        f->room = (struct disk_room){.free_bytes = (uint64_t)st.f_bavail * st.f_frsize,
                                     .total_bytes = (uint64_t)st.f_blocks * st.f_frsize,
                                     .free_files = st.f_files ? st.f_favail : UINT64_MAX};
        if (!statvfs(f->path, &named) && named.f_flag & ST_RDONLY) { /* by its path: the folder may be mounted once more over itself */
                f->room.write_status = ERR_READ_ONLY;
                f->room.write_errno = EROFS;
        } else if (f->probe) {
                probe(f->path, &f->room);
        }
}

void disk_space(uv_loop_t *loop, const char *folder, int fd, bool probe_too,
                void (*done)(void *arg, int status, struct disk_room room), void *arg)
{
        struct file_job *f = file_job(folder, NULL, NULL, arg);
        f->fd = fd;
        f->probe = probe_too;
        f->measured = done;
        file_run(loop, probe_too ? DISK_WRITE : DISK_LIVE, space_work, f);
}
