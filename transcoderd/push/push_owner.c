/* push_owner.c - one owner: PUT and END, what its answers mean, and what becomes of it when it fails. */
#include "transcoderd/push/push_owner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/stats.h"

#define PUT_DEADLINE_MS 2000
#define PUT_OTHERS_DEADLINE_MS 1000 /* of one that the others need not wait for */
#define PAUSE_FIRST_MS 20
#define PAUSE_MAX_MS 1000
#define PAUSE_NOSPACE_MS 1000
#define OUT_MS 500         /* from when it is out of step until it is joined */
#define OUT_REFUSED_MS 10000
#define JOIN_AGAIN_US (500 * US_PER_MS)
#define END_AGAIN_MS 200
#define END_OTHERS_US (3 * US_PER_S) /* so long those that are out of step are waited for: a JOIN, and END */

/* ---- in step, and out of it ----------------------------------------------------------------------------------------- */

static struct metric *gauge_of(enum owner_state state)
{
        return state == OWNER_IN_STEP ? &stats_owners_in_step : state == OWNER_JOINING ? &stats_owners_joining
                                                                                       : &stats_owners_out;
}

void owner_set_state(struct owner *o, enum owner_state state)
{
        metric_add(gauge_of(o->state), -1);
        metric_add(gauge_of(state), 1);
        o->state = state;
}

void owner_uncount(const struct owner *o)
{
        metric_add(gauge_of(o->state), -1);
}

bool owner_may_go(const struct owner *o)
{
        const struct push *p = o->push;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                const struct owner *other = &p->owners[i];
                if (other != o && other->used && other->state == OWNER_IN_STEP)
                        return true;
        }
        return o->state != OWNER_IN_STEP;
}

void owner_out(struct owner *o, const char *why)
{
        log_line(o->state == OWNER_IN_STEP ? LOG_WARN : LOG_DEBUG,
                 "session=%s origin=%s queued_bytes=%zu msg=\"out of step\" why=\"%s\"", o->push->claim.session,
                 o->origin.id, o->queued_bytes, why);
        owner_set_state(o, OWNER_OUT);
        for (int i = 0; i < SESSION_TRACKS_MAX; i++)
                lane_clear(&o->lanes[i]);
        o->failures = 0;
        o->failing_told = o->lacks_told = o->ended = false;
        owner_pause(o, OUT_MS);
}

/* One that failed while it was the last one in step is not needed any more. */
static void let_failing_go(struct push *p)
{
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                struct owner *o = &p->owners[i];
                if (o->used && o->state == OWNER_IN_STEP && o->failures && owner_may_go(o))
                        owner_out(o, "another one is in step again");
        }
}

static bool all_stored(const struct owner *o)
{
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                if (o->lanes[i].first)
                        return false;
        }
        return true;
}

void owner_look_if_in_step(struct owner *o, int64_t enough_us)
{
        if (o->state != OWNER_JOINING || (!all_stored(o) && push_owner_stored_us(o->push, o) < enough_us))
                return;
        owner_set_state(o, OWNER_IN_STEP);
        log_info("session=%s origin=%s queued_bytes=%zu msg=\"in step\"", o->push->claim.session, o->origin.id,
                 o->queued_bytes);
        let_failing_go(o->push);
}

/* ---- one that fails ------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t)
{
        struct owner *o = t->data;
        if (o->push->stopped || o->push->closed)
                return;
        if (o->state == OWNER_OUT)
                join_now(o);
        else
                owner_pump(o);
        push_look_for_end(o->push);
}

/* Not all sessions are to come back at the same instant. */
void owner_pause(struct owner *o, unsigned ms)
{
        uv_timer_start(o->timer, on_timer, ms - ms / 4 + (unsigned)rand() % (ms / 2 + 1), 0);
}

