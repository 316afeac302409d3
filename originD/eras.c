#include "originD/eras.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

void eras_free(struct eras *e)
{
        free(e->list);
        *e = (struct eras){0};
}

const struct era *eras_at(const struct eras *e, uint64_t place)
{
        size_t i = e->count;
        while (i && e->list[i - 1].place > place)
                i--;
        return i ? &e->list[i - 1] : NULL;
}

static bool same(const struct era *a, const struct era *b)
{
        return a == b || (a && b && a->generation == b->generation && strcmp(a->node, b->node) == 0);
}

void eras_cut(struct eras *e, uint64_t place)
{
        while (e->count && e->list[e->count - 1].place >= place)
                e->count--;
}

/* The two oldest become one. */
static void merge_oldest(struct eras *e)
{
        uint64_t place = e->list[0].place;
        e->count--;
        memmove(&e->list[0], &e->list[1], e->count * sizeof(e->list[0]));
        e->list[0].place = place;
}

void eras_begin(struct eras *e, uint64_t place, uint32_t generation, const char *node)
{
        struct era era = {.place = place, .generation = generation};
        snprintf(era.node, sizeof(era.node), "%s", node);
        eras_cut(e, place);
        if (e->count && same(&e->list[e->count - 1], &era))
                return;
        if (e->count == ERAS_MAX)
                merge_oldest(e);
        e->list = mem_resize(e->list, (e->count + 1) * sizeof(*e->list));
        e->list[e->count++] = era;
}

void eras_adopt(struct eras *e, const struct eras *from, uint64_t place)
{
        const struct era *at = eras_at(from, place);
        eras_cut(e, place);
        if (at)
                eras_begin(e, at->place > place ? at->place : place, at->generation, at->node);
        for (size_t i = 0; i < from->count; i++)
                if (from->list[i].place > place)
                        eras_begin(e, from->list[i].place, from->list[i].generation, from->list[i].node);
}

/* What begins in [begin, end) there, and at its beginning what that lies in. */
static void add_within(struct eras *e, const struct eras *from, uint64_t begin, uint64_t end)
{
        const struct era *at = eras_at(from, begin);
        if (at)
                eras_begin(e, begin > at->place ? begin : at->place, at->generation, at->node);
        for (size_t i = 0; i < from->count; i++)
                if (from->list[i].place > begin && from->list[i].place < end)
                        eras_begin(e, from->list[i].place, from->list[i].generation, from->list[i].node);
}

void eras_take(struct eras *e, const struct eras *from, uint64_t begin, uint64_t end)
{
        struct eras old = *e;
        *e = (struct eras){0};
        if (begin)
                add_within(e, &old, 0, begin);
        add_within(e, from, begin, end);
        add_within(e, &old, end, UINT64_MAX);
        eras_free(&old);
}

/* What lies before this cannot be compared. */
static uint64_t known_from(const struct eras *e)
{
        return e->count == ERAS_MAX ? e->list[1].place : 0;
}

static uint64_t next_boundary(const struct eras *e, uint64_t after)
{
        for (size_t i = 0; i < e->count; i++)
                if (e->list[i].place > after)
                        return e->list[i].place;
        return UINT64_MAX;
}

bool eras_part_within(const struct eras *a, const struct eras *b, uint64_t from, uint64_t until, uint64_t *place)
{
        uint64_t from_a = known_from(a), from_b = known_from(b), known = from_a > from_b ? from_a : from_b;
        for (uint64_t at = known > from ? known : from; at < until;) {
                if (!same(eras_at(a, at), eras_at(b, at))) {
                        *place = at;
                        return true;
                }
                uint64_t next_a = next_boundary(a, at), next_b = next_boundary(b, at);
                at = next_a < next_b ? next_a : next_b;
        }
        return false;
}

bool eras_part(const struct eras *a, const struct eras *b, uint64_t until, uint64_t *place)
{
        return eras_part_within(a, b, 0, until, place);
}

int eras_older(const struct era *a, const struct era *b)
{
        int64_t x = a ? (int64_t)a->generation : -1, y = b ? (int64_t)b->generation : -1;
        return x < y ? -1 : x > y;
}
