#include "originD/webhooks_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "originD/stats.h"

/* ---- what is settled ---------------------------------------------------------------------------------------------- */

void webhooks_note_settled(struct webhooks *w, const char *id, uint64_t hook)
{
        struct settled *s = &w->settled[w->settled_next];
        *s = (struct settled){.hook = hook};
        snprintf(s->id, sizeof(s->id), "%s", id);
        w->settled_next = (w->settled_next + 1) % WEBHOOKS_SETTLED_MAX;
        if (w->settled_count < WEBHOOKS_SETTLED_MAX)
                w->settled_count++;
        w->dirty = true;
}

bool webhooks_is_settled(const struct webhooks *w, const char *id, uint64_t hook)
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

void webhooks_remove(struct webhooks *w, struct delivery *d)
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

void webhooks_give_up(struct webhooks *w, struct delivery *d, enum stat_id counter, const char *why)
{
        const struct hook *h = webhooks_hook(w, d->hook);
        char url[128] = "";
        if (h)
                http_url_shown(url, sizeof(url), h->url);
        stat_add(counter, 1);
        log_error("session=%s stream=%s event=%s url=%s msg=\"event not delivered\" why=\"%s\"", d->event.session,
                  d->event.stream, d->event.id, url, why);
        webhooks_remove(w, d);
}

static struct delivery *first_idle(struct webhooks *w)
{
        struct delivery *d = w->first;
        while (d && d->request)
                d = d->next;
        return d;
}

void webhooks_add(struct webhooks *w, const struct event *e, uint64_t hook, int64_t now_us, int64_t age_now_us)
{
        if (webhooks_is_settled(w, e->id, hook))
                return;
        struct delivery *old = w->waiting >= WEBHOOKS_WAITING_MAX ? first_idle(w) : NULL;
        if (old)
                webhooks_give_up(w, old, STAT_WEBHOOK_DROPPED_FULL, "too many wait");
        struct delivery *d = mem_alloc(sizeof(*d));
        *d = (struct delivery){.event = *e, .hook = hook, .found_us = now_us, .since_us = age_now_us, .w = w};
        *w->last = d;
        w->last = &d->next;
        count_waiting(w, 1);
}
