#include "ingestd/shipment.h"

#include <assert.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"
#include "ingestd/stats.h"

#define SHIPMENT_MAGIC 0x53484950
#define SHIPMENTS_MAGIC 0x53484953

struct shipment {
        uint32_t magic;
        struct shipment *next, **prev; /* of those under way */
        struct shipments *shipments;
        struct rpc_client *rpc;
        struct rpc_call *call;
        int64_t sent_us;
        uint16_t count;
        struct shipment_member *members[MEDIA_MANY_MAX]; /* NULL: it was forgotten */
        uint64_t ends[MEDIA_MANY_MAX];
};

/* Answers --------------------------------------------------------------------------------------------------------- */

static int decode(const struct shipment *s, nng_msg *msg, struct media_many_reply *out)
{
        struct reader r;
        uint8_t type = message_open(&r, msg);
        if (s->count == 1) {
                out->count = 1;
                return type == MSG_MEDIA_REPLY ? media_reply_decode(&r, &out->parts[0]) : ERR_PROTO;
        }
        if (type != MSG_MEDIA_MANY_REPLY || media_many_reply_decode(&r, out) || out->count != s->count)
                return ERR_PROTO;
        return 0;
}

/* A member may do anything now: begin another call, or be gone when the next one is told. */
static void on_answered(void *arg, int err, nng_msg *msg)
{
        struct shipment *s = magic_check(arg, SHIPMENT_MAGIC);
        struct media_many_reply reply;
        if (!err && decode(s, msg, &reply)) {
                err = ERR_PROTO;
                s->shipments->link->drop(s->rpc, "malformed answer to MEDIA");
        }
        if (msg)
                nng_msg_free(msg);
        for (uint16_t i = 0; i < s->count; i++) {
                struct shipment_member *m = s->members[i];
                if (!m)
                        continue;
                struct shipment_batch of = {.end = s->ends[i], .took_us = clock_mono_us() - s->sent_us};
                int its = !err && !m->rpc ? ERR_CLOSED : err;
                s->members[i] = NULL;
                m->aboard--;
                s->shipments->ops->answered(m, its, its ? NULL : &reply.parts[i], &of);
        }
        *s->prev = s->next;
        if (s->next)
                s->next->prev = s->prev;
        s->magic = 0;
        free(s);
}

static void leave_board(struct shipment *s, struct shipment_member *m)
{
        for (uint16_t i = 0; i < s->count; i++) {
                if (s->members[i] != m)
                        continue;
                s->members[i] = NULL;
                m->aboard--;
        }
}

void shipment_forget(struct shipments *b, struct shipment_member *m)
{
        for (struct shipment *s = b->under_way; s && m->aboard; s = s->next)
                leave_board(s, m);
}

/* Shipments -------------------------------------------------------------------------------------------------------- */

static nng_msg *message_of(const struct media *parts, uint16_t count)
{
        const struct media_many many = {.count = count, .parts = parts};
        return count == 1 ? message_new(MSG_MEDIA, media_encode, parts)
                          : message_new(MSG_MEDIA_MANY, media_many_encode, &many);
}

static size_t bytes_of(const struct media *part)
{
        size_t sum = 0;
        for (uint16_t i = 0; i < part->count; i++)
                sum += part->frames[i].bytes->len;
        return sum;
}

static bool asks(const struct shipments *b, const struct shipment_member *m)
{
        return b->all_ask || !m->takes_many || !b->link->tell || !b->link->can_be_told(m->rpc) || b->ops->asks(m);
}

/* True: it has left, and nobody is told what becomes of it. */
static bool told(struct shipments *b, struct shipment *s, const struct media *parts)
{
        const struct media_many many = {.count = s->count, .parts = parts};
        nng_msg *msg = message_new(MSG_MEDIA_TOLD, media_many_encode, &many);
        if (!b->link->tell(s->rpc, msg)) {
                nng_msg_free(msg);
                return false;
        }
        for (uint16_t i = 0; i < s->count; i++)
                s->members[i]->aboard--;
        s->magic = 0;
        free(s);
        return true;
}

/* Sends what the members have, all of which use the same transcoder, and those that ask, or those that do not. Those that there was no
 * room for keep their place in *list, the others are taken out of it. */
