#include "edged/fill.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/cache_fill.h"
#include "edged/fill_impl.h"
#include "edged/gather.h"
#include "edged/siblings.h"
#include "proto/key.h"

#define LIST_TTL_MS 1000

static void finish_fill(struct fill *f)
{
        struct fills *fs = f->fills;
        race_drop(&f->race);
        if (f->sounding)
                f->sounding->fill = NULL;
        if (fs->cfg.left)
                fs->cfg.left(fs->cfg.arg, f->object, &f->key, f->grew || f->was_due);
        if (f->next)
                f->next->prev = f->prev;
        *(f->prev ? &f->prev->next : &fs->first) = f->next;
        if (--fs->active == 0)
                uv_timer_stop(&fs->timer);
        object_unref(&f->object);
        free(f);
}

/* ---- what to try next ----------------------------------------------------------------------------------------- */

static int why_late(const struct fill *f)
{
        return f->was_due ? ERR_NOT_YET : ERR_CLOSED;
}

static int64_t pause_until_us(struct fill *f, int64_t now_us)
{
        int64_t until_us = now_us + fill_pause_us(f->rounds++, fills_random(f->fills)), last_us = fill_deadline_us(f);
        if (f->no_node_us && f->no_node_us + FILL_NO_NODE_US < last_us)
                last_us = f->no_node_us + FILL_NO_NODE_US;
        return until_us < last_us ? until_us : last_us;
}

static bool finds_nobody(struct fill *f, enum round_verdict said, int64_t now_us)
{
        if (said != ROUND_NOBODY)
                f->no_node_us = 0;
        else if (f->no_node_us == 0)
                f->no_node_us = now_us;
        return f->no_node_us && (f->object->stale || now_us - f->no_node_us >= FILL_NO_NODE_US);
}

static enum step step_over(struct fill *f, int64_t now_us)
{
        enum round_verdict said = round_end(&f->round, f->was_due);
        if (said == ROUND_MISSING && f->object->len == 0) {
                cache_missing(f->object, f->round.missing_ttl_ms, now_us);
                return STEP_DONE;
        }
        if (said == ROUND_TOO_DEEP)
                return fill_fail(f, ERR_LIMIT, now_us);
        if (finds_nobody(f, said, now_us) || f->fills->stopping || now_us >= fill_deadline_us(f))
                return fill_fail(f, why_late(f), now_us);
        round_begin(&f->round);
        if (said == ROUND_AGAIN)
                return STEP_ASK;
        f->retry_us = pause_until_us(f, now_us);
        return STEP_PAUSE;
}

static enum step step_pause(struct fill *f, int64_t now_us)
{
        return f->retry_us <= now_us ? STEP_ASK : STEP_PAUSE;
}

static enum step step_due(struct fill *f, int64_t now_us)
{
        return f->due_us <= now_us ? STEP_ASK : STEP_DUE;
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

static bool is_segment(const char *key)
{
        const char *dot = strrchr(key, '.');
        return dot && strcmp(dot, ".m4s") == 0;
}

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes);

enum whom { THE_OWNER, A_NODE, A_SECOND_NODE };

static int send_fetch(struct fill *f, enum whom whom, const struct node_set *not_these, int64_t now_us)
{
        struct object *o = f->object;
        struct fills *fs = f->fills;
        struct fetch what = {.offset = o->len, .hops = o->hops};
        memcpy(what.key, o->key, strlen(o->key));
        int64_t left_ms = (fill_deadline_us(f) - now_us) / US_PER_MS;
        uint32_t most_ms = whom == THE_OWNER ? SIBLINGS_WAIT_MS : o->len > 0 ? FILL_WAIT_MS : FILL_BEGIN_MS;
        what.wait_ms = left_ms <= 0 ? 0 : left_ms < most_ms ? (uint32_t)left_ms : most_ms;
        struct call *c = mem_alloc(sizeof(*c));
        *c = (struct call){.fills = fs, .fill = f, .asked_us = now_us, .wait_ms = what.wait_ms, .second = whom == A_SECOND_NODE,
                           .owner = whom == THE_OWNER};
        c->kind = o->len > 0 || is_segment(o->key) ? HEDGE_GROWING : HEDGE_THERE;
        c->sample = whom == A_NODE && (o->len > 0 || c->kind == HEDGE_THERE);
        struct upstream *u = c->owner ? fs->cfg.siblings : fs->upstream;
        unsigned timeout_ms = what.wait_ms + (c->owner ? fs->cfg.sibling_late_ms : FILL_ANSWER_MS);
        int err = u->ops->fetch(u, f->key.stream, not_these, 0, &what, timeout_ms, &c->node, on_answer, c);
        if (err) {
                f->round.busy |= whom == A_NODE && err == ERR_FULL;
                free(c);
                return err;
        }
        race_start(&f->race, c);
        return 0;
}

