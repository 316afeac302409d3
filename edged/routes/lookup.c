#include "edged/routes/lookup.h"

#include <string.h>

#include "common/clock.h"

static void find_or_fill(struct ask *a, struct object **out, enum cache_result *cached)
{
        *cached = cache_get(a->http->parts.cache, a->path.key, a->path.key_len, 0, a->request.started_us, out);
}

static bool pay_and_fill(struct ask *a, struct object **out, enum cache_result *cached)
{
        struct http_parts *parts = &a->http->parts;
        struct charge charge = {.paid = true};
        ask_who(a, &charge.by);
        enum addresses_says says = addresses_pay(parts->addresses, &charge.by, a->request.started_us);
        if (says != ADDRESSES_YES) {
                ask_spare(a, says == ADDRESSES_ONE_FULL ? SPARED_ONE : SPARED_ALL);
                return false;
        }
        *cached = cache_get_charged(parts->cache, a->path.key, a->path.key_len, &charge, a->request.started_us, out);
        if (*cached != CACHE_MISS) /* somebody was quicker */
                addresses_pay_back(parts->addresses, &charge.by);
        return true;
}

/* The first page of recordings is one for all; of the others there are as many as there are times. */
static bool is_page(const struct key *key)
{
        return key->kind == KEY_RECORDINGS && key->before_ms != INT64_MAX;
}

/* A playlist that is to have a segment of long ago is any playlist of the track: not each of them is asked for. */
static void name_newest(struct ask *a)
{
        a->path.object.waits = false;
        key_write_playlist(a->path.key, &a->path.object);
        a->path.key_len = strlen(a->path.key);
}

bool lookup(struct ask *a, struct object **out, enum cache_result *cached)
{
        struct http_parts *parts = &a->http->parts;
        *cached = cache_find(parts->cache, a->path.key, a->path.key_len, a->request.started_us, out);
        if (*out)
                return true;
        enum census_says says = parts->census ? census_ask(parts->census, &a->path.object, clock_wall_us()) : CENSUS_THERE;
        if (says == CENSUS_UNKNOWN || says == CENSUS_FAR) {
                ask_spare(a, says == CENSUS_FAR ? SPARED_FAR : SPARED_UNKNOWN);
                return false;
        }
        if (says == CENSUS_PAST)
                name_newest(a);
        else if (parts->census && (says == CENSUS_PERHAPS || is_page(&a->path.object)))
                return pay_and_fill(a, out, cached);
        find_or_fill(a, out, cached);
        return true;
}
