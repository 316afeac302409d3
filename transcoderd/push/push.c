#include "transcoderd/push/push.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/push/push_owner.h"
#include "transcoderd/stats.h"

#define EXPECT_US (5 * US_PER_S) /* a kind that was announced has its first track by then, or is not waited for */

/* ---- beginning ------------------------------------------------------------------------------------------------------ */

struct push *push_new(const struct push_options *options)
{
        struct push *p = mem_alloc(sizeof(*p));
        assert(options->replicas >= 1 && options->replicas <= PUSH_OWNERS_MAX);
        *p = (struct push){.o = *options, .claim = *options->claim, .begun_us = clock_mono_us()};
        p->o.claim = NULL;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                uv_timer_init(p->o.loop, &p->timers[i]);
                p->timers[i].data = &p->owners[i];
                p->owners[i].push = p;
                p->handles++;
        }
        return p;
}

void push_leader(struct push *p, const struct origin *origin, const struct claim_reply *claimed)
{
        struct owner *o = join_add(p, origin);
        assert(o == p->owners);
        p->begun_with = o->claimed = *claimed;
        p->generation = o->generation = claimed->generation;
        owner_set_state(o, OWNER_IN_STEP);
        join_look(p);
}

/* ---- tracks and chunks ---------------------------------------------------------------------------------------------- */

static void add_to(struct owner *o, struct lane *l, struct item *it)
{
        if (l->dead) {
                metric_add(&stats_dropped, 1);
                item_free(it);
        } else if (lane_would_lose(l, it) && owner_may_go(o)) {
                owner_out(o, "it is too slow");
                item_free(it);
        } else {
                lane_append(l, it);
                owner_pump(o);
        }
}

static void add(struct push *p, unsigned track, struct item *(*make)(const void *what), const void *what)
{
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                struct owner *o = &p->owners[i];
                if (o->used && o->state != OWNER_OUT)
                        add_to(o, &o->lanes[track], make(what));
        }
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
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                const struct claim_track *there = claimed_track(&p->owners[i].claimed, info->name);
                p->owners[i].lanes[info->track].stored_us = there ? there->end_us : info->start_us;
        }
        add(p, info->track, make_init, info);
}

void push_chunk(struct push *p, const struct chunk *c)
{
        assert(c->track < SESSION_TRACKS_MAX);
        if (c->bytes->len > BODY_MAX) { /* a bit rate beyond what its chunks can carry */
                uint64_t count;
                if (told_may(&p->told_oversize, PUSH_TOLD_US, clock_mono_us(), &count))
                        log_error("session=%s track=%s segment=%u chunk=%u bytes=%zu times=%" PRIu64
                                  " msg=\"chunk is over %u bytes: lost\"", p->claim.session,
                                  p->o.recent->tracks[c->track].info.name, c->segment, c->chunk, c->bytes->len, count,
                                  BODY_MAX);
                metric_add(&stats_dropped, 1);
                return;
        }
        if (!lane_is_leaders(p, c->track))
                add(p, c->track, make_chunk, c);
}

void push_tick(struct push *p)
{
        join_look(p);
}

void push_poke(struct push *p)
{
        join_look(p);
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                struct owner *o = &p->owners[i];
                struct origin now;
                if (!o->used || !o->failures || !p->o.origins->link->find(p->o.origins->arg, o->origin.id, &now))
                        continue;
                uv_timer_stop(o->timer);
                owner_pump(o);
        }
}

/* ---- what is stored ------------------------------------------------------------------------------------------------- */

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

int64_t push_owner_stored_us(const struct push *p, const struct owner *o)
{
        int64_t least = INT64_MAX;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct track_info *info = &p->o.recent->tracks[i].info;
                if (info->init && info->kind < TRACK_KINDS && o->lanes[i].stored_us < least)
                        least = o->lanes[i].stored_us;
        }
        if (least != INT64_MAX && !still_expected(p))
                return least;
        least = INT64_MAX;
        for (int i = 0; i < o->claimed.track_count; i++) {
                const struct claim_track *t = &o->claimed.tracks[i];
                if (strcmp(t->name, PICTURES_TRACK) != 0 && t->end_us < least)
                        least = t->end_us;
        }
        return least == INT64_MAX ? 0 : least;
}

