/* push_join.c - who the owners of a session are, and how one gets in step: CLAIM_JOIN. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "transcoderd/push/push_owner.h"
#include "transcoderd/stats.h"

#define JOIN_DEADLINE_MS 1000
#define JOIN_EVERY_MS 500
#define JOIN_TAKEN_MS 5000               /* one that has another session, or an ended one, is not asked so often */
#define FORGET_US (30 * US_PER_S)
/* What an origin that comes lacks is to be the leader's: of sound the two have different bytes. */
#define SHADOW_AFTER_MS 1500
#define NEAR_US (50 * US_PER_MS)         /* an origin knows its tracks' ends to half a sample */

const struct claim_track *claimed_track(const struct claim_reply *m, const char *name)
{
        for (int i = 0; i < m->track_count; i++) {
                if (strcmp(m->tracks[i].name, name) == 0)
                        return &m->tracks[i];
        }
        return NULL;
}

/* ---- may it be in step? --------------------------------------------------------------------------------------------- */

/* It was given more by the writer before than where this one went on: its chunks there are others. */
static bool is_ahead(const struct push *p, const struct claim_reply *m)
{
        bool older = m->written_generation && m->written_generation < p->begun_with.generation;
        for (int i = 0; older && i < m->track_count; i++) {
                const struct claim_track *there = &m->tracks[i], *before = claimed_track(&p->begun_with, there->name);
                if (!before || there->end_us > before->end_us + NEAR_US)
                        return true;
        }
        return false;
}

/* NULL: all that it lacks is in memory. */
static const char *why_not(const struct push *p, const struct claim_reply *m)
{
        if (is_ahead(p, m))
                return "it has chunks of an older writer where this one has written";
        /* It may end where the one that was gone on with ends, with chunks of a writer before that one's. */
        if (m->written_generation < p->begun_with.written_generation)
                return "its newest chunks are of an older writer than those gone on from";
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct recent_track *t = &p->o.recent->tracks[i];
                const struct claim_track *there = claimed_track(m, t->info.name);
                /* Nothing of what this writer made may be missing between where the track ends there and what is in memory. */
                if (t->info.init && t->forgot && !lane_is_leaders(p, (unsigned)i) &&
                    !(there && t->first->chunk.start_us <= there->end_us + NEAR_US))
                        return "it lacks what is not in memory any more";
        }
        for (int i = 0; i < p->begun_with.track_count; i++) {
                const struct claim_track *before = &p->begun_with.tracks[i], *there = claimed_track(m, before->name);
                if (!there || there->end_us < before->end_us - NEAR_US)
                        return "it lacks what the writer before has written";
        }
        return NULL;
}

/* ---- JOIN ------------------------------------------------------------------------------------------------------------ */

static void rewind_lanes(struct owner *o, const struct claim_reply *m)
{
        const struct push *p = o->push;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct recent_track *t = &p->o.recent->tracks[i];
                if (t->info.init && !o->lanes[i].dead)
                        lane_rewind(&o->lanes[i], t, claimed_track(m, t->info.name));
        }
}

static void tell_lacks(struct owner *o, const char *why)
{
        if (!o->lacks_told)
                log_info("session=%s origin=%s msg=\"not in step yet, its peer is to give it the rest\" why=\"%s\"",
                         o->push->claim.session, o->origin.id, why);
        o->lacks_told = true;
}

/* Out of step it stays, for now; the end it hears of all the same. */
static void join_in_vain(struct owner *o)
{
        if (o->push->ending)
                owner_send_end(o);
        else
                owner_pause(o, JOIN_EVERY_MS);
}

static void joined(struct owner *o, const struct claim_reply *m)
{
        struct push *p = o->push;
        struct origin now;
        const char *why = o->state == OWNER_OUT ? why_not(p, m) : NULL;
        if (p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now))
                o->origin = now;
        o->generation = m->generation;
        o->claimed = *m;
        if (m->generation < p->generation) { /* push_lead() came between */
                join_now(o);
                return;
        }
        if (why) {
                tell_lacks(o, why);
                join_in_vain(o);
                return;
        }
        metric_add(&stats_claimed_again, 1);
        o->joined_us = clock_mono_us();
        if (o->state == OWNER_OUT) {
                owner_set_state(o, OWNER_JOINING);
                for (int i = 0; i < SESSION_TRACKS_MAX; i++)
                        o->lanes[i].dead = false;
        } else {
                log_info("session=%s origin=%s generation=%u tracks=%u msg=\"claimed again\"", p->claim.session, o->origin.id,
                         m->generation, m->track_count);
        }
        rewind_lanes(o, m);
        owner_look_if_in_step(o, push_stored_us(p));
        owner_pump(o);
}

static void join_failed(struct owner *o, int err)
{
        if (o->state == OWNER_IN_STEP)
                owner_failed(o, err);
        else if (err == ERR_TIMEOUT) /* it may be joined for all that */
                join_in_vain(o);
        else
                owner_pause(o, JOIN_EVERY_MS);
}

/* It has another session of the stream, or this one as an ended one, or (by a mistake of somebody's) on another grid. */
static void taken(struct owner *o)
{
        if (o->state == OWNER_IN_STEP) {
                push_stop(o->push, o->push->o.events->lost);
                return;
        }
        tell_lacks(o, "the session is over there");
        o->ended = o->push->ending;
        owner_pause(o, JOIN_TAKEN_MS);
}

