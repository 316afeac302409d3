#include "edged/fill.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/gather.h"
#include "edged/glass.h"
#include "edged/hedge.h"
#include "edged/lag.h"
#include "edged/newest.h"
#include "edged/race.h"
#include "edged/round.h"
#include "edged/siblings.h"
#include "edged/stats.h"
#include "proto/key.h"

#define LIST_TTL_MS 1000
#define GLASS_WAITED_US (50 * US_PER_MS)

/* What a fill is at, and what may come next; enter() logs each change. */
#define STEPS(X)                                                                                                       \
        X(ASK, ask)       /* whom? → OWNER, UP, GATHER, OVER */                                                        \
        X(OWNER, owner)   /* the edge of this site whose object it is → ASK, PAUSE, DUE, DONE */                       \
        X(UP, up)         /* one is asked → ASK, RACE, OVER, PAUSE, DUE, DONE */                                       \
        X(RACE, stay)     /* so is another one, or there is none → ASK, OVER, PAUSE, DUE, DONE */                      \
        X(OVER, over)     /* all of this round were asked, or there is nobody → ASK, PAUSE, DONE */                    \
        X(PAUSE, pause)   /* until retry_us → ASK, DONE */                                                             \
        X(DUE, due)       /* not yet, until due_us → ASK, DONE */                                                      \
        X(GATHER, gather) /* a list: gather.c asks every node above → OVER, DONE */                                    \
        X(DONE, stay)     /* the object has left FILLING; the fill is gone */

enum step {
#define X(name, function) STEP_##name,
        STEPS(X)
#undef X
};

struct fill {
        struct fill *next, *prev;
        struct fills *fills;
        struct object *object;
        struct key key; /* the object's, taken apart */
        enum step step;
        struct race race;
        struct round round;
        struct gather *gathering;
        struct node_set passed; /* owners that did not answer */
        bool up;                /* no sibling is asked any more */
        int64_t retry_us, progress_us;
        int64_t due_us;     /* a node says that there is nothing before; 0: none does */
        int64_t no_node_us; /* since when there is nobody to ask; 0: there is */
        int64_t no_room_us; /* since when the cache has no room; 0: it has */
        bool not_yet;       /* said since there last were bytes */
        bool was_due;       /* some node said so, ever: it is not MISSING */
        bool grew;          /* it came in pieces */
        bool takes_old;     /* nobody has a newer session's manifest (newest.h) */
        unsigned rounds;    /* for nothing, one after the other */
};

struct fills {
        struct fill_config cfg;
        struct upstream *upstream;
        struct hedge hedge;
        struct hedge late_siblings; /* only who is late: siblings are not raced */
        struct newest newest;
        struct fill *first;
        size_t active;
        bool stopping;
        uint64_t random;
        uv_timer_t timer;
};

static uint64_t next_random(struct fills *fs)
{
        uint64_t x = fs->random; /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return fs->random = x;
}

/* ---- the end of a fill: each returns DONE, and then only go() touches the fill ------------------------------------ */

