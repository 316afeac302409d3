/* tail.c - a track as one answer without an end (edged/tail.h): the init segment is found as any object is, and when it is there the rest
 * follows. */
#include "edged/tail.h"

#include "common/clock.h"
#include "common/err.h"
#include "edged/routes/lookup.h"

#define TAILS_PART 2 /* of connections_max: such an answer never rests, so nobody displaces it, and viewers who ask are to find room */

/* ---- what it is sent --------------------------------------------------------------------------------------------------- */

/* Who was sent a segment has watched that second, as who fetched it. */
static void count_segment(struct ask *a, const struct tail_read *read)
{
        const struct key *key = &a->path.object;
        struct audience_fetch f = {.stream = key->stream, .session = key->session, .segment = read->segment,
                                   .of = key->track[0] == 'v' ? AUDIENCE_PICTURE : AUDIENCE_SOUND,
                                   .wanted_us = read->made_us, .now_us = clock_mono_us()};
        if (a->http->parts.audience)
                audience_saw(a->http->parts.audience, wire_thread_index(&a->request), &f);
}

static ssize_t take_tail(struct ask *a, struct buf **piece, size_t *off, bool *last)
{
        *last = false;
        for (bool again = false;; again = true) {
                struct object *was_at = a->object;
                struct tail_asks asks = {.leaves = wire_leaves(&a->request), .late = a->waiter.expired, .now_us = clock_mono_us()};
                struct tail_read read;
                struct tail_wait wait;
                a->waiter.expired = false;
                ssize_t n = tail_take(a->tail.tail, &a->object, &asks, piece, off, &wait, &read);
                if (read.whole)
                        count_segment(a, &read);
                if (n > 0)
                        metric_add(&stats_sent, n); /* as it goes: a day's worth at once would be in no rate */
                if (n == ERR_CLOSED) /* whoever goes on elsewhere needs a connection to there */
                        a->request.closes |= asks.leaves;
                if (n != 0)
                        return n;
                if (again && a->object == was_at)
                        return ERR_NOT_YET;
                if (ask_hold(a, wait.have, asks.now_us + (wait.us ? wait.us : 2 * a->http->cfg.hold_us)))
                        return 0;
        } /* there was something meanwhile, or nobody waits any more */
}

static bool take_place(struct http *h)
{
        if (atomic_fetch_add(&h->tails, 1) < h->cfg.connections_max / TAILS_PART)
                return true;
        atomic_fetch_sub(&h->tails, 1);
        return false;
}

static void say_tail(struct ask *a, struct buf *init)
{
        struct http *h = a->http;
        struct object *first = NULL;
        int64_t now_us = clock_mono_us();
        a->result = RESULT_LOCAL;
        if (!take_place(h)) {
                ask_say_error(a, RESPOND_TAILS);
                return;
        }
        int err = tail_open(&a->tail.tail, h->parts.cache, h->parts.census, &a->path.object, init, now_us, &first);
        if (err) {
                atomic_fetch_sub(&h->tails, 1);
                ask_say_error(a, err == ERR_NOT_FOUND ? RESPOND_OVER : RESPOND_BUSY);
                return;
        }
        struct answer *answer = respond_tail(a->object, a->pass.form);
        object_unref(&a->object);
        a->object = first;
        a->waiter.expired = false;
        a->answered_us = now_us;
        ask_say_once(a, answer);
}

/* ---- the route --------------------------------------------------------------------------------------------------------- */

/* Called when the request is new, and again when its init segment is there, or late. */
static void say_init(struct ask *a)
{
        struct object_view v;
        object_look(a->object, clock_mono_us(), &v);
        object_unref(&v.stale); /* of what never changes there is none */
        switch (v.state) {
        case OBJECT_COMPLETE:
                say_tail(a, v.body);
                return;
        case OBJECT_MISSING:
                ask_say_error(a, RESPOND_MISSING);
                return;
        case OBJECT_FAILED:
                ask_say_failed(a, v.failure, v.again_us);
                return;
        case OBJECT_FILLING:
                break;
        }
        if (a->waiter.expired) {
                ask_say_error(a, RESPOND_NOT_YET);
        } else if (!ask_hold(a, UINT64_MAX, a->request.started_us + a->http->cfg.hold_us)) {
                a->waiter.expired = true; /* it is there now, or nobody waits any more */
                say_init(a);
        }
}

static void begin_tail(struct ask *a)
{
        enum cache_result cached;
        unsigned fault = ask_admit(a, a->path.object.stream);
        if (fault != ACCESS_OK) {
                ask_refuse(a, fault);
                return;
        }
        if (!lookup(a, &a->object, &cached))
                return;
        a->result = respond_result(cached);
        if (a->object)
                say_init(a);
        else
                ask_say_error(a, RESPOND_BUSY);
}

static bool tail_is_lost(struct ask *a)
{
        return a->object && object_is_cut(a->object);
}

static void end_tail(struct ask *a)
{
        if (a->tail.tail)
                atomic_fetch_sub(&a->http->tails, 1);
        tail_close(&a->tail.tail);
        object_unref(&a->object);
}

const struct route route_tail = {.begin = begin_tail, .go_on = say_init, .more = take_tail, .leave = ask_leave, .lost = tail_is_lost, .end = end_tail};
