#include "originD/log/chunk_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/chunk_log_impl.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"
#include "originD/stats.h"

#define RECENT_ROOM_MIN (64u << 10)

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void take_found(struct chunk_log *log, struct volumes_found *found)
{
        log->closed = found->closed;
        for (size_t i = 0; i < log->closed.count; i++)
                if (volume_counts(&log->closed.rows[i]))
                        chunk_log_count(&log->closed_sum, &log->closed.rows[i].sum, true);
        if (found->open) {
                log->open = true;
                log->open_number = found->number;
                log->open_lacking = found->last.lacking;
                index_free(&log->index);
                log->index = found->last.index;
        }
        *found = (struct volumes_found){.last = {.files = {-1, -1}}};
}

struct chunk_log *chunk_log_new(uv_loop_t *loop, const char *dir, const struct init_info *info, struct buf *init,
                                uint32_t volume_segments, unsigned chunk_ms, struct volumes_found *found, bool ended, bool sync_segments)
{
        struct chunk_log *log = mem_alloc(sizeof(*log));
        *log = (struct chunk_log){.loop = loop, .sync_segments = sync_segments, .ended = ended, .init = *info,
                                  .init_bytes = init, .files = KEPT_FILES_NONE, .bring_below = UINT64_MAX};
        log->dir = mem_strdup(dir);
        log->volume_track = (struct volume_track){log->dir, &log->init, init, volume_segments, chunk_ms};
        log->last = &log->first;
        index_init(&log->index, info->timescale, chunk_ms, init->len);
        if (found)
                take_found(log, found);
        return log;
}

void chunk_log_free(struct chunk_log **logp)
{
        struct chunk_log *log = *logp;
        *logp = NULL;
        if (!log)
                return;
        assert(!chunk_log_busy(log));
        kept_files_close(&log->files, log->loop);
        for (size_t i = 0; i < log->closed.count; i++)
                index_cache_drop(&log->closed.rows[i].index);
        volumes_free(&log->closed);
        chunk_log_forget_recent(log);
        buf_unref(&log->init_bytes);
        index_free(&log->index);
        free(log->dir);
        free(log);
}

void chunk_log_end(struct chunk_log *log)
{
        assert(chunk_log_idle(log));
        if (log->ended)
                return;
        log->ended = true;
        log->index.last_complete |= !log->open_lacking; /* the rest of it may be what is lacking */
        if (log->open)
                chunk_log_close_volume(log);
        kept_files_close(&log->files, log->loop);
        chunk_log_forget_recent(log);
        chunk_log_tell(log, NULL);
}

bool chunk_log_idle(const struct chunk_log *log)
{
        return !log->writing && !log->first && !log->cutting && !log->rereading;
}

bool chunk_log_busy(const struct chunk_log *log)
{
        return !chunk_log_idle(log) || log->behind || log->reopening;
}

void chunk_log_tell(struct chunk_log *log, const struct chunk_append *chunk)
{
        if (log->moved)
                log->moved(log->arg, log, chunk);
}

/* One job behind the log's back is over; what waits until there is none. */
void chunk_log_one_less_behind(struct chunk_log *log)
{
        log->behind--;
        if (log->cutting && !log->writing)
                chunk_log_start_cut(log);
        if (log->reopening)
                chunk_log_start_reopen(log);
}

/* ---- the last seconds, in memory --------------------------------------------------------------------------------- */