static void finish_fill(struct fill *f)
{
        struct fills *fs = f->fills;
        race_drop(&f->race);
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

static void settle(struct fill *f, bool there)
{
        const struct fill_config *cfg = &f->fills->cfg;
        if (f->object->len == 0 && cfg->settled)
                cfg->settled(cfg->arg, f->object, &f->key, there);
}

static enum step fail_until(struct fill *f, int why, int64_t again_us, int64_t now_us)
{
        struct object *o = f->object;
        char key[KEY_MAX * 2];
        if (o->len > 0 || why != ERR_NOT_YET) {
                log_warn("msg=\"an object could not be fetched\" key=%s have=%llu error=\"%s\"",
                         log_quote(key, sizeof(key), o->key), (unsigned long long)o->len, err_text(why));
                metric_add(&stats_aborted_fills, 1);
        }
        settle(f, false);
        cache_fail(o, why, again_us, now_us);
        return STEP_DONE;
}

static enum step fail_fill(struct fill *f, int why, int64_t now_us)
{
        return fail_until(f, why, 0, now_us);
}

/* ---- what to try next ----------------------------------------------------------------------------------------- */

static int64_t deadline_us(const struct fill *f)
{
        int64_t from_us = f->object->len > 0 ? f->progress_us : atomic_load(&f->object->wanted_us);
        return from_us + f->fills->cfg.hold_us;
}

static int why_late(const struct fill *f)
{
        return f->was_due ? ERR_NOT_YET : ERR_CLOSED;
}

int64_t fill_pause_us(unsigned rounds, uint64_t random)
{
        int64_t most_us = FILL_PAUSE_FIRST_US;
        while (rounds-- > 0 && most_us < FILL_PAUSE_MAX_US)
                most_us *= 2;
        most_us = most_us < FILL_PAUSE_MAX_US ? most_us : FILL_PAUSE_MAX_US;
        return 1 + (int64_t)(random % (uint64_t)most_us);
}

static int64_t pause_until_us(struct fill *f, int64_t now_us)
{
        int64_t until_us = now_us + fill_pause_us(f->rounds++, next_random(f->fills)), last_us = deadline_us(f);
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
        if (finds_nobody(f, said, now_us) || f->fills->stopping || now_us >= deadline_us(f))
                return fail_fill(f, why_late(f), now_us);
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

static bool is_list(const struct key *key)
{
        return key->kind == KEY_STREAMS || key->kind == KEY_RECORDINGS;
}

static bool is_segment(const char *key)
{
        const char *dot = strrchr(key, '.');
        return dot && strcmp(dot, ".m4s") == 0;
}

static void on_node_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes);
static void on_owner_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes);

enum whom { THE_OWNER, A_NODE, A_SECOND_NODE };

static int send_fetch(struct fill *f, enum whom whom, const struct node_set *not_these, int64_t now_us)
{
        struct object *o = f->object;
        struct fills *fs = f->fills;
        struct fetch what = {.offset = o->len, .hops = o->hops};
        memcpy(what.key, o->key, strlen(o->key));
        int64_t left_ms = (deadline_us(f) - now_us) / US_PER_MS;
        uint32_t most_ms = whom == THE_OWNER ? SIBLINGS_WAIT_MS : o->len > 0 ? FILL_WAIT_MS : FILL_BEGIN_MS;
        what.wait_ms = left_ms <= 0 ? 0 : left_ms < most_ms ? (uint32_t)left_ms : most_ms;
        struct call *c = mem_alloc(sizeof(*c));
        *c = (struct call){.fills = fs, .fill = f, .asked_us = now_us, .wait_ms = what.wait_ms, .second = whom == A_SECOND_NODE,
                           .owner = whom == THE_OWNER};
        c->kind = o->len > 0 || is_segment(o->key) ? HEDGE_GROWING : HEDGE_THERE;
        c->sample = whom == A_NODE && (o->len > 0 || c->kind == HEDGE_THERE);
        struct upstream *u = c->owner ? fs->cfg.siblings : fs->upstream;
        unsigned timeout_ms = what.wait_ms + (c->owner ? fs->cfg.sibling_late_ms : FILL_ANSWER_MS);
        int err = u->ops->fetch(u, f->key.stream, not_these, 0, &what, timeout_ms, &c->node,
                                c->owner ? on_owner_answer : on_node_answer, c);
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
        return is_list(&f->key) ? STEP_GATHER : ask_above(f, now_us);
}

/* A sibling takes this edge for the owner: two that wait for each other would wait for ever, so what the other one says is of no interest now. */
static enum step step_owner(struct fill *f, int64_t now_us)
{
        (void)now_us;
        if (!f->object->owned)
                return STEP_OWNER;
        race_drop(&f->race);
        return STEP_ASK;
}

