#include "ingestd/relay_roles.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "ingestd/relay.h"
#include "ingestd/relay_ending.h"
#include "ingestd/relay_media.h"
#include "ingestd/relay_opening.h"
#include "ingestd/rtmp_close_reason.h"
#include "ingestd/stats.h"

#define AGAIN_US 10000000   /* what happens more often than its limit within this time will not get better */
#define FENCED_MAX 3
#define FORGOTTEN_MAX 2
#define TURNED_OUT_MAX 2       /* swaps for a session that transcoders lose, one after the other */
#define SETTLED_US 5000000     /* a shadow that is lost sooner is no better than one that was refused */
#define BROADCASTER_US 1000000 /* one that sends nothing for so long may be connected to another proxy by now */
#define MOVE_AGAIN_US INT64_C(1000000) /* by then HELLO has said who else wants to leave */
#define SAY_AGAIN_US (5 * US_PER_S)    /* a stream that waits for a place asks each second, and a hundred may wait */

static const struct relay_role leader, shadow;

static const char *stream_of(const struct relay_pair *p)
{
        return p->broadcast.stream.stream;
}

static void refuse(struct relay *r, int reason, const char *code, const char *text)
{
        r->pair->broadcast.refused = true;
        relay_become_done(r);
        r->pair->events->refused(r->pair->arg, reason, code, text);
}

