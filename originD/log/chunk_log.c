#include "originD/log/chunk_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"

#define RECENT_ROOM_MIN (64u << 10)

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void count_sum(struct volume_sum *all, const struct volume_sum *one, bool more)
{
        all->bytes += more ? one->bytes : -one->bytes;
        all->media_ticks += more ? one->media_ticks : -one->media_ticks;
        all->samples += more ? one->samples : -one->samples;
        all->peak_bytes = more && one->peak_bytes > all->peak_bytes ? one->peak_bytes : all->peak_bytes;
}

static void take_found(struct chunk_log *log, struct volumes_found *found)
{
        log->closed = found->closed;
        for (size_t i = 0; i < log->closed.count; i++)
                if (log->closed.rows[i].state <= VOLUME_DAMAGED) /* the bytes that are here */
                        count_sum(&log->closed_sum, &log->closed.rows[i].sum, true);
        if (found->open) {
                log->files = found->last.files;
                log->open_number = found->number;
                log->open_lacking = found->last.lacking;
                index_free(&log->index);
                log->index = found->last.index;
        }
        *found = (struct volumes_found){.last = {.files = {-1, -1}}};
}

struct chunk_log *chunk_log_new(uv_loop_t *loop, const char *dir, const struct init_info *info, struct buf *init,
                                uint32_t volume_segments, struct volumes_found *found, bool ended, bool sync_segments)
{
        struct chunk_log *log = mem_alloc(sizeof(*log));
        *log = (struct chunk_log){.loop = loop, .sync_segments = sync_segments, .ended = ended, .init = *info,
                                  .init_bytes = init, .files = {-1, -1}};
        log->dir = mem_strdup(dir);
        log->volume_track = (struct volume_track){log->dir, &log->init, init, volume_segments};
        log->last = &log->first;
        index_init(&log->index, info->timescale, init->len);
        if (found)
                take_found(log, found);
        return log;
}

static void forget_recent(struct chunk_log *log)
{
        for (size_t i = 0; i < RECENT_SEGMENTS; i++)
                buf_unref(&log->recent[i].bytes);
}

static void close_files(struct chunk_log *log, struct volume_files *f)
{
        if (f->mp4 >= 0)
                disk_close(log->loop, f->mp4);
        if (f->idx >= 0)
                disk_close(log->loop, f->idx);
        *f = (struct volume_files){-1, -1};
}

void chunk_log_free(struct chunk_log **logp)
{
        struct chunk_log *log = *logp;
        *logp = NULL;
        if (!log)
                return;
        assert(!chunk_log_busy(log));
        close_files(log, &log->files);
        for (size_t i = 0; i < log->closed.count; i++)
                index_cache_drop(&log->closed.rows[i].index);
        volumes_free(&log->closed);
        forget_recent(log);
        buf_unref(&log->init_bytes);
        index_free(&log->index);
        free(log->dir);
        free(log);
}

bool chunk_log_idle(const struct chunk_log *log)
{
        return !log->writing && !log->first && !log->cutting;
}

bool chunk_log_busy(const struct chunk_log *log)
{
        return !chunk_log_idle(log) || log->behind || log->reopening;
}

/* Room for a whole segment like those before, so that it is seldom moved. */
static size_t room_for(const struct chunk_log *log, size_t need)
{
        uint32_t peak = log->index.peak_bytes > log->closed_sum.peak_bytes ? log->index.peak_bytes : log->closed_sum.peak_bytes;
        size_t usual = peak + peak / 4;
        size_t room = usual > RECENT_ROOM_MIN ? usual : RECENT_ROOM_MIN;
        while (room < need)
                room *= 2;
        return room;
}

