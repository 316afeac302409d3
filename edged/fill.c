#include "edged/fill.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "edged/gather.h"
#include "edged/path.h"
#include "edged/stats.h"

#define STREAMS_TTL_MS 1000

struct fill {
        struct fill *next, *prev;
        struct fills *fills;
        struct object *object;
        char stream[KEY_MAX + 1];
        bool asking;
        int64_t asked_us, retry_us, progress_us;
        int64_t no_node_us; /* since when there is nobody to ask; 0: there is */
        uint64_t node;      /* being asked */
        struct node_set tried;
        unsigned not_found, not_yet; /* answers in this round */
        bool was_due;                /* some node said NOT_YET: it is not MISSING */
        uint32_t missing_ttl_ms, wait_ms;
};

struct fills {
        struct fill_config cfg;
        struct upstream *upstream;
        struct fill *first;
        size_t active;
        bool stopping;
        uv_timer_t timer;
};

static void ask(struct fill *f, int64_t now_us);

/* ---- the end of a fill ---------------------------------------------------------------------------------------- */

static void finish(struct fill *f)
{
        struct fills *fs = f->fills;
        if (f->next)
                f->next->prev = f->prev;
        *(f->prev ? &f->prev->next : &fs->first) = f->next;
        if (--fs->active == 0)
                uv_timer_stop(&fs->timer);
        object_unref(&f->object);
        free(f);
}

static void fail(struct fill *f, int why, int64_t now_us)
{
        struct object *o = f->object;
        char key[KEY_MAX * 2];
        if (o->len > 0 || why != ERR_NOT_YET) {
                log_warn("msg=\"an object could not be fetched\" key=%s have=%llu error=\"%s\"",
                         log_quote(key, sizeof(key), o->key), (unsigned long long)o->len, err_text(why));
                metric_add(&stats_aborted_fills, 1);
        }
        cache_fail(o, why, now_us);
        finish(f);
}

/* ---- what to try next ----------------------------------------------------------------------------------------- */

static int64_t deadline_us(const struct fill *f)
{
        int64_t from_us = f->object->len > 0 ? f->progress_us : atomic_load(&f->object->wanted_us);
        return from_us + f->fills->cfg.hold_us;
}

static void pause_until(struct fill *f, int64_t retry_us)
{
        f->asking = false;
        f->retry_us = retry_us;
}

static int why_late(const struct fill *f)
{
        return f->was_due ? ERR_NOT_YET : ERR_CLOSED;
}

/* Everybody in this round was asked, or there is nobody. */
static void end_round(struct fill *f, int64_t now_us)
{
        bool all_say_no = f->tried.count > 0 && f->not_found == f->tried.count;
        if (all_say_no && !f->was_due && f->object->len == 0) {
                cache_missing(f->object, f->missing_ttl_ms, now_us);
                finish(f);
                return;
        }
        if (f->tried.count == 0 && f->no_node_us == 0)
                f->no_node_us = now_us;
        if (f->tried.count > 0)
                f->no_node_us = 0;
        bool nobody = f->no_node_us && (f->object->stale || now_us - f->no_node_us >= FILL_NO_NODE_US);
        if (f->fills->stopping || nobody || now_us >= deadline_us(f)) {
                fail(f, why_late(f), now_us);
                return;
        }
        f->tried.count = 0;
        f->not_found = f->not_yet = 0;
        f->missing_ttl_ms = UINT32_MAX;
        pause_until(f, now_us + FILL_PAUSE_US);
}

static void pass_over(struct fill *f, int64_t now_us)
{
        node_set_add(&f->tried, f->node);
        ask(f, now_us);
}

