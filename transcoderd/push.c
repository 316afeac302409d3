#include "transcoderd/push.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "transcoderd/push_queue.h"
#include "transcoderd/stats.h"

#define PUT_DEADLINE_MS 2000
#define PAUSE_FIRST_MS 20
#define PAUSE_MAX_MS 1000
#define PAUSE_NOSPACE_MS 1000
#define EXPECT_US (5 * US_PER_S) /* a kind that was announced has its first track by then, or is not waited for */

static void pump(struct owner *o);

static void add(struct push *p, unsigned track, struct item *(*make)(const void *what), const void *what)
{
        for (unsigned i = 0; i < p->owner_count; i++) {
                struct owner *o = &p->owners[i];
                if (o->lanes[track].dead) {
                        metric_add(&stats_dropped, 1);
                        continue;
                }
                lane_append(&o->lanes[track], make(what));
                pump(o);
        }
}

/* ---- an owner that fails ------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *t)
{
        pump(t->data);
}

/* Nothing is sent for ms, a quarter more or less: not all sessions are to come back at the same instant. */
static void pause_for(struct owner *o, unsigned ms)
{
        uv_timer_start(&o->timer, on_timer, ms - ms / 4 + (unsigned)rand() % (ms / 2 + 1), 0);
}

/* One line when it begins and one when its reason changes, not one a retry. */
static void tell_failing(struct owner *o, int err)
{
        uint64_t count;
        if ((o->failing_told && o->no_space == (err == ERR_NOSPACE)) || !told_may(&o->told_failing, &count))
                return;
        o->failing_told = true;
        o->no_space = err == ERR_NOSPACE;
        log_warn("session=%s origin=%s error=\"%s\" queued_bytes=%zu times=%" PRIu64 " msg=\"chunk not stored yet\"",
                 o->push->claim.session, o->origin.id, err_text(err), o->queued_bytes, count);
}

static void failed(struct owner *o, int err)
{
        unsigned ms = PAUSE_FIRST_MS << (o->failures < 6 ? o->failures : 6);
        metric_add(err == ERR_NOSPACE ? &stats_no_space : &stats_not_taken, 1);
        o->failures++;
        tell_failing(o, err);
        pause_for(o, err == ERR_NOSPACE ? PAUSE_NOSPACE_MS : ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS);
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

/* ---- claiming again ----------------------------------------------------------------------------------------------- */

static const struct claim_track *claimed_track(const struct claim_reply *m, const char *name)
{
        for (int i = 0; i < m->track_count; i++) {
                if (strcmp(m->tracks[i].name, name) == 0)
                        return &m->tracks[i];
        }
        return NULL;
}

static void stop(struct push *p, void (*event)(void *arg))
{
        p->stopped = true;
        event(p->o.arg);
}

static void on_claimed_again(void *arg, int err, const struct origin *origin, const struct claim_reply *m)
{
        struct owner *o = arg;
        struct push *p = o->push;
        o->claiming = NULL;
        if (err == ERR_CONFLICT || (!err && strcmp(m->session, p->claim.session) != 0)) {
                stop(p, p->o.events->lost);
                return;
        }
        if (err) {
                failed(o, err);
                return;
        }
        metric_add(&stats_claimed_again, 1);
        log_info("session=%s origin=%s generation=%u tracks=%u msg=\"claimed again\"", p->claim.session, origin->id,
                 m->generation, m->track_count);
        o->origin = *origin;
        o->generation = m->generation;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct recent_track *t = &p->o.recent->tracks[i];
                if (t->info.init && !o->lanes[i].dead)
                        lane_rewind(&o->lanes[i], t, claimed_track(m, t->info.name));
        }
        pump(o);
}

static void claim_again(struct owner *o)
{
        struct push *p = o->push;
        o->claiming = claim_start(p->o.origins, &p->claim, o->origin.id, on_claimed_again, o);
        if (!o->claiming)
                failed(o, ERR_CLOSED);
}

/* ---- PUT ---------------------------------------------------------------------------------------------------------- */

static void free_if_done(struct push *p);

