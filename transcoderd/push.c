#include "transcoderd/push.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/hello.h"
#include "transcoderd/stats.h"

#define PUT_DEADLINE_MS 2000
#define RETRY_FIRST_MS 20
#define RETRY_MAX_MS 1000
#define QUEUE_MAX_BYTES (32u << 20)

struct item {
        struct item *next;
        struct put put;
        struct buf *bytes;
        int64_t made_us; /* monotonic */
};

struct lane {
        struct push *push;
        char name[TRACK_NAME_MAX + 1];
        bool known, under_way;
        unsigned tries;
        struct item *first, **last;
        int64_t stored_us;
        uv_timer_t retry;
};

struct push {
        struct rpc_client *origin;
        char session[SESSION_ID_MAX + 1];
        uint32_t generation;
        const struct push_events *events;
        void *arg;
        struct lane lanes[SESSION_TRACKS_MAX];
        size_t queued_bytes;
        unsigned calls, handles;
        uv_timer_t end_retry;
        bool ending, end_sent, stopped, closed;
        int64_t end_us;
};

static void send_first(struct lane *l);
static void end_if_stored(struct push *p);

static void on_retry(uv_timer_t *t)
{
        struct lane *l = t->data;
        send_first(l);
}

static void on_end_retry(uv_timer_t *t)
{
        end_if_stored(t->data);
}

struct push *push_new(uv_loop_t *loop, struct rpc_client *origin, const char *session, uint32_t generation,
                      const struct push_events *events, void *arg)
{
        struct push *p = mem_alloc(sizeof(*p));
        *p = (struct push){.origin = origin, .generation = generation, .events = events, .arg = arg};
        memcpy(p->session, session, strlen(session) + 1);
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                p->lanes[i].push = p;
                p->lanes[i].last = &p->lanes[i].first;
                uv_timer_init(loop, &p->lanes[i].retry);
                p->lanes[i].retry.data = &p->lanes[i];
        }
        uv_timer_init(loop, &p->end_retry);
        p->end_retry.data = p;
        p->handles = SESSION_TRACKS_MAX + 1;
        return p;
}

static void on_handle_closed(uv_handle_t *h)
{
        struct push *p = h->data;
        if (--p->handles == 0)
                free(p);
}

static void free_if_done(struct push *p)
{
        if (!p->closed || p->calls)
                return;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                struct lane *l = &p->lanes[i];
                while (l->first) {
                        struct item *it = l->first;
                        l->first = it->next;
                        buf_unref(&it->bytes);
                        free(it);
                }
                l->retry.data = p;
                uv_close((uv_handle_t *)&l->retry, on_handle_closed);
        }
        uv_close((uv_handle_t *)&p->end_retry, on_handle_closed);
}

static void pop(struct lane *l)
{
        struct item *it = l->first;
        l->first = it->next;
        if (!l->first)
                l->last = &l->first;
        l->push->queued_bytes -= it->bytes->len;
        buf_unref(&it->bytes);
        free(it);
}

static void retry_later(struct lane *l)
{
        unsigned ms = RETRY_FIRST_MS << (l->tries < 6 ? l->tries : 6);
        l->tries++;
        ms = ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
        uv_timer_start(&l->retry, on_retry, ms / 2 + (unsigned)rand() % ms, 0);
}

static void on_put(void *arg, int err, nng_msg *reply)
{
        struct lane *l = arg;
        struct push *p = l->push;
        struct put_reply m = {0};
        struct reader rd;
        l->under_way = false;
        p->calls--;
        if (!err && message_open(&rd, reply) != MSG_PUT_REPLY)
                err = ERR_CLOSED;
        if (!err)
                err = put_reply_decode(&rd, &m);
        nng_msg_free(reply);
        if (p->closed) {
                free_if_done(p);
                return;
        }
        if (p->stopped)
                return;
        if (!err)
                err = m.status;
        struct item *it = l->first;
        switch (err) {
        case 0:
                metric_set(&stats_put_us, clock_mono_us() - it->made_us);
                l->stored_us = it->put.flags & PUT_INIT ? l->stored_us : it->put.start_us + it->put.duration_us;
                l->tries = 0;
                pop(l);
                p->events->stored(p->arg);
                send_first(l);
                break;
        case ERR_FENCED:
                p->stopped = true;
                metric_add(&stats_fenced, 1);
                p->events->fenced(p->arg);
                return;
        case ERR_NOT_FOUND:
                p->stopped = true;
                p->events->lost(p->arg);
                return;
        case ERR_ORDER:
        case ERR_CONFLICT:
        case ERR_PROTO:
                log_error("session=%s track=%s msg=\"origin refused a chunk; it is left out\" segment=%u chunk=%u "
                          "start_us=%lld error=\"%s\" expected=%u/%u end_us=%lld", p->session, l->name, it->put.segment,
                          it->put.chunk, (long long)it->put.start_us, err_text(err), m.next_segment, m.next_chunk,
                          (long long)m.end_us);
                metric_add(&stats_dropped, 1);
                pop(l);
                send_first(l);
                break;
        default:
                log_warn("session=%s track=%s msg=\"chunk not stored yet\" segment=%u chunk=%u error=\"%s\"", p->session,
                         l->name, it->put.segment, it->put.chunk, err_text(err));
                retry_later(l);
        }
        end_if_stored(p);
}