static enum step step_up(struct fill *f, int64_t now_us)
{
        struct fills *fs = f->fills;
        if (!race_wants_second(&f->race, &fs->hedge, f->not_yet, fs->upstream->ops->live(fs->upstream), now_us))
                return STEP_UP;
        struct node_set avoided = f->round.tried;
        node_set_add(&avoided, f->race.first->node);
        hedge_avoid(&fs->hedge, now_us, &avoided);
        race_second(&f->race, &fs->hedge, send_fetch(f, A_SECOND_NODE, &avoided, now_us) == 0, now_us);
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
        return err ? fail_fill(f, err, now_us) : STEP_GATHER;
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

/* ---- an answer ------------------------------------------------------------------------------------------------ */

/* A content type goes into our header as it is: only printable ASCII does. Otherwise the ending says. */
static const char *safe_type(const struct fetch_reply *m, const char *key)
{
        static const char *const endings[][2] = {{".mpd", "application/dash+xml"},
                                                 {".m3u8", "application/vnd.apple.mpegurl"},
                                                 {".mp4", "video/mp4"},
                                                 {".m4s", "video/iso.segment"}};
        const char *p = m->content_type;
        while (isprint((unsigned char)*p))
                p++;
        if (p > m->content_type && !*p)
                return m->content_type;
        const char *dot = strrchr(key, '.');
        for (size_t i = 0; dot && i < sizeof(endings) / sizeof(endings[0]); i++) {
                if (strcmp(dot, endings[i][0]) == 0)
                        return endings[i][1];
        }
        return "application/octet-stream";
}

/* Those who keep the cache full are being closed, which takes a moment on a busy machine: the same bytes are asked for again, each time after
 * longer, for they may be a megabyte, and of many objects. */
static enum step wait_for_room(struct fill *f, int64_t now_us)
{
        if (f->no_room_us == 0)
                f->no_room_us = now_us;
        if (now_us - f->no_room_us >= FILL_NO_ROOM_US || f->fills->stopping)
                return fail_fill(f, ERR_NOSPACE, now_us);
        round_begin(&f->round);
        f->retry_us = now_us + fill_pause_us(f->rounds++, next_random(f->fills));
        if (f->retry_us > f->no_room_us + FILL_NO_ROOM_US)
                f->retry_us = f->no_room_us + FILL_NO_ROOM_US;
        return STEP_PAUSE;
}

/* Bytes, or the end: what one of the two asked brought first. */
static enum step take_piece(struct fill *f, const struct fetch_reply *m, struct buf *bytes, int64_t now_us)
{
        struct object *o = f->object;
        bool immutable = m->flags & FETCH_IMMUTABLE, complete = m->flags & FETCH_COMPLETE;
        const char *type = safe_type(m, o->key);
        int err = bytes && o->len + bytes->len > f->fills->cfg.object_max_bytes ? ERR_LIMIT : 0;
        settle(f, true);
        f->grew |= !complete;
        if (!err && complete)
                err = cache_complete(o, bytes, type, immutable, m->ttl_ms, now_us);
        else if (!err)
                err = cache_append(o, bytes, type, immutable);
        if (err == ERR_NOSPACE)
                return wait_for_room(f, now_us);
        if (err)
                return fail_fill(f, err, now_us);
        f->no_room_us = 0;
        f->progress_us = now_us;
        f->not_yet = false;
        f->rounds = 0;
        return complete ? STEP_DONE : STEP_ASK;
}

static void take_not_yet(struct fill *f, const struct call *c, const struct fetch_reply *m, int64_t now_us)
{
        uint32_t due_ms = m->status == ERR_NOT_YET && f->object->len == 0 ? m->ttl_ms : 0;
        bool waited = now_us - c->asked_us >= (int64_t)c->wait_ms * US_PER_MS / 2;
        f->due_us = due_ms ? now_us + (due_ms < FILL_DUE_MAX_MS ? due_ms : FILL_DUE_MAX_MS) * US_PER_MS : 0;
        f->was_due = f->not_yet = true;
        f->round.waited |= waited;
        if (waited && c->second && f->race.first)
                node_set_add(&f->round.tried, race_drop_first(&f->race, &f->fills->hedge, now_us));
}

/* All owners go by the same clock, so one is believed. */
static enum step wait_until_due(struct fill *f, int64_t now_us)
{
        cache_due(f->object, f->due_us);
        if (f->due_us > deadline_us(f))
                return fail_until(f, ERR_NOT_YET, f->due_us - f->fills->cfg.hold_us, now_us);
        round_begin(&f->round);
        return STEP_DUE;
}

/* This node has nothing for us in this round; the other one may still. */
static enum step take_no(struct fill *f, const struct call *c, int status, const struct fetch_reply *m, int64_t now_us)
{
        round_heard(&f->round, c->node, status, m ? m->ttl_ms : 0);
        if (status == ERR_NOT_YET)
                take_not_yet(f, c, m, now_us);
        else
                log_debug("key=%s node=%llx error=\"%s\"", f->object->key, (unsigned long long)c->node, err_text(status));
        if (race_runs(&f->race))
                return f->step;
        race_lost(&f->race);
        if (f->not_yet && now_us >= deadline_us(f))
                return fail_fill(f, ERR_NOT_YET, now_us);
        return f->due_us > now_us ? wait_until_due(f, now_us) : STEP_ASK;
}

/* A manifest that names a session before the one this stream had already: as good as none, unless it is all there is. */
static bool is_behind(struct fill *f, const struct fetch_reply *m, const struct buf *bytes)
{
        char session[SESSION_ID_MAX + 1];
        struct newest *n = &f->fills->newest;
        if (!bytes || f->object->len > 0 || (m->flags & FETCH_IMMUTABLE) || !f->key.stream[0] ||
            !newest_find(bytes->data, bytes->len, session))
                return false;
        if (!f->takes_old && newest_is_old(n, f->key.stream, session)) {
                f->takes_old = f->round.waited = true; /* in the next round, which follows at once */
                return true;
        }
        newest_saw(n, f->key.stream, session);
        return false;
}

static void hear_call(const struct call *c, int err, bool brings, int64_t now_us)
{
        struct hedge *h = &c->fills->hedge;
        if (err == ERR_TIMEOUT)
                hedge_late(h, c->node, now_us);
        else if (err == 0)
                hedge_heard(h, c->node);
        if (!brings || !c->sample)
                return;
        hedge_sample(h, c->kind, now_us - c->asked_us);
        metric_set(&stats_upstream_p95[c->kind], hedge_p95_us(h, c->kind));
}

/* How old the beginning of a growing segment is when it comes here; only if it was waited for, else it may have been there
 * for a while. */
static void observe_glass(const struct fill *f, const struct call *c, const struct fetch_reply *m, const struct buf *bytes,
                          int64_t now_us)
{
        int64_t captured_us;
        if (bytes && !f->object->len && !(m->flags & FETCH_COMPLETE) && now_us - c->asked_us >= GLASS_WAITED_US &&
            glass_captured(bytes->data, bytes->len, &captured_us)) {
                histogram_observe(&stats_glass, clock_wall_us() - captured_us);
                if (f->key.stream[0])
                        lag_saw(f->key.stream, clock_wall_us() - captured_us, now_us);
        }
}

static void on_node_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct call *c = arg;
        struct fill *f = c->fill;
        int64_t now_us = c->fills->cfg.clock_us();
        int status = err ? err : m->status;
        bool brings = status == 0 && (bytes || (m->flags & FETCH_COMPLETE));
        if (f && brings && is_behind(f, m, bytes))
                brings = false;
        if (status == 0 && !brings)
                status = ERR_NOT_YET;
        stats_fetch(status, f != NULL);
        hear_call(c, err, brings, now_us);
        if (f) {
                race_left(&f->race, c);
                if (brings) {
                        observe_glass(f, c, m, bytes, now_us);
                        race_won(&f->race, &c->fills->hedge, c, now_us);
                }
                go(f, brings ? take_piece(f, m, bytes, now_us) : take_no(f, c, status, m, now_us), now_us);
        }
        free(c);
}

