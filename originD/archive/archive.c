#include "originD/archive/archive.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/mem.h"
#include "originD/archive/transfer.h"

#define PUT_PAUSE_MS 1000 /* before the second try, twice as long before the third … */
#define READ_PAUSE_MS 100
#define CONFLICT_TRIES 3
#define TELL_US (60 * US_PER_S) /* one line about media that is other bytes, so often */
#define THREADS (ARCHIVE_PUTTERS + ARCHIVE_READERS)

/* One thing to do: the loop's, then a thread's, then the loop's again. */
struct job {
        struct mail mail;
        struct job *next; /* in its queue */
        struct archive *archive;
        struct transfer t;
        archive_done *done;
        void *arg;
        int err; /* what came of it */
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

static bool reads(const struct job *j)
{
        return j->t.verb == TRANSFER_READ;
}

static void do_job(struct archive *a, struct line *l, struct job *j, struct s3 *s)
{
        unsigned tries = reads(j) ? ARCHIVE_READ_TRIES : ARCHIVE_PUT_TRIES;
        for (unsigned n = 0; n < tries; n++) {
                if (n)
                        pause_before(a, l, n, reads(j) ? READ_PAUSE_MS : PUT_PAUSE_MS);
                if (atomic_load(&a->stopping)) {
                        j->err = ERR_CANCELED;
                        return;
                }
                j->err = transfer_try(&j->t, s, &a->stopping);
                /* another owner may be sending it just now, and not every store hides an object until it is whole */
                bool being_sent = j->t.verb == TRANSFER_PUT && j->err == ERR_CONFLICT && n + 1 < CONFLICT_TRIES;
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
                do_job(a, w->line, j, s);
                mailbox_post(&a->mailbox, &j->mail);
        }
        s3_close(&s);
        mailbox_post(&a->mailbox, &w->ended);
        return NULL;
}

/* ---- the loop's side --------------------------------------------------------------------------------------------- */

static void job_free(struct job *j)
{
        transfer_free(&j->t);
        free(j);
}

/* The store is to have what is read: a row of a volume says so. Nobody is to read of each such object in the log. */
static void log_bad_object(struct archive *a, const struct job *j)
{
        int64_t now = clock_mono_us();
        bool bad = j->err == ERR_CORRUPT || j->err == ERR_NOT_FOUND || j->err == ERR_PROTO;
        if (!bad || (j->t.verb != TRANSFER_READ && j->t.verb != TRANSFER_FETCH) || (a->told_us && now - a->told_us < TELL_US))
                return;
        char words[sizeof(j->t.words) + 16];
        a->told_us = now;
        log_error("object=%s.mp4 msg=\"an archived volume cannot be read as it was stored\" error=%s", j->t.name,
                  log_quote(words, sizeof(words), j->t.words));
}

/* Only what says something about the store: a damaged file or a missing object does not. */
static void log_change(struct archive *a, const struct job *j)
{
        log_bad_object(a, j);
        bool fails = s3_may_try_again(j->err) || j->err == ERR_DENIED || j->err == ERR_CONFIG || j->err == ERR_PROTO;
        char words[sizeof(j->t.words) + 16];
        if (fails && !a->stats.failing)
                log_warn("msg=\"the archive cannot be used: volumes stay here until it can\" error=%s",
                         log_quote(words, sizeof(words), j->t.words));
        else if (!j->err && a->stats.failing)
                log_info("msg=\"the archive can be used again\"");
        if (fails || !j->err)
                a->stats.failing = fails;
}

static void count(struct archive *a, const struct job *j)
{
        struct archive_stats *s = &a->stats;
        *(reads(j) ? &s->reading : &s->putting) -= 1;
        if (reads(j) || j->t.verb == TRANSFER_FETCH) {
                s->read += !j->err;
                s->read_failed += j->err && j->err != ERR_CANCELED;
                s->read_bytes += j->t.moved;
        } else if (j->t.verb == TRANSFER_PUT) {
                s->put += !j->err;
                s->put_failed += j->err && j->err != ERR_CONFLICT && j->err != ERR_CANCELED;
                s->put_conflicts += j->err == ERR_CONFLICT;
                s->put_bytes += j->t.moved;
        }
}

static void deliver(struct mail *mail)
{
        struct job *j = (struct job *)mail;
        count(j->archive, j);
        if (j->err != ERR_CANCELED)
                log_change(j->archive, j);
        j->done(j->arg, j->err, j->err == ERR_CANCELED ? "stopped" : j->t.words);
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

static struct job *job_new(const struct transfer *t, archive_done *done, void *arg)
{
        struct job *j = mem_alloc(sizeof(*j));
        *j = (struct job){.t = *t, .done = done, .arg = arg};
        return j;
}

char *archive_name(const char *stream, const char *session, const char *track_dir, uint32_t number, uint32_t mp4_crc32c)
{
        const char *slash = strrchr(track_dir, '/');
        return mem_printf("%s/%s/%s/%06" PRIu32 "-%08" PRIx32, stream, session, slash ? slash + 1 : track_dir, number, mp4_crc32c);
}

int archive_put(struct archive *a, const struct archive_volume *v, archive_done *done, void *arg)
{
        struct transfer t = {.verb = TRANSFER_PUT, .name = mem_strdup(v->name), .mp4_path = mem_strdup(v->mp4_path),
                             .idx_path = mem_strdup(v->idx_path), .content_type = v->content_type, .bytes = v->mp4_bytes,
                             .crc32c = v->mp4_crc32c};
        return queue(a, job_new(&t, done, arg));
}

int archive_read(struct archive *a, const struct archive_volume *v, uint64_t from, struct buf *into, archive_done *done, void *arg)
{
        struct transfer t = {.verb = TRANSFER_READ, .name = mem_strdup(v->name), .idx_path = mem_strdup(v->idx_path), .from = from,
                             .into = buf_ref(into)};
        return queue(a, job_new(&t, done, arg));
}

int archive_fetch(struct archive *a, const struct archive_volume *v, archive_done *done, void *arg)
{
        struct transfer t = {.verb = TRANSFER_FETCH, .name = mem_strdup(v->name), .mp4_path = mem_strdup(v->mp4_path),
                             .bytes = v->mp4_bytes, .crc32c = v->mp4_crc32c};
        return queue(a, job_new(&t, done, arg));
}

int archive_remove(struct archive *a, const char *begin, uint32_t below, archive_done *done, void *arg)
{
        struct transfer t = {.verb = TRANSFER_REMOVE, .name = mem_strdup(begin), .below = below};
        return queue(a, job_new(&t, done, arg));
}

struct archive_stats archive_stats(const struct archive *a)
{
        return a->stats;
}
