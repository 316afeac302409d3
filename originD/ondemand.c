#include "originD/ondemand.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/err.h"
#include "common/mem.h"

#define ENTRIES_MAX UINT16_MAX
#define ENTRY_BYTES 12
#define INDEX_BYTES 40                 /* without entries */
#define BEGINS_WITH_KEY UINT32_C(0x90000000) /* starts_with_SAP, SAP_type 1 */

static uint32_t step_of(uint32_t first, uint32_t end)
{
        uint32_t step = ONDEMAND_SECONDS;
        while ((end - first - 1) / step >= ENTRIES_MAX)
                step *= 2;
        return step;
}

static size_t entries_of(uint32_t first, uint32_t end)
{
        return (end - first - 1) / step_of(first, end) + 1;
}

bool ondemand_span(const struct session *s, const struct track *t, uint32_t from, uint32_t to, uint32_t *first, uint32_t *end)
{
        struct track_facts f = track_facts(s, t);
        *first = from > t->first_segment ? from : t->first_segment;
        *end = to <= f.last_segment ? to : f.last_segment + 1;
        return f.any && *first < *end;
}

uint64_t ondemand_index_bytes(uint32_t first, uint32_t end)
{
        return INDEX_BYTES + ENTRY_BYTES * (uint64_t)entries_of(first, end);
}

void ondemand_begin(struct ondemand *o, uint32_t first, uint32_t end, uint64_t end_ticks)
{
        assert(first < end);
        *o = (struct ondemand){.first = first, .end = end, .step = step_of(first, end), .end_ticks = end_ticks,
                               .count = entries_of(first, end)};
        o->bytes = mem_alloc(o->count * sizeof(o->bytes[0]));
}

int ondemand_add(struct ondemand *o, const struct index_row *row)
{
        if (row->segment < o->first || row->segment >= o->end)
                return ERR_PROTO;
        uint32_t *bytes = &o->bytes[(row->segment - o->first) / o->step];
        if (row->len_bytes > INT32_MAX - *bytes)
                return ERR_LIMIT;
        *bytes += row->len_bytes;
        return 0;
}

/* The next entry of which there is something, from i on. */
static size_t next_of(const struct ondemand *o, size_t i)
{
        while (i < o->count && !o->bytes[i])
                i++;
        return i;
}

static uint64_t begin_ticks(const struct ondemand *o, size_t i, uint32_t timescale)
{
        return ((uint64_t)o->first + i * o->step) * timescale;
}

static void write_entries(struct writer *w, const struct ondemand *o, uint32_t timescale)
{
        for (size_t i = next_of(o, 0), next; i < o->count; i = next) {
                next = next_of(o, i + 1);
                uint64_t begin = begin_ticks(o, i, timescale), end = next < o->count ? begin_ticks(o, next, timescale) : o->end_ticks;
                uint64_t lasts = end > begin ? end - begin : 1;
                writer_u32(w, o->bytes[i]);
                writer_u32(w, lasts < UINT32_MAX ? (uint32_t)lasts : UINT32_MAX);
                writer_u32(w, BEGINS_WITH_KEY);
        }
}

int ondemand_header(struct buf **out, const struct ondemand *o, const struct buf *init, const struct init_info *info)
{
        struct writer w;
        size_t first = next_of(o, 0), there = 0;
        *out = NULL;
        for (size_t i = first; i < o->count; i = next_of(o, i + 1))
                there++;
        if (!there)
                return ERR_NOT_FOUND;
        size_t lacking = (o->count - there) * ENTRY_BYTES;
        struct buf *b = buf_new(init->len + INDEX_BYTES + o->count * ENTRY_BYTES);
        memset(b->data, 0, b->len);
        writer_init(&w, b->data, b->len);
        writer_bytes(&w, init->data, init->len);
        writer_u32(&w, (uint32_t)(INDEX_BYTES + there * ENTRY_BYTES));
        writer_bytes(&w, "sidx\1\0\0", 8);
        writer_u32(&w, info->track_id);
        writer_u32(&w, info->timescale);
        writer_u64(&w, begin_ticks(o, first, info->timescale));
        writer_u64(&w, lacking);
        writer_u32(&w, (uint32_t)there);
        write_entries(&w, o, info->timescale);
        if (lacking) {
                writer_u32(&w, (uint32_t)lacking);
                writer_bytes(&w, "free", 4);
        }
        assert(writer_ok(&w));
        *out = b;
        return 0;
}

void ondemand_free(struct ondemand *o)
{
        free(o->bytes);
        *o = (struct ondemand){.count = 0};
}
