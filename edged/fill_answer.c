#include "edged/fill_impl.h"

#include <ctype.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "edged/cache_fill.h"
#include "edged/glass.h"
#include "edged/lag.h"
#include "edged/siblings.h"
#include "edged/stats.h"

#define GLASS_WAITED_US (50 * US_PER_MS)

uint64_t fills_random(struct fills *fs)
{
        uint64_t x = fs->random; /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return fs->random = x;
}

bool fill_is_list(const struct key *key)
{
        return key->kind == KEY_STREAMS || key->kind == KEY_RECORDINGS;
}

int64_t fill_deadline_us(const struct fill *f)
{
        int64_t from_us = f->object->len > 0 ? f->progress_us : atomic_load(&f->object->wanted_us);
        return from_us + f->fills->cfg.hold_us;
}

int64_t fill_pause_us(unsigned rounds, uint64_t random)
{
        int64_t most_us = FILL_PAUSE_FIRST_US;
        while (rounds-- > 0 && most_us < FILL_PAUSE_MAX_US)
                most_us *= 2;
        most_us = most_us < FILL_PAUSE_MAX_US ? most_us : FILL_PAUSE_MAX_US;
        return 1 + (int64_t)(random % (uint64_t)most_us);
}

/* ---- the object could not be had --------------------------------------------------------------------------------- */

static void settle(struct fill *f, bool there)
{
        const struct fill_config *cfg = &f->fills->cfg;
        if (f->object->len == 0 && cfg->settled)
                cfg->settled(cfg->arg, f->object, &f->key, there);
}

enum step fill_fail_until(struct fill *f, int why, int64_t again_us, int64_t now_us)
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

