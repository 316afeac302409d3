#include "edged/inquiry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"

struct source { /* a node above; its place is its number in the census */
        struct inquiry *inquiry;
        uint64_t node;     /* 0: free */
        uint64_t instance, next;
        bool asking, waits, complete, partial, more; /* waits: the question under way, for news */
        int64_t asked_us, good_us, up_us; /* when it was asked; when it answered well; when it was last seen up */
};

struct inquiry {
        struct upstream *upstream;
        struct census *census;
        uv_timer_t timer;
        int64_t looked_us; /* when it was seen last who is up */
        bool stopping, told;
        struct source sources[CENSUS_SOURCES];
};

static void ask_source(struct source *s, int64_t now_us);

static bool is_current(const struct source *s, int64_t now_us)
{
        return s->complete && !s->partial && now_us - s->good_us < INQUIRY_LATE_US;
}

static void start_over(struct source *s)
{
        s->instance = s->next = 0;
        s->complete = false;
}

static void take_names_page(struct source *s, const struct fetch_reply *m, const struct buf *bytes, int64_t now_us)
{
        struct names_page head;
        bool whole = bytes && m->flags & FETCH_COMPLETE;
        int err = whole ? census_take(s->inquiry->census, (unsigned)(s - s->inquiry->sources), bytes, clock_wall_us(), &head) : ERR_PROTO;
        if (err) {
                log_warn("msg=\"a node above sent a list of names that is none\" error=\"%s\"", err_text(err));
                start_over(s);
                return;
        }
        if (head.anew)
                s->complete = false;
        s->instance = head.instance;
        s->next = head.next;
        s->more = head.more;
        s->partial = head.partial;
        s->complete |= !head.more;
        s->good_us = now_us;
}

static void on_page(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct source *s = arg;
        int64_t now_us = clock_mono_us();
        s->asking = false;
        s->more = false;
        if (s->inquiry->stopping)
                return;
        if (!err && m->status == 0)
                take_names_page(s, m, bytes, now_us);
        else if (!err && m->status == ERR_NOT_YET && s->waits) /* nothing new; to one that does not wait it says that the node starts */
                s->good_us = now_us;
        if (s->more)
                ask_source(s, now_us);
}

static void ask_source(struct source *s, int64_t now_us)
{
        struct upstream *u = s->inquiry->upstream;
        /* What is partial now may be whole soon, which alone is no news that one could wait for; and until it has answered nothing is
         * sure. */
        struct fetch what = {.wait_ms = is_current(s, now_us) ? INQUIRY_WAIT_MS : 0};
        uint64_t node;
        s->waits = what.wait_ms > 0;
        snprintf(what.key, sizeof(what.key), "/names/%" PRIu64 "/%" PRIu64, s->instance, s->next);
        s->asking = u->ops->fetch(u, what.key, NULL, s->node, &what, what.wait_ms + INQUIRY_ANSWER_MS, &node, on_page, s) == 0;
        s->asked_us = now_us;
}

static void look(struct inquiry *q, int64_t now_us)
{
        bool sure = false, unsure = false;
        for (unsigned i = 0; i < CENSUS_SOURCES; i++) {
                struct source *s = &q->sources[i];
                if (s->node && !s->asking && now_us - s->up_us > INQUIRY_KEPT_US) {
                        census_forget(q->census, i);
                        *s = (struct source){.inquiry = q};
                }
                if (!s->node || s->up_us < now_us)
                        continue;
                sure |= is_current(s, now_us);
                unsure |= !is_current(s, now_us);
                int64_t apart_ms = s->complete && !s->partial ? INQUIRY_LEAST_MS : INQUIRY_WAIT_MS / 4;
                if (!s->asking && now_us - s->asked_us >= apart_ms * US_PER_MS)
                        ask_source(s, now_us);
        }
        census_settle(q->census, sure && !unsure);
}

static struct source *find_source(struct inquiry *q, uint64_t node)
{
        for (unsigned i = 0; i < CENSUS_SOURCES; i++) {
                if (q->sources[i].node == node)
                        return &q->sources[i];
        }
        return NULL;
}

/* More nodes than there is room for leave the census unsure for ever: it is then of no use, and addresses.h bounds what is asked. */
static bool mark_up(struct inquiry *q, int64_t now_us)
{
        uint64_t nodes[CENSUS_SOURCES + 1];
        size_t count = q->upstream->ops->nodes(q->upstream, nodes, CENSUS_SOURCES + 1);
        bool all = true;
        for (size_t i = 0; i < count; i++) {
                struct source *s = find_source(q, nodes[i]);
                if (!s && (s = find_source(q, 0)))
                        *s = (struct source){.inquiry = q, .node = nodes[i]};
                if (s && s->up_us != q->looked_us) /* it was down, and has more than it had by now */
                        s->good_us = now_us - INQUIRY_LATE_US;
                if (s)
                        s->up_us = now_us;
                all &= s != NULL;
        }
        q->looked_us = now_us;
        return all;
}

void inquiry_nodes_changed(struct inquiry *q)
{
        int64_t now_us = clock_mono_us();
        if (q->stopping)
                return;
        bool all = mark_up(q, now_us);
        look(q, now_us);
        if (all)
                return;
        census_settle(q->census, false);
        if (!q->told)
                log_error("msg=\"more than %d nodes above: not all of them can tell what they have, so what is asked for is bounded by rate alone\"",
                          CENSUS_SOURCES);
        q->told = true;
}

static void on_inquiry_tick(uv_timer_t *timer)
{
        inquiry_nodes_changed(timer->data);
}

void inquiry_open(struct inquiry **out, uv_loop_t *loop, struct upstream *upstream, struct census *census)
{
        struct inquiry *q = *out = mem_alloc(sizeof(*q));
        q->upstream = upstream;
        q->census = census;
        for (unsigned i = 0; i < CENSUS_SOURCES; i++)
                q->sources[i].inquiry = q;
        q->timer.data = q;
        uv_timer_init(loop, &q->timer);
        uv_timer_start(&q->timer, on_inquiry_tick, INQUIRY_TICK_MS, INQUIRY_TICK_MS);
}

void inquiry_stop(struct inquiry *q)
{
        q->stopping = true;
        uv_timer_stop(&q->timer);
}

static void on_inquiry_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void inquiry_close(struct inquiry *q)
{
        for (unsigned i = 0; i < CENSUS_SOURCES; i++)
                assert(!q->sources[i].asking);
        uv_close((uv_handle_t *)&q->timer, on_inquiry_closed);
}