/* ---- an answer of the object's owner -------------------------------------------------------------------------------- */

/* It knows when there will be something, or is still waiting itself; or it leaves, and waits for nobody any more. */
static enum step owner_has_not_yet(struct fill *f, const struct call *c, const struct fetch_reply *m, int64_t now_us)
{
        if (now_us >= deadline_us(f))
                return fail_fill(f, ERR_NOT_YET, now_us);
        bool waited = now_us - c->asked_us >= (int64_t)c->wait_ms * US_PER_MS / 2;
        if (m->ttl_ms && f->object->len == 0) {
                take_not_yet(f, c, m, now_us);
                return wait_until_due(f, now_us);
        }
        f->up = !waited;
        return STEP_ASK;
}

static enum step take_owner_answer(struct fill *f, const struct call *c, int status, const struct fetch_reply *m, struct buf *bytes,
                                   int64_t now_us)
{
        bool begun = f->object->len > 0, whole = m && m->flags & FETCH_COMPLETE;
        if (status == 0 && is_list(&f->key) && !whole) {
                f->up = true; /* a list longer than one answer: the rest might be of the next one, for lists change each second */
                return STEP_ASK;
        }
        if (status == 0 && (bytes || whole) && !is_behind(f, m, bytes)) {
                observe_glass(f, c, m, bytes, now_us);
                return take_piece(f, m, bytes, now_us);
        }
        if (status == ERR_NOT_FOUND && !begun && !f->was_due) {
                cache_missing(f->object, m->ttl_ms, now_us);
                return STEP_DONE;
        }
        if (status == ERR_NOT_YET)
                return owner_has_not_yet(f, c, m, now_us);
        log_debug("key=%s sibling=%llx error=\"%s\"", f->object->key, (unsigned long long)c->node, err_text(status));
        if (status == ERR_TIMEOUT || status == ERR_CLOSED) /* it does not answer: somebody else owns what was its own */
                node_set_add(&f->passed, c->node);
        else
                f->up = true;
        return STEP_ASK;
}