enum step fill_fail(struct fill *f, int why, int64_t now_us)
{
        return fill_fail_until(f, why, 0, now_us);
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

/* Those who keep the cache full are being closed, which takes a moment on a busy machine: the same bytes are asked for again, each time
 * after longer, for they may be a megabyte, and of many objects. */
static enum step wait_for_room(struct fill *f, int64_t now_us)
{
        if (f->no_room_us == 0)
                f->no_room_us = now_us;
        if (now_us - f->no_room_us >= FILL_NO_ROOM_US || f->fills->stopping)
                return fill_fail(f, ERR_NOSPACE, now_us);
        round_begin(&f->round);
        f->retry_us = now_us + fill_pause_us(f->rounds++, fills_random(f->fills));
        if (f->retry_us > f->no_room_us + FILL_NO_ROOM_US)
                f->retry_us = f->no_room_us + FILL_NO_ROOM_US;
        return STEP_PAUSE;
}

/* Words why there is no such recording are an answer, but nothing is there: who made up a name pays for them. */
static bool says_what_is(const struct fill *f, const struct buf *bytes)
{
        static const char cannot[] = KEY_FACTS_CANNOT;
        size_t len = sizeof(cannot) - 1;
        return f->key.kind != KEY_FACTS || !bytes || bytes->len < len || memcmp(bytes->data, cannot, len) != 0;
}

/* Bytes, or the end: what one of the two asked brought first. */
static enum step take_piece(struct fill *f, const struct fetch_reply *m, struct buf *bytes, int64_t now_us)
{
        struct object *o = f->object;
        bool immutable = m->flags & FETCH_IMMUTABLE, complete = m->flags & FETCH_COMPLETE;
        const char *type = safe_type(m, o->key);
        int err = bytes && o->len + bytes->len > f->fills->cfg.object_max_bytes ? ERR_LIMIT : 0;
        if (says_what_is(f, bytes))
                settle(f, true);
        f->grew |= !complete;
        if (!err && complete)
                err = cache_complete(o, bytes, type, immutable, m->ttl_ms, now_us);
        else if (!err)
                err = cache_append(o, bytes, type, immutable);
        if (err == ERR_NOSPACE)
                return wait_for_room(f, now_us);
        if (err)
                return fill_fail(f, err, now_us);
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
        if (f->due_us > fill_deadline_us(f))
                return fill_fail_until(f, ERR_NOT_YET, f->due_us - f->fills->cfg.hold_us, now_us);
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
        if (f->not_yet && now_us >= fill_deadline_us(f))
                return fill_fail(f, ERR_NOT_YET, now_us);
        return f->due_us > now_us ? wait_until_due(f, now_us) : STEP_ASK;
}

/* A manifest or a playlist that changes, and of which this is not all: what comes next would be of another version. A node of an
 * earlier version gives them so, or it is longer than an answer can be. */
static bool is_torn(const struct fill *f, const struct fetch_reply *m)
{
        enum key_kind kind = f->key.kind;
        bool changes = kind == KEY_ENTRY || kind == KEY_MANIFEST || kind == KEY_PLAYLIST;
        return changes && !(m->flags & (FETCH_IMMUTABLE | FETCH_COMPLETE));
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

enum step fill_take_answer(struct call *c, int err, const struct fetch_reply *m, struct buf *bytes, int64_t now_us)
{
        struct fill *f = c->fill;
        int status = err ? err : m->status;
        bool brings = status == 0 && (bytes || (m->flags & FETCH_COMPLETE));
        if (f && brings && is_torn(f, m))
                status = ERR_LIMIT;
        else if (f && brings && is_behind(f, m, bytes))
                status = ERR_NOT_YET;
        else if (status == 0 && !brings)
                status = ERR_NOT_YET;
        brings &= status == 0;
        stats_fetch(status, f != NULL);
        hear_call(c, err, brings, now_us);
        if (!f)
                return STEP_DONE;
        race_left(&f->race, c);
        if (!brings)
                return take_no(f, c, status, m, now_us);
        observe_glass(f, c, m, bytes, now_us);
        race_won(&f->race, &c->fills->hedge, c, now_us);
        return take_piece(f, m, bytes, now_us);
}

/* ---- an answer of the object's owner -------------------------------------------------------------------------------- */

/* It knows when there will be something, or is still waiting itself; or it leaves, and waits for nobody any more. */
static enum step owner_has_not_yet(struct fill *f, const struct call *c, const struct fetch_reply *m, int64_t now_us)
{
        if (now_us >= fill_deadline_us(f))
                return fill_fail(f, ERR_NOT_YET, now_us);
        bool waited = now_us - c->asked_us >= (int64_t)c->wait_ms * US_PER_MS / 2;
        if (m->ttl_ms && f->object->len == 0) {
                take_not_yet(f, c, m, now_us);
                return wait_until_due(f, now_us);
        }
        f->up = !waited;
        return STEP_ASK;
}

static enum step take_owner(struct fill *f, const struct call *c, int status, const struct fetch_reply *m, struct buf *bytes,
                            int64_t now_us)
{
        bool begun = f->object->len > 0, whole = m && m->flags & FETCH_COMPLETE;
        if (status == 0 && ((fill_is_list(&f->key) && !whole) || is_torn(f, m))) {
                f->up = true; /* it is longer than one answer: the rest might be of the next one, for lists change each second */
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
        if (status == ERR_TIMEOUT || status == ERR_CLOSED || status == ERR_FULL) /* somebody else owns what was its own: the same for all of the site */
                node_set_add(&f->passed, c->node);
        else
                f->up = true;
        return STEP_ASK;
}

enum step fill_take_owner_answer(struct call *c, int err, const struct fetch_reply *m, struct buf *bytes, int64_t now_us)
{
        int status = err ? err : m->status;
        siblings_heard(status);
        if (err == ERR_TIMEOUT)
                hedge_late(&c->fills->late_siblings, c->node, now_us);
        else if (!err)
                hedge_heard(&c->fills->late_siblings, c->node);
        if (!c->fill)
                return STEP_DONE;
        race_left(&c->fill->race, c);
        return take_owner(c->fill, c, status, m, bytes, now_us);
}