/* By those in step; 0 when there is none. */
static int64_t stored_us(const struct push *p)
{
        int64_t least = INT64_MAX, greatest = 0;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                const struct owner *o = &p->owners[i];
                if (!o->used || o->state != OWNER_IN_STEP)
                        continue;
                int64_t us = push_owner_stored_us(p, o);
                least = us < least ? us : least;
                greatest = us > greatest ? us : greatest;
        }
        return p->o.quorum_one || least == INT64_MAX ? greatest : least;
}

/* What was called stored is let go by the proxy: it does not come again for an owner that has less. */
int64_t push_stored_us(struct push *p)
{
        int64_t us = stored_us(p);
        p->stored_us = us > p->stored_us ? us : p->stored_us;
        return p->stored_us;
}

static int64_t owner_waiting_us(const struct owner *o)
{
        int64_t most_us = 0;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct lane *l = &o->lanes[i];
                int64_t us = 0;
                for (const struct item *it = l->first; it; it = it->next)
                        us += it->duration_us;
                most_us = us > most_us ? us : most_us;
        }
        return most_us;
}

int64_t push_waiting_us(const struct push *p)
{
        int64_t least_us = INT64_MAX, most_us = 0;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                const struct owner *o = &p->owners[i];
                if (!o->used || o->state != OWNER_IN_STEP)
                        continue;
                int64_t us = owner_waiting_us(o);
                least_us = us < least_us ? us : least_us;
                most_us = us > most_us ? us : most_us;
        }
        return p->o.quorum_one || least_us == INT64_MAX ? least_us : most_us;
}

size_t push_queued(const struct push *p)
{
        size_t most = 0;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++)
                most = p->owners[i].queued_bytes > most ? p->owners[i].queued_bytes : most;
        return most;
}

bool push_all_stored(const struct push *p)
{
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                if (p->owners[i].used && p->owners[i].state == OWNER_IN_STEP && p->owners[i].queued_bytes)
                        return false;
        }
        return true;
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

void push_stop(struct push *p, void (*event)(void *arg))
{
        p->stopped = true;
        event(p->o.arg);
}

void push_look_for_end(struct push *p)
{
        bool any = false;
        if (p->stopped || p->closed || !p->ending)
                return;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                const struct owner *o = &p->owners[i];
                if (!o->used)
                        continue;
                if (o->state == OWNER_IN_STEP ? !o->ended : owner_ends_late(o))
                        return;
                any |= o->state == OWNER_IN_STEP;
        }
        if (!any)
                return;
        p->stopped = true;
        p->o.events->ended(p->o.arg, p->end_err);
}

void push_end(struct push *p, int64_t end_us)
{
        p->ending = true;
        p->end_us = end_us;
        p->ending_us = clock_mono_us();
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                struct owner *o = &p->owners[i];
                if (o->used && o->state == OWNER_OUT)
                        join_now(o);
                else if (o->used)
                        owner_pump(o);
        }
}

static void on_handle_closed(uv_handle_t *h)
{
        struct push *p = ((struct owner *)h->data)->push;
        if (--p->handles == 0)
                free(p);
}

void push_free_if_done(struct push *p)
{
        if (p->calls)
                return;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++)
                uv_close((uv_handle_t *)&p->timers[i], on_handle_closed);
}

/* A PUT under way was copied into its message, so its bytes may go; only the lane has to stay for its answer. */
void push_close(struct push *p)
{
        p->closed = true;
        for (int i = 0; i < PUSH_OWNERS_MAX; i++) {
                struct owner *o = &p->owners[i];
                uv_timer_stop(&p->timers[i]);
                if (!o->used)
                        continue;
                owner_uncount(o);
                for (int t = 0; t < SESSION_TRACKS_MAX; t++)
                        lane_clear(&o->lanes[t]);
        }
        push_free_if_done(p);
}

size_t push_tell(const struct push *p, struct push_view out[PUSH_OWNERS_MAX])
{
        static const char *const names[] = {[OWNER_OUT] = "out_of_step", [OWNER_JOINING] = "joining", [OWNER_IN_STEP] = "in_step"};
        size_t n = 0;
        for (size_t i = 0; i < PUSH_OWNERS_MAX; i++) {
                const struct owner *o = &p->owners[i];
                if (!o->used)
                        continue;
                out[n] = (struct push_view){.state = names[o->state], .queued_bytes = o->queued_bytes};
                memcpy(out[n++].id, o->origin.id, sizeof(out[0].id));
        }
        return n;
}
