#include "edged/serve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/stats.h"
#include "proto/key.h"
#include "proto/message.h"

#define NOTHING_TTL_MS 1000 /* for a key that no tier has */
#define NAMES_TICK_MS 20
#define LAST_CHANCE INT64_MIN /* answer() has something to say in any case */
#define ASKER_BUCKETS 64

struct serve {
        struct crowd *crowd; /* NULL: nobody is told who watches */
        struct rpc_server *server;
        struct cache *cache;
        struct census *census;
        struct upstream *upstream;
        struct naming *namings;
        unsigned naming_count, namings_max; /* half of all that may wait: the rest is for media; who may not wait asks again soon */
        unsigned max_waits;
        struct asker *askers[ASKER_BUCKETS];
        struct serving *servings;
        uv_timer_t timer; /* runs while somebody waits for new names */
};

struct asker { /* a connection of whose requests some wait */
        struct asker *next;
        uint32_t connection;
        unsigned waiting;
};

struct naming { /* who waits for new names */
        struct naming *next;
        struct rpc_request *req;
        uint64_t instance, since;
        int64_t deadline_us;
};

struct serving { /* a request that waits */
        struct waiter waiter;
        struct serving *next, *prev; /* of all */
        uint8_t hops;
        struct serve *serve;
        struct rpc_request *req;
        struct object *object;
        uint64_t offset;
};

static void reply(struct rpc_request *req, const struct fetch_reply *m)
{
        metric_add(&stats_served, 1);
        rpc_reply(req, message_new(MSG_FETCH_REPLY, fetch_reply_encode, m));
}

static void reply_status(struct rpc_request *req, uint64_t offset, int status, uint32_t ttl_ms)
{
        struct fetch_reply m = {.status = (int8_t)status, .offset = offset, .ttl_ms = ttl_ms};
        reply(req, &m);
}

/* How long the asking tier may use what we have. */
static uint32_t ttl_left_ms(struct object *o, int64_t now_us)
{
        int64_t left_ms = (o->expires_us - now_us) / US_PER_MS;
        return left_ms < 0 ? 0 : left_ms > 3600000 ? 3600000 : (uint32_t)left_ms;
}

/* all: what changes is one answer, as long as it can be one (proto/fetch.h). */
static void take_of_body(struct fetch_reply *m, const struct buf *body, bool all)
{
        uint64_t left = body->len - m->offset, most = all && left <= FETCH_WHOLE_MAX ? FETCH_WHOLE_MAX : BODY_MAX;
        m->bytes = body->data + m->offset;
        m->len = (uint32_t)(left < most ? left : most);
        m->flags |= m->len == left ? FETCH_COMPLETE : 0;
}

static void take_of_pieces(struct fetch_reply *m, struct object *o)
{
        static uint8_t piece[BODY_MAX]; /* loop thread only */
        while (m->len < BODY_MAX) {
                ssize_t n = object_read(o, m->offset + m->len, piece + m->len, BODY_MAX - m->len);
                if (n <= 0)
                        break;
                m->len += (uint32_t)n;
        }
        m->bytes = piece;
}

static void reply_bytes(struct rpc_request *req, struct object *o, uint64_t offset, const struct object_view *v,
                        int64_t now_us)
{
        struct fetch_reply m = {.offset = offset, .flags = o->immutable ? FETCH_IMMUTABLE : 0};
        memcpy(m.content_type, o->type, sizeof(m.content_type));
        if (v->state == OBJECT_COMPLETE)
                take_of_body(&m, v->body, !o->immutable && offset == 0);
        else
                take_of_pieces(&m, o);
        if (v->state == OBJECT_COMPLETE)
                m.ttl_ms = ttl_left_ms(o, now_us);
        reply(req, &m);
}

static uint32_t due_in_ms(const struct object_view *v, int64_t now_us)
{
        int64_t at_us = v->due_us > now_us ? v->due_us : v->again_us;
        return at_us > now_us ? (uint32_t)((at_us - now_us) / US_PER_MS) : 0;
}

/* Whether another node is to be asked, as it is for what nobody here can say, or fewer FETCHes are to be sent here. */
static int failed_status(int failure)
{
        return failure == ERR_NOSPACE ? ERR_FULL : failure == ERR_LIMIT ? ERR_LIMIT : ERR_IO;
}

