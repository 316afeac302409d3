#include "edged/site_loads.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/mem.h"

#define ANSWER_BYTES 4096
#define WAIT_MS 3000
#define FULL_PERMILLE 1000

struct site {
        struct site_loads *loads;
        char name[STEERING_NAME_MAX + 1];
        char *url, *load_url;
        const char *host; /* in url */
        struct http_request *asking;
        bool was_there; /* as it was logged last */
        atomic_uint load_permille; /* of the last answers, the newest a quarter */
        _Atomic int64_t heard_us;  /* 0: never */
};

struct site_loads {
        uv_timer_t timer;
        struct http_client *http;
        char *sources;
        size_t count, own;
        atomic_uint own_permille;
        struct site sites[STEERING_SITES_MAX];
};

/* ---- configuration -------------------------------------------------------------------------------------------- */

static int refuse(char *why, size_t cap, const char *text)
{
        snprintf(why, cap, "%s", text);
        return ERR_CONFIG;
}

static const char *host_of(const char *url)
{
        return strstr(url, "://") + 3;
}

static bool is_name(const char *s)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
        return n && n <= STEERING_NAME_MAX && !s[n] && strcmp(s, STEERING_BASE) != 0;
}

/* It becomes part of a header (CSP) and of JSON. */
static bool is_whole_address(const char *url)
{
        char why[160];
        if (http_url_check(url, why, sizeof(why)) != 0)
                return false;
        const char *host = host_of(url);
        return !host[strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:[]")];
}

int site_loads_check(const void *value, char *why, size_t why_cap)
{
        const json_t *sites = *(json_t *const *)value;
        size_t i, k;
        json_t *site, *other;
        if (!json_is_array(sites) || json_array_size(sites) > STEERING_SITES_MAX)
                return refuse(why, why_cap, "it must be a list of at most 16 sites");
        json_array_foreach(sites, i, site) {
                const char *name = json_string_value(json_object_get(site, "name")), *url = json_string_value(json_object_get(site, "url"));
                if (!name || !url || json_object_size(site) != 2)
                        return refuse(why, why_cap, "each site is {\"name\", \"url\"}");
                if (!is_name(name))
                        return refuse(why, why_cap, "a site's name has 1 to 32 letters, digits, _ and -, and is not \"" STEERING_BASE "\"");
                if (!is_whole_address(url))
                        return refuse(why, why_cap, "a site's url is as https://live.example.org, without a path and a slash at its end");
                json_array_foreach(sites, k, other) {
                        if (k < i && strcmp(json_string_value(json_object_get(other, "name")), name) == 0)
                                return refuse(why, why_cap, "two sites have the same name");
                }
        }
        return 0;
}

static size_t find_site(const json_t *sites, const char *name)
{
        size_t i = 0;
        while (i < json_array_size(sites) && strcmp(json_string_value(json_object_get(json_array_get(sites, i), "name")), name) != 0)
                i++;
        return i;
}

int site_loads_check_own(const json_t *sites, const char *own, char *why, size_t why_cap)
{
        bool is_one = find_site(sites, own) < json_array_size(sites);
        if (is_one || (!*own && json_array_size(sites) == 0))
                return 0;
        return refuse(why, why_cap, "site must be the name of one of sites, and empty when there are none");
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

/* -1: that is no answer. */
static int load_of(const struct http_answer *a)
{
        if (a->err)
                return -1;
        if (a->status == 503 || a->status == 429) /* there was no room even for this question */
                return FULL_PERMILLE;
        json_t *said = a->status == 200 ? json_loadb(a->body, a->body_len, 0, NULL) : NULL;
        json_t *load = json_object_get(said, "load_permille");
        json_int_t permille = json_is_integer(load) ? json_integer_value(load) : -1;
        json_decref(said);
        return permille < 0 ? -1 : permille > FULL_PERMILLE ? FULL_PERMILLE : (int)permille;
}

static bool is_there(const struct site *s, int64_t now_us)
{
        int64_t heard_us = atomic_load(&s->heard_us);
        return heard_us && now_us - heard_us < SITE_LOADS_GONE_MS * US_PER_MS;
}

static void on_load(void *arg, const struct http_answer *a)
{
        struct site *s = arg;
        int load = load_of(a);
        s->asking = NULL;
        if (load < 0) {
                log_debug("msg=\"a site does not say how full it is\" site=%s status=%d error=\"%s\"", s->name, a->status, a->error);
                return;
        }
        int64_t now_us = clock_mono_us();
        unsigned before = is_there(s, now_us) ? atomic_load(&s->load_permille) : (unsigned)load;
        atomic_store(&s->load_permille, (3 * before + (unsigned)load + 2) / 4);
        atomic_store(&s->heard_us, now_us);
}

static void ask_site(struct site *s)
{
        static const char *const headers[] = {"Connection: close", NULL};
        struct http_ask ask = {.method = "GET", .url = s->load_url, .headers = headers, .timeout_ms = WAIT_MS};
        if (!s->asking)
                http_client_ask(s->loads->http, &ask, on_load, s, &s->asking);
}

static void tell_change(struct site *s, int64_t now_us)
{
        bool there = is_there(s, now_us);
        if (there == s->was_there)
                return;
        s->was_there = there;
        if (there)
                log_info("msg=\"a site answers\" site=%s url=%s load_permille=%u", s->name, s->url, atomic_load(&s->load_permille));
        else
                log_warn("msg=\"a site does not answer: viewers are sent to others\" site=%s url=%s", s->name, s->url);
}

static void on_ask_sites(uv_timer_t *timer)
{
        struct site_loads *l = timer->data;
        for (size_t i = 0; i < l->count; i++) {
                tell_change(&l->sites[i], clock_mono_us());
                ask_site(&l->sites[i]);
        }
}

/* ---- the life of it ------------------------------------------------------------------------------------------- */

static void add_site(struct site_loads *l, const json_t *site)
{
        struct site *s = &l->sites[l->count++];
        char *before = l->sources;
        s->loads = l;
        snprintf(s->name, sizeof(s->name), "%s", json_string_value(json_object_get(site, "name")));
        s->url = mem_strdup(json_string_value(json_object_get(site, "url")));
        s->host = host_of(s->url);
        s->load_url = mem_printf("%s/load", s->url);
        l->sources = mem_printf("%s %s", before, s->url);
        free(before);
}

struct site_loads *site_loads_open(uv_loop_t *loop, const json_t *sites, const char *own)
{
        struct http_client_limits limits = {.in_flight = STEERING_SITES_MAX, .answer_bytes = ANSWER_BYTES};
        size_t i;
        json_t *site;
        if (json_array_size(sites) == 0)
                return NULL;
        struct site_loads *l = mem_alloc(sizeof(*l));
        l->sources = mem_strdup("");
        json_array_foreach(sites, i, site) {
                add_site(l, site);
        }
        l->own = find_site(sites, own);
        http_client_open(&l->http, loop, &limits);
        uv_timer_init(loop, &l->timer);
        l->timer.data = l;
        uv_timer_start(&l->timer, on_ask_sites, 0, SITE_LOADS_ASK_MS);
        return l;
}

void site_loads_set_own(struct site_loads *l, unsigned load_permille)
{
        atomic_store(&l->own_permille, load_permille);
}

size_t site_loads_look(struct site_loads *l, int64_t now_us, struct steering_site out[STEERING_SITES_MAX], size_t *own)
{
        unsigned here = atomic_load(&l->own_permille);
        for (size_t i = 0; i < l->count; i++) {
                const struct site *s = &l->sites[i];
                bool there = is_there(s, now_us);
                out[i] = (struct steering_site){.name = s->name, .host = s->host, .there = there, .load_permille = there ? atomic_load(&s->load_permille) : 0};
        }
        out[l->own].there = true;
        if (out[l->own].load_permille < here)
                out[l->own].load_permille = here;
        *own = l->own;
        return l->count;
}

unsigned site_loads_gone(struct site_loads *l, int64_t now_us)
{
        unsigned gone = 0;
        for (size_t i = 0; i < l->count; i++)
                gone += !is_there(&l->sites[i], now_us);
        return gone;
}

const char *site_loads_sources(const struct site_loads *l)
{
        return l ? l->sources : "";
}

void site_loads_stop(struct site_loads *l)
{
        if (!l)
                return;
        http_client_close(&l->http);
        uv_close((uv_handle_t *)&l->timer, NULL);
}

void site_loads_close(struct site_loads *l)
{
        if (!l)
                return;
        for (size_t i = 0; i < l->count; i++) {
                free(l->sites[i].url);
                free(l->sites[i].load_url);
        }
        free(l->sources);
        free(l);
}