static bool ask_owner(struct fill *f, int64_t now_us)
{
        struct fills *fs = f->fills;
        struct node_set avoided = f->passed;
        if (!fs->cfg.siblings || f->up || f->object->owned || fs->stopping || f->passed.count >= SIBLINGS_TRIED_MAX)
                return false;
        hedge_avoid(&fs->late_siblings, now_us, &avoided);
        return send_fetch(f, THE_OWNER, &avoided, now_us) == 0;
}

/* One node not asked in this round, those that are late last. */
static enum step ask_above(struct fill *f, int64_t now_us)
{
        struct fills *fs = f->fills;
        struct node_set avoided = f->round.tried;
        hedge_avoid(&fs->hedge, now_us, &avoided);
        if (fs->stopping || round_is_full(&f->round) ||
            (send_fetch(f, A_NODE, &avoided, now_us) != 0 && send_fetch(f, A_NODE, &f->round.tried, now_us) != 0))
                return STEP_OVER;
        hedge_earn(&fs->hedge);
        return STEP_UP;
}

static enum step step_ask(struct fill *f, int64_t now_us)
{
        race_reset(&f->race);
        if (ask_owner(f, now_us))
                return STEP_OWNER;
        f->up = true;
        return fill_is_list(&f->key) ? STEP_GATHER : ask_above(f, now_us);
}

/* A sibling takes this edge for the owner: two that wait for each other would wait for ever, so what the other one says is of no interest
 * now. */
static enum step step_owner(struct fill *f, int64_t now_us)
{
        (void)now_us;
        if (!f->object->owned)
                return STEP_OWNER;
        race_drop(&f->race);
        return STEP_ASK;
}

static void on_sounded(void *arg, int err, const struct fetch_reply *m, struct buf *bytes);

static void sound_depth(struct fill *f, int64_t now_us)
{
        struct upstream *u = f->fills->upstream;
        const struct object *o = f->object;
        const struct call *first = f->race.first;
        if (!u->of_edges || o->deepest <= o->hops || o->deepest <= f->sounded || o->len > 0 || !first ||
            now_us - first->asked_us < FILL_SOUND_US)
                return;
        struct fetch what = {.offset = INT64_MAX, .wait_ms = FILL_BEGIN_MS, .hops = o->deepest};
        memcpy(what.key, o->key, strlen(o->key));
        struct call *c = mem_alloc(sizeof(*c));
        *c = (struct call){.fills = f->fills, .fill = f};
        f->sounded = o->deepest;
        if (f->sounding) /* of less depth: those who stand so deep now can tell more */
                f->sounding->fill = NULL;
        f->sounding = NULL;
        if (u->ops->fetch(u, f->key.stream, NULL, first->node, &what, FILL_BEGIN_MS + FILL_ANSWER_MS, &c->node, on_sounded, c) == 0)
                f->sounding = c;
        else
                free(c);
}

static enum step step_up(struct fill *f, int64_t now_us)
{
        struct fills *fs = f->fills;
        sound_depth(f, now_us);
        if (!race_wants_second(&f->race, &fs->hedge, f->not_yet, fs->upstream->ops->live(fs->upstream), now_us))
                return STEP_UP;
        struct node_set avoided = f->round.tried;
        node_set_add(&avoided, f->race.first->node);
        hedge_avoid(&fs->hedge, now_us, &avoided);
        race_second(&f->race, &fs->hedge, send_fetch(f, A_SECOND_NODE, &avoided, now_us) == 0, now_us);
        return STEP_RACE;
}

static enum step step_race(struct fill *f, int64_t now_us)
{
        sound_depth(f, now_us);
        return STEP_RACE;
}

static void on_gathered(void *arg, int err, struct buf *json);

static enum step step_gather(struct fill *f, int64_t now_us)
{
        struct fills *fs = f->fills;
        if (f->gathering)
                return STEP_GATHER;
        int err = fs->stopping ? ERR_CLOSED
                               : gather_begin(&f->gathering, fs->timer.loop, fs->upstream, f->object->key, f->object->hops, on_gathered, f);
        if (err == ERR_FULL) {
                f->round.busy = true;
                return STEP_OVER;
        }
        return err ? fill_fail(f, err, now_us) : STEP_GATHER;
}

static enum step step_stay(struct fill *f, int64_t now_us)
{
        (void)now_us;
        return f->step;
}

static const struct {
        const char *name;
        enum step (*take)(struct fill *f, int64_t now_us);
} steps[] = {
#define X(name, function) {#name, step_##function},
        STEPS(X)
#undef X
};

