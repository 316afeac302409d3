#include "originD/webhooks_impl.h"

#include <stdlib.h>
#include <string.h>

#include "common/cluster/ring.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "originD/session_json.h"
#include "originD/stats.h"

#define TICK_MS 200

/* ---- sessions ----------------------------------------------------------------------------------------------------- */

void webhooks_session_changed(struct webhooks *w, struct session *s)
{
        struct event_facts facts;
        struct event found[EVENT_COUNT];
        if (!w->hook_count || !w->store_ready || w->stopping || s->told.ended)
                return;
        session_event_facts(s, &facts);
        size_t n = events_find(&s->told, &facts, found);
        for (size_t i = 0; i < n; i++) {
                stat_add(STAT_EVENTS, 1);
                for (size_t k = 0; k < w->hook_count; k++)
                        if (w->hooks[k].wants[found[i].kind])
                                webhooks_add(w, &found[i], w->hooks[k].key, clock_mono_us(), w->store->age.now_us);
                w->dirty = true;
        }
        if (n)
                webhooks_run(w, clock_mono_us(), w->store->age.now_us);
}

void webhooks_store_ready(struct webhooks *w)
{
        const char *id;
        json_t *j;
        struct session **restored = mem_alloc((json_object_size(w->told) + 1) * sizeof(*restored));
        size_t restored_count = 0;
        json_object_foreach(w->told, id, j)
        {
                struct session *s = store_session(w->store, id);
                struct told told;
                if (s && !told_from_json(&told, j)) {
                        s->told = told;
                        restored[restored_count++] = s;
                }
        }
        json_decref(w->told);
        w->told = NULL;
        w->store_ready = true;
        webhooks_drop_unwanted(w);
        for (size_t i = 0; i < restored_count; i++) /* some may have ended while nobody was here to tell it */
                webhooks_session_changed(w, restored[i]);
        free(restored);
        for (struct session *s = w->store->first_live; s; s = s->older)
                webhooks_session_changed(w, s);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static void ticked(uv_timer_t *timer)
{
        struct webhooks *w = timer->data;
        webhooks_run(w, clock_mono_us(), w->store->age.now_us);
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
        webhooks_read_file(w);
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
        webhooks_save(w);
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
                webhooks_remove(w, w->first);
        webhooks_drop_hooks(w);
        ring_free(w->ring);
        json_decref(w->told);
        free(w->path);
        uv_close((uv_handle_t *)&w->timer, closed);
}