static void delivered(struct lane *l)
{
        struct item *it = l->flying;
        if (!(it->flags & PUT_INIT)) {
                l->stored_us = it->start_us + it->duration_us;
                histogram_observe(&stats_put, clock_mono_us() - it->made_us);
        }
        lane_forget_flying(l);
        works(l->owner);
}

static void tell_refused(struct lane *l, int err, const struct put_reply *m)
{
        const struct owner *o = l->owner;
        const struct item *it = l->flying;
        uint64_t count;
        if (!told_may(&l->owner->told_refused, &count))
                return;
        log_error("session=%s origin=%s track=%s segment=%u chunk=%u init=%d start_us=%" PRId64 " error=\"%s\" "
                  "expected=%u/%u end_us=%" PRId64 " times=%" PRIu64 " msg=\"refused by the origin\"",
                  o->push->claim.session, o->origin.id, o->push->o.recent->tracks[l->track].info.name, it->segment, it->chunk, (it->flags & PUT_INIT) != 0,
                  it->start_us, err_text(err), m->next_segment, m->next_chunk, m->end_us, count);
}

/* The origin will never take this one. Without its init segment a track is nothing. */
static void refused(struct lane *l, int err, const struct put_reply *m)
{
        struct push *p = l->owner->push;
        bool init = l->flying->flags & PUT_INIT;
        tell_refused(l, err, m);
        metric_add(&stats_dropped, 1);
        lane_forget_flying(l);
        if (!init) {
                pump(l->owner);
                return;
        }
        l->dead = true;
        lane_forget_queued(l);
        p->o.events->refused(p->o.arg, p->o.recent->tracks[l->track].info.name, err);
}

static void not_known(struct lane *l)
{
        struct push *p = l->owner->push;
        lane_keep(l);
        if (l->owner->claiming)
                return;
        if (p->o.events->may_claim(p->o.arg))
                claim_again(l->owner);
        else
                stop(p, p->o.events->lost);
}

static void judge(struct lane *l, int status, const struct put_reply *m)
{
        struct push *p = l->owner->push;
        switch (status) {
        case 0:
                delivered(l);
                pump(l->owner);
                break;
        case ERR_FENCED:
                stop(p, p->o.events->fenced);
                break;
        case ERR_NOT_FOUND:
                not_known(l);
                break;
        case ERR_ORDER:
        case ERR_CONFLICT:
        case ERR_PROTO:
        case ERR_LIMIT:
        case ERR_UNSUPPORTED:
                refused(l, status, m);
                break;
        default:
                lane_keep(l);
                failed(l->owner, status);
        }
}

static void on_put(void *arg, int err, nng_msg *reply)
{
        struct lane *l = arg;
        struct push *p = l->owner->push;
        struct put_reply m = {0};
        struct reader r;
        bool stale = l->stale;
        l->under_way = l->stale = false;
        p->calls--;
        if (!err && (message_open(&r, reply) != MSG_PUT_REPLY || put_reply_decode(&r, &m) != 0)) {
                origins_drop(p->o.origins, l->owner->origin.id, "malformed answer to PUT");
                err = ERR_CLOSED;
        }
        nng_msg_free(reply);
        if (p->closed)
                free_if_done(p);
        else if (p->stopped)
                return;
        else if (stale)
                pump(l->owner);
        else if (err)
                judge(l, err == ERR_PROTO ? ERR_CLOSED : err, &m);
        else
                judge(l, m.status, &m);
}

/* False: the owner is not up. */
static bool send_first(struct lane *l)
{
        struct owner *o = l->owner;
        struct item *it = l->first;
        if (!it || l->under_way)
                return true;
        const struct track_info *info = &o->push->o.recent->tracks[l->track].info;
        bool init = it->flags & PUT_INIT;
        struct put m = {.generation = o->generation, .flags = it->flags, .segment = it->segment, .chunk = it->chunk,
                        .start_us = it->start_us, .duration_us = it->duration_us, .bandwidth = init ? info->bandwidth : 0,
                        .fps_milli = init ? info->fps_milli : 0, .bytes = it->bytes->data,
                        .len = (uint32_t)it->bytes->len};
        memcpy(m.session, o->push->claim.session, sizeof(m.session));
        memcpy(m.track, info->name, sizeof(m.track));
        if (!origins_call(o->push->o.origins, o->origin.id, message_new(MSG_PUT, put_encode, &m), PUT_DEADLINE_MS, on_put, l))
                return false;
        lane_fly(l);
        l->under_way = true;
        o->push->calls++;
        return true;
}

