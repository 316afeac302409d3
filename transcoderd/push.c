#include "transcoderd/push.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "transcoderd/claim.h"
#include "transcoderd/stats.h"

#define PUT_DEADLINE_MS 2000
#define PAUSE_FIRST_MS 20
#define PAUSE_MAX_MS 1000
#define PAUSE_NOSPACE_MS 1000
#define LOST_LOG_US US_PER_S
#define EXPECT_US (5 * US_PER_S) /* a kind that was announced has its first track by then, or is not waited for */

struct item {
        struct item *next;
        uint8_t flags, chunk;
        uint32_t segment;
        int64_t start_us, duration_us;
        int64_t made_us; /* monotonic */
        struct buf *bytes;
};

struct lane { /* of one track to one owner */
        struct owner *owner;
        unsigned track;
        struct item *first, **last; /* to be sent */
        struct item *flying;        /* sent, not answered; counted in queued_bytes too */
        bool under_way, stale;      /* stale: its answer says nothing about the queue as it is now */
        bool dead;                  /* the origin will not have the track */
        int64_t stored_us;
};

struct owner {
        struct push *push;
        struct origin origin; /* rpc is not used: origins_call() looks it up */
        struct claim_reply claimed;
        uint32_t generation;
        struct lane lanes[SESSION_TRACKS_MAX];
        size_t queued_bytes;
        struct claiming *claiming;
        uv_timer_t timer; /* active: nothing is sent until it fires */
        unsigned failures;
        bool end_under_way, ended;
        uint64_t lost; /* chunks, since the last line about it */
        int64_t lost_logged_us;
};

struct push {
        struct push_options o;
        struct claim claim;
        int64_t begun_us;
        struct owner owners[PUSH_OWNERS_MAX];
        unsigned owner_count, calls, handles;
        bool ending, stopped, closed;
        int64_t end_us;
};

static void pump(struct owner *o);

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void item_free(struct item *it)
{
        buf_unref(&it->bytes);
        free(it);
}

static void lane_append(struct lane *l, struct item *it)
{
        it->next = NULL;
        *l->last = it;
        l->last = &it->next;
}

static void lane_prepend(struct lane *l, struct item *it)
{
        it->next = l->first;
        if (!l->first)
                l->last = &it->next;
        l->first = it;
}

static struct item *lane_take(struct lane *l, struct item **link)
{
        struct item *it = *link;
        *link = it->next;
        if (!*link)
                l->last = link;
        return it;
}

static void forget(struct owner *o, struct item *it)
{
        o->queued_bytes -= it->bytes->len;
        item_free(it);
}

static struct item *item_of_init(const struct track_info *info)
{
        struct item *it = mem_alloc(sizeof(*it));
        *it = (struct item){.flags = PUT_INIT, .segment = (uint32_t)(info->start_us / SEGMENT_US),
                            .start_us = info->start_us, .made_us = clock_mono_us(), .bytes = buf_ref(info->init)};
        return it;
}

static struct item *item_of_chunk(const struct chunk *c)
{
        struct item *it = mem_alloc(sizeof(*it));
        *it = (struct item){.flags = c->flags, .segment = c->segment, .chunk = c->chunk, .start_us = c->start_us,
                            .duration_us = c->duration_us, .made_us = clock_mono_us(), .bytes = buf_ref(c->bytes)};
        return it;
}

static void count_lost(struct owner *o, const char *track, const struct item *it)
{
        int64_t now_us = clock_mono_us();
        metric_add(&stats_dropped, 1);
        o->lost++;
        if (o->lost_logged_us && now_us - o->lost_logged_us < LOST_LOG_US)
                return;
        log_error("session=%s origin=%s track=%s segment=%u chunk=%u lost_chunks=%" PRIu64 " queued_bytes=%zu "
                  "msg=\"the queue is full: the oldest chunks are lost\"", o->push->claim.session, o->origin.id, track,
                  it->segment, it->chunk, o->lost, o->queued_bytes);
        o->lost_logged_us = now_us;
        o->lost = 0;
}

/* The oldest chunk that is not sent yet; NULL: there is none. */
static struct item **oldest_of(struct lane *l)
{
        struct item **link = l->first && l->first->flags & PUT_INIT ? &l->first->next : &l->first;
        return *link ? link : NULL;
}

static bool too_long(struct lane *l, int64_t newest_us)
{
        struct item **oldest = oldest_of(l);
        return oldest && newest_us - (*oldest)->start_us > l->owner->push->o.queue_us;
}

static struct lane *lane_with_the_oldest(struct owner *o)
{
        struct lane *best = NULL;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                struct lane *l = &o->lanes[i];
                if (oldest_of(l) && (!best || (*oldest_of(l))->start_us < (*oldest_of(best))->start_us))
                        best = l;
        }
        return best;
}

static void make_room(struct owner *o, struct lane *grown, int64_t newest_us)
{
        for (;;) {
                struct lane *l = too_long(grown, newest_us)                      ? grown
                                 : o->queued_bytes > o->push->o.queue_bytes ? lane_with_the_oldest(o)
                                                                            : NULL;
                if (!l)
                        return;
                struct item *it = lane_take(l, oldest_of(l));
                count_lost(o, o->push->o.recent->tracks[l->track].info.name, it);
                forget(o, it);
        }
}

