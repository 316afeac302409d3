#include "ingestd/relay_pair.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "ingestd/relay.h"
#include "ingestd/relay_opening.h"

#define CLOCK_LOOK_US (100 * US_PER_MS)

struct relay_pair *relay_pair_new(struct relays *rs, const struct relay_stream *stream, struct timeline *timeline,
                                  struct replay *replay, const struct relay_pair_events *events, void *arg)
{
        struct relay_pair *p = mem_alloc(sizeof(*p));
        assert(stream->redundancy == 1 || stream->redundancy == 2);
        p->all = rs;
        p->broadcast = (struct broadcast){.stream = *stream, .timeline = timeline, .replay = replay};
        p->events = events;
        p->arg = arg;
        relay_roles_begin(p);
        return p;
}

void relay_pair_open(struct relay_pair *p)
{
        assert(p->leader->state == RELAY_IDLE && !p->broadcast.finish);
        relay_seek_anew(p->leader);
}

bool relay_pair_opened(const struct relay_pair *p)
{
        return p->leader->state != RELAY_IDLE;
}

/* The first round trips may have been bad ones, and one of the two clocks may be slewed while the other is not. */
static void follow_clock(struct relay_pair *p, int64_t now)
{
        const struct relay *r = p->leader;
        struct broadcast *b = &p->broadcast;
        int64_t passed_us = now - p->followed_us;
        if (p->followed_us && passed_us < CLOCK_LOOK_US)
                return;
        p->followed_us = now;
        if (r->keeps_time || !relay_reads(r) || !r->at.rpc) /* its connection may be gone already */
                return;
        struct clock_ahead a = p->all->link->clock(r->at.rpc);
        int64_t wrong_us = clock_ahead_wrong_us(&a, b->skew_us);
        int64_t most_us = (passed_us < US_PER_S ? passed_us : US_PER_S) * RELAY_CLOCK_PPM / 1000000;
        if (!wrong_us || llabs(wrong_us) > RELAY_CLOCK_MOST_US)
                return;
        if (!b->said_apart)
                log_warn("session=%s stream=%s transcoder=%s wrong_ms=%lld msg=\"the transcoder's clock is not where it was taken to "
                         "be; the stream's time follows slowly\"", b->session, b->stream.stream, r->address,
                         (long long)(wrong_us / US_PER_MS));
        b->said_apart = true;
        b->skew_us += wrong_us > most_us ? most_us : wrong_us < -most_us ? -most_us : wrong_us;
}

int64_t relay_pair_skew_us(struct relay_pair *p, int64_t now_us)
{
        follow_clock(p, now_us);
        return p->broadcast.skew_us;
}

void relay_pair_kick(struct relay_pair *p)
{
        p->fresh_us = clock_mono_us();
        relay_kick(p->leader);
        if (p->shadow)
                relay_kick(p->shadow);
}

static uint64_t place_of(const struct relay *r)
{
        const struct replay *replay = r->broadcast->replay;
        if (r->state == RELAY_CLOSING || r->state == RELAY_DONE)
                return replay->tail;
        return r->state == RELAY_LIVE && r->ack.taken > replay->head ? r->ack.taken : replay->head;
}

uint64_t relay_pair_place(const struct relay_pair *p, uint64_t *mark)
{
        const struct relay *s = p->shadow, *slower = p->leader;
        if (s && s->state == RELAY_LIVE && !s->reader.behind && place_of(s) < place_of(slower))
                slower = s;
        *mark = slower->ack.taken;
        return place_of(slower);
}

void relay_pair_hold(struct relay_pair *p, bool held)
{
        p->broadcast.held = held;
}

void relay_pair_poke(struct relay_pair *p)
{
        relay_poke(p->leader);
        if (p->shadow)
                relay_poke(p->shadow);
}

void relay_pair_lose(struct relay_pair *p, const struct rpc_client *gone)
{
        struct relay *both[] = {p->shadow, p->leader}; /* they may swap */
        for (int i = 0; i < 2; i++) {
                if (both[i])
                        relay_lose(both[i], gone);
        }
}

void relay_pair_wait_for(struct relay_pair *p)
{
        broadcast_wait_for(&p->broadcast, clock_mono_us());
}

void relay_pair_finish(struct relay_pair *p, enum close_reason why)
{
        if (p->broadcast.finish || p->leader->state == RELAY_DONE)
                return;
        broadcast_finish(&p->broadcast, why, clock_mono_us());
        relay_finish(p->leader);
        relay_roles_changed(p);
}

void relay_pair_free(struct relay_pair *p)
{
        assert(p->done);
        relay_free(p->leader);
        if (p->shadow)
                relay_free(p->shadow);
        free(p);
}

/* For people ----------------------------------------------------------------------------------------------------- */

static const char *state_text(const struct relay *r)
{
        static const char *const names[RELAY_STATES] = {
                [RELAY_IDLE] = "waiting", [RELAY_LIVE] = "live", [RELAY_LEAVING] = "live", [RELAY_STANDBY] = "standby",
                [RELAY_CLOSING] = "ending", [RELAY_DONE] = "ending"};
        if (relay_walks(r))
                return r->call ? "opening" : "seeking";
        return names[r->state];
}

static bool has_transcoder(const struct relay *r)
{
        return relay_reads(r) || r->state == RELAY_CLOSING;
}

void relay_pair_tell(const struct relay_pair *p, struct relay_pair_view *v)
{
        *v = (struct relay_pair_view){.state = state_text(p->leader), .stored_us = -1};
        if (p->leader->reader.attached && p->leader->reader.stored_us >= 0)
                v->stored_us = p->leader->reader.stored_us;
        memcpy(v->session, p->broadcast.session, sizeof(v->session));
        if (has_transcoder(p->leader))
                memcpy(v->transcoder, p->leader->node, sizeof(v->transcoder));
        if (p->shadow && has_transcoder(p->shadow))
                memcpy(v->shadow, p->shadow->node, sizeof(v->shadow));
}
