#include "originD/webhooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cluster/ring.h"
#include "common/daemon/config_list.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/disk.h"
#include "originD/session_json.h"
#include "originD/stats.h"

#define FILE_VERSION 1
#define TICK_MS 200
#define ASK_PEERS_AFTER_US US_PER_S /* so long an event may wait before peers are asked whether it is settled */
#define KEY_TEXT 17

struct hook {
        char *url, *secret;
        uint64_t key; /* of the URL: what a peer and the file call it */
        bool wants[EVENT_COUNT];
        unsigned in_flight, failures;
        int64_t not_before_us;
};

/* One event on its way to one webhook. */
struct delivery {
        struct delivery *next;
        struct event event;
        uint64_t hook;
        int64_t found_us, wall_us; /* when it was put in: monotonic, and for the file */
        int64_t not_before_us;
        unsigned refusals;
        struct http_request *request; /* under way */
        struct webhooks *w;
};

struct settled {
        char id[EVENT_ID_MAX + 1];
        uint64_t hook;
};

struct partner {
        char id[NODE_ID_MAX + 1];
        int64_t asked_us;
        bool asking;
        struct webhooks *w;
};

struct webhooks {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct webhooks_options options;
        struct hook hooks[WEBHOOKS_MAX];
        size_t hook_count;
        struct delivery *first, **last;
        size_t waiting;
        struct settled settled[WEBHOOKS_SETTLED_MAX]; /* a ring */
        size_t settled_next, settled_count;
        struct peer_link *link;
        struct ring *ring; /* this origin and those that are up */
        struct partner partners[PEERS_UP_MAX];
        json_t *told; /* of the file, until webhooks_recovered() */
        uint64_t random;
        char *path;
        uint64_t config_hash;
        bool recovered, stopping, dirty, saving, save_failed;
        bool unread; /* the file holds what could not be read, and could not be set aside: it is not written over */
};

/* ---- configuration ------------------------------------------------------------------------------------------------ */

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

static void drop_hooks(struct webhooks *w)
{
        for (size_t i = 0; i < w->hook_count; i++) {
                free(w->hooks[i].url);
                free(w->hooks[i].secret);
        }
        w->hook_count = 0;
}

static struct hook *find_hook(struct webhooks *w, uint64_t key)
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

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static void key_text(char dst[KEY_TEXT], uint64_t key)
{
        snprintf(dst, KEY_TEXT, "%016llx", (unsigned long long)key);
}

static bool key_parse_text(const json_t *text, uint64_t *key)
{
        char *end = NULL;
        const char *s = json_string_value(text);
        *key = s ? strtoull(s, &end, 16) : 0;
        return s && strlen(s) == KEY_TEXT - 1 && *end == '\0';
}

static json_t *settled_json(const struct webhooks *w)
{
        json_t *list = json_array();
        for (size_t i = 0; i < w->settled_count; i++) {
                const struct settled *s =
                        &w->settled[(w->settled_next + WEBHOOKS_SETTLED_MAX - w->settled_count + i) % WEBHOOKS_SETTLED_MAX];
                char key[KEY_TEXT];
                key_text(key, s->hook);
                json_array_append_new(list, json_pack("[s, s]", s->id, key));
        }
        return list;
}

static json_t *told_json(const struct webhooks *w)
{
        json_t *told = json_object();
        for (const struct stream *stream = w->store->all; stream; stream = stream->next_all)
                for (const struct session *s = stream->sessions; s; s = s->next_of_stream)
                        if (s->told.started && !s->told.ended)
                                json_object_set_new(told, s->id, told_to_json(&s->told));
        return told;
}

static json_t *waiting_json(const struct webhooks *w)
{
        json_t *list = json_array();
        for (const struct delivery *d = w->first; d; d = d->next) {
                char key[KEY_TEXT];
                key_text(key, d->hook);
                json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "to", key, "since_us", (json_int_t)d->wall_us,
                                                      "event", event_to_json(&d->event)));
        }
        return list;
}

static struct buf *text_of(json_t *j)
{
        char *text = json_dumps(j, JSON_COMPACT);
        struct buf *b = buf_copy(text, strlen(text));
        free(text);
        json_decref(j);
        return b;
}

/* Next to the file, where a person finds it. */
static bool set_aside(struct webhooks *w)
{
        char iso[CLOCK_ISO_MAX];
        char *aside = mem_printf("%s.unreadable-%s", w->path, clock_iso(iso, sizeof(iso), clock_real_us()));
        bool done = rename(w->path, aside) == 0 || errno == ENOENT;
        if (done)
                log_warn("path=%s msg=\"what could not be read of events.json is kept here\"", aside);
        else if (!w->unread)
                log_error("path=%s msg=\"cannot set it aside: events are not saved until that is possible\" error=\"%s\"", w->path,
                          strerror(errno));
        w->unread = !done;
        free(aside);
        return done;
}