static void on_owner_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct call *c = arg;
        struct fill *f = c->fill;
        int64_t now_us = c->fills->cfg.clock_us();
        int status = err ? err : m->status;
        siblings_heard(status);
        if (err == ERR_TIMEOUT)
                hedge_late(&c->fills->late_siblings, c->node, now_us);
        else if (!err)
                hedge_heard(&c->fills->late_siblings, c->node);
        if (f) {
                race_left(&f->race, c);
                go(f, take_owner_answer(f, c, status, m, bytes, now_us), now_us);
        }
        free(c);
}

/* ---- a list: every node is asked, the answers are put together ---------------------------------------------------- */

static void on_gathered(void *arg, int err, struct buf *json)
{
        struct fill *f = arg;
        int64_t now_us = f->fills->cfg.clock_us();
        f->gathering = NULL;
        if (!err)
                err = cache_complete(f->object, json, "application/json", false, LIST_TTL_MS, now_us);
        go(f, err ? fail_fill(f, err, now_us) : STEP_DONE, now_us);
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
                int64_t soon_us = now_us + (int64_t)(next_random(fs) % (uint64_t)FILL_SPREAD_US);
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
        go(f, ends ? fail_fill(f, ERR_CLOSED, now_us) : STEP_ASK, now_us);
}

void fills_stop(struct fills *fs)
{
        int64_t now_us = fs->cfg.clock_us();
        fs->stopping = true;
        for (struct fill *f = fs->first, *next; f; f = next) {
                next = f->next;
                gather_abandon(&f->gathering);
                if (!race_runs(&f->race))
                        go(f, fail_fill(f, why_late(f), now_us), now_us);
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
