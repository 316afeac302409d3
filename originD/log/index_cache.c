#include "originD/log/index_cache.h"

#include <stdlib.h>

#include "common/mem.h"

static struct cached_index *newest, *oldest;
static size_t bytes;

static size_t size_of(const struct cached_index *c)
{
        return sizeof(*c) + c->index.cap * sizeof(*c->index.rows);
}

static void unlink_entry(struct cached_index *c)
{
        *(c->newer ? &c->newer->older : &newest) = c->older;
        *(c->older ? &c->older->newer : &oldest) = c->newer;
        c->newer = c->older = NULL;
}

static void link_newest(struct cached_index *c)
{
        c->older = newest;
        *(newest ? &newest->newer : &oldest) = c;
        newest = c;
}

struct cached_index *index_cache_add(void *owner, uint32_t number, void (*gone)(void *owner, uint32_t number))
{
        struct cached_index *c = mem_alloc(sizeof(*c));
        *c = (struct cached_index){.owner = owner, .number = number, .gone = gone};
        return c;
}

void index_cache_drop(struct cached_index **cp)
{
        struct cached_index *c = *cp;
        *cp = NULL;
        if (!c)
                return;
        if (c->ready) {
                bytes -= size_of(c);
                unlink_entry(c);
        }
        index_free(&c->index);
        free(c);
}

static void keep_bound(const struct cached_index *but)
{
        for (struct cached_index *c = oldest, *next; c && bytes > INDEX_CACHE_BYTES; c = next) {
                next = c->newer;
                if (c == but || c->pinned)
                        continue;
                c->gone(c->owner, c->number);
                index_cache_drop(&c);
        }
}

void index_cache_ready(struct cached_index *c, struct index *index)
{
        c->index = *index;
        *index = (struct index){0};
        if (c->index.cap > c->index.count) { /* it does not grow any more */
                c->index.rows = mem_resize(c->index.rows, (c->index.count + 1) * sizeof(*c->index.rows));
                c->index.cap = c->index.count + 1;
        }
        c->ready = true;
        bytes += size_of(c);
        link_newest(c);
        keep_bound(c);
}

void index_cache_use(struct cached_index *c)
{
        if (c == newest)
                return;
        unlink_entry(c);
        link_newest(c);
}