/* Keeps the chunk for live readers. old_len bytes of its segment were there before. */
static void remember(struct chunk_log *log, uint32_t segment, uint32_t old_len, const struct buf *chunk)
{
        struct recent_segment *slot = &log->recent[segment % RECENT_SEGMENTS];
        if (slot->segment != segment || !slot->bytes) {
                buf_unref(&slot->bytes);
                if (old_len) /* begun before a restart: only the file has its beginning */
                        return;
                slot->segment = segment;
        }
        size_t need = (size_t)old_len + chunk->len;
        if (!slot->bytes || slot->bytes->len < need) {
                struct buf *bigger = buf_new(room_for(log, need));
                if (old_len)
                        memcpy(bigger->data, slot->bytes->data, old_len);
                buf_unref(&slot->bytes); /* who reads the old one keeps it */
                slot->bytes = bigger;
        }
        memcpy(slot->bytes->data + old_len, chunk->data, chunk->len);
        slot->len_bytes = (uint32_t)need;
}

static void moved(struct chunk_log *log, const struct chunk_append *chunk)
{
        if (log->moved)
                log->moved(log->arg, log, chunk);
}

uint64_t chunk_log_hash(const struct buf *chunk)
{
        uint64_t hash = XXH3_64bits(chunk->data, chunk->len);
        return hash ? hash : 1;
}

/* 0: to be written; 1: stored before; or why not. */
static int judge(struct chunk_log *log, struct chunk_append *a)
{
        struct chunk_info *c = &a->info;
        uint32_t timescale = log->init.timescale;
        if (log->ended)
                return ERR_CLOSED;
        if (log->failed)
                return ERR_IO;
        if (box_chunk_parse(a->bytes->data, a->bytes->len, &log->init, c))
                return ERR_PROTO;
        int64_t off = box_ticks_to_us(c->start_ticks, timescale) - a->start_us, tick_us = 1000000 / timescale + 1;
        if (off > tick_us || off < -tick_us || !index_on_grid(c->start_ticks, timescale, a->segment, a->chunk))
                return ERR_CONFLICT;
        switch (index_place(&log->index, c, a->segment)) {
        case INDEX_STORED:
                return 1;
        case INDEX_OUT_OF_ORDER:
                return ERR_ORDER;
        case INDEX_NEXT:
                break;
        }
        if (log->init.kind == TRACK_AUDIO)
                return index_room(&log->index, a->segment, a->bytes->len); /* needs nothing before it */
        bool known = log->last_hash || a->flags & PUT_SHADOW; /* a shadow has to be sure that it is in lock-step */
        if (a->previous && known && a->previous != log->last_hash)
                return ERR_NOT_YET;
        return index_room(&log->index, a->segment, a->bytes->len);
}

static void write_next(struct chunk_log *log);
static void start_cut(struct chunk_log *log);
static void close_volume(struct chunk_log *log);
static void start_reopen(struct chunk_log *log);

