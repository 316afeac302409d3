/* Volumes of a log that the archive has too, or alone. */
#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "originD/log/chunk_log_impl.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"

/* The row, if it is still what `of` was and nothing is under way with it. */
static struct volume_row *same_row(struct chunk_log *log, const struct volume_row *of)
{
        struct volume_row *row = volumes_get(&log->closed, of->number);
        bool same = row && row->state == of->state && row->sum.crc == of->sum.crc && row->sum.bytes == of->sum.bytes;
        return same && !log->rereading && !row->closing && !(row->index && !row->index->ready) ? row : NULL;
}

bool chunk_log_copied(struct chunk_log *log, const struct volume_row *of)
{
        struct volume_row *row = same_row(log, of);
        if (!row)
                return false;
        row->copied = true;
        chunk_log_tell_volumes(log);
        return true;
}

bool chunk_log_archive(struct chunk_log *log, const struct volume_row *of)
{
        struct volume_row *row = same_row(log, of);
        if (!row || !row->copied || log->cutting || log->reopening)
                return false;
        row->state = VOLUME_ARCHIVED;
        row->copied = false;
        row->closing = true; /* until its file is away: a cut waits for that */
        log->closed.changes++;
        log->behind++;
        return true;
}

/* A file of an archived volume is away, or is to stay, or came. */
struct moving {
        struct chunk_log *log;
        uint32_t number;
        struct volume_sum sum;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

static struct moving *new_moving(struct chunk_log *log, uint32_t number, void (*done)(void *arg, int status), void *arg)
{
        struct moving *m = mem_alloc(sizeof(*m));
        *m = (struct moving){.log = log, .number = number, .done = done, .arg = arg};
        return m;
}

static void moved_file(struct chunk_log *log, uint32_t number, enum volume_state state)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        assert(row && row->closing);
        row->closing = false;
        row->copied = state == VOLUME_HERE;
        log->closed.changes += row->state != state;
        row->state = (uint8_t)state;
        chunk_log_one_less_behind(log);
        chunk_log_tell(log, NULL); /* who waits for it to be at rest */
}

static void drop_file_work(void *arg)
{
        struct moving *m = arg;
        m->status = volume_remove_mp4(&m->log->volume_track, m->number);
}

static void file_dropped(void *arg)
{
        struct moving *m = arg;
        moved_file(m->log, m->number, VOLUME_ARCHIVED);
        m->done(m->arg, m->status);
        free(m);
}

void chunk_log_drop_file(struct chunk_log *log, uint32_t number, void (*done)(void *arg, int status), void *arg)
{
        struct moving *m = new_moving(log, number, done, arg);
        if (disk_run(log->loop, DISK_COLD, drop_file_work, file_dropped, m))
                disk_run(log->loop, DISK_WRITE, drop_file_work, file_dropped, m);
}

void chunk_log_keep_file(struct chunk_log *log, uint32_t number)
{
        moved_file(log, number, VOLUME_HERE);
}

static void bring_work(void *arg)
{
        struct moving *m = arg;
        m->status = volume_install_mp4(&m->log->volume_track, m->number, &m->sum);
}

static void brought(void *arg)
{
        struct moving *m = arg;
        struct chunk_log *log = m->log;
        moved_file(log, m->number, m->status ? VOLUME_ARCHIVED : VOLUME_HERE);
        chunk_log_tell_volumes(log);
        m->done(m->arg, m->status);
        free(m);
}

bool chunk_log_bring_file(struct chunk_log *log, const struct volume_row *of, void (*done)(void *arg, int status), void *arg)
{
        struct volume_row *row = same_row(log, of);
        if (!row || log->cutting || log->reopening)
                return false;
        struct moving *m = new_moving(log, of->number, done, arg);
        m->sum = row->sum;
        row->closing = true;
        log->behind++;
        disk_run(log->loop, DISK_WRITE, bring_work, brought, m);
        return true;
}

static const struct volume_row *newest_wanted(const struct chunk_log *log, uint64_t below, int64_t now_mono_us)
{
        for (size_t i = log->wants ? log->closed.count : 0; i--;) {
                const struct volume_row *row = &log->closed.rows[i];
                if (row->number < below && volume_wanted(row, now_mono_us) && row->state == VOLUME_ARCHIVED)
                        return row;
        }
        return NULL;
}

const struct volume_row *chunk_log_wanted(const struct chunk_log *log, int64_t now_mono_us)
{
        const struct volume_row *row = newest_wanted(log, log->bring_below, now_mono_us);
        return row || now_mono_us < log->bring_again_us ? row : newest_wanted(log, UINT64_MAX, now_mono_us);
}

void chunk_log_not_brought(struct chunk_log *log, uint32_t number, int64_t again_mono_us)
{
        log->bring_below = number;
        log->bring_again_us = again_mono_us;
}

void chunk_log_want(struct chunk_log *log, struct volume_row *row)
{
        row->wanted = log->wants = true;
}

bool chunk_log_want_file(struct chunk_log *log, uint32_t number, int64_t until_mono_us)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        if (!row)
                return false;
        row->wanted_until_us = until_mono_us > row->wanted_until_us ? until_mono_us : row->wanted_until_us;
        log->wants = true;
        return row->state == VOLUME_ARCHIVED;
}

void chunk_log_let_go(struct chunk_log *log, uint32_t number)
{
        struct volume_row *row = volumes_get(&log->closed, number);
        if (row)
                row->wanted_until_us = 0;
}

/* It goes on in the volume that the segment is in, and if that is cut off whole, in the one before. */
bool chunk_log_may_cut(struct chunk_log *log, uint32_t segment)
{
        if (log->index.count && log->index.rows[0].segment < segment)
                return true;
        for (size_t i = log->closed.count; i--;) {
                struct volume_row *row = &log->closed.rows[i];
                if (row->state == VOLUME_LACKING || row->sum.first_segment >= segment)
                        continue;
                if (row->state == VOLUME_ARCHIVED)
                        chunk_log_want(log, row);
                return row->state != VOLUME_ARCHIVED;
        }
        return true;
}
