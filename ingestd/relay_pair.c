/* Which of two relays leads, and what a shadow does otherwise than a leader. */
#include "ingestd/relay_pair.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "ingestd/relay_impl.h"
#include "ingestd/stats.h"

#define CLOCK_LOOK_US (100 * US_PER_MS)
#define SETTLED_US 5000000 /* a shadow that is lost sooner is no better than one that was refused */
#define TURNED_OUT_MAX 2       /* swaps for a session that transcoders lose, one after the other */
#define BROADCASTER_US 1000000 /* one that sends nothing for so long may be connected to another proxy by now */

bool relay_leads(const struct relay *r)
{
        return r->pair->leader == r;
}

static bool over(const struct relay_pair *p)
{
        return p->finish || p->refused;
}

/* After a swap the leader's generation is another's until it has claimed its own: nothing can be opened beside it
 * before that. */
static bool has_claimed(const struct relay_pair *p)
{
        return strcmp(p->claimer, p->leader->node) == 0;
}

bool relay_pair_wants_shadow(const struct relay_pair *p)
{
        return p->shadow && !over(p) && p->leader->state == RELAY_LIVE && !p->leader->standby && has_claimed(p);
}

/* The shadow ---------------------------------------------------------------------------------------------------- */

static void count(struct relay_pair *p)
{
        int live = p->shadow && p->shadow->state == RELAY_LIVE;
        stats_add(STAT_SHADOWS, live - p->shadows_counted);
        p->shadows_counted = live;
}

static void withdraw(struct relay *s)
{
        if (s->state == RELAY_SEEKING || (s->state == RELAY_IDLE && over(s->pair)))
                relay_pair_left(s);
        else if (s->state == RELAY_LIVE && !relay_busy(s))
                relay_leave(s);
        /* in other states, with the answer that is waited for */
}

void relay_pair_changed(struct relay_pair *p)
{
        struct relay *s = p->shadow;
        count(p);
        if (!s)
                return;
        if (!relay_pair_wants_shadow(p)) {
                withdraw(s);
        } else if (s->state == RELAY_IDLE) {
                relay_set_state(s, RELAY_SEEKING);
                relay_wait(s, 0);
        }
}

void relay_pair_left(struct relay *r)
{
        r->at.rpc = NULL;
        if (over(r->pair)) {
                relay_become_done(r);
                return;
        }
        bool wanted = relay_pair_wants_shadow(r->pair);
        uv_timer_stop(&r->timer);
        relay_set_state(r, wanted ? RELAY_SEEKING : RELAY_IDLE);
        if (wanted)
                relay_wait(r, relay_backoff_ms(r->rounds));
}

/* In its first round it passes over the transcoder that it is leaving. */
static void begin_round(struct relay *r)
{
        r->asking = r->following = false;
        r->rounds = 0;
        r->tried_count = 0;
        relay_note_tried(r);
}

void relay_pair_lost_shadow(struct relay *r, const char *why)
{
        bool wanted = relay_pair_wants_shadow(r->pair);
        unsigned rounds = clock_mono_us() - r->live_us > SETTLED_US ? 0 : r->rounds + 1;
        begin_round(r);
        r->rounds = rounds;
        if (wanted)
                stats_add(STAT_SHADOWS_LOST, 1);
        if (wanted && r->rounds <= 1) /* told once, however often it is then found and lost again at once */
                log_warn("session=%s stream=%s transcoder=%s msg=\"shadow lost\" why=\"%s\"", relay_session(r),
                         r->pair->stream.stream, r->address, why);
        relay_pair_left(r);
}