/* ---- END ---------------------------------------------------------------------------------------------------------- */

static bool all_stored(const struct owner *o)
{
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                if (o->lanes[i].first || o->lanes[i].under_way)
                        return false;
        }
        return true;
}

static void owner_ended(struct owner *o, int err)
{
        struct push *p = o->push;
        o->ended = true;
        for (unsigned i = 0; i < p->owner_count; i++) {
                if (!p->owners[i].ended)
                        return;
        }
        p->stopped = true;
        p->o.events->ended(p->o.arg, err);
}

static void on_end(void *arg, int err, nng_msg *reply)
{
        struct owner *o = arg;
        struct push *p = o->push;
        struct status_reply m = {0};
        struct reader r;
        p->calls--;
        o->end_under_way = false;
        if (!err && (message_open(&r, reply) != MSG_END_REPLY || status_reply_decode(&r, &m) != 0)) {
                origins_drop(p->o.origins, o->origin.id, "malformed answer to END");
                err = ERR_CLOSED;
        }
        nng_msg_free(reply);
        if (p->closed)
                free_if_done(p);
        else if (p->stopped)
                return;
        else if (!err && (m.status == 0 || m.status == ERR_FENCED || m.status == ERR_NOT_FOUND))
                owner_ended(o, m.status);
        else
                failed(o, err ? err : m.status);
}

static void send_end(struct owner *o)
{
        struct push *p = o->push;
        struct end m = {.generation = o->generation, .end_us = p->end_us};
        memcpy(m.session, p->claim.session, sizeof(m.session));
        if (!origins_call(p->o.origins, o->origin.id, message_new(MSG_END, end_encode, &m), PUT_DEADLINE_MS, on_end, o)) {
                failed(o, ERR_CLOSED);
                return;
        }
        o->end_under_way = true;
        p->calls++;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

/* An origin that started anew may lack the end of what it had stored. */
static bool started_anew(struct owner *o)
{
        struct push *p = o->push;
        struct origin now;
        if (!p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now) ||
            now.incarnation_us == o->origin.incarnation_us)
                return false;
        o->origin.incarnation_us = now.incarnation_us;
        return p->o.events->may_claim(p->o.arg);
}

/* Sends whatever may be sent now. Raises no event. */
static void pump(struct owner *o)
{
        struct push *p = o->push;
        if (p->stopped || p->closed || o->claiming || o->ended || uv_is_active((uv_handle_t *)&o->timer))
                return;
        if (started_anew(o)) {
                claim_again(o);
                return;
        }
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                if (!send_first(&o->lanes[i])) {
                        failed(o, ERR_CLOSED);
                        return;
                }
        }
        if (p->ending && !o->end_under_way && all_stored(o))
                send_end(o);
}

struct push *push_new(const struct push_options *options)
{
        struct push *p = mem_alloc(sizeof(*p));
        *p = (struct push){.o = *options, .claim = *options->claim, .begun_us = clock_mono_us()};
        p->o.claim = NULL;
        return p;
}

void push_owner(struct push *p, const struct origin *origin, const struct claim_reply *claimed)
{
        assert(p->owner_count < PUSH_OWNERS_MAX);
        struct owner *o = &p->owners[p->owner_count++];
        o->push = p;
        o->origin = *origin;
        o->claimed = *claimed;
        o->generation = claimed->generation;
        for (unsigned i = 0; i < SESSION_TRACKS_MAX; i++) {
                o->lanes[i].owner = o;
                o->lanes[i].track = i;
                o->lanes[i].last = &o->lanes[i].first;
        }
        uv_timer_init(p->o.loop, &o->timer);
        o->timer.data = o;
        p->handles++;
}

static struct item *make_init(const void *info)
{
        return item_of_init(info);
}

static struct item *make_chunk(const void *chunk)
{
        return item_of_chunk(chunk);
}