/* One line when it begins and one when its reason changes, not one a retry. */
static void tell_failing(struct owner *o, int err)
{
        uint64_t count;
        if ((o->failing_told && o->no_space == (err == ERR_NOSPACE)) ||
            !told_may(&o->told_failing, PUSH_TOLD_US, clock_mono_us(), &count))
                return;
        o->failing_told = true;
        o->no_space = err == ERR_NOSPACE;
        log_warn("session=%s origin=%s error=\"%s\" queued_bytes=%zu times=%" PRIu64 " msg=\"chunk not stored yet\"",
                 o->push->claim.session, o->origin.id, err_text(err), o->queued_bytes, count);
}

void owner_failed(struct owner *o, int err)
{
        unsigned ms = PAUSE_FIRST_MS << (o->failures < 6 ? o->failures : 6);
        metric_add(err == ERR_NOSPACE ? &stats_no_space : &stats_not_taken, 1);
        if (owner_may_go(o)) {
                owner_out(o, err_text(err));
                return;
        }
        o->failures++;
        tell_failing(o, err);
        owner_pause(o, err == ERR_NOSPACE ? PAUSE_NOSPACE_MS : ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS);
}

static void works(struct owner *o)
{
        if (o->failing_told)
                log_info("session=%s origin=%s attempts=%u queued_bytes=%zu lost_chunks=%" PRIu64
                         " msg=\"chunks are stored again\"", o->push->claim.session, o->origin.id, o->failures,
                         o->queued_bytes, o->lost);
        o->failures = 0;
        o->failing_told = false;
        o->lost = 0;
}

/* ---- PUT ------------------------------------------------------------------------------------------------------------ */

/* One PUT under way. */
struct flight {
        struct lane *lane;
        uint32_t round, number;
        uint32_t generation;
        bool behind; /* another one, which was not answered */
        int64_t counted_us; /* what counted as stored when it was sent */
};

/* What was sent before it is stored too: the origin took it behind that only. Their own answers are on their way. A far origin never has
 * all that the others have, only all that they had a round trip ago, counted_us; what came since is under way to it. */
static void delivered(struct lane *l, struct item *it, int64_t counted_us)
{
        int64_t now_us = clock_mono_us();
        for (bool last = false; !last;) {
                struct item *first = l->first;
                last = first == it;
                if (!(first->flags & PUT_INIT)) {
                        l->stored_us = first->start_us + first->duration_us;
                        histogram_observe(&stats_put, now_us - first->made_us);
                }
                lane_forget(l, first);
        }
        works(l->owner);
        owner_look_if_in_step(l->owner, counted_us);
}

static void tell_refused(struct lane *l, const struct item *it, int err, const struct put_reply *m)
{
        const struct owner *o = l->owner;
        uint64_t count;
        if (!told_may(&l->owner->told_refused, PUSH_TOLD_US, clock_mono_us(), &count))
                return;
        log_error("session=%s origin=%s track=%s segment=%u chunk=%u init=%d start_us=%" PRId64 " error=\"%s\" "
                  "expected=%u/%u end_us=%" PRId64 " times=%" PRIu64 " msg=\"refused by the origin\"",
                  o->push->claim.session, o->origin.id, o->push->o.recent->tracks[l->track].info.name, it->segment, it->chunk,
                  (it->flags & PUT_INIT) != 0, it->start_us, err_text(err), m->next_segment, m->next_chunk, m->end_us, count);
}

/* The origin will never take this one. Without its init segment a track is nothing. */
static void refused(struct lane *l, struct item *it, int err, const struct put_reply *m)
{
        struct owner *o = l->owner;
        struct push *p = o->push;
        bool init = it->flags & PUT_INIT, needed = strcmp(p->o.recent->tracks[l->track].info.name, PICTURES_TRACK) != 0;
        tell_refused(l, it, err, m);
        metric_add(&stats_dropped, 1);
        if (init && needed && owner_may_go(o)) {
                owner_out(o, "it refuses an init segment");
                owner_pause(o, OUT_REFUSED_MS);
                return;
        }
        if (!init) {
                lane_forget(l, it);
                owner_pump(o);
                return;
        }
        l->dead = true;
        lane_clear(l);
        p->o.events->refused(p->o.arg, p->o.recent->tracks[l->track].info.name, err);
}

