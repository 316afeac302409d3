/* The volumes of a log behind the open one: closing, forgetting, hiding and taking them. */
#include <assert.h>
#include <stdlib.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/chunk_log_impl.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"

/* ---- sums and rows ----------------------------------------------------------------------------------------------- */

void chunk_log_count(struct volume_sum *all, const struct volume_sum *one, bool more)
{
        all->bytes += more ? one->bytes : -one->bytes;
        all->media_ticks += more ? one->media_ticks : -one->media_ticks;
        all->samples += more ? one->samples : -one->samples;
        all->peak_bytes = more && one->peak_bytes > all->peak_bytes ? one->peak_bytes : all->peak_bytes;
}

bool chunk_log_sum(const struct chunk_log *log, struct volume_sum *out)
{
        const struct index *ix = &log->index;
        const struct volumes *v = &log->closed;
        *out = log->closed_sum;
        if (v->count) {
                out->first_segment = v->rows[0].sum.first_segment;
                out->last_segment = v->rows[v->count - 1].sum.last_segment;
        }
        if (ix->count) {
                struct volume_sum open = volume_sum_of(ix);
                chunk_log_count(out, &open, true);
                out->first_segment = v->count ? out->first_segment : open.first_segment;
                out->last_segment = open.last_segment;
        } else if (!v->count) {
                out->bytes = log->init_bytes->len;
        }
        return ix->count || v->count;
}

void chunk_log_archive_sum(const struct chunk_log *log, struct archive_sum *sum)
{
        for (size_t i = 0; i < log->closed.count; i++) {
                const struct volume_row *row = &log->closed.rows[i];
                if (row->state == VOLUME_HERE)
                        *(row->copied ? &sum->copied : &sum->uncopied) += row->sum.bytes;
                else if (row->state == VOLUME_ARCHIVED)
                        sum->archived += row->sum.bytes;
        }
}

/* What it comes to is not known yet, so a start opens it. */
static void note_open(struct volumes *out, uint32_t number, uint32_t first_segment, uint32_t last_segment)
{
        struct volume_row row = {.number = number, .state = VOLUME_DAMAGED};
        row.sum.first_segment = first_segment;
        row.sum.last_segment = last_segment;
        volumes_insert(out, &row);
}

void chunk_log_rows(const struct chunk_log *log, struct volumes *out)
{
        const struct index *ix = &log->index;
        uint64_t cut = chunk_log_cut_from(log);
        *out = (struct volumes){.rows = mem_resize(NULL, (log->closed.count + 1) * sizeof(*out->rows))}; /* not zeroed first: this is the loop */
        for (size_t i = 0; i < log->closed.count; i++) {
                const struct volume_row *row = &log->closed.rows[i];
                if ((row->number + UINT64_C(1)) * log->volume_track.segments <= cut)
                        out->rows[out->count++] = *row;
                else if (row->sum.first_segment < cut && row->state == VOLUME_DAMAGED)
                        note_open(out, row->number, row->sum.first_segment, (uint32_t)cut - 1);
        }
        if (log->open_lacking && ix->count && ix->rows[0].segment < cut)
                note_open(out, log->open_number, ix->rows[0].segment, ix->rows[ix->count - 1].segment);
}

uint32_t chunk_log_lacking(const struct chunk_log *log)
{
        uint32_t n = 0;
        for (size_t i = 0; i < log->closed.count; i++)
                n += log->closed.rows[i].state == VOLUME_LACKING || log->closed.rows[i].state == VOLUME_DAMAGED;
        return n;
}

void chunk_log_index_gone(void *owner, uint32_t number)
{
        struct volume_row *row = volumes_get(&((struct chunk_log *)owner)->closed, number);
        if (row)
                row->index = NULL;
}

void chunk_log_tell_volumes(struct chunk_log *log)
{
        log->closed.changes++;
        if (log->volumes_changed)
                log->volumes_changed(log->arg, log);
}

void chunk_log_forget_row(struct chunk_log *log, struct volume_row *row)
{
        if (volume_counts(row))
                chunk_log_count(&log->closed_sum, &row->sum, false);
        index_cache_drop(&row->index);
        volumes_remove(&log->closed, row->number);
}

/* ---- closing ----------------------------------------------------------------------------------------------------- */

struct closing {
        struct chunk_log *log;
        struct volume_files files;
        uint32_t number;
        struct volume_sum sum;
        bool crc_known, lacking, damaged;
        int status;
};