/* One job behind the log's back is over; what waits until there is none. */
static void one_less_behind(struct chunk_log *log)
{
        log->behind--;
        if (log->cutting && !log->writing)
                start_cut(log);
        if (log->reopening)
                start_reopen(log);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* One chunk's way to the disk: into the open volume, or as the first of the next one. */
struct write {
        struct chunk_log *log;
        struct buf *bytes;
        struct volume_record record;
        struct volume_files files;
        uint32_t number, nth, crc; /* crc: of the mp4, this chunk included */
        bool begins, sync, unsure;
        int status;
};

static void write_work(void *arg)
{
        struct write *w = arg;
        const struct volume_track *t = &w->log->volume_track;
        w->record.crc = crc32c(0, w->bytes->data, w->bytes->len);
        if (w->begins) {
                w->status = volume_create(t, w->number, w->log->sync_segments, &w->files);
                w->crc = crc32c(0, t->init->data, t->init->len);
        }
        if (!w->status)
                w->status = volume_append(&w->files, w->bytes, &w->record, w->nth, w->sync, &w->unsure);
        w->crc = crc32c(w->crc, w->bytes->data, w->bytes->len);
        if (w->begins && w->status && w->files.mp4 >= 0) {
                volume_files_close(&w->files);
                volume_remove(t, w->number);
                w->unsure = false; /* nothing was in it */
        }
}

/* By how much the boxes only guess where the chunk ends (index_add): its writer knows better, or nobody says. */
static int64_t guessed(const struct chunk_log *log, const struct chunk_append *a)
{
        int64_t off_us = box_ticks_to_us(a->info.start_ticks + a->info.duration_ticks, log->init.timescale) - a->end_us;
        int64_t tick_us = 1000000 / log->init.timescale + 1;
        if (!a->end_us || off_us < -tick_us)
                return INDEX_UNKNOWN;
        return off_us > tick_us ? (off_us * log->init.timescale + 999999) / 1000000 : INDEX_EXACT;
}

/* The chunk is in the file: now it exists. */
static void take_written(struct chunk_log *log, const struct write *w, const struct chunk_append *a)
{
        if (w->begins) {
                if (log->files.mp4 >= 0)
                        close_volume(log);
                index_free(&log->index);
                index_init(&log->index, log->init.timescale, log->init_bytes->len);
                struct volume_row *lost = volumes_get(&log->closed, w->number); /* of that number one was set aside */
                log->open_lacking = lost != NULL;
                if (lost)
                        volumes_remove(&log->closed, w->number);
                log->files = w->files;
                log->open_number = w->number;
                log->crc_known = true;
        }
        const struct index_row *row = index_find(&log->index, a->segment);
        uint32_t old_len = row ? row->len_bytes : 0;
        index_add(&log->index, &a->info, a->segment, (uint32_t)a->bytes->len, a->flags & PUT_LAST, guessed(log, a));
        log->crc = w->crc;
        log->last_hash = chunk_log_hash(a->bytes);
        remember(log, a->segment, old_len, a->bytes);
}

/* w is NULL when it never came to a write. */
static void written(struct chunk_log *log, const struct write *w, int status)
{
        struct chunk_append *a = log->writing;
        log->writing = NULL;
        if (w && !status)
                take_written(log, w, a);
        if (log->cutting)
                start_cut(log);
        write_next(log);
        moved(log, status ? NULL : a);
        a->done(a, status);
}

static void write_done(void *arg)
{
        struct write *w = arg;
        struct chunk_log *log = w->log;
        if (w->unsure && !log->failed) {
                log->failed = true;
                log_error("path=%s msg=\"a write failed and cannot be taken back: the track takes no more chunks\" error=\"%s\"",
                          log->dir, err_text(w->status));
        }
        written(log, w, w->status);
        buf_unref(&w->bytes);
        free(w);
}

static void start_write(struct chunk_log *log, struct chunk_append *a)
{
        struct write *w = mem_alloc(sizeof(*w));
        uint32_t number = volume_of(&log->volume_track, a->segment);
        bool begins = log->files.mp4 < 0 || number != log->open_number;
        *w = (struct write){.log = log, .bytes = buf_ref(a->bytes), .files = log->files, .number = number, .begins = begins,
                            .nth = begins ? 0 : log->index.chunks, .crc = log->crc,
                            .sync = log->sync_segments && a->flags & PUT_LAST};
        w->record = (struct volume_record){.offset = begins ? log->init_bytes->len : log->index.file_bytes,
                                           .len_bytes = (uint32_t)a->bytes->len, .segment = a->segment, .chunk = a->chunk,
                                           .samples = (uint16_t)a->info.samples, .start_ticks = a->info.start_ticks,
                                           .duration_ticks = (uint32_t)a->info.duration_ticks};
        w->record.flags = (a->flags & PUT_LAST ? RECORD_LAST : 0) | (guessed(log, a) != INDEX_EXACT ? RECORD_GUESS : 0);
        if (begins)
                w->files = (struct volume_files){-1, -1};
        disk_run(log->loop, DISK_WRITE, write_work, write_done, w);
}

void chunk_log_go_on(struct chunk_log *log, int status)
{
        if (status)
                written(log, NULL, status);
        else
                start_write(log, log->writing);
}

/* 0: it is on its way. */
static int begin_write(struct chunk_log *log, struct chunk_append *a)
{
        int rc = log->admit ? log->admit(log->arg, log, a) : 0;
        if (rc < 0)
                return rc;
        log->writing = a;
        if (rc == 0)
                start_write(log, a);
        return 0;
}

/* Answers what needs no write, until one that does. */
static void write_next(struct chunk_log *log)
{
        while (!log->writing && !log->cutting && log->first) {
                struct chunk_append *a = log->first;
                log->first = a->next;
                if (!log->first)
                        log->last = &log->first;
                log->queued--;
                int verdict = judge(log, a);
                a->again = verdict > 0;
                if (!verdict)
                        verdict = begin_write(log, a);
                if (verdict)
                        a->done(a, a->again ? 0 : verdict);
        }
}

void chunk_log_append(struct chunk_log *log, struct chunk_append *a)
{
        if (log->queued == APPENDS_QUEUED_MAX) {
                a->done(a, ERR_FULL);
                return;
        }
        a->next = NULL;
        a->log = log;
        *log->last = a;
        log->last = &a->next;
        log->queued++;
        write_next(log);
}

void chunk_log_fence(struct chunk_log *log)
{
        struct chunk_append *a = log->first;
        log->first = NULL;
        log->last = &log->first;
        log->queued = 0;
        while (a) {
                struct chunk_append *next = a->next;
                a->done(a, ERR_FENCED);
                a = next;
        }
}

/* ---- volumes -------------------------------------------------------------------------------------------------------- */

static void index_gone(void *owner, uint32_t number)
{
        struct volume_row *row = volumes_get(&((struct chunk_log *)owner)->closed, number);
        if (row)
                row->index = NULL;
}

static void tell_volumes(struct chunk_log *log)
{
        if (log->volumes_changed)
                log->volumes_changed(log->arg, log);
}

struct closing {
        struct chunk_log *log;
        struct volume_files files;
        uint32_t number;
        struct volume_sum sum;
        bool crc_known, lacking;
        int status;
};

/* One that lacks something gets no last record: what a crash leaves of it must not pass for whole. */
static void close_work(void *arg)
{
        struct closing *c = arg;
        c->status = c->lacking ? volume_leave(&c->files) : volume_close(&c->files, &c->sum, c->crc_known);
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
                if (!c->status)
                        row->sum.crc = c->sum.crc;
        }
        if (c->status) { /* without its last record it is closed when it is read; but what could not be synced may be gone */
                log->failed |= c->status != ERR_NOSPACE;
                log_error("path=%s volume=%06u msg=\"cannot close a volume\" error=\"%s\"", log->dir, c->number,
                          err_text(c->status));
        }
        one_less_behind(log);
        tell_volumes(log);
        moved(log, NULL);
        free(c);
}

