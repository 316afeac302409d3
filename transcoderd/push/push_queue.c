#include "transcoderd/push/push_queue.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "transcoderd/push/push_owner.h"
#include "transcoderd/stats.h"

void item_free(struct item *it)
{
        buf_unref(&it->bytes);
        free(it);
}

static void append(struct lane *l, struct item *it)
{
        it->next = NULL;
        *l->last = it;
        l->last = &it->next;
}

/* Nothing flies. */
static void prepend(struct lane *l, struct item *it)
{
        it->next = l->first;
        if (!l->first)
                l->last = &it->next;
        l->first = it;
}

static struct item *take(struct lane *l, struct item **link)
{
        struct item *it = *link;
        *link = it->next;
        if (!*link)
                l->last = link;
        if (l->unsent == &it->next)
                l->unsent = link;
        return it;
}

static void forget(struct owner *o, struct item *it)
{
        o->queued_bytes -= it->bytes->len;
        item_free(it);
}

struct item *item_of_init(const struct track_info *info)
{
        struct item *it = mem_alloc(sizeof(*it));
        *it = (struct item){.flags = PUT_INIT, .segment = (uint32_t)(info->start_us / SEGMENT_US),
                            .start_us = info->start_us, .made_us = clock_mono_us(), .bytes = buf_ref(info->init)};
        return it;
}

struct item *item_of_chunk(const struct chunk *c)
{
        struct item *it = mem_alloc(sizeof(*it));
        *it = (struct item){.flags = c->flags, .segment = c->segment, .chunk = c->chunk, .start_us = c->start_us,
                            .duration_us = c->duration_us, .made_us = clock_mono_us(), .previous = c->previous,
                            .bytes = buf_ref(c->bytes)};
        return it;
}

static void count_lost(struct owner *o, const char *track, const struct item *it)
{
        uint64_t count;
        metric_add(&stats_dropped, 1);
        o->lost++;
        if (told_may(&o->told_lost, PUSH_TOLD_US, clock_mono_us(), &count))
                log_error("session=%s origin=%s track=%s segment=%u chunk=%u lost_chunks=%" PRIu64 " queued_bytes=%zu "
                          "msg=\"the queue is full: the oldest chunks are lost\"", o->push->claim.session, o->origin.id,
                          track, it->segment, it->chunk, count, o->queued_bytes);
}

/* The oldest chunk that is not sent yet; NULL: there is none. */
static struct item **oldest_of(struct lane *l)
{
        struct item **link = *l->unsent && (*l->unsent)->flags & PUT_INIT ? &(*l->unsent)->next : l->unsent;
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
                struct item *it = take(l, oldest_of(l));
                count_lost(o, o->push->o.recent->tracks[l->track].info.name, it);
                forget(o, it);
        }
}

bool lane_would_lose(struct lane *l, const struct item *it)
{
        return too_long(l, it->start_us) || l->owner->queued_bytes + it->bytes->len > l->owner->push->o.queue_bytes;
}

void lane_append(struct lane *l, struct item *it)
{
        l->owner->queued_bytes += it->bytes->len;
        append(l, it);
        make_room(l->owner, l, it->start_us);
}

/* ---- what flies ---------------------------------------------------------------------------------------------------- */

/* Of those that fly, the last one; there is one. */
static const struct item *newest_flying(const struct lane *l)
{
        return (const struct item *)((const char *)l->unsent - offsetof(struct item, next));
}

static size_t flying_bytes(const struct lane *l)
{
        size_t bytes = 0;
        for (const struct item *it = l->first; it != *l->unsent; it = it->next)
                bytes += it->bytes->len;
        return bytes;
}

/* An init segment goes alone, for a chunk of a track that is not there is refused. And so does what comes behind a gap: the origin
 * asks its peers for what is missing before it. */
static bool may_join(const struct lane *l, const struct item *it)
{
        const struct item *before = newest_flying(l);
        return l->flying < PUSH_WINDOW && !((it->flags | before->flags) & PUT_INIT) &&
               it->start_us - before->start_us - before->duration_us < chunk_us(l->owner->push->claim.chunk_ms) / 2 &&
               flying_bytes(l) + it->bytes->len <= PUSH_WINDOW_BYTES;
}

struct item *lane_next(struct lane *l)
{
        struct item *it = *l->unsent;
        if (!it || l->stale || l->going_back || (l->flying && !may_join(l, it)))
                return NULL;
        return it;
}

/* Ends are known to half a sample only, and a chunk may be just one. */
int64_t lane_after_us(const struct lane *l)
{
        if (!l->flying)
                return 0;
        const struct item *before = newest_flying(l);
        return before->start_us + before->duration_us / 4 + 1;
}

void lane_fly(struct lane *l)
{
        struct item *it = *l->unsent;
        it->number = ++l->numbers;
        l->unsent = &it->next;
        l->flying++;
}

void lane_back(struct lane *l)
{
        l->unsent = &l->first;
        l->stale = l->calls;
        l->flying = 0;
        l->going_back = false;
        l->round++;
}

struct item *lane_flies(const struct lane *l, uint32_t number)
{
        for (struct item *it = l->first; it != *l->unsent; it = it->next) {
                if (it->number == number)
                        return it;
        }
        return NULL;
}

void lane_forget(struct lane *l, struct item *it)
{
        struct item **link = &l->first;
        while (*link != it)
                link = &(*link)->next;
        l->flying--;
        forget(l->owner, take(l, link));
}

void lane_clear(struct lane *l)
{
        lane_back(l);
        while (l->first)
                forget(l->owner, take(l, &l->first));
}

/* ---- joining again ------------------------------------------------------------------------------------------------ */

/* Ends are known to half a sample only, so it is the middle that decides. */
static bool ends_before(int64_t start_us, int64_t duration_us, int64_t end_us)
{
        return start_us + duration_us / 2 < end_us;
}

bool lane_is_leaders(const struct push *p, unsigned track)
{
        return p->o.shadow && strcmp(p->o.recent->tracks[track].info.name, PICTURES_TRACK) == 0;
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
                if (ends_before(c->chunk.start_us, c->chunk.duration_us, end_us) || c->chunk.bytes->len > BODY_MAX ||
                    lane_is_leaders(l->owner->push, l->track))
                        continue;
                l->owner->queued_bytes += c->chunk.bytes->len;
                append(l, item_of_chunk(&c->chunk));
        }
        while (queued) {
                struct item *it = queued;
                queued = it->next;
                append(l, it);
        }
}

void lane_rewind(struct lane *l, const struct recent_track *t, const struct claim_track *there)
{
        lane_back(l);
        refill(l, t, there ? there->end_us : INT64_MIN);
        l->stored_us = there ? there->end_us : t->info.start_us;
        if (there)
                return;
        struct item *init = item_of_init(&t->info);
        l->owner->queued_bytes += init->bytes->len;
        prepend(l, init);
}