/* false: there is nothing to say yet, and may be by until_us. */
static bool answer(struct rpc_request *req, struct object *o, uint64_t offset, int64_t until_us)
{
        struct object_view v;
        int64_t now_us = clock_mono_us();
        object_look(o, now_us, &v);
        if (v.stale && offset == 0) {
                struct object_view stale;
                object_look(v.stale, now_us, &stale);
                reply_bytes(req, v.stale, 0, &stale, now_us);
        } else if (v.state == OBJECT_COMPLETE ? offset <= v.len : v.state == OBJECT_FILLING && offset < v.len) {
                reply_bytes(req, o, offset, &v, now_us);
        } else if (v.state == OBJECT_MISSING) {
                reply_status(req, offset, ERR_NOT_FOUND, ttl_left_ms(o, now_us));
        } else if (v.state == OBJECT_COMPLETE) {
                reply_status(req, offset, ERR_NOT_FOUND, NOTHING_TTL_MS); /* beyond the end */
        } else if (v.state == OBJECT_FAILED && v.failure != ERR_NOT_YET) {
                reply_status(req, offset, failed_status(v.failure), 0);
        } else if (v.state == OBJECT_FAILED || v.again_us > until_us || until_us == LAST_CHANCE) {
                reply_status(req, offset, ERR_NOT_YET, due_in_ms(&v, now_us));
        } else {
                object_unref(&v.stale);
                return false;
        }
        object_unref(&v.stale);
        return true;
}

static struct asker **find_asker(struct serve *s, uint32_t connection)
{
        struct asker **at = &s->askers[connection % ASKER_BUCKETS];
        while (*at && (*at)->connection != connection)
                at = &(*at)->next;
        return at;
}

/* false: it has as many as one may have. */
static bool may_wait(struct serve *s, uint32_t connection)
{
        struct asker **at = find_asker(s, connection);
        if (!*at) {
                *at = mem_alloc(sizeof(**at));
                (*at)->connection = connection;
        }
        if ((*at)->waiting == s->max_waits)
                return false;
        (*at)->waiting++;
        return true;
}

static void waits_no_more(struct serve *s, uint32_t connection)
{
        struct asker **at = find_asker(s, connection), *a = *at;
        if (--a->waiting > 0)
                return;
        *at = a->next;
        free(a);
}

static void end_serving(struct serving *s)
{
        if (s->next)
                s->next->prev = s->prev;
        *(s->prev ? &s->prev->next : &s->serve->servings) = s->next;
        object_unref(&s->object);
        free(s);
}

static void on_wake(struct waiter *w)
{
        struct serving *s = (struct serving *)(void *)w;
        waits_no_more(s->serve, s->req->connection);
        bool done = answer(s->req, s->object, s->offset, LAST_CHANCE);
        assert(done);
        (void)done;
        end_serving(s);
}

void serve_turn_away(struct serve *serve, struct object *o)
{
        for (struct serving *s = serve->servings, *next; s; s = next) {
                next = s->next;
                if (s->object != o || s->hops < o->too_deep || !object_leave(o, &s->waiter))
                        continue;
                waits_no_more(serve, s->req->connection);
                reply_status(s->req, s->offset, ERR_LIMIT, 0);
                end_serving(s);
        }
}