void relay_pair_on_opened(struct relay *r, const struct open_reply *m)
{
        struct relay_pair *p = r->pair;
        relay_begin_at(r, m->handle);
        r->keeps_time = m->keeps_time;
        memcpy(r->node, m->node, sizeof(r->node));
        if (strcmp(m->session, p->session) != 0 || m->standby) {
                log_debug(
                        "session=%s stream=%s transcoder=%s other_session=%s standby=%d msg=\"not beside the leader\"",
                        p->session, p->stream.stream, r->address, m->session, m->standby);
                relay_note_tried(r);
                relay_leave(r);
                return;
        }
        if (!relay_pair_wants_shadow(p) || r->beside != p->generation ||
            r->opened_configs != p->replay->config_changes) {
                relay_leave(r);
                return;
        }
        r->tried_count = 0;
        stats_add(STAT_OPENS, 1);
        log_info("session=%s stream=%s transcoder=%s generation=%u role=shadow leader=%s msg=\"opened beside the "
                 "leader\"",
                 p->session, p->stream.stream, r->address, p->generation, p->leader->address);
        relay_become_live(r);
}

void relay_pair_heard(struct relay *r, uint32_t generation)
{
        struct relay_pair *p = r->pair;
        if (generation <= p->generation || !generations_note(&p->all->generations, p->stream.stream, r->node, generation) || !relay_leads(r))
                return;
        p->generation = generation;
        memcpy(p->claimer, r->node, sizeof(p->claimer));
        relay_pair_changed(p);
}

/* Swaps ---------------------------------------------------------------------------------------------------------- */

bool relay_pair_may_swap(const struct relay_pair *p)
{
        return p->shadow && p->shadow->state == RELAY_LIVE && !over(p) && !p->leader->standby;
}

bool relay_pair_swap(struct relay_pair *p, const char *why, bool drains)
{
        struct relay *old = p->leader, *next = p->shadow;
        if (!relay_pair_may_swap(p))
                return false;
        relay_ground(old);
        assert(!relay_busy(old));
        p->leader = next;
        p->shadow = old;
        stats_add(STAT_SWAPS, 1);
        log_info("session=%s stream=%s transcoder=%s before=%s msg=\"the shadow leads now\" why=\"%s\"", p->session,
                 p->stream.stream, next->address, old->address, why);
        begin_round(old);
        if (drains)
                relay_leave(old);
        else
                relay_pair_left(old);
        if (!relay_busy(next))
                relay_send(next);
        return true;
}

/* A broadcaster who has connected to another proxy has the session led away from ours, too: ours is silent then, or the
 * two proxies would take it from each other for ever. */
bool relay_pair_swap_turned_out(struct relay_pair *p, const char *why)
{
        return relay_pair_may_swap(p) && (p->held || clock_mono_us() - p->fresh_us < BROADCASTER_US) &&
               !relay_too_often(&p->swaps, TURNED_OUT_MAX) && relay_pair_swap(p, why, false);
}

bool relay_pair_shadow_is_near(const struct relay_pair *p)
{
        const struct relay *s = p->shadow;
        if (!relay_pair_wants_shadow(p))
                return false;
        return s->state == RELAY_LIVE || s->state == RELAY_LEAVING || s->state == RELAY_OPENING ||
               (s->state == RELAY_SEEKING && s->rounds <= 1 && uv_is_active((const uv_handle_t *)&s->timer));
}

/* The publication's calls ---------------------------------------------------------------------------------------- */

struct relay_pair *relay_pair_new(struct relays *rs, const struct relay_stream *stream, struct timeline *timeline,
                                  struct replay *replay, const struct relay_events *events, void *arg)
{
        struct relay_pair *p = mem_alloc(sizeof(*p));
        assert(stream->redundancy == 1 || stream->redundancy == 2);
        p->all = rs;
        p->stream = *stream;
        p->timeline = timeline;
        p->replay = replay;
        p->events = events;
        p->arg = arg;
        p->leader = relay_new(p);
        if (stream->redundancy == 2)
                p->shadow = relay_new(p);
        return p;
}

void relay_pair_open(struct relay_pair *p)
{
        assert(p->leader->state == RELAY_IDLE && !p->finish);
        relay_seek_anew(p->leader);
}

bool relay_pair_opened(const struct relay_pair *p)
{
        return p->leader->state != RELAY_IDLE;
}