/* The session is not there, or is not this writer's since the origin started. */
static void take_up_again(struct owner *o, int err)
{
        if (owner_may_go(o))
                owner_out(o, "it does not know the session");
        if (clock_mono_us() - o->joined_us > JOIN_AGAIN_US)
                join_now(o);
        else if (o->state == OWNER_IN_STEP)
                owner_failed(o, err);
}

static void judge(struct lane *l, const struct flight *f, struct item *it, int status, const struct put_reply *m)
{
        struct owner *o = l->owner;
        switch (status) {
        case 0:
                delivered(l, it, f->counted_us);
                owner_pump(o);
                break;
        case ERR_FENCED:
                lane_back(l);
                if (f->generation == o->push->generation)
                        push_stop(o->push, o->push->o.events->fenced);
                else /* by ourselves: push_lead() was between */
                        join_now(o);
                break;
        case ERR_NOT_FOUND:
                lane_back(l);
                if (!o->join_under_way)
                        take_up_again(o, status);
                break;
        case ERR_ORDER:
                /* Behind the end there, not before it: the origin lacks what lies between, and its peer may give it that. */
                if (!(it->flags & PUT_INIT) && it->start_us > m->end_us + chunk_us(o->push->claim.chunk_ms) / 2 && owner_may_go(o))
                        owner_out(o, "it lacks chunks");
                else
                        refused(l, it, status, m);
                break;
        case ERR_CONFLICT:
        case ERR_PROTO:
        case ERR_LIMIT:
        case ERR_UNSUPPORTED:
                refused(l, it, status, m);
                break;
        case ERR_NOT_YET:
        case ERR_FULL:
                if (f->behind) { /* what became of the one before it, that one's answer says */
                        l->going_back = true;
                        break;
                }
                /* fall through */
        default:
                lane_back(l);
                owner_failed(o, status);
        }
}

static void on_put(void *arg, int err, nng_msg *reply)
{
        struct flight f = *(struct flight *)arg;
        struct lane *l = f.lane;
        struct push *p = l->owner->push;
        struct put_reply m = {0};
        struct reader r;
        free(arg);
        l->calls--;
        l->stale -= f.round != l->round;
        l->owner->calls--;
        p->calls--;
        if (!err && (message_open(&r, reply) != MSG_PUT_REPLY || put_reply_decode(&r, &m) != 0)) {
                origins_drop(p->o.origins, l->owner->origin.id, "malformed answer to PUT");
                err = ERR_CLOSED;
        }
        nng_msg_free(reply);
        if (p->closed) {
                push_free_if_done(p);
                return;
        }
        if (p->stopped)
                return;
        struct item *it = f.round == l->round ? lane_flies(l, f.number) : NULL;
        if (it)
                judge(l, &f, it, err ? err == ERR_PROTO ? ERR_CLOSED : err : m.status, &m);
        if (l->going_back && !l->calls)
                lane_back(l);
        owner_pump(l->owner);
        push_look_for_end(p);
}

/* False: the owner is not up. */
static bool send_next(struct lane *l, const struct item *it)
{
        struct owner *o = l->owner;
        struct push *p = o->push;
        const struct track_info *info = &p->o.recent->tracks[l->track].info;
        bool init = it->flags & PUT_INIT;
        struct put m = {.generation = o->generation, .flags = it->flags, .segment = it->segment, .chunk = it->chunk,
                        .start_us = it->start_us, .duration_us = it->duration_us, .bandwidth = init ? info->bandwidth : 0,
                        .fps_milli = init ? info->fps_milli : 0, .previous = it->previous, .after_us = lane_after_us(l),
                        .bytes = it->bytes->data, .len = (uint32_t)it->bytes->len};
        struct flight *f = mem_alloc(sizeof(*f));
        unsigned within_ms = owner_may_go(o) ? PUT_OTHERS_DEADLINE_MS : PUT_DEADLINE_MS;
        m.flags |= p->o.shadow ? PUT_SHADOW : 0;
        memcpy(m.session, p->claim.session, sizeof(m.session));
        memcpy(m.track, info->name, sizeof(m.track));
        if (!origins_call(p->o.origins, o->origin.id, message_new(MSG_PUT, put_encode, &m), within_ms, on_put, f)) {
                free(f);
                return false;
        }
        lane_fly(l);
        *f = (struct flight){.lane = l, .round = l->round, .number = it->number, .generation = m.generation,
                              .behind = m.after_us, .counted_us = push_stored_us(p)};
        l->calls++;
        o->calls++;
        p->calls++;
        return true;
}