static void wait_for(struct serve *serve, struct rpc_request *req, struct object *o, const struct fetch *m, uint8_t hops, int64_t now_us)
{
        if (!may_wait(serve, req->connection)) {
                reply_status(req, m->offset, ERR_FULL, 0);
                return;
        }
        struct serving *s = mem_alloc(sizeof(*s));
        uint32_t wait_ms = m->wait_ms < FETCH_WAIT_MAX_MS ? m->wait_ms : FETCH_WAIT_MAX_MS;
        *s = (struct serving){.waiter = {.have = m->offset, .deadline_us = now_us + wait_ms * US_PER_MS, .wake = on_wake},
                              .serve = serve,
                              .req = req,
                              .object = object_ref(o),
                              .offset = m->offset,
                              .hops = hops,
                              .next = serve->servings};
        if (s->next)
                s->next->prev = s;
        serve->servings = s;
        if (!object_wait(o, &s->waiter))
                on_wake(&s->waiter);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void reply_names(struct serve *s, struct rpc_request *req, uint64_t instance, uint64_t since)
{
        struct buf *page = census_page(s->census, instance, since, clock_wall_us());
        struct fetch_reply m = {.flags = FETCH_COMPLETE, .bytes = page->data, .len = (uint32_t)page->len};
        reply(req, &m);
        buf_unref(&page);
}

static void on_names_timer(uv_timer_t *timer)
{
        struct serve *s = timer->data;
        int64_t now_us = clock_mono_us();
        for (struct naming **at = &s->namings, *n; (n = *at);) {
                bool news = census_has_news(s->census, n->instance, n->since);
                if (!news && now_us < n->deadline_us) {
                        at = &n->next;
                        continue;
                }
                *at = n->next;
                s->naming_count--;
                if (news)
                        reply_names(s, n->req, n->instance, n->since);
                else
                        reply_status(n->req, 0, ERR_NOT_YET, 0);
                free(n);
        }
        if (!s->namings)
                uv_timer_stop(timer);
}

static void on_names(struct serve *s, struct rpc_request *req, const struct key *key, const struct fetch *m)
{
        if (m->wait_ms == 0 || census_has_news(s->census, key->instance, key->since)) {
                reply_names(s, req, key->instance, key->since);
                return;
        }
        if (s->naming_count == s->namings_max) {
                reply_status(req, 0, ERR_NOT_YET, 0);
                return;
        }
        struct naming *n = mem_alloc(sizeof(*n));
        s->naming_count++;
        *n = (struct naming){.next = s->namings, .req = req, .instance = key->instance, .since = key->since,
                             .deadline_us = clock_mono_us() + m->wait_ms * US_PER_MS};
        s->namings = n;
        uv_timer_start(&s->timer, on_names_timer, NAMES_TICK_MS, NAMES_TICK_MS);
}

/* For that one nothing is asked further, nor does it wait for what is: this edge may be asking it (fill.h). */
static void answer_too_deep(struct serve *s, struct rpc_request *req, const struct fetch *m, int64_t now_us)
{
        struct object *o;
        cache_find(s->cache, m->key, strlen(m->key), now_us, &o);
        if (!o || !answer(req, o, m->offset, INT64_MAX))
                reply_status(req, m->offset, ERR_LIMIT, 0);
        object_unref(&o);
}

static void on_fetch(void *arg, struct rpc_request *req)
{
        struct serve *s = arg;
        struct fetch m;
        bool owned = req->type == MSG_FETCH_OWNED;
        if ((req->type != MSG_FETCH && !owned) || fetch_decode(&req->body, &m) != 0) {
                rpc_drop(req, "not a FETCH");
                return;
        }
        struct key key;
        key_parse(&key, m.key);
        if (key.kind == KEY_NAMES && !owned) { /* which each node below asks again and again */
                if (s->upstream->ops->asks_here)
                        s->upstream->ops->asks_here(s->upstream, rpc_asker(req));
                on_names(s, req, &key, &m);
                return;
        }
        if (key.kind == KEY_VIEWERS && s->crowd && !owned) {
                struct buf *said = crowd_say(s->crowd);
                struct fetch_reply reply_said = {.flags = FETCH_COMPLETE, .bytes = said->data, .len = (uint32_t)said->len};
                reply(req, &reply_said);
                buf_unref(&said);
                return;
        }
        enum census_says says = owned ? CENSUS_THERE : census_ask(s->census, &key, clock_wall_us());
        if (!key_is_public(key.kind) || says == CENSUS_UNKNOWN || says == CENSUS_FAR) {
                reply_status(req, m.offset, ERR_NOT_FOUND, NOTHING_TTL_MS);
                return;
        }
        struct object *o;
        int64_t now_us = clock_mono_us();
        uint8_t hops = owned || m.hops == FETCH_HOPS_MAX ? m.hops : (uint8_t)(m.hops + 1);
        if (hops == FETCH_HOPS_MAX) {
                answer_too_deep(s, req, &m, now_us);
                return;
        }
        enum cache_result got = owned ? cache_get_owned(s->cache, m.key, strlen(m.key), hops, now_us, &o)
                                      : cache_get(s->cache, m.key, strlen(m.key), hops, now_us, &o);
        if (got == CACHE_FULL) {
                reply_status(req, m.offset, ERR_FULL, 0);
                return;
        }
        uint32_t wait_ms = m.wait_ms < FETCH_WAIT_MAX_MS ? m.wait_ms : FETCH_WAIT_MAX_MS;
        if (answer(req, o, m.offset, now_us + wait_ms * US_PER_MS))
                ;
        else if (o->too_deep && hops >= o->too_deep)
                reply_status(req, m.offset, ERR_LIMIT, 0);
        else
                wait_for(s, req, o, &m, hops, now_us);
        object_unref(&o);
}

int serve_open(struct serve **out, uv_loop_t *loop, const char *bind, int port, const struct node_identity *self,
               struct cache *cache, struct census *census, struct upstream *upstream, unsigned max_waits)
{
        struct serve *s = mem_alloc(sizeof(*s));
        s->cache = cache;
        s->census = census;
        s->upstream = upstream;
        s->max_waits = max_waits;
        s->namings_max = max_waits * SERVE_SHARES / 2;
        int err = rpc_server_open(&s->server, loop, bind, port, max_waits * SERVE_SHARES, self, on_fetch, s);
        if (err) {
                free(s);
                return err;
        }
        uv_timer_init(loop, &s->timer);
        s->timer.data = s;
        *out = s;
        return 0;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void serve_tell_viewers(struct serve *s, struct crowd *c)
{
        s->crowd = c;
}

void serve_close(struct serve *s)
{
        while (s->namings) {
                struct naming *n = s->namings;
                s->namings = n->next;
                reply_status(n->req, 0, ERR_NOT_YET, 0);
                free(n);
        }
        rpc_server_close(s->server);
        uv_close((uv_handle_t *)&s->timer, on_closed);
}