static void save(struct webhooks *w);

static void saved(void *arg, int status)
{
        struct webhooks *w = arg;
        w->saving = false;
        if (status && !w->save_failed)
                log_warn("msg=\"cannot save events.json: events that wait now are lost if this process dies\" error=\"%s\"",
                         err_text(status));
        if (!status && w->save_failed)
                log_info("msg=\"events.json is saved again\"");
        w->save_failed = status;
        w->dirty |= status != 0;
        if (w->dirty && !status)
                save(w);
}

static void save(struct webhooks *w)
{
        if (w->saving || !w->dirty || !w->recovered || (w->unread && !set_aside(w)))
                return;
        w->saving = true;
        w->dirty = false;
        struct buf *text = text_of(json_pack("{s:i, s:o, s:o, s:o}", "version", FILE_VERSION, "told", told_json(w), "waiting",
                                             waiting_json(w), "settled", settled_json(w)));
        disk_save(w->loop, w->path, text, saved, w);
        buf_unref(&text);
}

static void note_settled(struct webhooks *w, const char *id, uint64_t hook)
{
        struct settled *s = &w->settled[w->settled_next];
        *s = (struct settled){.hook = hook};
        snprintf(s->id, sizeof(s->id), "%s", id);
        w->settled_next = (w->settled_next + 1) % WEBHOOKS_SETTLED_MAX;
        if (w->settled_count < WEBHOOKS_SETTLED_MAX)
                w->settled_count++;
        w->dirty = true;
}

static bool is_settled(const struct webhooks *w, const char *id, uint64_t hook)
{
        for (size_t i = 0; i < w->settled_count; i++)
                if (w->settled[i].hook == hook && strcmp(w->settled[i].id, id) == 0)
                        return true;
        return false;
}

/* ---- what waits --------------------------------------------------------------------------------------------------- */

static void count_waiting(struct webhooks *w, int n)
{
        w->waiting += (size_t)n;
        stat_set(STAT_WEBHOOK_WAITING, (int64_t)w->waiting);
        w->dirty = true;
}

static void remove_delivery(struct webhooks *w, struct delivery *d)
{
        struct delivery **at = &w->first;
        while (*at != d)
                at = &(*at)->next;
        *at = d->next;
        if (w->last == &d->next)
                w->last = at;
        if (d->request)
                w->options.transport.cancel(&d->request);
        free(d);
        count_waiting(w, -1);
}

static void give_up(struct webhooks *w, struct delivery *d, enum stat_id counter, const char *why)
{
        const struct hook *h = find_hook(w, d->hook);
        char url[128] = "";
        if (h)
                http_url_shown(url, sizeof(url), h->url);
        stat_add(counter, 1);
        log_error("session=%s stream=%s event=%s url=%s msg=\"event not delivered\" why=\"%s\"", d->event.session,
                  d->event.stream, d->event.id, url, why);
        remove_delivery(w, d);
}

static struct delivery *first_idle(struct webhooks *w)
{
        struct delivery *d = w->first;
        while (d && d->request)
                d = d->next;
        return d;
}

static void add_delivery(struct webhooks *w, const struct event *e, uint64_t hook, int64_t now_us, int64_t wall_us)
{
        if (is_settled(w, e->id, hook))
                return;
        struct delivery *old = w->waiting >= WEBHOOKS_WAITING_MAX ? first_idle(w) : NULL;
        if (old)
                give_up(w, old, STAT_WEBHOOK_DROPPED_FULL, "too many wait");
        struct delivery *d = mem_alloc(sizeof(*d));
        *d = (struct delivery){.event = *e, .hook = hook, .found_us = now_us, .wall_us = wall_us, .w = w};
        *w->last = d;
        w->last = &d->next;
        count_waiting(w, 1);
}

/* A webhook that had asked for an event is not there any more, or not for that one. */
static bool unwanted(struct webhooks *w, const struct delivery *d)
{
        const struct hook *h = find_hook(w, d->hook);
        return !h || !h->wants[d->event.kind];
}