static void judge(struct owner *o, const struct claim_reply *m)
{
        struct push *p = o->push;
        switch (m->status) {
        case 0:
                if (strcmp(m->session, p->claim.session) == 0 && chunk_us(m->chunk_ms) == chunk_us(p->claim.chunk_ms))
                        joined(o, m);
                else
                        taken(o);
                break;
        case ERR_FENCED:
                push_stop(p, p->o.events->fenced);
                break;
        case ERR_CLOSED:
        case ERR_CONFLICT:
        case ERR_NOT_FOUND:
                taken(o);
                break;
        default:
                join_failed(o, m->status);
        }
}

static void on_join(void *arg, int err, nng_msg *reply)
{
        struct owner *o = arg;
        struct push *p = o->push;
        struct claim_reply m = {0};
        struct reader r;
        p->calls--;
        o->calls--;
        o->join_under_way = false;
        if (!err && (message_open(&r, reply) != MSG_CLAIM_REPLY || claim_reply_decode(&r, &m) != 0)) {
                origins_drop(p->o.origins, o->origin.id, "malformed answer to CLAIM");
                err = ERR_CLOSED;
        }
        nng_msg_free(reply);
        if (p->closed) {
                push_free_if_done(p);
        } else if (!p->stopped) {
                if (err)
                        join_failed(o, err);
                else
                        judge(o, &m);
                push_look_for_end(p);
        }
}

/* One of a version that knows one grid would take the message for nonsense, and end the connection that other sessions use. */
static bool knows_grid(const struct owner *o)
{
        const struct push *p = o->push;
        struct origin now;
        bool up = p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now);
        return p->claim.chunk_ms != CHUNK_MS_SHORT || !up || now.can & CAN_SHORT_GRID;
}

void join_now(struct owner *o)
{
        struct push *p = o->push;
        struct claim m = p->claim;
        if (o->join_under_way)
                return;
        if (!knows_grid(o)) {
                tell_lacks(o, "it does not know chunks of the session's length");
                join_in_vain(o);
                return;
        }
        m.flags |= CLAIM_JOIN;
        m.generation = p->generation;
        uv_timer_stop(o->timer);
        if (origins_call(p->o.origins, o->origin.id, message_new(MSG_CLAIM, claim_encode, &m), JOIN_DEADLINE_MS, on_join, o)) {
                o->join_under_way = true;
                o->calls++;
                p->calls++;
        } else {
                join_failed(o, ERR_CLOSED);
        }
}

void push_lead(struct push *p, uint32_t generation, const char *node)
{
        p->o.shadow = false;
        p->generation = generation;
        snprintf(p->claim.node, sizeof(p->claim.node), "%s", node);
        push_verify(p);
}

void push_verify(struct push *p)
{
        for (int i = 0; !p->stopped && !p->closed && i < PUSH_OWNERS_MAX; i++) {
                if (p->owners[i].used && !p->owners[i].ended)
                        join_now(&p->owners[i]);
        }
}

/* ---- who the owners are ---------------------------------------------------------------------------------------------- */

struct owner *join_add(struct push *p, const struct origin *origin)
{
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                struct owner *o = &p->owners[i];
                if (o->used)
                        continue;
                *o = (struct owner){.push = p, .used = true, .origin = *origin, .timer = &p->timers[i]};
                for (unsigned t = 0; t < SESSION_TRACKS_MAX; t++)
                        o->lanes[t] = (struct lane){.owner = o, .track = t, .last = &o->lanes[t].first, .unsent = &o->lanes[t].first};
                metric_add(&stats_owners_out, 1);
                return o;
        }
        return NULL;
}

static bool is_owner(const struct push *p, const char *id)
{
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                if (p->owners[i].used && strcmp(p->owners[i].origin.id, id) == 0)
                        return true;
        }
        return false;
}

static void join_soon(struct owner *o)
{
        if (o->push->o.shadow)
                owner_pause(o, SHADOW_AFTER_MS);
        else
                join_now(o);
}

static void add_owners(struct push *p)
{
        struct origin route[PUSH_OWNERS_MAX];
        size_t n = p->o.origins->link->route(p->o.origins->arg, p->claim.stream, route, p->o.replicas);
        for (size_t i = 0; i < n; i++) {
                struct owner *o = is_owner(p, route[i].id) ? NULL : join_add(p, &route[i]);
                if (o)
                        join_soon(o);
        }
}

static void look_at(struct owner *o)
{
        struct push *p = o->push;
        struct origin now;
        bool up = p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now);
        bool back = up && o->down_since_us;
        if (up)
                o->down_since_us = 0;
        else if (!o->down_since_us)
                o->down_since_us = clock_mono_us();
        if (!up && o->state != OWNER_OUT && owner_may_go(o))
                owner_out(o, "it is not up");
        else if (back && o->state == OWNER_OUT)
                join_soon(o);
        if (o->state == OWNER_OUT && !up && !o->calls && clock_mono_us() - o->down_since_us > FORGET_US) {
                uv_timer_stop(o->timer);
                owner_uncount(o);
                o->used = false;
        }
}

void join_look(struct push *p)
{
        if (p->stopped || p->closed)
                return;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                if (p->owners[i].used)
                        look_at(&p->owners[i]);
        }
        add_owners(p);
}