void push_track(struct push *p, const struct track_info *info)
{
        assert(info->track < SESSION_TRACKS_MAX);
        for (unsigned i = 0; i < p->owner_count; i++) {
                const struct claim_track *there = claimed_track(&p->owners[i].claimed, info->name);
                p->owners[i].lanes[info->track].stored_us = there ? there->end_us : info->start_us;
        }
        add(p, info->track, make_init, info);
}

void push_chunk(struct push *p, const struct chunk *c)
{
        assert(c->track < SESSION_TRACKS_MAX);
        if (c->bytes->len > BODY_MAX) { /* a bit rate beyond what chunks of 200 ms can carry */
                uint64_t count;
                if (told_may(&p->told_oversize, &count))
                        log_error("session=%s track=%s segment=%u chunk=%u bytes=%zu times=%" PRIu64
                                  " msg=\"chunk is over %u bytes: lost\"", p->claim.session,
                                  p->o.recent->tracks[c->track].info.name, c->segment, c->chunk, c->bytes->len, count,
                                  BODY_MAX);
                metric_add(&stats_dropped, 1);
                return;
        }
        add(p, c->track, make_chunk, c);
}

void push_poke(struct push *p)
{
        for (unsigned i = 0; i < p->owner_count; i++) {
                struct owner *o = &p->owners[i];
                struct origin now;
                if (!o->failures || !p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now))
                        continue;
                uv_timer_stop(&o->timer);
                pump(o);
        }
}

static bool kind_known(const struct push *p, int kind)
{
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct track_info *info = &p->o.recent->tracks[i].info;
                if (info->init && info->kind == kind)
                        return true;
        }
        return false;
}

/* Sound may be stored before the first picture is even encoded: until then nothing is, or the proxy would forget it. */
static bool still_expected(const struct push *p)
{
        if (clock_mono_us() - p->begun_us > EXPECT_US)
                return false;
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (p->o.codecs[k] != CODEC_NONE && !kind_known(p, k))
                        return true;
        }
        return false;
}

static int64_t owner_stored_us(const struct push *p, const struct owner *o)
{
        int64_t least = INT64_MAX;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                if (p->o.recent->tracks[i].info.init && o->lanes[i].stored_us < least)
                        least = o->lanes[i].stored_us;
        }
        if (least != INT64_MAX && !still_expected(p))
                return least;
        least = o->claimed.track_count ? INT64_MAX : 0;
        for (int i = 0; i < o->claimed.track_count; i++)
                least = o->claimed.tracks[i].end_us < least ? o->claimed.tracks[i].end_us : least;
        return least;
}

int64_t push_stored_us(const struct push *p)
{
        int64_t least = INT64_MAX;
        for (unsigned i = 0; i < p->owner_count; i++) {
                int64_t stored_us = owner_stored_us(p, &p->owners[i]);
                least = stored_us < least ? stored_us : least;
        }
        return least == INT64_MAX ? 0 : least;
}

size_t push_queued(const struct push *p)
{
        size_t sum = 0;
        for (unsigned i = 0; i < p->owner_count; i++)
                sum += p->owners[i].queued_bytes;
        return sum;
}

void push_end(struct push *p, int64_t end_us)
{
        p->ending = true;
        p->end_us = end_us;
        for (unsigned i = 0; i < p->owner_count; i++)
                pump(&p->owners[i]);
}

static void on_handle_closed(uv_handle_t *h)
{
        struct push *p = ((struct owner *)h->data)->push;
        if (--p->handles == 0)
                free(p);
}

static void free_if_done(struct push *p)
{
        if (p->calls)
                return;
        if (!p->handles)
                free(p);
        else
                for (unsigned i = 0; i < p->owner_count; i++)
                        uv_close((uv_handle_t *)&p->owners[i].timer, on_handle_closed);
}

/* A PUT under way was copied into its message, so its bytes may go; only the lane has to stay for its answer. */
void push_close(struct push *p)
{
        p->closed = true;
        for (unsigned i = 0; i < p->owner_count; i++) {
                struct owner *o = &p->owners[i];
                uv_timer_stop(&o->timer);
                claim_cancel(&o->claiming);
                for (int t = 0; t < SESSION_TRACKS_MAX; t++) {
                        lane_forget_flying(&o->lanes[t]);
                        lane_forget_queued(&o->lanes[t]);
                }
        }
        free_if_done(p);
}