static void drop_unwanted(struct webhooks *w)
{
        size_t dropped = 0;
        for (struct delivery *d = w->first, *next; d; d = next) {
                next = d->next;
                if (unwanted(w, d)) {
                        remove_delivery(w, d);
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
        drop_hooks(w);
        for (size_t i = 0; i < json_array_size(config) && i < WEBHOOKS_MAX; i++)
                take_hook(&w->hooks[w->hook_count++], json_array_get(config, i));
        if (w->recovered)
                drop_unwanted(w);
}

/* Returns how many make no sense. */
static size_t read_waiting(struct webhooks *w, const json_t *list)
{
        size_t lost = 0;
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *j = json_array_get(list, i);
                int bad = 0;
                struct event e;
                uint64_t key;
                int64_t since_us = (int64_t)json_number(j, "since_us", INT64_MAX, &bad);
                if (!bad && key_parse_text(json_object_get(j, "to"), &key) && !event_from_json(&e, json_object_get(j, "event")))
                        add_delivery(w, &e, key, w->options.now_us, since_us);
                else
                        lost++;
        }
        return lost;
}

static void read_settled(struct webhooks *w, const json_t *list)
{
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *j = json_array_get(list, i);
                const char *id = json_string_value(json_array_get(j, 0));
                uint64_t key;
                if (id && strlen(id) <= EVENT_ID_MAX && key_parse_text(json_array_get(j, 1), &key) && !is_settled(w, id, key))
                        note_settled(w, id, key);
        }
}

/* Read before the loop runs. One that is not all understood is kept aside: an event that waits in it is not lost silently. */
static void read_file(struct webhooks *w)
{
        json_error_t error = {.text = ""};
        FILE *f = fopen(w->path, "re");
        if (!f && errno == ENOENT)
                return;
        if (!f)
                snprintf(error.text, sizeof(error.text), "%s", strerror(errno));
        json_t *j = f ? json_loadf(f, JSON_REJECT_DUPLICATES, &error) : NULL;
        if (f)
                fclose(f);
        json_int_t version = json_integer_value(json_object_get(j, "version"));
        size_t lost = 0;
        if (j && version != FILE_VERSION) {
                snprintf(error.text, sizeof(error.text), "it is of version %lld, read is %d", (long long)version, FILE_VERSION);
        } else if (j) {
                read_settled(w, json_object_get(j, "settled"));
                lost = read_waiting(w, json_object_get(j, "waiting"));
                w->told = json_incref(json_object_get(j, "told"));
                if (lost)
                        snprintf(error.text, sizeof(error.text), "%zu of the events that wait make no sense", lost);
        }
        w->dirty = !j || lost || version != FILE_VERSION;
        if (w->dirty) {
                log_error("path=%s msg=\"cannot read all of events.json: events may be sent again, or not\" error=\"%s\"", w->path, error.text);
                set_aside(w);
        }
        json_decref(j);
}

/* ---- who sends ---------------------------------------------------------------------------------------------------- */

void webhooks_peers_changed(struct webhooks *w)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t n = w->link ? w->link->ops->up(w->link, up) : 0;
        ring_free(w->ring);
        w->ring = ring_new();
        ring_add(w->ring, w->options.self, "", w); /* zones do not change who is the first */
        for (size_t i = 0; i < n; i++)
                ring_add(w->ring, up[i].id, "", &w->partners[0]);
}

static bool is_first(const struct webhooks *w, const char *stream)
{
        void *node = NULL;
        ring_walk(w->ring, stream, NULL, &node, 1);
        return node == w;
}

static void peer_told(void *arg, int err, const struct fetch_reply *reply, struct buf *bytes)
{
        struct partner *p = arg;
        struct webhooks *w = p->w;
        p->asking = false;
        if (err || reply->status || !bytes || w->stopping)
                return;
        json_t *j = json_loadb((const char *)bytes->data, bytes->len, JSON_REJECT_DUPLICATES, NULL);
        read_settled(w, json_object_get(j, "settled"));
        json_decref(j);
        for (struct delivery *d = w->first, *next; d; d = next) {
                next = d->next;
                if (!d->request && is_settled(w, d->event.id, d->hook))
                        remove_delivery(w, d);
        }
}

static struct partner *partner_of(struct webhooks *w, const char *id, int64_t now_us)
{
        struct partner *p = NULL;
        for (size_t i = 0; i < PEERS_UP_MAX; i++) {
                struct partner *x = &w->partners[i];
                if (strcmp(x->id, id) == 0)
                        return x;
                if (!x->asking && (!p || x->asked_us < p->asked_us))
                        p = x;
        }
        if (p) {
                *p = (struct partner){.asked_us = now_us - WEBHOOKS_POLL_US, .w = w};
                strcpy(p->id, id);
        }
        return p;
}

