#include "ingestd/generations.h"

#include <stdio.h>
#include <string.h>

#include "common/daemon/log.h"
#include "ingestd/stats.h"
#include "proto/generation.h"

/* An OPEN is rare: looking at all of them costs less than keeping them in order. */
static unsigned find(const struct generations *g, const char *stream)
{
        unsigned i = 0;
        while (i < g->count && strcmp(g->known[i].stream, stream) != 0)
                i++;
        return i;
}

uint32_t generations_get(const struct generations *g, const char *stream)
{
        unsigned i = find(g, stream);
        return i < g->count ? g->known[i].generation : 0;
}

static unsigned place(struct generations *g)
{
        unsigned oldest = 0;
        if (g->count < GENERATIONS_MAX)
                return g->count++;
        for (unsigned i = 1; i < g->count; i++) {
                if (g->known[i].used < g->known[oldest].used)
                        oldest = i;
        }
        return oldest;
}

bool generations_note(struct generations *g, const char *stream, const char *node, uint32_t generation)
{
        if (!generation_possible(generation)) {
                stats_add(STAT_IMPOSSIBLE_GENERATIONS, 1);
                log_warn_of(node, "stream=%s transcoder=%s msg=\"there is no such generation: it does not count\" generation=%u", stream,
                            node, generation);
                return false;
        }
        unsigned i = find(g, stream);
        if (i == g->count) {
                i = place(g);
                snprintf(g->known[i].stream, sizeof(g->known[i].stream), "%s", stream);
                g->known[i].generation = 0;
        }
        g->known[i].used = ++g->uses;
        if (generation > g->known[i].generation)
                g->known[i].generation = generation;
        return true;
}
