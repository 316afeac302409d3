#include "originD/log/chunk_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"

#define RECENT_ROOM_MIN (64u << 10)

struct chunk_log *chunk_log_new(uv_loop_t *loop, const char *path, int fd, const struct init_info *info,
                                struct buf *init, const struct index *index, bool sync_segments)
{
        struct chunk_log *log = mem_alloc(sizeof(*log));
        *log = (struct chunk_log){.loop = loop, .fd = fd, .sync_segments = sync_segments, .ended = fd < 0, .init = *info,
                                  .init_bytes = init, .index = *index};
        log->path = mem_strdup(path);
        log->last = &log->first;
        if (log->ended)
                log->index.last_complete = true;
        return log;
}

static void forget_recent(struct chunk_log *log)
{
        for (size_t i = 0; i < RECENT_SEGMENTS; i++)
                buf_unref(&log->recent[i].bytes);
}

void chunk_log_free(struct chunk_log **logp)
{
        struct chunk_log *log = *logp;
        *logp = NULL;
        if (!log)
                return;
        assert(chunk_log_idle(log));
        if (log->fd >= 0)
                disk_close(log->loop, log->fd);
        forget_recent(log);
        buf_unref(&log->init_bytes);
        index_free(&log->index);
        free(log->path);
        free(log);
}

bool chunk_log_idle(const struct chunk_log *log)
{
        return !log->writing && !log->first && !log->cutting;
}

/* Room for a whole segment like those before, so that it is seldom moved. */
static size_t room_for(const struct chunk_log *log, size_t need)
{
        size_t usual = log->index.peak_bytes + log->index.peak_bytes / 4;
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

static void written(void *arg, int status)
{
        struct chunk_log *log = arg;
        struct chunk_append *a = log->writing;
        log->writing = NULL;
        if (!status) {
                const struct index_row *row = index_find(&log->index, a->segment);
                uint32_t old_len = row ? row->len_bytes : 0;
                index_add(&log->index, &a->info, a->segment, (uint32_t)a->bytes->len, a->flags & PUT_LAST);
                log->last_hash = chunk_log_hash(a->bytes);
                remember(log, a->segment, old_len, a->bytes);
        }
        if (log->cutting)
                start_cut(log);
        write_next(log);
        moved(log, status ? NULL : a);
        a->done(a, status);
}

static void start_write(struct chunk_log *log, struct chunk_append *a)
{
        bool sync = log->sync_segments && a->flags & PUT_LAST;
        disk_append(log->loop, log->fd, log->index.file_bytes, a->bytes, sync, written, log);
}

void chunk_log_go_on(struct chunk_log *log, int status)
{
        if (status)
                written(log, status);
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

void chunk_log_end(struct chunk_log *log)
{
        assert(chunk_log_idle(log));
        if (log->ended)
                return;
        log->ended = true;
        log->index.last_complete = true;
        disk_close(log->loop, log->fd);
        log->fd = -1;
        forget_recent(log);
        moved(log, NULL);
}

/* Cutting back */

struct cut {
        struct chunk_log *log;
        uint32_t segment;
        uint64_t bytes; /* the file's new length */
        int status;
        struct index index;
        void (*done)(void *arg, int status);
        void *arg;
};

/* What is left is read anew: the index holds sums that cannot be taken back. */
static void cut_work(void *arg)
{
        struct cut *c = arg;
        struct init_info info;
        struct buf *init;
        c->status = ftruncate(c->log->fd, (off_t)c->bytes) < 0 || fdatasync(c->log->fd) < 0 ? ERR_IO : 0;
        if (!c->status)
                c->status = index_walk(c->log->fd, &c->index, &info, &init);
        if (!c->status)
                buf_unref(&init);
}

static void cut_done(void *arg)
{
        struct cut *c = arg;
        struct chunk_log *log = c->log;
        log->cutting = NULL;
        if (c->status) { /* nobody knows what the file holds */
                log->ended = true;
                disk_close(log->loop, log->fd);
                log->fd = -1;
        } else {
                index_free(&log->index);
                log->index = c->index;
        }
        write_next(log);
        moved(log, NULL);
        c->done(c->arg, c->status);
        free(c);
}

/* Readers do not see what goes from here on. */
static void start_cut(struct chunk_log *log)
{
        struct cut *c = log->cutting;
        c->bytes = index_forget(&log->index, c->segment);
        log->last_hash = 0;
        for (size_t i = 0; i < RECENT_SEGMENTS; i++)
                if (log->recent[i].segment >= c->segment)
                        buf_unref(&log->recent[i].bytes);
        disk_run(log->loop, DISK_WRITE, cut_work, cut_done, c);
}

void chunk_log_cut(struct chunk_log *log, uint32_t segment, void (*done)(void *arg, int status), void *arg)
{
        assert(!log->cutting && !log->ended);
        log->cutting = mem_alloc(sizeof(*log->cutting));
        *log->cutting = (struct cut){.log = log, .segment = segment, .done = done, .arg = arg};
        if (!log->writing)
                start_cut(log);
}

void chunk_log_reopen(struct chunk_log *log, int fd, bool sync_segments)
{
        assert(log->ended && log->fd < 0);
        log->fd = fd;
        log->ended = false;
        log->last_hash = 0;
        log->sync_segments = sync_segments;
        const struct index *ix = &log->index;
        log->index.last_complete =
                ix->count && ix->end_ticks + 1 >= ((uint64_t)ix->rows[ix->count - 1].segment + 1) * ix->timescale;
}

bool chunk_log_segment(const struct chunk_log *log, uint32_t segment, struct segment_view *out)
{
        const struct index_row *row = index_find(&log->index, segment);
        if (!row)
                return false;
        const struct recent_segment *slot = &log->recent[segment % RECENT_SEGMENTS];
        *out = (struct segment_view){.offset = row->offset, .len_bytes = row->len_bytes,
                                     .complete = index_complete(&log->index, row)};
        if (slot->bytes && slot->segment == segment)
                out->bytes = slot->bytes;
        return true;
}
