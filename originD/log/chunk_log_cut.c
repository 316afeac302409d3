/* Cutting a log back, and going on with a volume that was closed. */
#include <assert.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"
#include "originD/log/chunk_log_impl.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"

/* On the pool: takes away what is behind a segment, until a volume is found to go on with. */
struct cut {
        struct chunk_log *log;
        uint32_t segment; /* UINT32_MAX: none is taken away */
        struct buf *there; /* the segment as it is to be: what it begins with here too stays; may be NULL */
        uint32_t *numbers; /* of the volumes that are here, rising; the last one may be the open one */
        size_t count;
        struct volume_found found; /* what is gone on with */
        uint32_t number;
        bool any, lacking, started;
        bool archived; /* before all of numbers there is one that is not here, and stays */
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

static int go_on_with(struct cut *c, uint32_t number)
{
        const struct volume_track *t = &c->log->volume_track;
        struct volume_found *f = &c->found;
        struct index left;
        int rc = volume_open(t, number, CHECK_TAIL, f);
        if (rc)
                return rc == ERR_CORRUPT || rc == ERR_NOT_FOUND ? 0 : rc; /* there is nothing to go on with: the one before */
        c->any = true;
        c->number = number;
        if (c->segment != UINT32_MAX && volume_of(t, c->segment) == number) {
                rc = volume_cut(t, number, &f->files, c->segment, c->there, &left);
                if (rc)
                        return rc;
                index_free(&f->index);
                f->index = left;
                c->any = left.count > 0;
        }
        if (!c->any) {
                index_free(&f->index);
                volume_files_close(&f->files);
                rc = volume_remove(t, number);
        }
        return rc;
}

static void cut_work(void *arg)
{
        struct cut *c = arg;
        const struct volume_track *t = &c->log->volume_track;
        while (c->count && !c->any && !c->status) {
                uint32_t number = c->numbers[--c->count];
                if (c->segment != UINT32_MAX && number > volume_of(t, c->segment))
                        c->status = volume_remove(t, number);
                else
                        c->status = go_on_with(c, number);
        }
        if (!c->status && !c->any && c->archived) /* none of those could be read: where the track ends now nobody knows */
                c->status = ERR_IO;
        if (c->status)
                index_free(&c->found.index);
        volume_files_close(&c->found.files); /* the next chunk opens them */
}

/* Rows of volumes that were taken away go, and that of the one that is open now. */
static void take_cut(struct chunk_log *log, struct cut *c)
{
        uint32_t from = c->segment == UINT32_MAX ? UINT32_MAX : volume_of(&log->volume_track, c->segment);
        if (log->expect_from > from) /* what is to stand there is expected, whatever was removed */
                log->expect_from = from;
        for (size_t i = log->closed.count; i--;) {
                struct volume_row *row = &log->closed.rows[i];
                if (row->number >= from || (c->any && row->number == c->number)) {
                        c->lacking |= c->any && row->number == c->number && row->state == VOLUME_DAMAGED;
                        chunk_log_forget_row(log, row);
                } else if (row->state <= VOLUME_DAMAGED && (!c->any || row->number > c->number)) { /* no chunk was whole */
                        chunk_log_count(&log->closed_sum, &row->sum, false);
                        index_cache_drop(&row->index);
                        row->state = VOLUME_LACKING;
                }
        }
        index_free(&log->index);
        index_init(&log->index, log->init.timescale, log->volume_track.chunk_ms, log->init_bytes->len);
        if (!c->any)
                return;
        log->index = c->found.index;
        log->open = true;
        log->open_number = c->number;
        log->open_lacking = c->found.lacking || c->lacking;
        log->crc_known = false;
        if (c->segment == UINT32_MAX)
                log->index.last_complete |= index_ends_segment(&log->index);
}

static struct cut *new_cut(struct chunk_log *log, uint32_t segment, void (*done)(void *arg, int status), void *arg)
{
        struct cut *c = mem_alloc(sizeof(*c));
        *c = (struct cut){.log = log, .segment = segment, .found = {.files = {-1, -1}}, .done = done, .arg = arg};
        return c;
}

static void list_volumes(struct chunk_log *log, struct cut *c)
{
        c->numbers = mem_alloc((log->closed.count + 1) * sizeof(*c->numbers));
        for (size_t i = 0; i < log->closed.count; i++) {
                const struct volume_row *row = &log->closed.rows[i];
                if (row->state <= VOLUME_DAMAGED)
                        c->numbers[c->count++] = row->number;
                else if (row->state == VOLUME_ARCHIVED && row->sum.first_segment < c->segment)
                        c->count = 0, c->archived = true; /* the track does not go on before what stays */
        }
        if (log->open) {
                c->numbers[c->count++] = log->open_number;
                c->lacking = log->open_lacking;
        }
        log->open = false;
        kept_files_close(&log->files, log->loop);
}

static void free_cut(struct cut *c)
{
        buf_unref(&c->there);
        free(c->numbers);
        free(c);
}

/* ---- cutting ----------------------------------------------------------------------------------------------------- */

static void cut_done(void *arg)
{
        struct cut *c = arg;
        struct chunk_log *log = c->log;
        log->cutting = NULL;
        if (c->status) /* nobody knows what the files hold */
                log->ended = log->failed = true;
        else
                take_cut(log, c);
        chunk_log_tell_volumes(log);
        chunk_log_write_next(log);
        chunk_log_tell(log, NULL);
        c->done(c->arg, c->status);
        free_cut(c);
}

uint64_t chunk_log_cut_from(const struct chunk_log *log)
{
        return log->cutting && log->cutting->started ? log->cutting->segment : UINT64_MAX;
}

/* Readers do not see what goes from here on. */
static void take_away(struct chunk_log *log)
{
        struct cut *c = log->cutting;
        list_volumes(log, c);
        index_forget(&log->index, c->segment);
        for (size_t i = log->closed.count; i--;) {
                struct volume_row *row = &log->closed.rows[i];
                if (row->sum.last_segment < c->segment)
                        break;
                index_cache_drop(&row->index);
                if (row->sum.first_segment >= c->segment && volume_counts(row)) {
                        chunk_log_count(&log->closed_sum, &row->sum, false);
                        row->state = VOLUME_LACKING;
                }
                row->sum.last_segment = c->segment ? c->segment - 1 : 0;
                log->closed.changes++;
        }
        log->last_hash = 0;
        for (size_t i = 0; i < RECENT_SEGMENTS; i++)
                if (log->recent[i].segment >= c->segment)
                        buf_unref(&log->recent[i].bytes);
        disk_run(log->loop, DISK_WRITE, cut_work, cut_done, c);
}

void chunk_log_cut_on(struct chunk_log *log, int status)
{
        struct cut *c = log->cutting;
        if (!status) {
                take_away(log);
                return;
        }
        log->cutting = NULL;
        log->closed.changes++;
        chunk_log_write_next(log);
        chunk_log_tell(log, NULL);
        c->done(c->arg, status);
        free_cut(c);
}

/* What stands behind the segment is not known of any more before the first file goes. After a crash in between it is found again,
 * as it was; the other way round rows would be left of what is gone, and of a volume that was cut one that says it is whole. */
void chunk_log_start_cut(struct chunk_log *log)
{
        struct cut *c = log->cutting;
        if (log->behind || c->started) /* a volume is being closed, or read */
                return;
        c->started = true;
        log->closed.changes++; /* chunk_log_rows() are others from here on */
        if (!log->save_rows || !log->save_rows(log->arg, log))
                take_away(log);
}

void chunk_log_cut(struct chunk_log *log, uint32_t segment, struct buf *there, void (*done)(void *arg, int status), void *arg)
{
        assert(!log->cutting && !log->ended);
        if (!chunk_log_may_cut(log, segment)) {
                buf_unref(&there);
                done(arg, ERR_NOT_YET);
                return;
        }
        log->cutting = new_cut(log, segment, done, arg);
        log->cutting->there = there;
        if (!log->writing)
                chunk_log_start_cut(log);
}

/* ---- reopening --------------------------------------------------------------------------------------------------- */

static void reopen_done(void *arg)
{
        struct cut *c = arg;
        struct chunk_log *log = c->log;
        log->reopening = NULL;
        if (!c->status) {
                take_cut(log, c);
                log->ended = log->failed = false;
                log->last_hash = 0;
        }
        c->done(c->arg, c->status);
        free_cut(c);
}

void chunk_log_start_reopen(struct chunk_log *log)
{
        if (log->behind || log->reopening->started)
                return;
        log->reopening->started = true;
        list_volumes(log, log->reopening);
        disk_run(log->loop, DISK_WRITE, cut_work, reopen_done, log->reopening);
}

void chunk_log_reopen(struct chunk_log *log, bool sync_segments, void (*done)(void *arg, int status), void *arg)
{
        assert(log->ended && !log->reopening);
        if (!chunk_log_may_cut(log, UINT32_MAX)) {
                done(arg, ERR_NOT_YET);
                return;
        }
        log->sync_segments = sync_segments;
        log->reopening = new_cut(log, UINT32_MAX, done, arg);
        chunk_log_start_reopen(log);
}
