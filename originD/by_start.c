#include "originD/by_start.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "originD/session.h"

#define FIRST_CAP 256

static bool is_before(const struct session *s, int64_t epoch_ms, const char *id)
{
        int64_t its_ms = s->epoch_us / US_PER_MS;
        return its_ms < epoch_ms || (its_ms == epoch_ms && strcmp(s->id, id) < 0);
}

size_t by_start_before(const struct by_start *l, int64_t epoch_ms, const char *id)
{
        size_t from = 0, to = l->count;
        /* A start adds the older ones behind: they need not be searched for. */
        if (to && !is_before(l->at[to - 1], epoch_ms, id))
                return to;
        while (from < to) {
                size_t middle = from + (to - from) / 2;
                if (is_before(l->at[middle], epoch_ms, id))
                        to = middle;
                else
                        from = middle + 1;
        }
        return from;
}

void by_start_add(struct by_start *l, struct session *s)
{
        size_t i = by_start_before(l, s->epoch_us / US_PER_MS, s->id);
        if (l->count == l->cap) {
                l->cap = l->cap ? 2 * l->cap : FIRST_CAP;
                l->at = mem_resize(l->at, l->cap * sizeof(*l->at));
        }
        memmove(l->at + i + 1, l->at + i, (l->count - i) * sizeof(*l->at));
        l->at[i] = s;
        l->count++;
}

void by_start_remove(struct by_start *l, const struct session *s)
{
        size_t i = by_start_before(l, s->epoch_us / US_PER_MS, s->id);
        assert(i > 0 && l->at[i - 1] == s); /* it is the last that is not before itself */
        memmove(l->at + i - 1, l->at + i, (l->count - i) * sizeof(*l->at));
        l->count--;
}

void by_start_fini(struct by_start *l)
{
        free(l->at);
        *l = (struct by_start){0};
}
