#include "originD/archive/archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/mem.h"
#include "originD/archive/piece.h"

#define PUT_PAUSE_MS 1000 /* before the second try, twice as long before the third … */
#define READ_PAUSE_MS 100
#define CONFLICT_TRIES 3
#define FETCH_BYTES (1u << 20)
#define TELL_US (60 * US_PER_S) /* one line about media that is other bytes, so often */
#define THREADS (ARCHIVE_PUTTERS + ARCHIVE_READERS)

enum verb { VERB_PUT, VERB_READ, VERB_READ_MEDIA, VERB_FETCH, VERB_REMOVE, VERB_REMOVE_ALL, VERB_LIST };

/* One thing to do: the loop's, then a thread's, then the loop's again. */
struct job {
        struct mail mail;
        struct job *next; /* in its queue */
        struct archive *archive;
        enum verb verb;
        char *mp4_path, *idx_path, *name; /* name: of a volume, an object or what objects begin with */
        uint64_t bytes, from;
        uint32_t crc32c;
        struct buf *into;
        archive_done *done;
        void (*listed)(void *arg, int err, const char *words, const struct archive_item *items, size_t count);
        void *arg;
        /* what came of it */
        int err;
        char words[400];
        uint64_t moved; /* bytes over the network */
        struct archive_item *items;
        size_t item_count, item_cap;
};

/* Jobs that wait for threads of one kind. Guarded by archive.lock. */
struct line {
        struct job *first, **last;
        size_t count, max;
        pthread_cond_t more; /* or stopping */
};

struct worker {
        struct archive *archive;
        struct line *line;
        pthread_t thread;
        struct mail ended;
};

struct archive {
        const struct s3_config *config;
        struct mailbox mailbox;
        pthread_mutex_t lock;
        struct line puts, reads;
        atomic_bool stopping;
        struct worker workers[THREADS];
        size_t running;
        struct archive_stats stats; /* the loop's */
        int64_t told_us;            /* the loop's: that an object is not what was stored, was logged last */
        void (*closed)(void *arg);
        void *arg;
};

/* ---- the threads' side ------------------------------------------------------------------------------------------- */

/* Before try number n (from 1), between a half and the whole of what has doubled n - 1 times; ends early when stopping. */
static void pause_before(struct archive *a, struct line *l, unsigned n, int64_t first_ms)
{
        uint16_t dice = 0;
        struct timespec until;
        if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) < 0)
                dice = 0;
        int64_t whole_us = (first_ms << (n - 1)) * US_PER_MS, us = whole_us / 2 + whole_us / 2 * dice / UINT16_MAX;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + us * 1000;
        until.tv_sec += ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        pthread_mutex_lock(&a->lock);
        while (!atomic_load(&a->stopping) && pthread_cond_timedwait(&l->more, &a->lock, &until) != ETIMEDOUT)
                ;
        pthread_mutex_unlock(&a->lock);
}

static int fail(struct job *j, int err, const char *words)
{
        snprintf(j->words, sizeof(j->words), "%s", words);
        return err;
}

/* A file here that cannot be opened or written: nothing that could be taken for the store's answer. */
static int local_error(int errnum)
{
        int err = err_from_errno(errnum);
        return err == ERR_NOT_FOUND || err == ERR_NOSPACE || err == ERR_LIMIT ? err : ERR_IO;
}

static int open_file(struct job *j, const char *path, uint64_t *bytes)
{
        struct stat st;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err = 0;
        if (fd < 0)
                err = local_error(errno);
        else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
                err = ERR_IO;
        if (err) {
                snprintf(j->words, sizeof(j->words), "%.200s cannot be opened: %s", path, err_text(err));
                if (fd >= 0)
                        close(fd);
                return err;
        }
        *bytes = (uint64_t)st.st_size;
        return fd;
}

/* What is in the store under the volume's name: 0: this very file; ERR_NOT_FOUND: nothing; ERR_CONFLICT: something else. */
static int look_for(struct job *j, struct s3 *s, const char *object)
{
        struct s3_object o;
        int err = s3_head(s, object, &o);
        if (err)
                return fail(j, err, s3_error(s));
        if (o.bytes == j->bytes && o.has_crc32c && o.crc32c == j->crc32c)
                return 0;
        return fail(j, ERR_CONFLICT, "another object has this volume's name: other bytes, or no checksum beside them");
}