static struct volume_sum sum_of(const struct index *ix)
{
        struct volume_sum s = {.bytes = ix->file_bytes, .media_ticks = ix->media_ticks, .chunks = ix->chunks,
                               .samples = (uint32_t)ix->samples, .peak_bytes = ix->peak_bytes};
        if (ix->count) {
                s.first_segment = ix->rows[0].segment;
                s.last_segment = ix->rows[ix->count - 1].segment;
        }
        return s;
}

/* The open volume becomes a row. Its index is what readers of the last minutes want, so it stays for now. */
static void close_volume(struct chunk_log *log)
{
        struct volume_row row = {.number = log->open_number, .sum = sum_of(&log->index), .closing = true,
                                 .state = log->open_lacking ? VOLUME_DAMAGED : VOLUME_HERE};
        row.index = index_cache_add(log, row.number, index_gone);
        row.index->pinned = true;
        struct closing *c = mem_alloc(sizeof(*c));
        *c = (struct closing){.log = log, .files = log->files, .number = row.number, .sum = row.sum, .crc_known = log->crc_known, .lacking = log->open_lacking};
        c->sum.crc = log->crc;
        volumes_insert(&log->closed, &row);
        count_sum(&log->closed_sum, &row.sum, true);
        index_cache_ready(row.index, &log->index);
        index_init(&log->index, log->init.timescale, log->init_bytes->len);
        log->files = (struct volume_files){-1, -1};
        log->behind++;
        disk_run(log->loop, DISK_WRITE, close_work, close_done, c);
}