static void ask_peers(struct webhooks *w, int64_t now_us)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t n = w->link ? w->link->ops->up(w->link, up) : 0;
        for (size_t i = 0; i < n; i++) {
                struct partner *p = partner_of(w, up[i].id, now_us);
                struct fetch what = {.key = "/peer/events"};
                if (!p || p->asking || now_us - p->asked_us < WEBHOOKS_POLL_US)
                        continue;
                p->asked_us = now_us;
                p->asking = w->link->ops->fetch(w->link, up[i].id, &what, peer_told, p) == 0;
        }
}

struct buf *webhooks_settled(struct webhooks *w)
{
        return text_of(json_pack("{s:o}", "settled", settled_json(w)));
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static uint64_t next_random(struct webhooks *w)
{
        uint64_t x = w->random; /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return w->random = x;
}

int64_t webhooks_pause_us(unsigned failures, uint64_t random)
{
        unsigned doublings = failures > 8 ? 8 : failures;
        int64_t most_us = WEBHOOKS_PAUSE_US << doublings;
        if (most_us > WEBHOOKS_PAUSE_MAX_US)
                most_us = WEBHOOKS_PAUSE_MAX_US;
        return 1 + (int64_t)(random % (uint64_t)most_us);
}

static bool try_later(const struct http_answer *a)
{
        return a->err || a->status >= 500 || a->status == 408 || a->status == 425 || a->status == 429;
}

static void tell_failure(const struct hook *h, const struct delivery *d, const struct http_answer *a)
{
        char url[128];
        http_url_shown(url, sizeof(url), h->url);
        log_warn("session=%s stream=%s event=%s url=%s status=%d msg=\"webhook failed, it is tried again\" error=\"%s\"",
                 d->event.session, d->event.stream, d->event.id, url, a->status, a->error);
}

static void answered(void *arg, const struct http_answer *a)
{
        struct delivery *d = arg;
        struct webhooks *w = d->w;
        struct hook *h = find_hook(w, d->hook);
        int64_t now_us = clock_mono_us();
        d->request = NULL;
        h->in_flight--;
        if (!a->err && a->status / 100 == 2) {
                char url[128];
                if (h->failures)
                        log_info("url=%s msg=\"webhook answers again\"", http_url_shown(url, sizeof(url), h->url));
                h->failures = 0;
                stat_add(STAT_WEBHOOK_OK, 1);
                log_info("session=%s stream=%s event=%s url=%s msg=\"event delivered\"", d->event.session, d->event.stream,
                         d->event.id, http_url_shown(url, sizeof(url), h->url));
                note_settled(w, d->event.id, d->hook);
                remove_delivery(w, d);
                webhooks_run(w, now_us, clock_real_us());
        } else {
                stat_add(STAT_WEBHOOK_FAILED, 1);
                if (try_later(a)) {
                        if (!h->failures)
                                tell_failure(h, d, a);
                        if (now_us >= h->not_before_us) /* those under way at once fail as one */
                                h->not_before_us = now_us + webhooks_pause_us(h->failures++, next_random(w));
                } else if (++d->refusals >= WEBHOOKS_REFUSALS_MAX) {
                        give_up(w, d, STAT_WEBHOOK_DROPPED_REFUSED, "refused");
                } else {
                        if (d->refusals == 1)
                                tell_failure(h, d, a);
                        d->not_before_us = now_us + webhooks_pause_us(d->refusals, next_random(w));
                }
        }
        save(w);
}

static void send_one(struct webhooks *w, struct hook *h, struct delivery *d, int64_t wall_us)
{
        char signature[SIGNATURE_MAX + 24] = "Freshet-Signature: ", kind[64], id[EVENT_ID_MAX + 24];
        struct buf *body = event_body(&d->event, w->options.self);
        snprintf(kind, sizeof(kind), "Freshet-Event: %s", event_name(d->event.kind));
        snprintf(id, sizeof(id), "Freshet-Event-Id: %s", d->event.id);
        if (h->secret)
                event_sign(signature + strlen(signature), h->secret, wall_us / US_PER_S, body->data, body->len);
        const char *headers[] = {"Content-Type: application/json", kind, id, h->secret ? signature : NULL, NULL};
        struct http_ask ask = {.method = "POST", .url = h->url, .headers = headers, .body = body->data,
                               .body_len = body->len, .timeout_ms = WEBHOOKS_TIMEOUT_MS};
        const struct webhooks_transport *t = &w->options.transport;
        if (t->ask(t->client, &ask, answered, d, &d->request) == 0)
                h->in_flight++;
        else
                d->request = NULL; /* as many as the client takes are under way: the next tick */
        buf_unref(&body);
}

static bool earlier_waits(const struct webhooks *w, const struct delivery *d)
{
        for (const struct delivery *x = w->first; x != d; x = x->next)
                if (x->hook == d->hook && strcmp(x->event.stream, d->event.stream) == 0)
                        return true;
        return false;
}

static bool due(const struct webhooks *w, const struct hook *h, const struct delivery *d, int64_t now_us)
{
        if (d->request || h->in_flight >= WEBHOOKS_IN_FLIGHT_MAX || now_us < h->not_before_us || now_us < d->not_before_us)
                return false;
        if (w->link && now_us - w->options.now_us < WEBHOOKS_QUIET_US)
                return false;
        return now_us - d->found_us >= WEBHOOKS_HOLD_US || is_first(w, d->event.stream);
}

void webhooks_run(struct webhooks *w, int64_t now_us, int64_t wall_us)
{
        bool ask = false;
        if (w->stopping || !w->recovered)
                return;
        for (struct delivery *d = w->first, *next; d; d = next) {
                next = d->next;
                struct hook *h = find_hook(w, d->hook);
                if (!d->request && wall_us - d->wall_us > WEBHOOKS_AGE_MAX_US)
                        give_up(w, d, STAT_WEBHOOK_DROPPED_OLD, "too old");
                else if (due(w, h, d, now_us) && !earlier_waits(w, d))
                        send_one(w, h, d, wall_us);
                else if (!d->request && now_us - d->found_us >= ASK_PEERS_AFTER_US)
                        ask = true;
        }
        if (ask)
                ask_peers(w, now_us);
        save(w);
}

/* ---- sessions ----------------------------------------------------------------------------------------------------- */

void webhooks_session_changed(struct webhooks *w, struct session *s)
{
        struct event_facts facts;
        struct event found[EVENT_COUNT];
        if (!w->hook_count || !w->recovered || w->stopping || s->told.ended)
                return;
        session_event_facts(s, &facts);
        size_t n = events_find(&s->told, &facts, found);
        for (size_t i = 0; i < n; i++) {
                stat_add(STAT_EVENTS, 1);
                for (size_t k = 0; k < w->hook_count; k++)
                        if (w->hooks[k].wants[found[i].kind])
                                add_delivery(w, &found[i], w->hooks[k].key, clock_mono_us(), clock_real_us());
                w->dirty = true;
        }
        if (n)
                webhooks_run(w, clock_mono_us(), clock_real_us());
}

void webhooks_recovered(struct webhooks *w)
{
        const char *id;
        json_t *j;
        json_object_foreach(w->told, id, j)
        {
                struct session *s = store_session(w->store, id);
                struct told told;
                if (s && !told_from_json(&told, j))
                        s->told = told;
        }
        json_decref(w->told);
        w->told = NULL;
        w->recovered = true;
        drop_unwanted(w);
        for (struct stream *stream = w->store->all; stream; stream = stream->next_all)
                for (struct session *s = stream->sessions; s; s = s->next_of_stream)
                        webhooks_session_changed(w, s);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void ticked(uv_timer_t *timer)
{
        webhooks_run(timer->data, clock_mono_us(), clock_real_us());
}

void webhooks_open(struct webhooks **out, uv_loop_t *loop, struct store *st, const struct webhooks_options *options)
{
        struct webhooks *w = mem_alloc(sizeof(*w));
        *w = (struct webhooks){.loop = loop, .store = st, .options = *options, .random = options->random};
        w->last = &w->first;
        w->path = mem_printf("%s/events.json", options->data_dir);
        uv_timer_init(loop, &w->timer);
        w->timer.data = w;
        uv_timer_start(&w->timer, ticked, TICK_MS, TICK_MS);
        webhooks_peers_changed(w);
        read_file(w);
        *out = w;
}

void webhooks_link(struct webhooks *w, struct peer_link *link)
{
        w->link = link;
        webhooks_peers_changed(w);
}

void webhooks_stop(struct webhooks *w)
{
        w->stopping = true;
        w->link = NULL;
        for (struct delivery *d = w->first; d; d = d->next)
                if (d->request)
                        w->options.transport.cancel(&d->request);
        uv_timer_stop(&w->timer);
        save(w);
}

static void closed(uv_handle_t *timer)
{
        free(timer->data);
}

void webhooks_close(struct webhooks *w)
{
        if (w->dirty && w->waiting)
                log_error("waiting=%zu msg=\"events that wait are lost: events.json cannot be saved\"", w->waiting);
        while (w->first)
                remove_delivery(w, w->first);
        drop_hooks(w);
        ring_free(w->ring);
        json_decref(w->told);
        free(w->path);
        uv_close((uv_handle_t *)&w->timer, closed);
}
