#include "edged/evict.h"

#include <string.h>

#include "edged/cache_impl.h"
#include "edged/stats.h"

void evict_push(struct evict_queue *q, struct object *o)
{
        o->newer = NULL;
        o->older = q->newest;
        *(q->newest ? &q->newest->newer : &q->oldest) = o;
        q->newest = o;
        q->count++;
}

void evict_unlink(struct evict_queue *q, struct object *o)
{
        *(o->newer ? &o->newer->older : &q->newest) = o->older;
        *(o->older ? &o->older->newer : &q->oldest) = o->newer;
        o->newer = o->older = NULL;
        q->count--;
}

/* ---- the queues; under the shard's lock -------------------------------------------------------------------------------- */

static uint32_t trace_of(const struct object *o)
{
        return (uint32_t)(o->hash >> 32) | 1;
}

/* Whether o was here a short while ago; it is forgotten then. */
static bool take_ghost(struct evict_queues *qs, const struct object *o)
{
        for (unsigned i = 0; i < EVICT_GHOSTS; i++) {
                if (qs->ghosts[i] == trace_of(o)) {
                        qs->ghosts[i] = 0;
                        return true;
                }
        }
        return false;
}

static void enter_small(struct object *o)
{
        evict_push(&o->shard->media.small, o);
        atomic_fetch_add(&o->cache->small_bytes, o->queued_bytes);
}

static void leave_small(struct object *o)
{
        evict_unlink(&o->shard->media.small, o);
        atomic_fetch_sub(&o->cache->small_bytes, o->queued_bytes);
}

static void enter_main(struct object *o)
{
        evict_push(&o->shard->media.main, o);
        atomic_fetch_add(&o->cache->main_bytes, o->queued_bytes);
}

static void leave_main(struct object *o)
{
        evict_unlink(&o->shard->media.main, o);
        atomic_fetch_sub(&o->cache->main_bytes, o->queued_bytes);
}

void evict_enter(struct object *o)
{
        o->queued_bytes = o->len + sizeof(*o);
        o->proven |= take_ghost(&o->shard->media, o);
        if (o->proven)
                enter_main(o);
        else
                enter_small(o);
}

void evict_leave(struct object *o)
{
        if (o->proven)
                leave_main(o);
        else
                leave_small(o);
}

void evict_enter_name(struct object *o)
{
        o->queued_bytes = sizeof(*o) + strlen(o->key) + 1;
        evict_push(&o->shard->names, o);
        atomic_fetch_add(&o->cache->names_bytes, o->queued_bytes);
}

void evict_leave_name(struct object *o)
{
        evict_unlink(&o->shard->names, o);
        atomic_fetch_sub(&o->cache->names_bytes, o->queued_bytes);
}

static struct object *evict_small(struct shard *s)
{
        struct evict_queues *qs = &s->media;
        for (struct object *o; (o = qs->small.oldest);) {
                if (o->hits == 0 && !o->refresh) {
                        qs->ghosts[qs->next_ghost++ % EVICT_GHOSTS] = trace_of(o);
                        return cache_take_out(o);
                }
                leave_small(o);
                o->hits = 0;
                o->proven = true;
                enter_main(o);
        }
        return NULL;
}

/* Each round takes a hit from each. What is being refreshed stays. */
static struct object *evict_main(struct shard *s)
{
        struct evict_queue *q = &s->media.main;
        for (size_t left = q->count * (EVICT_HITS_MAX + 1); left > 0; left--) {
                struct object *o = q->oldest;
                if (o->hits == 0 && !o->refresh)
                        return cache_take_out(o);
                evict_unlink(q, o);
                o->hits -= o->hits > 0;
                evict_push(q, o);
        }
        return NULL;
}

/* ---- the budget ---------------------------------------------------------------------------------------------------------- */

/* What is cut off is gone as soon as its readers' connections are closed, and may be beyond the budget meanwhile. */
static bool fits(struct cache *c, size_t more)
{
        size_t cut = atomic_load(&c->ledger.cut), share = c->cfg.budget_bytes / CACHE_PINNED_PART;
        return atomic_load(&c->ledger.bytes) + more <= c->cfg.budget_bytes + (cut < share ? cut : share);
}

/* Of one shard, a note when there are too many, else from the queue that is too long; if that one is empty here, nothing. What was asked
 * for more than once keeps half of the budget: neither what is being filled nor what slow readers keep, of which no room can be made, may
 * take all. */
static struct object *evict_one(struct cache *c, struct shard *s, bool either)
{
        bool names = atomic_load(&c->names_bytes) > c->cfg.budget_bytes / EVICT_NAMES_PART;
        bool small = atomic_load(&c->small_bytes) >= c->cfg.budget_bytes / EVICT_SMALL_PART;
        bool main = atomic_load(&c->main_bytes) > c->cfg.budget_bytes / EVICT_MAIN_PART;
        struct object *victim = NULL;
        pthread_mutex_lock(&s->lock);
        if (names && s->names.oldest)
                victim = cache_take_out(s->names.oldest);
        if (!victim && ((small && !names) || either))
                victim = evict_small(s);
        if (!victim && main && ((!small && !names) || either))
                victim = evict_main(s);
        pthread_mutex_unlock(&s->lock);
        return victim;
}

static void cut_off(struct cache *c)
{
        if (ledger_cut(&c->ledger, c->cfg.budget_bytes / CACHE_PINNED_PART) && c->ops.cut)
                c->ops.cut(c->arg);
}

bool evict_make_room(struct cache *c, size_t more)
{
        unsigned empty = 0;
        while (!fits(c, more)) {
                cut_off(c);
                /* In the first round of the shards none gives up what the rule would keep. */
                struct object *victim = evict_one(c, &c->shards[c->hand++ % CACHE_SHARDS], empty >= CACHE_SHARDS);
                empty = victim ? 0 : empty + 1;
                if (victim)
                        metric_add(&stats_evicted, 1);
                object_unref(&victim);
                if (empty == 2 * CACHE_SHARDS)
                        return false;
        }
        return true;
}