void chunk_log_end(struct chunk_log *log)
{
        assert(chunk_log_idle(log));
        if (log->ended)
                return;
        log->ended = true;
        log->index.last_complete = true;
        if (log->files.mp4 >= 0)
                close_volume(log);
        forget_recent(log);
        moved(log, NULL);
}

uint32_t chunk_log_lacking(const struct chunk_log *log)
{
        uint32_t n = 0;
        for (size_t i = 0; i < log->closed.count; i++)
                n += log->closed.rows[i].state == VOLUME_LACKING || log->closed.rows[i].state == VOLUME_DAMAGED;
        return n;
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
                struct volume_sum open = sum_of(ix);
                count_sum(out, &open, true);
                out->first_segment = v->count ? out->first_segment : open.first_segment;
                out->last_segment = open.last_segment;
        } else if (!v->count) {
                out->bytes = log->init_bytes->len;
        }
        return ix->count || v->count;
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
        one_less_behind(r->log);
        r->done(r->arg, r->status);
        free(r);
}

static void forget_row(struct chunk_log *log, struct volume_row *row)
{
        if (row->state <= VOLUME_DAMAGED)
                count_sum(&log->closed_sum, &row->sum, false);
        index_cache_drop(&row->index);
        volumes_remove(&log->closed, row->number);
}

int chunk_log_forget_volume(struct chunk_log *log, uint32_t number)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        if (!row || log->cutting || log->reopening || row->closing || (row->index && !row->index->ready))
                return ERR_FULL;
        forget_row(log, row);
        log->expect_from = number + UINT64_C(1) > log->expect_from ? number + UINT64_C(1) : log->expect_from;
        return 0;
}

void chunk_log_unlink_volume(struct chunk_log *log, uint32_t number, void (*done)(void *arg, int status), void *arg)
{
        struct removing *r = mem_alloc(sizeof(*r));
        *r = (struct removing){.log = log, .number = number, .done = done, .arg = arg};
        log->behind++;
        if (disk_run(log->loop, DISK_COLD, remove_work, remove_done, r)) /* it is forgotten: left there it would come back */
                disk_run(log->loop, DISK_WRITE, remove_work, remove_done, r);
}

void chunk_log_expect_volume(struct chunk_log *log, uint32_t number, const struct volume_sum *sum)
{
        const struct volume_row *there = volumes_get(&log->closed, number);
        bool open = log->files.mp4 >= 0 && number == log->open_number;
        if (open || number < log->expect_from || (there && (there->closing || there->state != VOLUME_LACKING)))
                return;
        volumes_insert(&log->closed, &(struct volume_row){.number = number, .state = VOLUME_LACKING, .sum = *sum});
        tell_volumes(log);
}

bool chunk_log_hide_volume(struct chunk_log *log, uint32_t number, const struct volume_sum *expected)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        if (!row || row->closing || log->cutting || log->reopening || (row->index && !row->index->ready))
                return false;
        if (row->state == VOLUME_ARCHIVED || row->state == (expected ? VOLUME_HERE : VOLUME_LACKING))
                return false;
        if (row->state <= VOLUME_DAMAGED)
                count_sum(&log->closed_sum, &row->sum, false);
        index_cache_drop(&row->index);
        row->state = VOLUME_LACKING;
        if (expected) /* after a crash it is held against what is there then */
                row->sum = *expected;
        row->closing = true;
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
                count_sum(&log->closed_sum, sum, true);
        }
        one_less_behind(log);
        tell_volumes(log);
        moved(log, NULL);
}

