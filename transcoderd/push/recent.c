#include "transcoderd/push/recent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

void recent_init(struct recent *r, int64_t keep_us, size_t keep_bytes)
{
        *r = (struct recent){.keep_us = keep_us, .keep_bytes = keep_bytes};
        for (int i = 0; i < SESSION_TRACKS_MAX; i++)
                r->tracks[i].last = &r->tracks[i].first;
}

static void drop_first(struct recent *r, struct recent_track *t)
{
        struct recent_chunk *c = t->first;
        t->first = c->next;
        if (!t->first)
                t->last = &t->first;
        r->bytes -= c->chunk.bytes->len;
        buf_unref(&c->chunk.bytes);
        free(c);
}

void recent_fini(struct recent *r)
{
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                while (r->tracks[i].first)
                        drop_first(r, &r->tracks[i]);
                buf_unref(&r->tracks[i].info.init);
        }
}

void recent_track(struct recent *r, const struct track_info *info)
{
        struct recent_track *t = &r->tracks[info->track];
        assert(info->track < SESSION_TRACKS_MAX && !t->info.init);
        t->info = *info;
        buf_ref(t->info.init);
}

/* The end of the oldest segment, if a newer one is there too; otherwise INT64_MAX. */
static int64_t oldest_end_us(const struct recent_track *t)
{
        const struct recent_chunk *c = t->first;
        while (c && c->next && c->next->chunk.segment == t->first->chunk.segment)
                c = c->next;
        return c && c->next ? c->chunk.start_us + c->chunk.duration_us : INT64_MAX;
}

static void drop_segment(struct recent *r, struct recent_track *t)
{
        uint32_t segment = t->first->chunk.segment;
        while (t->first->chunk.segment == segment)
                drop_first(r, t);
        t->forgot = true;
}

/* NULL: there is nothing that may go. */
static struct recent_track *track_with_the_oldest(struct recent *r)
{
        struct recent_track *best = NULL;
        int64_t best_us = INT64_MAX;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                int64_t end_us = oldest_end_us(&r->tracks[i]);
                if (end_us >= best_us)
                        continue;
                best = &r->tracks[i];
                best_us = end_us;
        }
        return best;
}

void recent_chunk(struct recent *r, const struct chunk *c)
{
        assert(c->track < SESSION_TRACKS_MAX);
        struct recent_track *t = &r->tracks[c->track];
        struct recent_chunk *kept = mem_alloc(sizeof(*kept));
        kept->chunk = *c;
        buf_ref(kept->chunk.bytes);
        *t->last = kept;
        t->last = &kept->next;
        r->bytes += c->bytes->len;
        while (oldest_end_us(t) < c->start_us + c->duration_us - r->keep_us)
                drop_segment(r, t);
        while (r->bytes > r->keep_bytes && (t = track_with_the_oldest(r)))
                drop_segment(r, t);
}