static int put_file(struct job *j, struct s3 *s, const char *object, const char *path, const char *type, uint64_t *bytes,
                    const uint32_t *crc32c)
{
        int fd = open_file(j, path, bytes), err;
        if (fd < 0)
                return fd;
        if (crc32c && *bytes != j->bytes)
                err = fail(j, ERR_CORRUPT, "the file is not what was stored: its length is another");
        else
                err = s3_put(s, object, fd, *bytes, crc32c, type);
        close(fd);
        if (err && s3_error(s)[0])
                return fail(j, err, s3_error(s));
        j->moved += err ? 0 : *bytes;
        return err;
}

static bool reads(const struct job *j)
{
        return j->verb == VERB_READ || j->verb == VERB_READ_MEDIA;
}

static int put_volume(struct job *j, struct s3 *s)
{
        char object[S3_NAME_MAX + 8];
        uint64_t bytes;
        snprintf(object, sizeof(object), "%s.mp4", j->name);
        int err = look_for(j, s, object);
        if (err == ERR_NOT_FOUND) {
                err = put_file(j, s, object, j->mp4_path, "video/mp4", &bytes, &j->crc32c);
                if (!err) /* the only copy may be unlinked on the strength of this: ask whether it is there */
                        err = look_for(j, s, object);
        }
        if (err)
                return err;
        snprintf(object, sizeof(object), "%s.idx", j->name);
        return put_file(j, s, object, j->idx_path, "application/octet-stream", &bytes, NULL);
}

static int remove_volume(struct job *j, struct s3 *s)
{
        static const char *const ends[] = {"idx", "mp4"};
        char object[S3_NAME_MAX + 8];
        for (size_t i = 0; i < 2; i++) {
                snprintf(object, sizeof(object), "%s.%s", j->name, ends[i]);
                int err = s3_remove(s, object);
                if (err)
                        return fail(j, err, s3_error(s));
        }
        return 0;
}

static void forget_items(struct job *j)
{
        for (size_t i = 0; i < j->item_count; i++)
                free(j->items[i].object);
        j->item_count = 0;
}

static bool keep_item(void *arg, const char *name, uint64_t bytes)
{
        struct job *j = arg;
        if (j->item_count == ARCHIVE_LIST_MAX) {
                j->err = ERR_LIMIT;
                return false;
        }
        if (j->item_count == j->item_cap) {
                j->item_cap = j->item_cap ? 2 * j->item_cap : 64;
                j->items = mem_resize(j->items, j->item_cap * sizeof(j->items[0]));
        }
        j->items[j->item_count++] = (struct archive_item){mem_strdup(name), bytes};
        return true;
}

static int list(struct job *j, struct s3 *s)
{
        forget_items(j); /* of an earlier try */
        j->err = 0;
        int err = s3_list(s, j->name, keep_item, j);
        return err ? fail(j, err, s3_error(s)) : j->err ? fail(j, j->err, "more objects than one answer may hold") : 0;
}

/* One after the other; what is there of that name and came meanwhile is for the next time. */
static int remove_all(struct job *j, struct s3 *s)
{
        int err = list(j, s);
        for (size_t i = 0; i < j->item_count && !err; i++) {
                err = atomic_load(&j->archive->stopping) ? fail(j, ERR_CANCELED, "stopped") : s3_remove(s, j->items[i].object);
                if (err && s3_error(s)[0])
                        fail(j, err, s3_error(s));
        }
        forget_items(j);
        return err;
}

/* Whole chunks are read, for only those have checksums, and what was asked for is handed on. */
static int read_media(struct job *j, struct s3 *s)
{
        struct piece p;
        int err = piece_find(&p, j->idx_path, j->from, j->into->len);
        if (err) /* that file is here: its absence is not the object's */
                return fail(j, err == ERR_NOT_FOUND ? ERR_CORRUPT : err, "the index file beside the volume cannot be read");
        uint8_t *bytes = mem_alloc(p.len);
        err = s3_get(s, j->name, p.from, p.len, bytes);
        if (err)
                fail(j, err, s3_error(s));
        else if (!piece_is(&p, bytes))
                err = fail(j, ERR_CORRUPT, "the object has other bytes than were stored");
        else
                memcpy(j->into->data, bytes + (j->from - p.from), j->into->len);
        j->moved += err ? 0 : p.len;
        free(bytes);
        piece_free(&p);
        return err;
}