void chunk_log_skip(struct chunk_log *log)
{
        log->open_lacking |= log->files.mp4 >= 0;
}

/* ---- cutting back, and going on with a volume that was closed ------------------------------------------------------- */

/* On the pool: takes away what is behind a segment, until a volume is found to go on with. */
struct cut {
        struct chunk_log *log;
        uint32_t segment; /* UINT32_MAX: none is taken away */
        uint32_t *numbers; /* of the volumes that are here, rising; the last one may be the open one */
        size_t count;
        struct volume_files files; /* of the last one, if it is open */
        struct volume_found found; /* what is gone on with */
        uint32_t number;
        bool any, lacking, started;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

static int go_on_with(struct cut *c, uint32_t number)
{
        const struct volume_track *t = &c->log->volume_track;
        struct volume_found *f = &c->found;
        struct index left;
        bool unsure;
        int rc = volume_open(t, number, true, CHECK_TAIL, f);
        if (rc)
                return rc == ERR_CORRUPT || rc == ERR_NOT_FOUND ? 0 : rc; /* there is nothing to go on with: the one before */
        c->any = true;
        c->number = number;
        if (c->segment != UINT32_MAX && volume_of(t, c->segment) == number) {
                rc = volume_cut(t, number, &f->files, c->segment, &left, &unsure);
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
        volume_files_close(&c->files);
        while (c->count && !c->any && !c->status) {
                uint32_t number = c->numbers[--c->count];
                if (c->segment != UINT32_MAX && number > volume_of(t, c->segment))
                        c->status = volume_remove(t, number);
                else
                        c->status = go_on_with(c, number);
        }
        if (c->status) {
                index_free(&c->found.index);
                volume_files_close(&c->found.files);
        }
}

/* Rows of volumes that were taken away go, and that of the one that is open now. */
static void take_cut(struct chunk_log *log, struct cut *c)
{
        uint32_t from = c->segment == UINT32_MAX ? UINT32_MAX : volume_of(&log->volume_track, c->segment);
        for (size_t i = log->closed.count; i--;) {
                struct volume_row *row = &log->closed.rows[i];
                if (row->number >= from || (c->any && row->number == c->number)) {
                        c->lacking |= c->any && row->number == c->number && row->state == VOLUME_DAMAGED;
                        forget_row(log, row);
                } else if (row->state <= VOLUME_DAMAGED && (!c->any || row->number > c->number)) { /* no chunk was whole */
                        count_sum(&log->closed_sum, &row->sum, false);
                        index_cache_drop(&row->index);
                        row->state = VOLUME_LACKING;
                }
        }
        index_free(&log->index);
        index_init(&log->index, log->init.timescale, log->init_bytes->len);
        if (!c->any)
                return;
        log->index = c->found.index;
        log->files = c->found.files;
        log->open_number = c->number;
        log->open_lacking = c->found.lacking || c->lacking;
        log->crc_known = false;
        if (c->segment == UINT32_MAX)
                log->index.last_complete |= index_ends_segment(&log->index);
}

static struct cut *new_cut(struct chunk_log *log, uint32_t segment, void (*done)(void *arg, int status), void *arg)
{
        struct cut *c = mem_alloc(sizeof(*c));
        *c = (struct cut){.log = log, .segment = segment, .files = {-1, -1}, .found = {.files = {-1, -1}}, .done = done, .arg = arg};
        return c;
}

static void list_volumes(struct chunk_log *log, struct cut *c)
{
        c->numbers = mem_alloc((log->closed.count + 1) * sizeof(*c->numbers));
        for (size_t i = 0; i < log->closed.count; i++)
                if (log->closed.rows[i].state <= VOLUME_DAMAGED)
                        c->numbers[c->count++] = log->closed.rows[i].number;
        if (log->files.mp4 >= 0) {
                c->numbers[c->count++] = log->open_number;
                c->lacking = log->open_lacking;
        }
        c->files = log->files;
        log->files = (struct volume_files){-1, -1};
}

static void free_cut(struct cut *c)
{
        free(c->numbers);
        free(c);
}

static void cut_done(void *arg)
{
        struct cut *c = arg;
        struct chunk_log *log = c->log;
        log->cutting = NULL;
        if (c->status) /* nobody knows what the files hold */
                log->ended = log->failed = true;
        else
                take_cut(log, c);
        tell_volumes(log);
        write_next(log);
        moved(log, NULL);
        c->done(c->arg, c->status);
        free_cut(c);
}

/* Readers do not see what goes from here on. */
static void start_cut(struct chunk_log *log)
{
        struct cut *c = log->cutting;
        if (log->behind || c->started) /* a volume is being closed, or read */
                return;
        c->started = true;
        index_forget(&log->index, c->segment);
        for (size_t i = log->closed.count; i--;) {
                struct volume_row *row = &log->closed.rows[i];
                if (row->sum.last_segment < c->segment)
                        break;
                index_cache_drop(&row->index);
                row->sum.last_segment = c->segment ? c->segment - 1 : 0;
                row->state = row->sum.first_segment >= c->segment ? VOLUME_LACKING : row->state;
        }
        log->last_hash = 0;
        for (size_t i = 0; i < RECENT_SEGMENTS; i++)
                if (log->recent[i].segment >= c->segment)
                        buf_unref(&log->recent[i].bytes);
        list_volumes(log, c);
        disk_run(log->loop, DISK_WRITE, cut_work, cut_done, c);
}

void chunk_log_cut(struct chunk_log *log, uint32_t segment, void (*done)(void *arg, int status), void *arg)
{
        assert(!log->cutting && !log->ended);
        log->cutting = new_cut(log, segment, done, arg);
        if (!log->writing)
                start_cut(log);
}

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

static void start_reopen(struct chunk_log *log)
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
        log->sync_segments = sync_segments;
        log->reopening = new_cut(log, UINT32_MAX, done, arg);
        start_reopen(log);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct reading {
        struct chunk_log *log;
        uint32_t number;
        struct volume_found found;
        int status;
};

static void read_work(void *arg)
{
        struct reading *r = arg;
        r->status = volume_open(&r->log->volume_track, r->number, false, CHECK_RECORDS, &r->found);
}

static void read_done(void *arg)
{
        struct reading *r = arg;
        struct chunk_log *log = r->log;
        struct volume_row *row = volumes_get(&log->closed, r->number);
        bool other = false;
        if (row && row->index && !row->index->ready) {
                other = r->status == ERR_CORRUPT || r->status == ERR_NOT_FOUND || (!r->status && r->found.lacking) ||
                        (!r->status && r->found.sum.crc != row->sum.crc);
                if (!r->status) {
                        /* Its index was made anew from the boxes, and the whole is not what was closed: something inside is other
                         * bytes, and nobody knows where. It is read as it is until it is brought from elsewhere. */
                        bool differs = row->sum.chunks && r->found.sum.crc != row->sum.crc;
                        count_sum(&log->closed_sum, &row->sum, false);
                        count_sum(&log->closed_sum, &r->found.sum, true);
                        row->sum = r->found.sum;
                        row->state = r->found.lacking || differs ? VOLUME_DAMAGED : row->state;
                        index_cache_ready(row->index, &r->found.index);
                } else {
                        index_cache_drop(&row->index);
                        if (other) {
                                count_sum(&log->closed_sum, &row->sum, false);
                                row->state = VOLUME_LACKING;
                        }
                        log_error("path=%s volume=%06u msg=\"cannot read a volume\" error=\"%s\"", log->dir, r->number,
                                  err_text(r->status));
                }
        }
        index_free(&r->found.index);
        if (other)
                tell_volumes(log);
        bool failed = r->status && !other;
        free(r);
        one_less_behind(log);
        log->read_failed = failed;
        moved(log, NULL);
        log->read_failed = false;
}

/* The index of a closed volume; NULL: it is being read, or *busy. */
static const struct index *closed_index(struct chunk_log *log, struct volume_row *row, bool may_read, enum segment_state *why)
{
        *why = SEGMENT_LOADING;
        if (row->index && row->index->ready) {
                index_cache_use(row->index);
                return &row->index->index;
        }
        if (row->index)
                return NULL;
        if (log->read_failed || !may_read) {
                *why = log->read_failed ? SEGMENT_UNREADABLE : SEGMENT_UNREAD;
                return NULL;
        }
        struct reading *r = mem_alloc(sizeof(*r));
        *r = (struct reading){.log = log, .number = row->number};
        bool live = !log->ended && row == &log->closed.rows[log->closed.count - 1];
        if (log->cutting || log->reopening ||
            disk_run(log->loop, live ? DISK_LIVE : DISK_COLD, read_work, read_done, r)) {
                *why = SEGMENT_BUSY;
                free(r);
                return NULL;
        }
        log->behind++;
        row->index = index_cache_add(log, row->number, index_gone);
        return NULL;
}

static const struct recent_segment *recent_of(const struct chunk_log *log, uint32_t segment)
{
        const struct recent_segment *slot = &log->recent[segment % RECENT_SEGMENTS];
        return slot->bytes && slot->segment == segment ? slot : NULL;
}

static enum segment_state look_in_closed(struct chunk_log *log, struct volume_row *row, uint32_t segment, bool may_read,
                                         struct segment_view *out)
{
        const struct recent_segment *recent = recent_of(log, segment);
        enum segment_state why;
        bool outside = segment < row->sum.first_segment || segment > row->sum.last_segment;
        *out = (struct segment_view){.volume = row->number, .complete = true};
        if (row->state >= VOLUME_LACKING)
                return SEGMENT_LACKING;
        if (recent) {
                out->bytes = recent->bytes;
                out->len_bytes = recent->len_bytes;
                return SEGMENT_HERE;
        }
        if (outside)
                return row->state == VOLUME_DAMAGED ? SEGMENT_LACKING : SEGMENT_NONE;
        const struct index *ix = closed_index(log, row, may_read, &why);
        const struct index_row *found = ix ? index_find(ix, segment) : NULL;
        if (!ix)
                return why;
        if (!found)
                return row->state == VOLUME_DAMAGED ? SEGMENT_LACKING : SEGMENT_NONE;
        out->offset = found->offset;
        out->len_bytes = found->len_bytes;
        return SEGMENT_HERE;
}

enum segment_state chunk_log_segment(struct chunk_log *log, uint32_t segment, bool may_read, struct segment_view *out)
{
        uint32_t number = volume_of(&log->volume_track, segment);
        if (!log->index.count || number != log->open_number) {
                struct volume_row *closed = volumes_get(&log->closed, number);
                return closed ? look_in_closed(log, closed, segment, may_read, out) : SEGMENT_NONE;
        }
        const struct index_row *row = index_find(&log->index, segment);
        if (!row)
                return log->open_lacking && segment <= log->index.rows[log->index.count - 1].segment ? SEGMENT_LACKING : SEGMENT_NONE;
        const struct recent_segment *recent = recent_of(log, segment);
        *out = (struct segment_view){.volume = number, .offset = row->offset, .len_bytes = row->len_bytes,
                                     .complete = index_complete(&log->index, row), .bytes = recent ? recent->bytes : NULL};
        return SEGMENT_HERE;
}
