/* What readers see of a log: segments. */
#include <stdlib.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/chunk_log_impl.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"

/* ---- the index of a closed volume -------------------------------------------------------------------------------- */

struct reading {
        struct chunk_log *log;
        uint32_t number;
        struct volume_sum whole; /* as its row has it; no chunks: that does not say that it is */
        struct volume_found found;
        bool archived; /* only its index is here */
        int status;
};

static void read_work(void *arg)
{
        struct reading *r = arg;
        if (r->archived)
                r->status = volume_read_index(&r->log->volume_track, r->number, &r->whole, &r->found.index);
        else
                r->status = volume_look(&r->log->volume_track, r->number, CHECK_RECORDS, &r->whole, &r->found);
}

/* What is there now. Returns whether the row is another one by that. */
static bool take_read(struct chunk_log *log, struct volume_row *row, struct volume_found *found)
{
        const struct volume_sum *is = &found->sum, was = row->sum;
        /* It is not what was closed: it lost segments, or was left before its end, or something inside is other bytes and nobody knows
         * where. It is read as it is until it is brought from elsewhere. */
        bool differs = found->lacking || !found->closed || (was.crc && was.crc != is->crc);
        bool changes = (differs && row->state != VOLUME_DAMAGED) || is->crc != was.crc || is->bytes != was.bytes;
        chunk_log_count(&log->closed_sum, &was, false);
        chunk_log_count(&log->closed_sum, is, true);
        row->sum = *is;
        row->state = differs ? VOLUME_DAMAGED : row->state;
        row->copied &= !differs;
        index_cache_ready(row->index, &found->index);
        return changes;
}

/* Whatever the file says, the volume is whole elsewhere; brought back, its index is made anew from the media. */
static void take_archived(struct chunk_log *log, struct volume_row *row, struct reading *r)
{
        if (!r->status) {
                index_cache_ready(row->index, &r->found.index);
                return;
        }
        index_cache_drop(&row->index);
        log_error("path=%s volume=%06u msg=\"cannot read the index of an archived volume\" error=\"%s\"", log->dir, r->number,
                  err_text(r->status));
        if (r->status == ERR_CORRUPT)
                chunk_log_want(log, row);
}

static void read_done(void *arg)
{
        struct reading *r = arg;
        struct chunk_log *log = r->log;
        struct volume_row *row = volumes_get(&log->closed, r->number);
        bool gone = !r->archived && (r->status == ERR_CORRUPT || r->status == ERR_NOT_FOUND), failed = r->status && !gone, changes = false;
        if (row && row->index && !row->index->ready && r->archived) {
                take_archived(log, row, r);
        } else if (row && row->index && !row->index->ready) {
                if (!r->status) {
                        changes = take_read(log, row, &r->found);
                } else {
                        index_cache_drop(&row->index);
                        if (gone) {
                                chunk_log_count(&log->closed_sum, &row->sum, false);
                                row->state = VOLUME_LACKING;
                                changes = true;
                        }
                        log_error("path=%s volume=%06u msg=\"cannot read a volume\" error=\"%s\"", log->dir, r->number,
                                  err_text(r->status));
                }
        }
        index_free(&r->found.index);
        if (changes)
                chunk_log_tell_volumes(log);
        free(r);
        chunk_log_one_less_behind(log);
        log->read_failed = failed;
        chunk_log_tell(log, NULL);
        log->read_failed = false;
}

/* The index of a closed volume; NULL: *why. */
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
        *r = (struct reading){.log = log, .number = row->number, .archived = row->state == VOLUME_ARCHIVED};
        if (row->state == VOLUME_HERE || r->archived)
                r->whole = row->sum;
        bool live = !log->ended && row == &log->closed.rows[log->closed.count - 1];
        if (log->cutting || log->reopening || log->rereading ||
            disk_run(log->loop, live ? DISK_LIVE : DISK_COLD, read_work, read_done, r)) {
                *why = SEGMENT_BUSY;
                free(r);
                return NULL;
        }
        log->behind++;
        row->index = index_cache_add(log, row->number, chunk_log_index_gone);
        return NULL;
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

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
        bool outside = segment < row->sum.first_segment || segment > row->sum.last_segment, damaged = row->state == VOLUME_DAMAGED;
        *out = (struct segment_view){.volume = row->number, .complete = true, .archived = row->state == VOLUME_ARCHIVED};
        if (row->state == VOLUME_LACKING)
                return SEGMENT_LACKING;
        if (recent && !damaged) {
                out->bytes = recent->bytes;
                out->len_bytes = recent->len_bytes;
                return SEGMENT_HERE;
        }
        if (outside)
                return damaged ? SEGMENT_LACKING : SEGMENT_NONE;
        const struct index *ix = closed_index(log, row, may_read, &why);
        const struct index_row *found = ix ? index_find(ix, segment) : NULL;
        if (!ix)
                return why;
        if (!found || (damaged && index_lacks_rest(ix, found)))
                return damaged ? SEGMENT_LACKING : SEGMENT_NONE;
        out->offset = found->offset;
        out->len_bytes = found->len_bytes;
        out->bytes = recent ? recent->bytes : NULL;
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
        if (log->open_lacking && row->cut_short)
                return SEGMENT_LACKING;
        const struct recent_segment *recent = recent_of(log, segment);
        *out = (struct segment_view){.volume = number, .offset = row->offset, .len_bytes = row->len_bytes,
                                     .complete = index_complete(&log->index, row), .bytes = recent ? recent->bytes : NULL};
        return SEGMENT_HERE;
}