static void add(struct push *p, unsigned track, struct item *(*make)(const void *what), const void *what)
{
        for (unsigned i = 0; i < p->owner_count; i++) {
                struct owner *o = &p->owners[i];
                if (o->lanes[track].dead) {
                        metric_add(&stats_dropped, 1);
                        continue;
                }
                struct item *it = make(what);
                o->queued_bytes += it->bytes->len;
                lane_append(&o->lanes[track], it);
                make_room(o, &o->lanes[track], it->start_us);
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

static void failed(struct owner *o, int err)
{
        unsigned ms = PAUSE_FIRST_MS << (o->failures < 6 ? o->failures : 6);
        if (o->failures++ == 0)
                log_warn("session=%s origin=%s error=\"%s\" queued_bytes=%zu msg=\"chunk not stored yet\"", o->push->claim.session,
                         o->origin.id, err_text(err), o->queued_bytes);
        pause_for(o, err == ERR_NOSPACE ? PAUSE_NOSPACE_MS : ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS);
}

static void works(struct owner *o)
{
        if (o->failures)
                log_info("session=%s origin=%s attempts=%u queued_bytes=%zu lost_chunks=%" PRIu64
                         " msg=\"chunks are stored again\"", o->push->claim.session, o->origin.id, o->failures,
                         o->queued_bytes, o->lost);
        o->failures = 0;
        o->lost = 0;
        o->lost_logged_us = 0;
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

/* Ends are known to half a sample only, so it is the middle that decides. */
static bool ends_before(int64_t start_us, int64_t duration_us, int64_t end_us)
{
        return start_us + duration_us / 2 < end_us;
}

/* What is in memory and neither stored up to end_us nor queued anyway, then what was queued. */
static void refill(struct lane *l, const struct recent_track *t, int64_t end_us)
{
        struct item *queued = l->first;
        l->first = NULL;
        l->last = &l->first;
        while (queued && (queued->flags & PUT_INIT || ends_before(queued->start_us, queued->duration_us, end_us))) {
                struct item *it = queued;
                queued = it->next;
                forget(l->owner, it);
        }
        int64_t until_us = queued ? queued->start_us : INT64_MAX;
        for (const struct recent_chunk *c = t->first; c && c->chunk.start_us < until_us; c = c->next) {
                if (ends_before(c->chunk.start_us, c->chunk.duration_us, end_us) || c->chunk.bytes->len > BODY_MAX)
                        continue;
                l->owner->queued_bytes += c->chunk.bytes->len;
                lane_append(l, item_of_chunk(&c->chunk));
        }
        while (queued) {
                struct item *it = queued;
                queued = it->next;
                lane_append(l, it);
        }
}

static void rewind_lane(struct lane *l, const struct recent_track *t, const struct claim_track *there)
{
        if (l->flying)
                lane_prepend(l, l->flying);
        l->flying = NULL;
        l->stale = l->under_way;
        refill(l, t, there ? there->end_us : INT64_MIN);
        l->stored_us = there ? there->end_us : t->info.start_us;
        if (there)
                return;
        struct item *init = item_of_init(&t->info);
        l->owner->queued_bytes += init->bytes->len;
        lane_prepend(l, init);
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
                        rewind_lane(&o->lanes[i], t, claimed_track(m, t->info.name));
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
        l->flying = NULL;
        if (!(it->flags & PUT_INIT)) {
                l->stored_us = it->start_us + it->duration_us;
                histogram_observe(&stats_put, clock_mono_us() - it->made_us);
        }
        forget(l->owner, it);
        works(l->owner);
}

static void keep(struct lane *l)
{
        lane_prepend(l, l->flying);
        l->flying = NULL;
}

/* The origin will never take this one. Without its init segment a track is nothing. */
static void refused(struct lane *l, int err, const struct put_reply *m)
{
        struct push *p = l->owner->push;
        struct item *it = l->flying;
        const char *track = p->o.recent->tracks[l->track].info.name;
        bool init = it->flags & PUT_INIT;
        log_error("session=%s origin=%s track=%s segment=%u chunk=%u init=%d start_us=%" PRId64 " error=\"%s\" expected=%u/%u "
                  "end_us=%" PRId64 " msg=\"refused by the origin\"", p->claim.session, l->owner->origin.id, track,
                  it->segment, it->chunk, init, it->start_us, err_text(err), m->next_segment, m->next_chunk, m->end_us);
        metric_add(&stats_dropped, 1);
        l->flying = NULL;
        forget(l->owner, it);
        if (!init) {
                pump(l->owner);
                return;
        }
        l->dead = true;
        while (l->first)
                forget(l->owner, lane_take(l, &l->first));
        p->o.events->refused(p->o.arg, track, err);
}

static void not_known(struct lane *l)
{
        struct push *p = l->owner->push;
        keep(l);
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
                keep(l);
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
        l->flying = lane_take(l, &l->first);
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
                log_error("session=%s track=%s segment=%u chunk=%u bytes=%zu msg=\"chunk is over %u bytes: lost\"",
                          p->claim.session, p->o.recent->tracks[c->track].info.name, c->segment, c->chunk, c->bytes->len,
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

static void free_lane(struct lane *l)
{
        if (l->flying)
                item_free(l->flying);
        while (l->first)
                item_free(lane_take(l, &l->first));
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
                for (int t = 0; t < SESSION_TRACKS_MAX; t++)
                        free_lane(&o->lanes[t]);
        }
        free_if_done(p);
}