/* The first round trips may have been bad ones, and one of the two clocks may be slewed while the other is not. */
static void follow_clock(struct relay_pair *p, int64_t now)
{
        int64_t passed_us = now - p->followed_us;
        if (p->followed_us && passed_us < CLOCK_LOOK_US)
                return;
        p->followed_us = now;
        if (p->leader->keeps_time || p->leader->state != RELAY_LIVE || !p->leader->at.rpc) /* its connection may be gone already */
                return;
        struct clock_ahead a = p->all->link->clock(p->leader->at.rpc);
        int64_t wrong_us = clock_ahead_wrong_us(&a, p->skew_us);
        int64_t most_us = (passed_us < US_PER_S ? passed_us : US_PER_S) * RELAY_CLOCK_PPM / 1000000;
        if (!wrong_us || llabs(wrong_us) > RELAY_CLOCK_MOST_US)
                return;
        if (!p->said_apart)
                log_warn("session=%s stream=%s transcoder=%s wrong_ms=%lld msg=\"the transcoder's clock is not where it was taken to be; the "
                         "stream's time follows slowly\"", p->session, p->stream.stream, p->leader->address, (long long)(wrong_us / US_PER_MS));
        p->said_apart = true;
        p->skew_us += wrong_us > most_us ? most_us : wrong_us < -most_us ? -most_us : wrong_us;
}

int64_t relay_pair_skew_us(struct relay_pair *p, int64_t now_us)
{
        follow_clock(p, now_us);
        return p->skew_us;
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
        uint64_t head = r->pair->replay->head;
        if (r->state == RELAY_CLOSING || r->state == RELAY_DONE)
                return r->pair->replay->tail;
        return r->state == RELAY_LIVE && !r->standby && r->cursor > head ? r->cursor : head;
}

uint64_t relay_pair_place(const struct relay_pair *p, uint64_t *mark)
{
        const struct relay *s = p->shadow, *slower = p->leader;
        if (s && s->state == RELAY_LIVE && !s->reader.behind && place_of(s) < place_of(slower))
                slower = s;
        *mark = slower->cursor;
        return place_of(slower);
}

void relay_pair_hold(struct relay_pair *p, bool held)
{
        p->held = held;
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

void relay_pair_finish(struct relay_pair *p, enum close_reason why)
{
        if (p->finish || p->leader->state == RELAY_DONE)
                return;
        p->finish = why;
        p->finish_by_us = clock_mono_us() + RELAY_FINISH_MS * US_PER_MS;
        p->finish_most_us = clock_mono_us() + RELAY_FINISH_MOST_MS * US_PER_MS;
        relay_finish(p->leader);
        relay_pair_changed(p);
}

void relay_pair_on_done(struct relay_pair *p)
{
        bool all = p->leader->state == RELAY_DONE && (!p->shadow || p->shadow->state == RELAY_DONE);
        if (!all || p->done)
                return;
        p->done = true;
        p->events->done(p->arg); /* may free p */
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
        static const char *const names[] = {[RELAY_IDLE] = "waiting", [RELAY_SEEKING] = "seeking", [RELAY_OPENING] = "opening",
                                            [RELAY_LIVE] = "live", [RELAY_LEAVING] = "live", [RELAY_CLOSING] = "ending",
                                            [RELAY_DONE] = "ending"};
        return r->state == RELAY_LIVE && r->standby ? "standby" : names[r->state];
}

static bool has_transcoder(const struct relay *r)
{
        return r->state == RELAY_LIVE || r->state == RELAY_CLOSING;
}

void relay_pair_tell(const struct relay_pair *p, struct relay_pair_view *v)
{
        *v = (struct relay_pair_view){.state = state_text(p->leader), .stored_us = -1};
        if (p->leader->reader.attached && p->leader->reader.stored_us >= 0)
                v->stored_us = p->leader->reader.stored_us;
        memcpy(v->session, p->session, sizeof(v->session));
        if (has_transcoder(p->leader))
                memcpy(v->transcoder, p->leader->node, sizeof(v->transcoder));
        if (p->shadow && has_transcoder(p->shadow))
                memcpy(v->shadow, p->shadow->node, sizeof(v->shadow));
}
