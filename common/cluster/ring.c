#include "common/cluster/ring.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/mem.h"

struct entry {
        char *id, *zone;
        size_t zone_number; /* the same for all of a zone, below the count of entries */
        void *node;
        bool met;    /* by the walk under way */
        size_t rank; /* in that walk: how many of its zone the circle has before it */
};

struct point {
        uint64_t hash;
        struct entry *entry;
};

struct ring {
        struct entry **entries;
        size_t count;
        struct point *points; /* count * RING_POINTS, by hash */
        /* room for a walk: one a node */
        struct entry **circle;
        size_t *of_zone, *of_rank;
};

struct ring *ring_new(void)
{
        return mem_alloc(sizeof(struct ring));
}

static void free_entry(struct entry *e)
{
        free(e->id);
        free(e->zone);
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
        free(r->circle);
        free(r->of_zone);
        free(r->of_rank);
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

static void number_zones(struct ring *r)
{
        for (size_t i = 0; i < r->count; i++) {
                size_t first = 0;
                while (strcmp(r->entries[first]->zone, r->entries[i]->zone) != 0)
                        first++;
                r->entries[i]->zone_number = first;
        }
}

static void set_zone(struct ring *r, struct entry *e, const char *zone)
{
        if (e->zone && strcmp(e->zone, zone) == 0)
                return;
        free(e->zone);
        e->zone = mem_strdup(zone);
        number_zones(r);
}

static void make_room(struct ring *r, size_t count)
{
        r->entries = mem_resize(r->entries, count * sizeof(*r->entries));
        r->points = mem_resize(r->points, count * RING_POINTS * sizeof(*r->points));
        r->circle = mem_resize(r->circle, count * sizeof(*r->circle));
        r->of_zone = mem_resize(r->of_zone, count * sizeof(*r->of_zone));
        r->of_rank = mem_resize(r->of_rank, count * sizeof(*r->of_rank));
}

void ring_add(struct ring *r, const char *id, const char *zone, void *node)
{
        size_t at;
        struct entry *e = find(r, id, &at);
        if (e) {
                e->node = node;
                set_zone(r, e, zone);
                return;
        }
        make_room(r, r->count + 1);
        e = mem_alloc(sizeof(*e));
        *e = (struct entry){.id = mem_strdup(id), .node = node};
        for (int i = 0; i < RING_POINTS; i++)
                r->points[r->count * RING_POINTS + (size_t)i] = (struct point){hash_point(id, i), e};
        r->entries[r->count++] = e;
        qsort(r->points, r->count * RING_POINTS, sizeof(*r->points), compare_points);
        set_zone(r, e, zone);
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
        number_zones(r);
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

/* The wanted nodes as the circle has them, into r->circle, each with its rank. */
static size_t walk_circle(const struct ring *r, const char *key, bool (*wanted)(const void *node))
{
        size_t total = r->count * RING_POINTS, at = first_point(r, XXH3_64bits(key, strlen(key))), left = 0, found = 0;
        for (size_t i = 0; i < r->count; i++) {
                r->entries[i]->met = wanted && !wanted(r->entries[i]->node);
                left += !r->entries[i]->met;
                r->of_zone[i] = 0;
        }
        for (size_t i = 0; found < left; i++) {
                struct entry *e = r->points[(at + i) % total].entry;
                if (e->met)
                        continue;
                e->met = true;
                e->rank = r->of_zone[e->zone_number]++;
                r->circle[found++] = e;
        }
        return found;
}

/* By rank, and those of one rank as the circle has them (a counting sort): the first of each zone, the second of each, … */
size_t ring_walk(const struct ring *r, const char *key, bool (*wanted)(const void *node), void **out, size_t max)
{
        size_t count = walk_circle(r, key, wanted), place = 0;
        for (size_t i = 0; i < count; i++)
                r->of_rank[i] = 0;
        for (size_t i = 0; i < count; i++)
                r->of_rank[r->circle[i]->rank]++;
        for (size_t rank = 0; rank < count; rank++) {
                size_t first = place;
                place += r->of_rank[rank];
                r->of_rank[rank] = first;
        }
        for (size_t i = 0; i < count; i++) {
                size_t to = r->of_rank[r->circle[i]->rank]++;
                if (to < max)
                        out[to] = r->circle[i]->node;
        }
        return count < max ? count : max;
}