static void ship(struct shipments *b, struct shipment_member **list, struct rpc_client *to, bool many, bool ask)
{
        struct frame frames[BATCH_FRAMES_MAX];
        struct media parts[MEDIA_MANY_MAX];
        struct shipment *s = mem_alloc(sizeof(*s));
        s->magic = SHIPMENT_MAGIC;
        unsigned used = 0;
        size_t bytes = 0;
        unsigned most = many ? MEDIA_MANY_MAX : 1;
        while (*list && s->count < most && used < BATCH_FRAMES_MAX && bytes < SHIPMENT_BYTES_MAX) {
                struct shipment_member *m = *list;
                if (m->rpc != to || (many && (!m->takes_many || asks(b, m) != ask))) {
                        list = &m->next;
                        continue;
                }
                *list = m->next;
                m->due = false;
                struct media *part = &parts[s->count];
                if (!b->ops->fill(m, part, frames + used, BATCH_FRAMES_MAX - used, SHIPMENT_BYTES_MAX - bytes, ask,
                                  &s->ends[s->count]))
                        continue;
                used += part->count;
                bytes += bytes_of(part);
                m->aboard++;
                s->members[s->count++] = m;
        }
        if (s->count == 0) {
                free(s);
                return;
        }
        s->shipments = b;
        s->rpc = to;
        stats_add(STAT_BATCHES, 1);
        stats_add(STAT_RELAYED_FRAMES, used);
        stats_add(STAT_RELAYED_BYTES, (int64_t)bytes);
        if (!ask && told(b, s, parts))
                return;
        s->sent_us = clock_mono_us();
        s->next = b->under_way;
        s->prev = &b->under_way;
        if (s->next)
                s->next->prev = &s->next;
        b->under_way = s;
        s->call = b->link->call(to, message_of(parts, s->count), SHIPMENT_CALL_MS, on_answered, s);
}

static void on_beat(uv_timer_t *timer);

static void wait_for_beat(struct shipments *b)
{
        uint64_t wait = b->gather_ms ? b->gather_ms - uv_now(b->loop) % b->gather_ms : 0;
        if (!b->running)
                uv_timer_start(&b->timer, on_beat, wait, 0);
        b->running = true;
}

static void on_beat(uv_timer_t *timer)
{
        struct shipments *b = magic_check(timer->data, SHIPMENTS_MAGIC);
        if (b->read)
                b->read(b->read_arg); /* still running: who joins now goes with this beat */
        b->running = false;
        if (b->read)
                wait_for_beat(b);
        b->all_ask = uv_now(b->loop) - b->asked_ms >= SHIPMENT_ASKED_MS;
        if (b->all_ask)
                b->asked_ms = uv_now(b->loop);
        while (b->due) {
                struct shipment_member *m = b->due;
                if (m->rpc)
                        ship(b, &b->due, m->rpc, m->takes_many, asks(b, m));
                else
                        shipment_leave(b, m);
        }
        b->all_ask = false;
}

void shipment_join(struct shipments *b, struct shipment_member *m)
{
        if (m->due)
                return;
        m->due = true;
        m->next = b->due;
        b->due = m;
        wait_for_beat(b);
}

void shipment_read(struct shipments *b, void (*read)(void *arg), void *arg)
{
        assert(!read || b->gather_ms);
        b->read = read;
        b->read_arg = arg;
        if (read)
                wait_for_beat(b);
}

void shipment_now(struct shipments *b, struct shipment_member *m)
{
        shipment_leave(b, m);
        struct shipment_member *alone = m;
        m->next = NULL;
        ship(b, &alone, m->rpc, false, true);
}

void shipment_leave(struct shipments *b, struct shipment_member *m)
{
        struct shipment_member **link = &b->due;
        if (!m->due)
                return;
        while (*link != m)
                link = &(*link)->next;
        *link = m->next;
        m->due = false;
}

void shipment_cancel(struct shipments *b, struct shipment_member *m)
{
        assert(m->aboard);
        for (struct shipment *s = b->under_way; s; s = s->next) {
                for (uint16_t i = 0; i < s->count; i++) {
                        if (s->members[i] == m)
                                b->link->cancel(s->call);
                }
        }
}

void shipment_open(struct shipments *b, uv_loop_t *loop, unsigned gather_ms, const struct transcoder_link *link,
               const struct shipment_ops *ops)
{
        *b = (struct shipments){.magic = SHIPMENTS_MAGIC, .link = link, .ops = ops, .gather_ms = gather_ms, .loop = loop};
        uv_timer_init(loop, &b->timer);
        b->timer.data = b;
}

void shipment_close(struct shipments *b)
{
        assert(!b->due && !b->read);
        uv_close((uv_handle_t *)&b->timer, NULL);
}
