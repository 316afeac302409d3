#include "originD/gaps.h"

/* What nobody ever wrote, from there on. */
static void find(struct gaps *g, uint32_t from)
{
        const struct chunk_log *log = g->track->log;
        const struct index *ix = &log->index; /* of the open volume, which track_hole() does not look at */
        if (g->found++ >= GAPS_MAX) {
                g->first = g->end = UINT32_MAX;
                return;
        }
        if (track_hole(g->track, from, &g->first, &g->end))
                return;
        uint32_t next = log->closed.count ? log->closed.rows[log->closed.count - 1].sum.last_segment + 1 : g->track_begins;
        for (size_t i = 0; i < ix->count && log->open; i++) {
                if (next >= from && ix->rows[i].segment > next) {
                        g->first = next;
                        g->end = ix->rows[i].segment;
                        return;
                }
                next = ix->rows[i].segment + 1;
        }
        g->first = g->end = UINT32_MAX;
}

void gaps_begin(struct gaps *g, const struct track *t, uint32_t from)
{
        *g = (struct gaps){.track = t, .track_begins = from};
        find(g, from);
}

bool gaps_have(struct gaps *g, int64_t segment)
{
        while (segment >= g->end && g->end != UINT32_MAX)
                find(g, g->end);
        return segment >= g->first && segment < g->end;
}