/* Takes one step after the other until one has to wait. f may be gone afterwards. */
static void go(struct fill *f, enum step next, int64_t now_us)
{
        while (next != f->step) {
                log_debug("key=%s have=%llu step=%s before=%s", f->object->key, (unsigned long long)f->object->len, steps[next].name,
                          steps[f->step].name);
                f->step = next;
                if (next == STEP_DONE) {
                        finish_fill(f);
                        return;
                }
                next = steps[next].take(f, now_us);
        }
}

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct call *c = arg;
        struct fill *f = c->fill;
        int64_t now_us = c->fills->cfg.clock_us();
        enum step next = (c->owner ? fill_take_owner_answer : fill_take_answer)(c, err, m, bytes, now_us);
        if (f)
                go(f, next, now_us);
        free(c);
}

/* Any other answer than a refusal says nothing here: the FETCH that was sent first is still under way. */
static void on_sounded(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct call *c = arg;
        struct fill *f = c->fill;
        const struct fill_config *cfg = &c->fills->cfg;
        (void)bytes;
        free(c);
        if (!f)
                return;
        f->sounding = NULL;
        if (err || m->status != ERR_LIMIT)
                return;
        log_error("key=%s msg=\"the tier above asks this one, in a circle, for what this one asks it for, or stands on more than %d others; "
                  "look at origins of all edges\"", f->object->key, FETCH_HOPS_MAX);
        f->object->too_deep = f->sounded;
        f->object->deepest = (uint8_t)(f->sounded - 1);
        if (cfg->too_deep)
                cfg->too_deep(cfg->arg, f->object);
}

/* ---- a list: every node is asked, the answers are put together ---------------------------------------------------- */

static void on_gathered(void *arg, int err, struct buf *json)
{
        struct fill *f = arg;
        int64_t now_us = f->fills->cfg.clock_us();
        f->gathering = NULL;
        if (!err)
                err = cache_complete(f->object, json, "application/json", false, LIST_TTL_MS, now_us);
        go(f, err ? fill_fail(f, err, now_us) : STEP_DONE, now_us);
}

/* ---- the set of fills ----------------------------------------------------------------------------------------- */

void fills_tick(struct fills *fs, int64_t now_us)
{
        for (struct fill *f = fs->first, *next; f; f = next) {
                next = f->next;
                cache_expire_waiters(f->object, now_us);
                go(f, steps[f->step].take(f, now_us), now_us);
        }
}

static void on_fill_tick(uv_timer_t *timer)
{
        struct fills *fs = timer->data;
        fills_tick(fs, fs->cfg.clock_us());
}

void fills_open(struct fills **out, uv_loop_t *loop, const struct fill_config *cfg, struct upstream *upstream)
{
        struct fills *fs = mem_alloc(sizeof(*fs));
        fs->cfg = *cfg;
        if (!fs->cfg.clock_us)
                fs->cfg.clock_us = clock_mono_us;
        fs->upstream = upstream;
        hedge_init(&fs->hedge);
        hedge_init(&fs->late_siblings);
        fs->random = (uint64_t)clock_wall_us() | 1;
        fs->timer.data = fs;
        int err = uv_timer_init(loop, &fs->timer);
        assert(err == 0);
        (void)err;
        *out = fs;
}

size_t fills_active(const struct fills *fs)
{
        return fs->active;
}

void fills_nodes_changed(struct fills *fs)
{
        int64_t now_us = fs->cfg.clock_us();
        for (struct fill *f = fs->first; f; f = f->next) {
                int64_t soon_us = now_us + (int64_t)(fills_random(fs) % (uint64_t)FILL_SPREAD_US);
                if (f->step == STEP_PAUSE && f->no_node_us && soon_us < f->retry_us)
                        f->retry_us = soon_us;
        }
}

void fill_begin(void *arg, struct object *o)
{
        struct fills *fs = arg;
        struct fill *f = mem_alloc(sizeof(*f));
        f->fills = fs;
        f->object = o;
        key_parse(&f->key, o->key);
        f->step = STEP_OVER; /* of no round */
        round_begin(&f->round);
        f->next = fs->first;
        if (f->next)
                f->next->prev = f;
        fs->first = f;
        if (fs->active++ == 0)
                uv_timer_start(&fs->timer, on_fill_tick, FILL_TICK_MS, FILL_TICK_MS);
        int64_t now_us = fs->cfg.clock_us();
        bool ends = o->hops >= FETCH_HOPS_MAX || fs->stopping;
        go(f, ends ? fill_fail(f, ERR_CLOSED, now_us) : STEP_ASK, now_us);
}

void fills_stop(struct fills *fs)
{
        int64_t now_us = fs->cfg.clock_us();
        fs->stopping = true;
        for (struct fill *f = fs->first, *next; f; f = next) {
                next = f->next;
                gather_abandon(&f->gathering);
                if (!race_runs(&f->race))
                        go(f, fill_fail(f, why_late(f), now_us), now_us);
        }
}

static void on_fills_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void fills_close(struct fills *fs)
{
        assert(fs->active == 0);
        uv_close((uv_handle_t *)&fs->timer, on_fills_closed);
}
