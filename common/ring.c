#include "common/ring.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/mem.h"

struct entry {
        char *id;
        void *node;
        bool seen; /* by the walk under way */
};

struct point {
        uint64_t hash;
        struct entry *entry;
};

struct ring {
        struct entry **entries;
        size_t count;
        struct point *points; /* count * RING_POINTS, by hash */
};

struct ring *ring_new(void)
{
        return mem_alloc(sizeof(struct ring));
}

static void free_entry(struct entry *e)
{
        free(e->id);
        free(e);
}

void ring_free(struct ring *r)
{
        if (!r)
                return;
        for (size_t i = 0; i < r->count; i++)
                free_entry(r->entries[i]);
        free(r->entries);
        free(r->points);
        free(r);
}

static uint64_t hash_point(const char *id, int i)
{
        char text[256];
        int n = snprintf(text, sizeof(text), "%s#%d", id, i);
        return XXH3_64bits(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Equal hashes are ordered by id: the order in which nodes were added must not show. */
static int compare_points(const void *a, const void *b)
{
        const struct point *x = a, *y = b;
        if (x->hash != y->hash)
                return x->hash < y->hash ? -1 : 1;
        return strcmp(x->entry->id, y->entry->id);
}

static struct entry *find(const struct ring *r, const char *id, size_t *index)
{
        for (size_t i = 0; i < r->count; i++) {
                if (strcmp(r->entries[i]->id, id) == 0) {
                        *index = i;
                        return r->entries[i];
                }
        }
        return NULL;
}

void ring_add(struct ring *r, const char *id, void *node)
{
        size_t at;
        struct entry *e = find(r, id, &at);
        if (e) {
                e->node = node;
                return;
        }
        e = mem_alloc(sizeof(*e));
        *e = (struct entry){.id = mem_strdup(id), .node = node};
        r->entries = mem_resize(r->entries, (r->count + 1) * sizeof(*r->entries));
        r->points = mem_resize(r->points, (r->count + 1) * RING_POINTS * sizeof(*r->points));
        for (int i = 0; i < RING_POINTS; i++)
                r->points[r->count * RING_POINTS + (size_t)i] = (struct point){hash_point(id, i), e};
        r->entries[r->count++] = e;
        qsort(r->points, r->count * RING_POINTS, sizeof(*r->points), compare_points);
}

void ring_remove(struct ring *r, const char *id)
{
        size_t at, kept = 0;
        struct entry *e = find(r, id, &at);
        if (!e)
                return;
        for (size_t i = 0; i < r->count * RING_POINTS; i++) {
                if (r->points[i].entry != e)
                        r->points[kept++] = r->points[i];
        }
        r->entries[at] = r->entries[--r->count];
        free_entry(e);
}

size_t ring_count(const struct ring *r)
{
        return r->count;
}

/* Index of the first point at or after hash; points of the circle begin again behind the last. */
static size_t first_point(const struct ring *r, uint64_t hash)
{
        size_t low = 0, high = r->count * RING_POINTS;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (r->points[mid].hash < hash)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

size_t ring_walk(const struct ring *r, const char *key, void **out, size_t max)
{
        size_t total = r->count * RING_POINTS, found = 0;
        if (max > r->count)
                max = r->count;
        for (size_t i = 0; i < r->count; i++)
                r->entries[i]->seen = false;
        size_t at = first_point(r, XXH3_64bits(key, strlen(key)));
        for (size_t i = 0; i < total && found < max; i++) {
                struct entry *e = r->points[(at + i) % total].entry;
                if (e->seen)
                        continue;
                e->seen = true;
                out[found++] = e->node;
        }
        return found;
}
