#include "originD/room.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "originD/copied.h"
#include "originD/stats.h"
#include "originD/store.h"

#define TRIMMED_AT_ONCE_MAX 128 /* volumes of all tracks, a look at the disk: 200 sessions with the shortest there are make 100 a second */
#define TOLD_US (3600 * US_PER_S) /* a row of trimmings is told once, and is over after so long without one */

/* What live sessions could lose next, the oldest first: of each session one. */
struct trimmables {
        struct trimmable *list;
        size_t count;
};

static int older_first(const void *a, const void *b)
{
        const struct trimmable *x = a, *y = b;
        return x->ended_wall_us < y->ended_wall_us ? -1 : x->ended_wall_us > y->ended_wall_us;
}

/* While the disk refuses to remove volumes, none: those that are due later are not to be tried in their place. */
static void gather(struct store *st, struct trimmables *v)
{
        *v = (struct trimmables){0};
        if (st->untrimmed || !st->live)
                return;
        v->list = mem_alloc(st->live * sizeof(*v->list));
        for (struct session *s = st->first_live; s; s = s->older)
                v->count += trimming_oldest(st, s, &v->list[v->count]);
        qsort(v->list, v->count, sizeof(*v->list), older_first);
}

/* The first one was taken: its session's next has its place by its age. */
static void take_next(struct store *st, struct trimmables *v)
{
        struct trimmable next;
        size_t i = 0;
        bool any = trimming_oldest(st, v->list[0].s, &next);
        for (; i + 1 < v->count && (!any || v->list[i + 1].ended_wall_us < next.ended_wall_us); i++)
                v->list[i] = v->list[i + 1];
        if (any)
                v->list[i] = next;
        else
                v->count--;
}

static bool may_trim(struct store *st)
{
        struct room *r = &st->making_room;
        int64_t now = clock_mono_us();
        double share = (double)stat_get(STAT_STORED_BYTES) / ROOM_SHARE;
        double needed = (double)st->options.min_free_bytes + st->fill_bytes_s * 120;
        if (now - r->minute_mono_us >= 60 * US_PER_S) {
                r->minute_mono_us = now;
                r->minute_bytes = 0;
        }
        return (double)r->minute_bytes < (share > needed ? share : needed);
}

static uint64_t trim(struct store *st, const struct trimmable *v)
{
        struct room *r = &st->making_room;
        int64_t now = clock_mono_us();
        if (!r->trimmed_mono_us || now - r->trimmed_mono_us > TOLD_US)
                log_warn("session=%s stream=%s volume=%06" PRIu32 " msg=\"the disk is full: live sessions lose their oldest volumes\" age_s=%lld",
                         v->s->id, v->s->stream, v->number, (long long)((st->age.now_us - v->ended_wall_us) / US_PER_S));
        r->trimmed_mono_us = now;
        uint64_t bytes = trimming_take(st, v);
        r->minute_bytes += bytes;
        retention_not_again(st, v->ended_wall_us);
        return bytes;
}

bool room_make(struct store *st, uint64_t bytes)
{
        uint64_t coming = st->removals.bytes + st->trimmed.bytes; /* what is under way brings room too, a large one later than the next look */
        unsigned sessions = 0, volumes = 0;
        struct trimmables v;
        bool later = false;
        if (coming < bytes)
                coming += copied_make_room(st, bytes - coming);
        if (coming >= bytes)
                return coming > 0 && !st->removals.failing;
        gather(st, &v);
        while (coming < bytes && sessions < retention_at_once(st) && volumes < TRIMMED_AT_ONCE_MAX) {
                struct session *ended = retention_oldest(st);
                if (v.count && (!ended || v.list[0].ended_wall_us < ended->ended_wall_us)) {
                        later = !may_trim(st);
                        if (later)
                                break;
                        coming += trim(st, &v.list[0]);
                        volumes++;
                        take_next(st, &v);
                } else if (ended) {
                        later = retention_waits(st, ended);
                        if (later)
                                break;
                        coming += retention_remove_for_room(st, ended);
                        sessions++;
                } else {
                        break;
                }
        }
        free(v.list);
        return (coming > 0 || later) && !st->removals.failing;
}