static void send_first(struct lane *l)
{
        struct push *p = l->push;
        if (!l->first || l->under_way || p->stopped || p->closed)
                return;
        l->under_way = true;
        p->calls++;
        rpc_call(p->origin, message_new(MSG_PUT, put_encode, &l->first->put), PUT_DEADLINE_MS, on_put, l);
}

static void make_room(struct push *p, struct lane *l)
{
        while (p->queued_bytes > QUEUE_MAX_BYTES && l->first && l->first->next) {
                struct item **link = l->under_way ? &l->first->next : &l->first;
                struct item *it = *link;
                if (!it || it->put.flags & PUT_INIT)
                        return;
                *link = it->next;
                if (!it->next)
                        l->last = link;
                p->queued_bytes -= it->bytes->len;
                log_error("session=%s track=%s msg=\"queue is full: a chunk is lost\" segment=%u chunk=%u", p->session,
                          l->name, it->put.segment, it->put.chunk);
                metric_add(&stats_dropped, 1);
                buf_unref(&it->bytes);
                free(it);
        }
}

static void add(struct push *p, unsigned track, const struct put *put, struct buf *bytes)
{
        struct lane *l = &p->lanes[track];
        struct item *it = mem_alloc(sizeof(*it));
        it->put = *put;
        it->bytes = buf_ref(bytes);
        it->put.bytes = bytes->data;
        it->put.len = (uint32_t)bytes->len;
        it->put.generation = p->generation;
        memcpy(it->put.session, p->session, sizeof(it->put.session));
        memcpy(it->put.track, l->name, sizeof(l->name));
        it->made_us = clock_mono_us();
        *l->last = it;
        l->last = &it->next;
        p->queued_bytes += bytes->len;
        make_room(p, l);
        if (!l->tries)
                send_first(l);
}

void push_track(struct push *p, const struct track_info *info)
{
        if (info->track >= SESSION_TRACKS_MAX)
                return;
        struct lane *l = &p->lanes[info->track];
        l->known = true;
        l->stored_us = info->start_us;
        memcpy(l->name, info->name, sizeof(l->name));
        struct put put = {.flags = PUT_INIT, .start_us = info->start_us, .bandwidth = info->bandwidth,
                          .segment = (uint32_t)(info->start_us / SEGMENT_US), .fps_milli = info->fps_milli};
        add(p, info->track, &put, info->init);
}

void push_chunk(struct push *p, const struct chunk *c)
{
        struct put put = {.flags = c->flags, .segment = c->segment, .chunk = c->chunk, .start_us = c->start_us,
                          .duration_us = c->duration_us};
        add(p, c->track, &put, c->bytes);
}

int64_t push_stored_us(const struct push *p)
{
        int64_t least = INT64_MAX;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                if (p->lanes[i].known && p->lanes[i].stored_us < least)
                        least = p->lanes[i].stored_us;
        }
        return least == INT64_MAX ? 0 : least;
}

size_t push_queued(const struct push *p)
{
        return p->queued_bytes;
}

static void on_end(void *arg, int err, nng_msg *reply)
{
        struct push *p = arg;
        struct status_reply m = {0};
        struct reader rd;
        p->calls--;
        if (!err && message_open(&rd, reply) != MSG_END_REPLY)
                err = ERR_CLOSED;
        if (!err)
                err = status_reply_decode(&rd, &m);
        nng_msg_free(reply);
        if (p->closed) {
                free_if_done(p);
                return;
        }
        if (!err)
                err = m.status;
        if (err == 0 || err == ERR_FENCED || err == ERR_NOT_FOUND) {
                p->stopped = true;
                p->events->ended(p->arg, err);
                return;
        }
        p->end_sent = false;
        uv_timer_start(&p->end_retry, on_end_retry, RETRY_MAX_MS / 4, 0);
}

static void end_if_stored(struct push *p)
{
        if (!p->ending || p->end_sent || p->stopped || p->closed)
                return;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                if (p->lanes[i].first)
                        return;
        }
        struct end m = {.generation = p->generation, .end_us = p->end_us};
        memcpy(m.session, p->session, sizeof(m.session));
        p->end_sent = true;
        p->calls++;
        rpc_call(p->origin, message_new(MSG_END, end_encode, &m), PUT_DEADLINE_MS, on_end, p);
}

void push_end(struct push *p, int64_t end_us)
{
        p->ending = true;
        p->end_us = end_us;
        end_if_stored(p);
}

void push_close(struct push *p)
{
        p->closed = true;
        free_if_done(p);
}
