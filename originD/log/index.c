#include "originD/log/index.h"

#include <assert.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"
#include "proto/store.h"

void index_init(struct index *ix, uint32_t timescale, unsigned chunk_ms, uint64_t init_bytes)
{
        *ix = (struct index){.timescale = timescale, .chunk_ms = chunk_ms, .init_bytes = init_bytes, .file_bytes = init_bytes};
}

void index_free(struct index *ix)
{
        free(ix->rows);
        *ix = (struct index){0};
}

static uint64_t grid_position(uint64_t ticks, uint32_t timescale, unsigned chunk_ms)
{
        return ticks * chunks_of_segment(chunk_ms) / timescale;
}

uint64_t index_grid_place(uint64_t start_ticks, uint32_t timescale, unsigned chunk_ms)
{
        return grid_position(start_ticks + 1, timescale, chunk_ms);
}

uint8_t index_grid_chunk(uint64_t start_ticks, uint32_t timescale, unsigned chunk_ms, uint32_t segment)
{
        unsigned chunks = chunks_of_segment(chunk_ms);
        uint64_t place = index_grid_place(start_ticks, timescale, chunk_ms), first = (uint64_t)segment * chunks;
        uint64_t k = place > first ? place - first : 0;
        return (uint8_t)(k < chunks ? k : chunks - 1);
}

int index_on_grid(uint64_t ticks, uint32_t timescale, unsigned chunk_ms, uint32_t segment, uint8_t chunk)
{
        unsigned chunks = chunks_of_segment(chunk_ms);
        uint64_t at = (uint64_t)segment * chunks + chunk;
        return chunk < chunks && index_grid_place(ticks, timescale, chunk_ms) >= at &&
               grid_position(ticks ? ticks - 1 : 0, timescale, chunk_ms) <= at;
}

enum index_place index_place(const struct index *ix, const struct chunk_info *c, uint32_t segment)
{
        if (!ix->count)
                return INDEX_NEXT;
        if (segment == ix->rows[ix->count - 1].segment && ix->last_complete)
                return INDEX_STORED;
        if (c->start_ticks + ix->slack_ticks >= ix->end_ticks && segment >= ix->rows[ix->count - 1].segment)
                return INDEX_NEXT;
        return c->start_ticks + c->duration_ticks <= ix->end_ticks + 1 ? INDEX_STORED : INDEX_OUT_OF_ORDER;
}

int index_room(const struct index *ix, uint32_t segment, uint64_t chunk_bytes)
{
        const struct index_row *last = ix->count ? &ix->rows[ix->count - 1] : NULL;
        uint64_t there = last && last->segment == segment ? last->len_bytes : 0;
        return there + chunk_bytes > SEGMENT_MAX_BYTES ? ERR_LIMIT : 0;
}

static struct index_row *push_row(struct index *ix, uint32_t segment)
{
        if (ix->count == ix->cap) {
                ix->cap = ix->cap ? ix->cap + ix->cap / 2 : 64; /* there is one a live track */
                ix->rows = mem_resize(ix->rows, ix->cap * sizeof(*ix->rows));
        }
        struct index_row *row = &ix->rows[ix->count++];
        *row = (struct index_row){.offset = ix->file_bytes, .segment = segment};
        return row;
}

static uint64_t slack(const struct index *ix, const struct chunk_info *c, uint32_t segment, int64_t guess_ticks)
{
        uint64_t half = c->samples ? c->duration_ticks / c->samples / 2 : 1;
        uint64_t complete_until = ix->last_complete ? ((uint64_t)segment + 1) * ix->timescale : 0;
        if (guess_ticks == INDEX_EXACT)
                return 1;
        if (guess_ticks > 0)
                return (uint64_t)guess_ticks > half ? (uint64_t)guess_ticks : half;
        return ix->end_ticks < complete_until + half ? ix->end_ticks > complete_until ? ix->end_ticks - complete_until : 1 : half;
}

void index_add(struct index *ix, const struct chunk_info *c, uint32_t segment, uint32_t chunk_bytes, bool last,
               int64_t guess_ticks)
{
        struct index_row *row = ix->count ? &ix->rows[ix->count - 1] : NULL;
        assert(!row || row->segment <= segment);
        if (!row)
                ix->start_ticks = c->start_ticks;
        if (row && row->segment != segment)
                row->cut_short = !ix->last_complete;
        if (!row || row->segment != segment)
                row = push_row(ix, segment);
        row->len_bytes += chunk_bytes;
        ix->file_bytes += chunk_bytes;
        ix->end_ticks = c->start_ticks + c->duration_ticks;
        ix->chunks++;
        ix->media_ticks += c->duration_ticks;
        ix->samples += c->samples;
        if (row->len_bytes > ix->peak_bytes)
                ix->peak_bytes = row->len_bytes;
        ix->last_complete = last || ix->end_ticks + 1 >= ((uint64_t)segment + 1) * ix->timescale;
        ix->slack_ticks = slack(ix, c, segment, guess_ticks);
}

void index_forget(struct index *ix, uint32_t segment)
{
        while (ix->count && ix->rows[ix->count - 1].segment >= segment)
                ix->file_bytes = ix->rows[--ix->count].offset;
        uint64_t end = (uint64_t)segment * ix->timescale;
        ix->end_ticks = end < ix->end_ticks ? end : ix->end_ticks;
        ix->slack_ticks = 1;
        ix->last_complete = true;
}

const struct index_row *index_find(const struct index *ix, uint32_t segment)
{
        size_t low = 0, high = ix->count;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (ix->rows[mid].segment < segment)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < ix->count && ix->rows[low].segment == segment ? &ix->rows[low] : NULL;
}

bool index_ends_segment(const struct index *ix)
{
        return ix->count && ix->end_ticks + 1 >= ((uint64_t)ix->rows[ix->count - 1].segment + 1) * ix->timescale;
}

bool index_complete(const struct index *ix, const struct index_row *row)
{
        return row != &ix->rows[ix->count - 1] || ix->last_complete;
}

bool index_lacks_rest(const struct index *ix, const struct index_row *row)
{
        return row->cut_short || !index_complete(ix, row);
}

void index_next(const struct index *ix, uint32_t *segment, uint8_t *chunk, int64_t *end_us)
{
        unsigned chunks = chunks_of_segment(ix->chunk_ms);
        uint64_t at = grid_position(ix->end_ticks, ix->timescale, ix->chunk_ms);
        uint64_t end = ix->end_ticks > ix->slack_ticks ? ix->end_ticks - ix->slack_ticks : 0;
        if (ix->count && ix->last_complete) {
                uint64_t next = ((uint64_t)ix->rows[ix->count - 1].segment + 1) * chunks;
                at = at > next ? at : next;
        }
        *segment = (uint32_t)(at / chunks);
        *chunk = (uint8_t)(at % chunks);
        *end_us = box_ticks_to_us(end, ix->timescale);
}