static int write_all(struct job *j, int fd, const uint8_t *data, size_t len)
{
        while (len) {
                ssize_t n = write(fd, data, len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return fail(j, n ? local_error(errno) : ERR_IO, "the file cannot be written");
                data += n;
                len -= (size_t)n;
        }
        return 0;
}

/* The whole object, durable in a file of that name. On an error there is none. */
static int fetch_file(struct job *j, struct s3 *s)
{
        uint8_t *block = mem_alloc(FETCH_BYTES);
        uint32_t crc = 0;
        int fd = open(j->mp4_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err = 0;
        if (fd < 0)
                err = fail(j, local_error(errno), "the file cannot be made");
        for (uint64_t at = 0; at < j->bytes && !err;) {
                size_t len = j->bytes - at < FETCH_BYTES ? (size_t)(j->bytes - at) : FETCH_BYTES;
                err = s3_get(s, j->name, at, len, block);
                if (err)
                        fail(j, err, s3_error(s));
                else
                        err = write_all(j, fd, block, len);
                crc = crc32c(crc, block, len);
                at += len;
                j->moved += err ? 0 : len;
        }
        if (!err && crc != j->crc32c)
                err = fail(j, ERR_CORRUPT, "the object has other bytes than were stored");
        if (!err && fsync(fd) < 0)
                err = fail(j, local_error(errno), "the file cannot be written");
        if (fd >= 0)
                close(fd);
        if (err && fd >= 0)
                unlink(j->mp4_path);
        free(block);
        return err;
}

static int try_once(struct job *j, struct s3 *s)
{
        int err;
        j->words[0] = '\0';
        switch (j->verb) {
        case VERB_PUT:
                return put_volume(j, s);
        case VERB_REMOVE:
                return remove_volume(j, s);
        case VERB_REMOVE_ALL:
                return remove_all(j, s);
        case VERB_READ_MEDIA:
                return read_media(j, s);
        case VERB_FETCH:
                return fetch_file(j, s);
        case VERB_LIST:
                return list(j, s);
        case VERB_READ:
                break;
        }
        err = s3_get(s, j->name, j->from, j->into->len, j->into->data);
        j->moved += err ? 0 : j->into->len;
        return err ? fail(j, err, s3_error(s)) : 0;
}

static void work(struct archive *a, struct line *l, struct job *j, struct s3 *s)
{
        unsigned tries = reads(j) ? ARCHIVE_READ_TRIES : ARCHIVE_PUT_TRIES;
        for (unsigned n = 0; n < tries; n++) {
                if (n)
                        pause_before(a, l, n, reads(j) ? READ_PAUSE_MS : PUT_PAUSE_MS);
                if (atomic_load(&a->stopping)) {
                        j->err = fail(j, ERR_CANCELED, "stopped");
                        return;
                }
                j->err = try_once(j, s);
                /* another owner may be sending it just now, and not every store hides an object until it is whole */
                bool being_sent = j->verb == VERB_PUT && j->err == ERR_CONFLICT && n + 1 < CONFLICT_TRIES;
                if (!s3_may_try_again(j->err) && !being_sent)
                        return;
        }
}

static struct job *take(struct archive *a, struct line *l)
{
        pthread_mutex_lock(&a->lock);
        while (!l->first && !atomic_load(&a->stopping))
                pthread_cond_wait(&l->more, &a->lock);
        struct job *j = l->first;
        if (j) {
                l->first = j->next;
                l->count--;
                if (!l->first)
                        l->last = &l->first;
        }
        pthread_mutex_unlock(&a->lock);
        return j; /* NULL: stopping, and nothing waits */
}

static void *run(void *arg)
{
        struct worker *w = arg;
        struct archive *a = w->archive;
        struct s3 *s = s3_open(a->config, &a->stopping);
        for (struct job *j; (j = take(a, w->line));) {
                work(a, w->line, j, s);
                mailbox_post(&a->mailbox, &j->mail);
        }
        s3_close(&s);
        mailbox_post(&a->mailbox, &w->ended);
        return NULL;
}

/* ---- the loop's side --------------------------------------------------------------------------------------------- */

static void job_free(struct job *j)
{
        forget_items(j);
        free(j->items);
        free(j->mp4_path);
        free(j->idx_path);
        free(j->name);
        buf_unref(&j->into);
        free(j);
}

/* The store is to have what is read: a row of a volume says so. Nobody is to read of each such object in the log. */
static void log_bad_object(struct archive *a, const struct job *j)
{
        int64_t now = clock_mono_us();
        bool bad = j->err == ERR_CORRUPT || j->err == ERR_NOT_FOUND || j->err == ERR_PROTO;
        if (!bad || (j->verb != VERB_READ_MEDIA && j->verb != VERB_FETCH) || (a->told_us && now - a->told_us < TELL_US))
                return;
        char words[sizeof(j->words) + 16];
        a->told_us = now;
        log_error("object=%s msg=\"an archived volume cannot be read as it was stored\" error=%s", j->name,
                  log_quote(words, sizeof(words), j->words));
}

/* Only what says something about the store: a damaged file or a missing object does not. */
static void log_change(struct archive *a, const struct job *j)
{
        log_bad_object(a, j);
        bool fails = s3_may_try_again(j->err) || j->err == ERR_DENIED || j->err == ERR_CONFIG || j->err == ERR_PROTO;
        char words[sizeof(j->words) + 16];
        if (fails && !a->stats.failing)
                log_warn("msg=\"the archive cannot be used: volumes stay here until it can\" error=%s",
                         log_quote(words, sizeof(words), j->words));
        else if (!j->err && a->stats.failing)
                log_info("msg=\"the archive can be used again\"");
        if (fails || !j->err)
                a->stats.failing = fails;
}

static void count(struct archive *a, const struct job *j)
{
        struct archive_stats *s = &a->stats;
        *(reads(j) ? &s->reading : &s->putting) -= 1;
        if (reads(j) || j->verb == VERB_FETCH) {
                s->read += !j->err;
                s->read_failed += j->err && j->err != ERR_CANCELED;
                s->read_bytes += j->moved;
        } else if (j->verb == VERB_PUT) {
                s->put += !j->err;
                s->put_failed += j->err && j->err != ERR_CONFLICT && j->err != ERR_CANCELED;
                s->put_conflicts += j->err == ERR_CONFLICT;
                s->put_bytes += j->moved;
        }
}

static void deliver(struct mail *mail)
{
        struct job *j = (struct job *)mail;
        count(j->archive, j);
        if (j->err != ERR_CANCELED)
                log_change(j->archive, j);
        if (j->listed)
                j->listed(j->arg, j->err, j->words, j->items, j->err ? 0 : j->item_count);
        else
                j->done(j->arg, j->err, j->words);
        job_free(j);
}

static void all_closed(struct mailbox *mb)
{
        struct archive *a = (struct archive *)(void *)((char *)mb - offsetof(struct archive, mailbox));
        void (*closed)(void *arg) = a->closed;
        void *arg = a->arg;
        pthread_cond_destroy(&a->puts.more);
        pthread_cond_destroy(&a->reads.more);
        pthread_mutex_destroy(&a->lock);
        free(a);
        closed(arg);
}

static void worker_ended(struct mail *mail)
{
        struct worker *w = (struct worker *)(void *)((char *)mail - offsetof(struct worker, ended));
        struct archive *a = w->archive;
        pthread_join(w->thread, NULL); /* it has nothing left to do but to return */
        if (--a->running == 0)
                mailbox_close_then(&a->mailbox, all_closed);
}

static void line_open(struct line *l, size_t max)
{
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&l->more, &attr);
        pthread_condattr_destroy(&attr);
        l->last = &l->first;
        l->max = max;
}

struct archive *archive_open(uv_loop_t *loop, const struct s3_config *config)
{
        struct archive *a = mem_alloc(sizeof(*a));
        assert(!s3_config_is_off(config));
        a->config = config;
        mailbox_open(&a->mailbox, loop);
        pthread_mutex_init(&a->lock, NULL);
        line_open(&a->puts, ARCHIVE_PUTS_MAX);
        line_open(&a->reads, ARCHIVE_READS_MAX);
        for (; a->running < THREADS; a->running++) {
                struct worker *w = &a->workers[a->running];
                *w = (struct worker){.archive = a, .line = a->running < ARCHIVE_PUTTERS ? &a->puts : &a->reads,
                                     .ended = {.deliver = worker_ended}};
                int rv = pthread_create(&w->thread, NULL, run, w);
                if (rv) { /* as for lack of memory */
                        log_error("msg=\"cannot start a thread for the archive\" error=\"%s\"", strerror(rv));
                        abort();
                }
        }
        return a;
}

void archive_close(struct archive **ap, void (*closed)(void *arg), void *arg)
{
        struct archive *a = *ap;
        *ap = NULL;
        a->closed = closed;
        a->arg = arg;
        pthread_mutex_lock(&a->lock);
        atomic_store(&a->stopping, true);
        pthread_cond_broadcast(&a->puts.more);
        pthread_cond_broadcast(&a->reads.more);
        pthread_mutex_unlock(&a->lock);
}

/* Takes j, unless ERR_FULL. */
static int queue(struct archive *a, struct job *j)
{
        struct line *l = reads(j) ? &a->reads : &a->puts;
        j->mail.deliver = deliver;
        j->archive = a;
        pthread_mutex_lock(&a->lock);
        bool full = l->count >= l->max;
        if (!full) {
                *l->last = j;
                l->last = &j->next;
                l->count++;
                pthread_cond_broadcast(&l->more); /* one alone might go to a thread that pauses */
        }
        pthread_mutex_unlock(&a->lock);
        if (full) {
                job_free(j);
                return ERR_FULL;
        }
        *(reads(j) ? &a->stats.reading : &a->stats.putting) += 1;
        return 0;
}

static struct job *job_new(enum verb verb, const char *name, archive_done *done, void *arg)
{
        struct job *j = mem_alloc(sizeof(*j));
        j->verb = verb;
        j->name = mem_strdup(name);
        j->done = done;
        j->arg = arg;
        return j;
}

char *archive_name(const char *stream, const char *session, const char *track_dir, uint32_t number)
{
        const char *slash = strrchr(track_dir, '/');
        return mem_printf("%s/%s/%s/%06" PRIu32, stream, session, slash ? slash + 1 : track_dir, number);
}

int archive_put(struct archive *a, const struct archive_volume *v, archive_done *done, void *arg)
{
        struct job *j = job_new(VERB_PUT, v->name, done, arg);
        j->mp4_path = mem_strdup(v->mp4_path);
        j->idx_path = mem_strdup(v->idx_path);
        j->bytes = v->mp4_bytes;
        j->crc32c = v->mp4_crc32c;
        return queue(a, j);
}

int archive_read(struct archive *a, const char *object, uint64_t from, struct buf *into, archive_done *done, void *arg)
{
        struct job *j = job_new(VERB_READ, object, done, arg);
        j->from = from;
        j->into = buf_ref(into);
        return queue(a, j);
}

int archive_read_media(struct archive *a, const struct archive_volume *v, uint64_t from, struct buf *into, archive_done *done,
                       void *arg)
{
        char *object = mem_printf("%s.mp4", v->name);
        struct job *j = job_new(VERB_READ_MEDIA, object, done, arg);
        free(object);
        j->idx_path = mem_strdup(v->idx_path);
        j->from = from;
        j->into = buf_ref(into);
        return queue(a, j);
}

int archive_fetch(struct archive *a, const struct archive_volume *v, archive_done *done, void *arg)
{
        char *object = mem_printf("%s.mp4", v->name);
        struct job *j = job_new(VERB_FETCH, object, done, arg);
        free(object);
        j->mp4_path = mem_strdup(v->mp4_path);
        j->bytes = v->mp4_bytes;
        j->crc32c = v->mp4_crc32c;
        return queue(a, j);
}

int archive_remove_all(struct archive *a, const char *begin, archive_done *done, void *arg)
{
        return queue(a, job_new(VERB_REMOVE_ALL, begin, done, arg));
}

int archive_remove(struct archive *a, const char *name, archive_done *done, void *arg)
{
        return queue(a, job_new(VERB_REMOVE, name, done, arg));
}

int archive_list(struct archive *a, const char *begin,
                 void (*done)(void *arg, int err, const char *words, const struct archive_item *items, size_t count), void *arg)
{
        struct job *j = job_new(VERB_LIST, begin, NULL, arg);
        j->listed = done;
        return queue(a, j);
}

struct archive_stats archive_stats(const struct archive *a)
{
        return a->stats;
}