static void refuse_taken_over(struct relay *r)
{
        refuse(r, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName", "the stream is published elsewhere");
}

/* True when it happened more than most times within AGAIN_US. */
static bool too_often(struct relay_limit *l, unsigned most)
{
        int64_t now = clock_mono_us();
        if (!l->since_us || now - l->since_us > AGAIN_US)
                *l = (struct relay_limit){.since_us = now};
        return ++l->times > most;
}

/* Of both -------------------------------------------------------------------------------------------------------- */

/* After a swap the leader's generation is another's until its transcoder has claimed its own: nothing can be opened beside it
 * before that. */
static bool has_claimed(const struct relay_pair *p)
{
        return strcmp(p->broadcast.claimer, p->leader->node) == 0;
}

static bool wants_shadow(const struct relay_pair *p)
{
        return p->shadow && !broadcast_over(&p->broadcast) && p->leader->state == RELAY_LIVE && has_claimed(p);
}

static void on_changed(struct relay_pair *p)
{
        relay_roles_changed(p);
}

static void on_taken(struct relay_pair *p)
{
        p->events->taken(p->arg);
}

static void on_heard(struct relay *r, uint32_t generation)
{
        struct relay_pair *p = r->pair;
        if (generation <= p->broadcast.generation || !generations_note(&p->all->generations, stream_of(p), r->node, generation) ||
            !r->role->leads)
                return;
        p->broadcast.generation = generation;
        memcpy(p->broadcast.claimer, r->node, sizeof(p->broadcast.claimer));
        relay_roles_changed(p);
}

/* A shadow is without a transcoder: it seeks one, waits or is done. */
static void on_left(struct relay *r)
{
        r->at.rpc = NULL;
        if (broadcast_over(r->broadcast)) {
                relay_become_done(r);
                return;
        }
        bool wanted = wants_shadow(r->pair);
        uv_timer_stop(&r->timer);
        relay_set_state(r, wanted ? RELAY_SEEKING : RELAY_IDLE);
        if (wanted)
                relay_wait(r, walk_wait_ms(&r->walk, (unsigned)rand()));
}

static void on_done(struct relay_pair *p)
{
        bool all = p->leader->state == RELAY_DONE && (!p->shadow || p->shadow->state == RELAY_DONE);
        if (!all || p->done)
                return;
        p->done = true;
        p->events->done(p->arg); /* may free p */
}

/* Swaps ---------------------------------------------------------------------------------------------------------- */

static bool may_swap(const struct relay_pair *p)
{
        return p->shadow && p->shadow->state == RELAY_LIVE && !broadcast_over(&p->broadcast) && p->broadcast.place != PLACE_STANDBY;
}

/* In its first round it passes over the transcoder that it is leaving. */
static void begin_round(struct relay *r)
{
        walk_reset(&r->walk);
        walk_note(&r->walk, r->address);
}

/* The shadow leads from now on, if it can: true. The leader, which is not busy, is the shadow then; it has still the transcoder if
 * that `drains`, and tells it. */
static bool swap(struct relay_pair *p, const char *why, bool drains)
{
        struct relay *old = p->leader, *next = p->shadow;
        if (!may_swap(p))
                return false;
        relay_ground(old);
        assert(!relay_busy(old));
        p->leader = next;
        p->shadow = old;
        next->role = &leader;
        old->role = &shadow;
        stats_add(STAT_SWAPS, 1);
        log_info("session=%s stream=%s transcoder=%s before=%s msg=\"the shadow leads now\" why=\"%s\"", p->broadcast.session,
                 stream_of(p), next->address, old->address, why);
        begin_round(old);
        if (drains)
                relay_leave(old);
        else
                on_left(old);
        if (!relay_busy(next))
                relay_send(next);
        return true;
}

/* The same for a leader whose session is gone, but not for ever. A broadcaster who has connected to another proxy has the session led
 * away from ours, too: ours is silent then, or the two proxies would take it from each other for ever. */
static bool swap_turned_out(struct relay_pair *p, const char *why)
{
        return may_swap(p) && (p->broadcast.held || clock_mono_us() - p->fresh_us < BROADCASTER_US) &&
               !too_often(&p->swaps, TURNED_OUT_MAX) && swap(p, why, false);
}

/* The shadow -------------------------------------------------------------------------------------------------------- */

static void count_shadow(struct relay_pair *p)
{
        int live = p->shadow && p->shadow->state == RELAY_LIVE;
        stats_add(STAT_SHADOWS, live - p->shadows_counted);
        p->shadows_counted = live;
}

static void withdraw(struct relay *s)
{
        bool waits = relay_walks(s) && !relay_busy(s);
        if (waits || (s->state == RELAY_IDLE && broadcast_over(s->broadcast)))
                on_left(s);
        else if (s->state == RELAY_LIVE && !relay_busy(s))
                relay_leave(s);
        /* in other states, with the answer that is waited for */
}

void relay_roles_changed(struct relay_pair *p)
{
        struct relay *s = p->shadow;
        count_shadow(p);
        if (!s)
                return;
        if (!wants_shadow(p)) {
                withdraw(s);
        } else if (s->state == RELAY_IDLE) {
                relay_set_state(s, RELAY_SEEKING);
                relay_wait(s, 0);
        }
}

static void say_alone(struct relay_pair *p)
{
        if (!p->said_alone)
                log_info("session=%s stream=%s transcoder=%s msg=\"there is no second transcoder for the stream\"",
                         p->broadcast.session, stream_of(p), p->leader->address);
        p->said_alone = true;
}

/* The leader's session, as it is. */
static void shadow_ask(const struct relay *r, struct open *m)
{
        const struct broadcast *b = r->broadcast;
        m->when = OPEN_BESIDE;
        m->epoch_us = b->timeline->epoch_us;
        m->generation = b->generation;
        memcpy(m->session, b->session, sizeof(m->session));
        memcpy(m->node, b->claimer, sizeof(m->node));
}

static void shadow_seek(struct relay *r, enum relay_state quest)
{
        struct transcoder_candidate found[TRANSCODER_CANDIDATES];
        (void)quest;
        if (!wants_shadow(r->pair)) {
                on_left(r);
                return;
        }
        relay_set_state(r, RELAY_SEEKING);
        size_t others = walk_without(found, relay_candidates(r, found), r->pair->leader->address);
        const struct transcoder_candidate *next = walk_next(&r->walk, found, others);
        if (next) {
                relay_open_at(r, next);
                return;
        }
        if (others == 0 || r->walk.rounds > 1)
                say_alone(r->pair);
        relay_wait_and_seek(r);
        if (others == 0)
                uv_timer_stop(&r->timer); /* until there are some: relay_poke() */
}

/* A shadow is nothing that the broadcaster asked for, and is sought for as long as there is none. */
static void say_not_beside(struct relay *r, int err, const char *text)
{
        log_debug("stream=%s transcoder=%s error=\"%s\" msg=\"not opened beside the leader\" why=\"%s\"", stream_of(r->pair),
                  r->address, err_text(err), text);
        relay_seek_next(r, RELAY_SEEKING);
}

static void shadow_unopened(struct relay *r, int err)
{
        say_not_beside(r, err, "no answer");
}

static void shadow_opened(struct relay *r, const struct open_reply *m)
{
        struct relay_pair *p = r->pair;
        const struct broadcast *b = &p->broadcast;
        if (m->status) {
                say_not_beside(r, m->status, "it refuses");
                return;
        }
        relay_begin_at(r, m);
        if (strcmp(m->session, b->session) != 0 || m->standby) {
                log_debug("session=%s stream=%s transcoder=%s other_session=%s standby=%d msg=\"not beside the leader\"", b->session,
                          stream_of(p), r->address, m->session, m->standby);
                walk_note(&r->walk, r->address);
                relay_leave(r);
                return;
        }
        if (!wants_shadow(p) || r->beside != b->generation || r->opened_configs != b->replay->config_changes) {
                relay_leave(r);
                return;
        }
        walk_begin(&r->walk);
        stats_add(STAT_OPENS, 1);
        log_info("session=%s stream=%s transcoder=%s generation=%u role=shadow leader=%s msg=\"opened beside the leader\"", b->session,
                 stream_of(p), r->address, b->generation, p->leader->address);
        relay_become_live(r, false);
}

static bool shadow_unwanted(const struct relay *r)
{
        return !wants_shadow(r->pair);
}

static void shadow_lost(struct relay *r, const char *why)
{
        bool wanted = wants_shadow(r->pair);
        unsigned rounds = clock_mono_us() - r->live_us > SETTLED_US ? 0 : r->walk.rounds + 1;
        begin_round(r);
        r->walk.rounds = rounds;
        if (wanted)
                stats_add(STAT_SHADOWS_LOST, 1);
        if (wanted && rounds <= 1) /* told once, however often it is then found and lost again at once */
                log_warn("session=%s stream=%s transcoder=%s msg=\"shadow lost\" why=\"%s\"", broadcast_session(r->broadcast),
                         stream_of(r->pair), r->address, why);
        on_left(r);
}

static void shadow_turned_out(struct relay *r, int status)
{
        relay_lost(r, err_text(status));
}

/* Its transcoder gives it up by itself. */
static bool shadow_drained(struct relay *r)
{
        (void)r;
        return false;
}

static const struct relay_role shadow = {.leads = false, .ask = shadow_ask, .seek = shadow_seek, .unopened = shadow_unopened,
                                         .opened = shadow_opened, .unwanted = shadow_unwanted, .turned_out = shadow_turned_out,
                                         .lost = shadow_lost, .drained = shadow_drained};

/* The leader -------------------------------------------------------------------------------------------------------- */

static void leader_ask(const struct relay *r, struct open *m)
{
        const struct broadcast *b = r->broadcast;
        bool follows = r->state == RELAY_FOLLOWING || r->state == RELAY_RECLAIMING;
        if (relay_asks(r))
                m->when |= OPEN_IF_HELD;
        if (follows && !broadcast_may_be_elsewhere(b, clock_mono_us())) /* or the other broadcaster there would be ourselves */
                m->when |= OPEN_IF_FREE;
        if (*b->session)
                m->when |= OPEN_GOES_ON;
}

static void leader_seek(struct relay *r, enum relay_state quest)
{
        struct transcoder_candidate found[TRANSCODER_CANDIDATES];
        if (broadcast_overdue(r->broadcast, clock_mono_us())) {
                relay_say_untaken(r);
                relay_become_done(r);
                return;
        }
        relay_set_state(r, quest);
        size_t count = relay_candidates(r, found);
        if (count == 1)
                relay_stop_asking(r); /* whoever has it or not, there is no other */
        const struct transcoder_candidate *next = walk_next(&r->walk, found, count);
        if (!next && relay_asks(r)) { /* nobody has it */
                relay_stop_asking(r);
                walk_begin(&r->walk);
                next = walk_next(&r->walk, found, count);
        }
        if (next)
                relay_open_at(r, next);
        else
                relay_wait_and_seek(r);
}

/* How often it was so since the last line; 0: the line that there is says it. */
static uint64_t times_to_say(struct relay_pair *p, int status)
{
        uint64_t times = 0;
        if (p->told_status != status)
                p->told_refused = (struct told){0};
        p->told_status = status;
        return told_may(&p->told_refused, SAY_AGAIN_US, clock_mono_us(), &times) ? times : 0;
}

static void leader_unopened(struct relay *r, int err)
{
        uint64_t times = times_to_say(r->pair, err);
        if (times)
                log_warn("stream=%s transcoder=%s error=\"%s\" times=%" PRIu64 " msg=\"not opened\"", stream_of(r->pair), r->address,
                         err_text(err), times);
        if (!relay_asks(r))
                r->broadcast->stray_us = clock_mono_us();
        relay_seek_next(r, r->state);
}

static void say_refused(struct relay *r, const struct open_reply *m)
{
        char quoted[192];
        uint64_t times = times_to_say(r->pair, m->status);
        if (times)
                log_warn("stream=%s transcoder=%s error=\"%s\" times=%" PRIu64 " msg=\"not opened\" why=%s", stream_of(r->pair),
                         r->address, err_text(m->status), times, log_quote(quoted, sizeof(quoted), m->text));
}

static void on_refusal(struct relay *r, const struct open_reply *m)
{
        const char *text = *m->text ? m->text : err_text(m->status);
        say_refused(r, m);
        switch (m->status) {
        case ERR_NOT_YET:
                if (r->broadcast->finish)
                        relay_become_done(r); /* CLOSE got through, its answer did not */
                else
                        relay_wait_and_seek(r); /* it stores the end of the session before; another would go on with that */
                break;
        case ERR_DENIED:
                refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Denied", text);
                break;
        case ERR_UNSUPPORTED:
                refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", text);
                break;
        case ERR_CONFLICT:
                refuse_taken_over(r);
                break;
        default:
                relay_seek_next(r, r->state);
        }
}

static void adopt(struct relay *r, const struct open_reply *m)
{
        struct broadcast *b = r->broadcast;
        bool again = *b->session;
        bool possible = generations_note(&r->all->generations, b->stream.stream, m->node, m->generation);
        broadcast_adopt(b, m, r->offered_epoch_us, possible, clock_mono_us());
        relay_begin_at(r, m);
        walk_reset(&r->walk);
        r->pair->told_refused = (struct told){0};
        uint64_t again_frames = !m->standby && b->sent > r->ack.taken ? b->sent - r->ack.taken : 0;
        stats_add(STAT_OPENS, 1);
        stats_add(STAT_REPLAYED_FRAMES, (int64_t)again_frames);
        log_info("session=%s stream=%s transcoder=%s generation=%u role=%s replayed_frames=%" PRIu64 " msg=\"%s\"", b->session,
                 b->stream.stream, r->address, m->generation, m->standby ? "standby" : "active", again_frames,
                 again ? "opened again" : "opened");
        broadcast_set_place(b, m->standby ? PLACE_STANDBY : PLACE_ACTIVE);
        if (r->opened_configs != b->replay->config_changes)
                relay_seek_anew(r); /* the replay ran over meanwhile, and begins with another configuration now */
        else
                relay_become_live(r, m->standby);
}

static void leader_opened(struct relay *r, const struct open_reply *m)
{
        if (m->status == 0) {
                adopt(r, m);
        } else if (m->status == ERR_CONFLICT || !relay_asks(r)) {
                on_refusal(r, m);
        } else if (m->status == ERR_NOT_YET) { /* it has the stream in a moment: without the condition it waits for that */
                relay_stop_asking(r);
                relay_open_here(r);
        } else {
                relay_seek_next(r, r->state);
        }
}

static bool leader_unwanted(const struct relay *r)
{
        (void)r;
        return false;
}

/* One that stands by comes after the active one, which has more, and goes where that went. */
static void go_elsewhere(struct relay *r)
{
        if (r->broadcast->place != PLACE_STANDBY) {
                relay_seek_next(r, RELAY_SEEKING);
                return;
        }
        r->at.rpc = NULL;
        walk_begin(&r->walk);
        relay_set_state(r, RELAY_ASKING);
        relay_wait(r, RELAY_FOLLOW_MS);
}

static void leader_lost(struct relay *r, const char *why)
{
        log_warn("session=%s stream=%s transcoder=%s msg=\"transcoder lost\" why=\"%s\"", r->broadcast->session, stream_of(r->pair),
                 r->address, why);
        stats_add(STAT_FAILOVERS, 1);
        if (!swap(r->pair, why, false))
                go_elsewhere(r);
}

/* It is live, or will be in a moment unless it is refused. */
static bool shadow_is_near(const struct relay_pair *p)
{
        const struct relay *s = p->shadow;
        if (!wants_shadow(p))
                return false;
        if (relay_walks(s))
                return s->call || (s->walk.rounds <= 1 && uv_is_active((const uv_handle_t *)&s->timer));
        return s->state == RELAY_LIVE || s->state == RELAY_LEAVING;
}

/* A transcoder that wants to leave is left as soon as there is another one. */
static bool leader_drained(struct relay *r)
{
        struct relay_pair *p = r->pair;
        int64_t now = clock_mono_us();
        struct transcoder_candidate best;
        if (may_swap(p)) {
                stats_add(STAT_MOVES, 1);
                return swap(p, "it drains", true);
        }
        if (shadow_is_near(p) || p->broadcast.finish || (p->moved_us && now - p->moved_us < MOVE_AGAIN_US))
                return false;
        if (p->all->link->walk(p->all->link_arg, stream_of(p), &best, 1) == 0 || best.draining || strcmp(best.address, r->address) == 0)
                return false;
        p->moved_us = now;
        stats_add(STAT_MOVES, 1);
        log_info("session=%s stream=%s transcoder=%s msg=\"moving away, it drains\"", p->broadcast.session, stream_of(p), r->address);
        go_elsewhere(r);
        return true;
}

/* Another transcoder has the session: the other broadcaster of the stream has led it there, or an OPEN of ours that was
 * given up for lost; or ours has connected to another proxy, whose place is then not to be taken from it. */
static void on_fenced(struct relay *r)
{
        if (swap_turned_out(r->pair, "fenced"))
                return;
        if (too_often(&r->pair->turned_out, FENCED_MAX)) {
                refuse_taken_over(r);
                return;
        }
        log_warn("session=%s stream=%s transcoder=%s msg=\"following the session to another transcoder\"", r->broadcast->session,
                 stream_of(r->pair), r->address);
        if (r->broadcast->place == PLACE_ACTIVE)
                broadcast_set_place(r->broadcast, PLACE_UNKNOWN);
        relay_seek_next(r, RELAY_FOLLOWING);
}

/* The transcoder gave the session up, or another proxy has opened it there. */
static void on_forgotten(struct relay *r)
{
        if (swap_turned_out(r->pair, "handle not known any more"))
                return;
        if (too_often(&r->pair->turned_out, FORGOTTEN_MAX))
                refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Failed",
                       "the stream cannot be kept: published elsewhere, or of no use to the transcoder");
        else
                relay_open_anew(r, "handle not known any more");
}