/* ---- END ------------------------------------------------------------------------------------------------------------ */

/* Of one that is out of step. */
static void judge_late_end(struct owner *o, int status)
{
        if (status == 0)
                o->ended = true;
        else if (status == ERR_NOT_FOUND || status == ERR_FENCED) /* what is there is not this writer's; a JOIN says why */
                join_now(o);
        else
                owner_pause(o, END_AGAIN_MS);
}

static void judge_end(struct owner *o, int status)
{
        if (o->state == OWNER_OUT) {
                judge_late_end(o, status);
        } else if (status == 0 || status == ERR_FENCED || status == ERR_NOT_FOUND) {
                o->ended = true;
                o->push->end_err = status;
        } else {
                owner_failed(o, status);
        }
}

static void on_end(void *arg, int err, nng_msg *reply)
{
        struct owner *o = arg;
        struct push *p = o->push;
        struct status_reply m = {0};
        struct reader r;
        p->calls--;
        o->calls--;
        o->end_under_way = false;
        if (!err && (message_open(&r, reply) != MSG_END_REPLY || status_reply_decode(&r, &m) != 0)) {
                origins_drop(p->o.origins, o->origin.id, "malformed answer to END");
                err = ERR_CLOSED;
        }
        nng_msg_free(reply);
        if (p->closed) {
                push_free_if_done(p);
                return;
        }
        if (p->stopped)
                return;
        judge_end(o, err ? err : m.status);
        push_look_for_end(p);
}

void owner_send_end(struct owner *o)
{
        struct push *p = o->push;
        struct end m = {.generation = o->state == OWNER_OUT ? p->generation : o->generation, .end_us = p->end_us};
        memcpy(m.session, p->claim.session, sizeof(m.session));
        if (o->end_under_way)
                return;
        if (!origins_call(p->o.origins, o->origin.id, message_new(MSG_END, end_encode, &m),
                          o->state == OWNER_OUT ? PUT_OTHERS_DEADLINE_MS : PUT_DEADLINE_MS, on_end, o)) {
                judge_end(o, ERR_CLOSED);
                return;
        }
        o->end_under_way = true;
        o->calls++;
        p->calls++;
}

bool owner_ends_late(const struct owner *o)
{
        const struct push *p = o->push;
        struct origin now;
        return o->state != OWNER_IN_STEP && !o->ended && clock_mono_us() - p->ending_us < END_OTHERS_US &&
               p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now);
}

/* ---- what is next --------------------------------------------------------------------------------------------------- */

void owner_pump(struct owner *o)
{
        struct push *p = o->push;
        struct origin now;
        if (p->stopped || p->closed || o->state == OWNER_OUT || o->join_under_way || o->ended ||
            uv_is_active((uv_handle_t *)o->timer))
                return;
        /* An origin that started anew may lack the end of what it had stored, and takes nothing before it is joined. */
        if (p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now) && now.incarnation_us != o->origin.incarnation_us) {
                if (owner_may_go(o))
                        owner_out(o, "it started anew");
                join_now(o);
                return;
        }
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct item *it;
                while ((it = lane_next(&o->lanes[i]))) {
                        if (!send_next(&o->lanes[i], it)) {
                                owner_failed(o, ERR_CLOSED);
                                return;
                        }
                }
        }
        if (p->ending && all_stored(o))
                owner_send_end(o);
}
