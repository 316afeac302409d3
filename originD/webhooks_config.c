#include "originD/webhooks_impl.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/daemon/config_list.h"
#include "common/daemon/log.h"
#include "common/mem.h"

static int check_events(const json_t *events, size_t i, char *why, size_t why_cap)
{
        const char *allowed = "started|ended|slate_begun|slate_over|failed_over";
        if (!events)
                return 0;
        if (!json_is_array(events) || !json_array_size(events))
                return config_refuse(why, why_cap, "entry %zu: \"events\" is not a list of %s", i, allowed);
        for (size_t k = 0; k < json_array_size(events); k++) {
                const char *name = json_string_value(json_array_get(events, k));
                enum event_kind kind;
                if (!event_kind_parse(name, &kind))
                        return config_refuse(why, why_cap, "entry %zu: event \"%.64s\" is not known, allowed are %s", i,
                                      name ? name : "(no text)", allowed);
        }
        return 0;
}

static int check_entry(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        char url_why[160];
        const json_t *url = json_object_get(entry, "url"), *secret = json_object_get(entry, "secret");
        if (!json_is_string(url))
                return config_refuse(why, why_cap, "entry %zu: \"url\" is missing, or no string", i);
        if (http_url_check(json_string_value(url), url_why, sizeof(url_why)))
                return config_refuse(why, why_cap, "entry %zu: \"url\": %s", i, url_why);
        if (secret && (!json_is_string(secret) || !json_string_length(secret)))
                return config_refuse(why, why_cap, "entry %zu: \"secret\" is empty or no string; leave it out for requests without a signature", i);
        return check_events(json_object_get(entry, "events"), i, why, why_cap);
}

int webhooks_check(const void *json_field, char *why, size_t why_cap)
{
        return config_check_list(json_field, "url|secret|events", WEBHOOKS_MAX, check_entry, why, why_cap);
}

void webhooks_drop_hooks(struct webhooks *w)
{
        for (size_t i = 0; i < w->hook_count; i++) {
                free(w->hooks[i].url);
                free(w->hooks[i].secret);
        }
        w->hook_count = 0;
}

struct hook *webhooks_hook(struct webhooks *w, uint64_t key)
{
        for (size_t i = 0; i < w->hook_count; i++)
                if (w->hooks[i].key == key)
                        return &w->hooks[i];
        return NULL;
}

static void take_hook(struct hook *h, const json_t *entry)
{
        const char *url = json_string_value(json_object_get(entry, "url"));
        const char *secret = json_string_value(json_object_get(entry, "secret"));
        const json_t *events = json_object_get(entry, "events");
        *h = (struct hook){.url = mem_strdup(url), .secret = secret ? mem_strdup(secret) : NULL,
                           .key = XXH3_64bits(url, strlen(url))};
        for (int k = 0; k < EVENT_COUNT; k++)
                h->wants[k] = !events;
        for (size_t i = 0; i < json_array_size(events); i++) {
                enum event_kind kind;
                if (event_kind_parse(json_string_value(json_array_get(events, i)), &kind))
                        h->wants[kind] = true;
        }
}

/* A webhook that had asked for an event is not there any more, or not for that one. */
static bool unwanted(struct webhooks *w, const struct delivery *d)
{
        const struct hook *h = webhooks_hook(w, d->hook);
        return !h || !h->wants[d->event.kind];
}

void webhooks_drop_unwanted(struct webhooks *w)
{
        size_t dropped = 0;
        for (struct delivery *d = w->first, *next; d; d = next) {
                next = d->next;
                if (unwanted(w, d)) {
                        webhooks_remove(w, d);
                        dropped++;
                }
        }
        if (dropped)
                log_warn("events=%zu msg=\"what waited for webhooks that are not configured any more is dropped\"", dropped);
}

/* A reload that changes other keys leaves what is under way alone. */
static bool is_other(struct webhooks *w, const json_t *config)
{
        char *text = json_dumps(config, JSON_SORT_KEYS | JSON_COMPACT);
        uint64_t hash = text ? XXH3_64bits(text, strlen(text)) : 0;
        bool other = hash != w->config_hash;
        w->config_hash = hash;
        free(text);
        return other;
}

void webhooks_configure(struct webhooks *w, const json_t *config)
{
        if (!is_other(w, config))
                return;
        for (struct delivery *d = w->first; d; d = d->next)
                if (d->request)
                        w->options.transport.cancel(&d->request);
        webhooks_drop_hooks(w);
        for (size_t i = 0; i < json_array_size(config) && i < WEBHOOKS_MAX; i++)
                take_hook(&w->hooks[w->hook_count++], json_array_get(config, i));
        if (w->store_ready)
                webhooks_drop_unwanted(w);
}