/* One that lacks something gets no last record: what a crash leaves of it must not pass for whole. */
static void close_work(void *arg)
{
        struct closing *c = arg;
        int rc = c->files.mp4 >= 0 ? 0 : volume_reopen(&c->log->volume_track, c->number, c->sum.bytes, c->sum.chunks, &c->files);
        rc = rc || c->lacking || c->crc_known ? rc : volume_checksum(&c->log->volume_track, c->number, &c->files, &c->sum);
        c->damaged = rc == ERR_CORRUPT && c->files.mp4 >= 0;
        if (rc && !c->damaged)
                volume_files_close(&c->files);
        else
                rc = c->lacking || c->damaged ? volume_leave(&c->files) : volume_close(&c->files, &c->sum);
        c->status = rc;
}

static void close_done(void *arg)
{
        struct closing *c = arg;
        struct chunk_log *log = c->log;
        struct volume_row *row = volumes_get(&log->closed, c->number);
        if (row) {
                row->closing = false;
                if (row->index)
                        row->index->pinned = false;
                if (c->damaged)
                        row->state = VOLUME_DAMAGED;
                else if (!c->status && !c->lacking)
                        row->sum.crc = c->sum.crc;
        }
        if (c->damaged)
                log_error("path=%s volume=%06u msg=\"the disk changed something in a volume before it was closed: it is damaged\"",
                          log->dir, c->number);
        if (c->status) { /* without its last record it is closed when it is read; but what could not be synced may be gone */
                log->failed |= c->status != ERR_NOSPACE;
                log_error("path=%s volume=%06u msg=\"cannot close a volume\" error=\"%s\"", log->dir, c->number,
                          err_text(c->status));
        }
        chunk_log_one_less_behind(log);
        chunk_log_tell_volumes(log);
        chunk_log_tell(log, NULL);
        free(c);
}

/* The open volume becomes a row. Its index is what readers of the last minutes want, so it stays for now. */
void chunk_log_close_volume(struct chunk_log *log)
{
        struct volume_row row = {.number = log->open_number, .sum = volume_sum_of(&log->index), .closing = true,
                                 .state = log->open_lacking ? VOLUME_DAMAGED : VOLUME_HERE};
        row.index = index_cache_add(log, row.number, chunk_log_index_gone);
        row.index->pinned = true;
        struct closing *c = mem_alloc(sizeof(*c));
        *c = (struct closing){.log = log, .files = kept_files_take(&log->files), .number = row.number, .sum = row.sum,
                              .crc_known = log->crc_known, .lacking = log->open_lacking};
        c->sum.crc = log->crc;
        volumes_insert(&log->closed, &row);
        chunk_log_count(&log->closed_sum, &row.sum, true);
        index_cache_ready(row.index, &log->index);
        index_init(&log->index, log->init.timescale, log->volume_track.chunk_ms, log->init_bytes->len);
        log->open = false;
        log->behind++;
        disk_run(log->loop, DISK_WRITE, close_work, close_done, c);
}

/* ---- taking away ------------------------------------------------------------------------------------------------- */

bool chunk_log_may_forget_volume(const struct chunk_log *log, uint32_t number)
{
        const struct volume_row *row = volumes_get(&log->closed, number);
        return row && !log->cutting && !log->reopening && !log->rereading && !row->closing && !(row->index && !row->index->ready);
}

int chunk_log_forget_volume(struct chunk_log *log, uint32_t number)
{
        if (!chunk_log_may_forget_volume(log, number))
                return ERR_FULL;
        chunk_log_forget_row(log, volumes_get(&log->closed, number));
        log->expect_from = number + UINT64_C(1) > log->expect_from ? number + UINT64_C(1) : log->expect_from;
        return 0;
}

