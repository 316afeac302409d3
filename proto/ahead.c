#include "proto/ahead.h"

#include <stdlib.h>

#include "common/mem.h"

static size_t bytes_of(const struct media *m)
{
        size_t sum = 0;
        for (uint16_t i = 0; i < m->count; i++)
                sum += m->frames[i].bytes->len;
        return sum;
}

bool ahead_keep(struct ahead *a, const struct media *m)
{
        if (m->count == 0 || m->count > AHEAD_FRAMES || bytes_of(m) > AHEAD_BYTES)
                return false;
        if (!a->batches)
                a->batches = mem_alloc(AHEAD_BATCHES * sizeof(*a->batches));
        for (int i = 0; i < AHEAD_BATCHES; i++) {
                struct ahead_batch *b = &a->batches[i];
                if (b->count)
                        continue;
                b->first_seq = m->first_seq;
                b->count = m->count;
                for (uint16_t k = 0; k < m->count; k++) {
                        b->frames[k] = m->frames[k];
                        buf_ref(b->frames[k].bytes);
                }
                return true;
        }
        return false;
}

struct ahead_batch *ahead_due(struct ahead *a, uint64_t next_seq)
{
        for (int i = 0; a->batches && i < AHEAD_BATCHES; i++) {
                if (a->batches[i].count && a->batches[i].first_seq <= next_seq)
                        return &a->batches[i];
        }
        return NULL;
}

void ahead_drop(struct ahead_batch *b)
{
        for (uint16_t i = 0; i < b->count; i++)
                buf_unref(&b->frames[i].bytes);
        b->count = 0;
}

void ahead_clear(struct ahead *a)
{
        for (int i = 0; a->batches && i < AHEAD_BATCHES; i++)
                ahead_drop(&a->batches[i]);
        free(a->batches);
        a->batches = NULL;
}
