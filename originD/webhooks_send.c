#include "originD/webhooks_impl.h"

#include <stdio.h>
#include <string.h>

#include "common/daemon/log.h"
#include "originD/stats.h"

#define ASK_PEERS_AFTER_US US_PER_S /* so long an event may wait before peers are asked whether it is settled */

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
        struct hook *h = webhooks_hook(w, d->hook);
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
                webhooks_note_settled(w, d->event.id, d->hook);
                webhooks_remove(w, d);
                webhooks_run(w, now_us, w->store->age.now_us);
        } else {
                stat_add(STAT_WEBHOOK_FAILED, 1);
                if (try_later(a)) {
                        if (!h->failures)
                                tell_failure(h, d, a);
                        if (now_us >= h->not_before_us) /* those under way at once fail as one */
                                h->not_before_us = now_us + webhooks_pause_us(h->failures++, next_random(w));
                } else if (++d->refusals >= WEBHOOKS_REFUSALS_MAX) {
                        webhooks_give_up(w, d, STAT_WEBHOOK_DROPPED_REFUSED, "refused");
                } else {
                        if (d->refusals == 1)
                                tell_failure(h, d, a);
                        d->not_before_us = now_us + webhooks_pause_us(d->refusals, next_random(w));
                }
        }
        webhooks_save(w);
}

static void send_one(struct webhooks *w, struct hook *h, struct delivery *d)
{
        char signature[SIGNATURE_MAX + 24] = "Freshet-Signature: ", kind[64], id[EVENT_ID_MAX + 24];
        struct buf *body = event_body(&d->event, w->options.self);
        snprintf(kind, sizeof(kind), "Freshet-Event: %s", event_name(d->event.kind));
        snprintf(id, sizeof(id), "Freshet-Event-Id: %s", d->event.id);
        if (h->secret)
                event_sign(signature + strlen(signature), h->secret, clock_wall_us() / US_PER_S, body->data, body->len);
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
        return now_us - d->found_us >= WEBHOOKS_HOLD_US || webhooks_is_first(w, d->event.stream);
}

void webhooks_run(struct webhooks *w, int64_t now_us, int64_t age_now_us)
{
        bool ask = false;
        if (w->stopping || !w->store_ready)
                return;
        for (struct delivery *d = w->first, *next; d; d = next) {
                next = d->next;
                struct hook *h = webhooks_hook(w, d->hook);
                if (!d->request && age_now_us - d->since_us > WEBHOOKS_AGE_MAX_US)
                        webhooks_give_up(w, d, STAT_WEBHOOK_DROPPED_OLD, "too old");
                else if (due(w, h, d, now_us) && !earlier_waits(w, d))
                        send_one(w, h, d);
                else if (!d->request && now_us - d->found_us >= ASK_PEERS_AFTER_US)
                        ask = true;
        }
        if (ask)
                webhooks_ask_peers(w, now_us);
        webhooks_save(w);
}
