#include "edged/follow.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/daemon/metrics.h"
#include "common/mem.h"

struct follow {
        struct cache *cache;
        struct census *census;
        unsigned tracks, under_way;
};

enum { FOLLOWED, FOLLOWING, ROWS };
static struct metric rows[ROWS] = {
        [FOLLOWED] = {.name = "edged_followed_total", .type = METRIC_COUNTER, .help = "Segments that were fetched before a viewer asked for them"},
        [FOLLOWING] = {.name = "edged_following", .type = METRIC_GAUGE, .help = "Segments that are being fetched before a viewer asked for them"},
};

struct follow *follow_open(struct cache *cache, struct census *census, unsigned tracks)
{
        static bool registered;
        struct follow *w = mem_alloc(sizeof(*w));
        w->cache = cache;
        w->census = census;
        w->tracks = tracks;
        if (!registered)
                metrics_register(rows, ROWS);
        registered = true;
        return w;
}

void follow_close(struct follow *w)
{
        free(w);
}

/* The key of that segment of the track; its length, or 0: it would be too long. */
static size_t name(char text[KEY_MAX + 1], const struct key *track, uint32_t segment)
{
        int n = snprintf(text, KEY_MAX + 1, "/live/%s/%s/%s/%u.m4s", track->stream, track->session, track->track, segment);
        return n > 0 && n <= KEY_MAX ? (size_t)n : 0;
}

static bool is_watched(struct follow *w, const struct key *key)
{
        char text[KEY_MAX + 1];
        for (uint32_t back = 0; back <= FOLLOW_BACK && back <= key->segment; back++) {
                size_t len = name(text, key, key->segment - back);
                if (len && cache_was_asked(w->cache, text, len))
                        return true;
        }
        return false;
}

static bool may_be_there(struct follow *w, const struct key *key)
{
        enum census_says says = w->census ? census_ask(w->census, key, clock_wall_us()) : CENSUS_THERE;
        return says == CENSUS_THERE || says == CENSUS_PERHAPS; /* the one before it was there */
}

static void open_next(struct follow *w, const struct object *o, const struct key *key, int64_t now_us)
{
        char text[KEY_MAX + 1];
        struct key next = *key;
        next.segment++;
        size_t len = name(text, &next, next.segment);
        uint8_t hops = o->deepest > o->hops ? o->deepest : o->hops; /* who stands deepest asks for the next one too (fill.h) */
        if (!len || !may_be_there(w, &next) || !cache_ahead(w->cache, text, len, hops, now_us))
                return;
        w->under_way++;
        metric_add(&rows[FOLLOWED], 1);
        metric_set(&rows[FOLLOWING], w->under_way);
}

void follow_left(struct follow *w, struct object *o, const struct key *key, bool grew, int64_t now_us)
{
        if (!w || key->kind != KEY_SEGMENT || key->joined)
                return;
        if (o->ahead) {
                assert(w->under_way > 0);
                metric_set(&rows[FOLLOWING], --w->under_way);
        }
        if (o->state == OBJECT_COMPLETE && grew && key->segment < UINT32_MAX && w->under_way < w->tracks && is_watched(w, key))
                open_next(w, o, key, now_us);
}