struct removing {
        struct chunk_log *log;
        uint32_t number;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

static void remove_work(void *arg)
{
        struct removing *r = arg;
        r->status = volume_remove(&r->log->volume_track, r->number);
}

static void remove_done(void *arg)
{
        struct removing *r = arg;
        chunk_log_one_less_behind(r->log);
        r->done(r->arg, r->status);
        free(r);
}

void chunk_log_unlink_volume(struct chunk_log *log, uint32_t number, void (*done)(void *arg, int status), void *arg)
{
        struct removing *r = mem_alloc(sizeof(*r));
        *r = (struct removing){.log = log, .number = number, .done = done, .arg = arg};
        log->behind++;
        if (disk_run(log->loop, DISK_COLD, remove_work, remove_done, r)) /* it is forgotten: left there it would come back */
                disk_run(log->loop, DISK_WRITE, remove_work, remove_done, r);
}

/* ---- from elsewhere ---------------------------------------------------------------------------------------------- */

/* Whether the row that is here of the volume, or none, gives way to one that says that it is lacking. */
static bool is_expected(const struct chunk_log *log, uint32_t number, const struct volume_row *here)
{
        bool open = log->open && number == log->open_number;
        return !open && number >= log->expect_from && (!here || (!here->closing && here->state == VOLUME_LACKING));
}

void chunk_log_expect_volumes(struct chunk_log *log, const struct volumes *there, uint32_t from, uint32_t end)
{
        size_t i = 0, k = volumes_below(there, from), k_end = volumes_below(there, end), n = 0;
        const struct volumes *v = &log->closed;
        if (k >= k_end)
                return;
        struct volume_row *rows = mem_resize(NULL, (v->count + k_end - k) * sizeof(*rows)); /* not zeroed first: this is the loop */
        while (i < v->count || k < k_end) {
                const struct volume_row *mine = i < v->count ? &v->rows[i] : NULL, *theirs = k < k_end ? &there->rows[k] : NULL;
                bool both = mine && theirs && mine->number == theirs->number;
                bool first_is_mine = mine && (!theirs || mine->number <= theirs->number);
                bool taken = theirs && (!first_is_mine || both) && is_expected(log, theirs->number, both ? mine : NULL);
                if (taken)
                        rows[n++] = (struct volume_row){.number = theirs->number, .state = VOLUME_LACKING, .sum = theirs->sum};
                else if (first_is_mine)
                        rows[n++] = *mine;
                i += first_is_mine;
                k += !first_is_mine || both;
        }
        free(log->closed.rows);
        log->closed.rows = rows;
        log->closed.count = n;
        chunk_log_tell_volumes(log);
}

bool chunk_log_hide_volume(struct chunk_log *log, uint32_t number, const struct volume_sum *expected)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        if (!row || row->closing || log->cutting || log->reopening || log->rereading || (row->index && !row->index->ready))
                return false;
        if (row->state == VOLUME_ARCHIVED || row->state == (expected ? VOLUME_HERE : VOLUME_LACKING))
                return false;
        if (row->state <= VOLUME_DAMAGED)
                chunk_log_count(&log->closed_sum, &row->sum, false);
        index_cache_drop(&row->index);
        row->state = VOLUME_LACKING;
        row->copied = false; /* it may come back as other bytes */
        if (expected) /* after a crash it is held against what is there then */
                row->sum = *expected;
        row->closing = true;
        log->closed.changes++;
        log->behind++;
        return true;
}

void chunk_log_take_volume(struct chunk_log *log, uint32_t number, enum volume_state state, const struct volume_sum *sum)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        assert(row && row->closing && row->state == VOLUME_LACKING);
        row->closing = false;
        if (sum) {
                row->sum = *sum;
                row->state = state;
                chunk_log_count(&log->closed_sum, sum, true);
        }
        chunk_log_one_less_behind(log);
        chunk_log_tell_volumes(log);
        chunk_log_tell(log, NULL);
}

void chunk_log_skip(struct chunk_log *log)
{
        log->open_lacking |= log->open;
        log->closed.changes++; /* it is one of the rows from here on */
}

bool chunk_log_miss(struct chunk_log *log, uint32_t segment)
{
        uint32_t number = volume_of(&log->volume_track, segment);
        struct volume_row *row = volumes_get(&log->closed, number);
        if (log->index.count && number == log->open_number) {
                bool known = log->open_lacking;
                chunk_log_skip(log);
                return known;
        }
        if (!row) { /* no longer than is known, for the track ends behind it; when the volume begins it is seen that this row was there */
                struct volume_row lost = {.number = number, .sum = {.first_segment = segment, .last_segment = segment}};
                chunk_log_expect_volumes(log, &(struct volumes){.rows = &lost, .count = 1}, number, number + 1);
        }
        if (row && row->state == VOLUME_LACKING && segment > row->sum.last_segment)
                row->sum.last_segment = segment;
        return row != NULL;
}