static void leader_turned_out(struct relay *r, int status)
{
        switch (status) {
        case ERR_FENCED:
                on_fenced(r);
                break;
        case ERR_CONFLICT:
                refuse_taken_over(r);
                break;
        case ERR_NOT_FOUND:
                on_forgotten(r);
                break;
        case ERR_CLOSED:
                if (r->broadcast->finish)
                        relay_become_done(r);
                else if (!swap_turned_out(r->pair, "session ended"))
                        relay_open_anew(r, "session ended");
                break;
        default:
                relay_lost(r, err_text(status));
        }
}

static const struct relay_role leader = {.leads = true, .ask = leader_ask, .seek = leader_seek, .unopened = leader_unopened,
                                         .opened = leader_opened, .unwanted = leader_unwanted, .turned_out = leader_turned_out,
                                         .lost = leader_lost, .drained = leader_drained};

/* Life -------------------------------------------------------------------------------------------------------------- */

static const struct relay_events events = {.changed = on_changed, .taken = on_taken, .heard = on_heard, .left = on_left, .done = on_done};

void relay_roles_begin(struct relay_pair *p)
{
        p->leader = relay_new(p->all, p, &p->broadcast, &leader, &events);
        if (p->broadcast.stream.redundancy == 2)
                p->shadow = relay_new(p->all, p, &p->broadcast, &shadow, &events);
}
