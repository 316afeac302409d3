/* local.c - what this edge answers without asking anybody: its pages, the time, how full it is, which site to load from; and what it says
 * of paths that there are not. */
#include <xxhash.h>

#include "common/clock.h"
#include "common/mem.h"
#include "edged/routes/ask.h"

static void say_file(struct ask *a)
{
        const struct site_file *f = site_find(a->http->parts.site, a->path.file);
        if (!f) {
                ask_say_error(a, RESPOND_NOT_FOUND);
                return;
        }
        const struct site_form *form = site_form(f, ask_field(a, FIELD_ACCEPT_ENCODING));
        if (ask_is_changed(a, form->etag))
                ask_say_error(a, RESPOND_CHANGED);
        else
                ask_say(a, ask_has_already(a, form->etag) ? form->same : form->whole);
}

static void say_time(struct ask *a)
{
        ask_say_once(a, respond_time(clock_wall_us()));
}

static void say_load(struct ask *a)
{
        ask_say_once(a, respond_json(mem_printf("{\"load_permille\": %u}\n", atomic_load(&a->http->load_permille))));
}

/* Which site this player is to load from. */
static void say_steering(struct ask *a)
{
        const struct http_config *cfg = &a->http->cfg;
        struct steering_site sites[STEERING_SITES_MAX];
        int64_t now[2] = {a->request.started_us, (intptr_t)a}; /* another one for each that asks */
        uint64_t chance = XXH3_64bits(now, sizeof(now));
        if (!a->http->parts.site_loads) {
                ask_say_error(a, RESPOND_NOT_FOUND);
                return;
        }
        size_t own, count = site_loads_look(a->http->parts.site_loads, a->request.started_us, sites, &own);
        size_t from = steering_from(a->request.head.target, sites, count, own);
        size_t chosen = steering_choose(sites, count, own, from, cfg->site_full_permille, chance);
        /* Players that came together do not ask together for ever. */
        int64_t ttl_s = cfg->steering_ttl_s + (int64_t)(chance % (uint64_t)(cfg->steering_ttl_s / 5 + 1));
        stats_steer(chosen == own);
        ask_say_once(a, respond_json(steering_text(sites, count, chosen, steering_is_hls(a->request.head.target), ttl_s)));
}

static void say_bad(struct ask *a)
{
        ask_say_once(a, respond_bad(a->path.why));
}

static void say_long(struct ask *a)
{
        ask_say_error(a, RESPOND_LONG);
}

static void say_unknown(struct ask *a)
{
        ask_say_error(a, RESPOND_NOT_FOUND);
}

const struct route route_site = {.begin = say_file};
const struct route route_time = {.begin = say_time};
const struct route route_load = {.begin = say_load};
const struct route route_steering = {.begin = say_steering};
const struct route route_bad = {.begin = say_bad};
const struct route route_long = {.begin = say_long};
const struct route route_unknown = {.begin = say_unknown};