void chunk_log_forget_recent(struct chunk_log *log)
{
        for (size_t i = 0; i < RECENT_SEGMENTS; i++)
                buf_unref(&log->recent[i].bytes);
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

/* ---- what may be appended ---------------------------------------------------------------------------------------- */

uint64_t chunk_log_hash(const struct buf *chunk)
{
        uint64_t hash = XXH3_64bits(chunk->data, chunk->len);
        return hash ? hash : 1;
}

bool chunk_log_stored_to(const struct chunk_log *log, int64_t us)
{
        uint32_t segment;
        uint8_t chunk;
        int64_t end_us = 0;
        if (us && log->index.count)
                index_next(&log->index, &segment, &chunk, &end_us);
        return end_us >= us;
}

/* 0: to be written; 1: stored before; or why not. */
static int judge(struct chunk_log *log, struct chunk_append *a)
{
        struct chunk_info *c = &a->info;
        uint32_t timescale = log->init.timescale;
        if (log->failed)
                return ERR_IO;
        if (log->ended)
                return ERR_CLOSED;
        if (box_chunk_parse(a->bytes->data, a->bytes->len, &log->init, c))
                return ERR_PROTO;
        int64_t off = box_ticks_to_us(c->start_ticks, timescale) - a->start_us, tick_us = 1000000 / timescale + 1;
        if (off > tick_us || off < -tick_us ||
            !index_on_grid(c->start_ticks, timescale, log->volume_track.chunk_ms, a->segment, a->chunk))
                return ERR_CONFLICT;
        switch (index_place(&log->index, c, a->segment)) {
        case INDEX_STORED:
                return 1;
        case INDEX_OUT_OF_ORDER:
                return ERR_ORDER;
        case INDEX_NEXT:
                break;
        }
        a->early = !chunk_log_stored_to(log, a->after_us);
        if (a->early)
                return ERR_NOT_YET;
        if (log->init.kind == TRACK_AUDIO)
                return index_room(&log->index, a->segment, a->bytes->len); /* needs nothing before it */
        bool known = log->last_hash || a->flags & PUT_SHADOW; /* a shadow has to be sure that it is in lock-step */
        if (a->previous && known && a->previous != log->last_hash)
                return ERR_NOT_YET;
        return index_room(&log->index, a->segment, a->bytes->len);
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

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One chunk's way to the disk: into the open volume, or as the first of the next one. */
struct write {
        struct chunk_log *log;
        struct buf *bytes;
        struct volume_record record;
        struct volume_files files;
        uint32_t number, nth, crc; /* crc: of the mp4, this chunk included */
        bool begins, sync, unsure;
        bool others; /* the files that are there now are not those that were written */
        bool stays; /* the files are open when it is over */
        int status;
};

static void write_work(void *arg)
{
        struct write *w = arg;
        const struct volume_track *t = &w->log->volume_track;
        w->record.crc = crc32c(0, w->bytes->data, w->bytes->len);
        if (!w->begins && w->files.mp4 < 0) {
                w->status = volume_reopen(t, w->number, w->record.offset, w->nth, &w->files);
                w->others = w->unsure = w->status == ERR_CORRUPT || w->status == ERR_NOT_FOUND;
        } else if (w->begins) {
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
        if (!w->stays)
                volume_files_close(&w->files);
}

/* The chunk is in the file: now it exists. */
static void take_written(struct chunk_log *log, const struct write *w, const struct chunk_append *a)
{
        if (w->begins) {
                if (log->open)
                        chunk_log_close_volume(log);
                index_free(&log->index);
                index_init(&log->index, log->init.timescale, log->volume_track.chunk_ms, log->init_bytes->len);
                struct volume_row *lost = volumes_get(&log->closed, w->number); /* of that number one was set aside */
                log->open_lacking = lost != NULL;
                if (lost)
                        volumes_remove(&log->closed, w->number);
                log->open = true;
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

/* When a volume could not be begun those of the one before stay open. Who has none of that either gives its place back. */
static void keep_files(struct chunk_log *log, const struct write *w, int status)
{
        if (!w->begins || !status)
                kept_files_put(&log->files, log->loop, w->files);
        else if (log->files.files.mp4 < 0)
                kept_files_close(&log->files, log->loop);
}

/* w is NULL when it never came to a write. */
static void written(struct chunk_log *log, const struct write *w, int status)
{
        struct chunk_append *a = log->writing;
        log->writing = NULL;
        if (w && !status)
                take_written(log, w, a);
        if (w && w->stays)
                keep_files(log, w, status);
        if (log->cutting)
                chunk_log_start_cut(log);
        chunk_log_write_next(log);
        chunk_log_tell(log, status ? NULL : a);
        a->done(a, status);
}

/* That a folder is gone, or that no descriptor is left, is nothing of the chunk's: by the same word a writer is told that its session
 * is not known, or that no origin would ever take this chunk, and lets go of it. */
static int told(struct chunk_append *a, int status)
{
        a->why = status;
        return !status || status == ERR_NOSPACE ? status : ERR_IO;
}

static void write_done(void *arg)
{
        struct write *w = arg;
        struct chunk_log *log = w->log;
        if (w->unsure && !log->failed) {
                log->failed = true;
                log_error("path=%s msg=\"%s: the track takes no more chunks\" error=\"%s\"", log->dir,
                          w->others ? "its files are not those that were written" : "a write failed and cannot be taken back",
                          err_text(w->status));
        }
        written(log, w, told(log->writing, w->status));
        buf_unref(&w->bytes);
        free(w);
}

static void start_write(struct chunk_log *log, struct chunk_append *a)
{
        struct write *w = mem_alloc(sizeof(*w));
        uint32_t number = volume_of(&log->volume_track, a->segment);
        bool begins = !log->open || number != log->open_number;
        *w = (struct write){.log = log, .bytes = buf_ref(a->bytes), .files = {-1, -1}, .number = number, .begins = begins,
                            .nth = begins ? 0 : log->index.chunks, .crc = log->crc,
                            .sync = log->sync_segments && a->flags & PUT_LAST};
        w->record = (struct volume_record){.offset = begins ? log->init_bytes->len : log->index.file_bytes,
                                           .len_bytes = (uint32_t)a->bytes->len, .segment = a->segment, .chunk = a->chunk,
                                           .samples = (uint16_t)a->info.samples, .start_ticks = a->info.start_ticks,
                                           .duration_ticks = (uint32_t)a->info.duration_ticks};
        w->record.flags = (a->flags & PUT_LAST ? RECORD_LAST : 0) | (guessed(log, a) != INDEX_EXACT ? RECORD_GUESS : 0);
        w->stays = kept_files_place(&log->files, log->loop);
        if (!begins)
                w->files = kept_files_take(&log->files);
        stat_add(STAT_FILES_REOPENED, !begins && w->files.mp4 < 0);
        disk_run(log->loop, DISK_WRITE, write_work, write_done, w);
}

void chunk_log_go_on(struct chunk_log *log, int status)
{
        if (status)
                written(log, NULL, told(log->writing, status));
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
void chunk_log_write_next(struct chunk_log *log)
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
        chunk_log_write_next(log);
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