static void on_not_yet(struct fill *f, int64_t now_us)
{
        f->was_due = true;
        if (now_us >= deadline_us(f)) {
                fail(f, ERR_NOT_YET, now_us);
                return;
        }
        if (++f->not_yet % 2 == 0) /* another may have what this one lacks */
                node_set_add(&f->tried, f->node);
        if (now_us - f->asked_us < (int64_t)f->wait_ms * US_PER_MS / 2)
                pause_until(f, now_us + FILL_PAUSE_US); /* it did not wait as it should: do not spin */
        else
                ask(f, now_us);
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

static void on_bytes(struct fill *f, const struct fetch_reply *m, struct buf *bytes, int64_t now_us)
{
        struct object *o = f->object;
        bool immutable = m->flags & FETCH_IMMUTABLE, complete = m->flags & FETCH_COMPLETE;
        const char *type = safe_type(m, o->key);
        if (!bytes && !complete) {
                on_not_yet(f, now_us);
                return;
        }
        int err = bytes && o->len + bytes->len > f->fills->cfg.object_max_bytes ? ERR_LIMIT : 0;
        if (!err && bytes)
                err = cache_append(o, bytes, type, immutable);
        if (err) {
                fail(f, err, now_us);
                return;
        }
        f->progress_us = now_us;
        f->not_yet = 0;
        if (!complete) {
                ask(f, now_us);
                return;
        }
        cache_complete(o, type, immutable, m->ttl_ms, now_us);
        finish(f);
}

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct fill *f = arg;
        int64_t now_us = clock_mono_us();
        f->asking = false;
        switch (err ? err : m->status) {
        case 0:
                on_bytes(f, m, bytes, now_us);
                break;
        case ERR_NOT_YET:
                on_not_yet(f, now_us);
                break;
        case ERR_NOT_FOUND:
                f->not_found++;
                if (m->ttl_ms < f->missing_ttl_ms)
                        f->missing_ttl_ms = m->ttl_ms;
                pass_over(f, now_us);
                break;
        default:
                log_debug("key=%s offset=%llu error=\"%s\"", f->object->key, (unsigned long long)f->object->len,
                          err_text(err ? err : m->status));
                pass_over(f, now_us);
        }
}

static void ask(struct fill *f, int64_t now_us)
{
        struct object *o = f->object;
        struct fetch what = {.offset = o->len, .hops = o->hops};
        memcpy(what.key, o->key, strlen(o->key));
        int64_t left_ms = (deadline_us(f) - now_us) / US_PER_MS;
        f->wait_ms = what.wait_ms = left_ms <= 0 ? 0 : left_ms < FILL_WAIT_MS ? (uint32_t)left_ms : FILL_WAIT_MS;
        f->asked_us = now_us;
        f->asking = true;
        struct upstream *u = f->fills->upstream;
        if (f->fills->stopping || f->tried.count == FILL_NODES_MAX ||
            u->ops->fetch(u, f->stream, &f->tried, 0, &what, what.wait_ms + FILL_ANSWER_MS, &f->node, on_answer, f) != 0)
                end_round(f, now_us);
}

/* ---- /api/streams: every node is asked, the answers are put together -------------------------------------------- */

static void on_gathered(void *arg, int err, struct buf *json)
{
        struct fill *f = arg;
        int64_t now_us = clock_mono_us();
        f->asking = false;
        if (!err)
                err = cache_append(f->object, json, "application/json", false);
        if (err) {
                fail(f, err, now_us);
                return;
        }
        cache_complete(f->object, "application/json", false, STREAMS_TTL_MS, now_us);
        finish(f);
}

/* ---- the set of fills ----------------------------------------------------------------------------------------- */

void fills_tick(struct fills *fs, int64_t now_us)
{
        for (struct fill *f = fs->first, *next; f; f = next) {
                next = f->next;
                cache_expire_waiters(f->object, now_us);
                if (!f->asking && f->retry_us <= now_us)
                        ask(f, now_us);
        }
}

static void on_timer(uv_timer_t *timer)
{
        fills_tick(timer->data, clock_mono_us());
}

void fills_open(struct fills **out, uv_loop_t *loop, const struct fill_config *cfg, struct upstream *upstream)
{
        struct fills *fs = mem_alloc(sizeof(*fs));
        fs->cfg = *cfg;
        fs->upstream = upstream;
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

void fill_begin(void *arg, struct object *o)
{
        struct fills *fs = arg;
        struct fill *f = mem_alloc(sizeof(*f));
        f->fills = fs;
        f->object = o;
        f->missing_ttl_ms = UINT32_MAX;
        path_stream(o->key, f->stream);
        f->next = fs->first;
        if (f->next)
                f->next->prev = f;
        fs->first = f;
        if (fs->active++ == 0)
                uv_timer_start(&fs->timer, on_timer, FILL_TICK_MS, FILL_TICK_MS);
        int64_t now_us = clock_mono_us();
        if (o->hops >= FETCH_HOPS_MAX || fs->stopping) {
                fail(f, ERR_CLOSED, now_us);
        } else if (strcmp(o->key, "/api/streams") == 0) {
                f->asking = true;
                gather_begin(fs->upstream, o->hops, on_gathered, f);
        } else {
                ask(f, now_us);
        }
}

void fills_stop(struct fills *fs)
{
        fs->stopping = true;
        for (struct fill *f = fs->first, *next; f; f = next) {
                next = f->next;
                if (!f->asking)
                        fail(f, why_late(f), clock_mono_us());
        }
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void fills_close(struct fills *fs)
{
        assert(fs->active == 0);
        uv_close((uv_handle_t *)&fs->timer, on_closed);
}
