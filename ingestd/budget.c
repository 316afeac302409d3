#include "ingestd/budget.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

void budget_init(struct budget *b, size_t limit_bytes)
{
        memset(b, 0, sizeof(*b));
        b->limit = limit_bytes;
        for (int i = 0; i < BUDGET_SIZES; i++)
                b->sizes[i].last = &b->sizes[i].first;
}

static int digits(size_t bytes)
{
        if (bytes > UINT32_MAX)
                bytes = UINT32_MAX;
        return bytes ? 32 - __builtin_clz((unsigned)bytes) : 0;
}

static void take_out(struct budget_share *s)
{
        struct budget_size *size = &s->of->sizes[digits(s->bytes)];
        if (!s->link)
                return;
        *s->link = s->next;
        if (s->next)
                s->next->link = s->link;
        else
                size->last = s->link;
        s->next = NULL;
        s->link = NULL;
}

static void put_in(struct budget_share *s)
{
        struct budget_size *size = &s->of->sizes[digits(s->bytes)];
        s->next = NULL;
        s->link = size->last;
        *size->last = s;
        size->last = &s->next;
}

void budget_set(struct budget *b, struct budget_share *s, size_t bytes)
{
        bool moves = s->of != b || digits(s->bytes) != digits(bytes);
        if (s->of && moves)
                take_out(s);
        if (s->of)
                s->of->bytes -= s->bytes;
        s->of = b;
        s->bytes = bytes;
        b->bytes += bytes;
        if (moves && bytes)
                put_in(s);
}

void budget_leave(struct budget_share *s)
{
        if (!s->of)
                return;
        take_out(s);
        s->of->bytes -= s->bytes;
        memset(s, 0, sizeof(*s));
}

struct budget_share *budget_excess(const struct budget *b)
{
        if (b->bytes <= b->limit)
                return NULL;
        for (int i = BUDGET_SIZES; i-- > 1;) {
                if (b->sizes[i].first)
                        return b->sizes[i].first;
        }
        return NULL;
}
