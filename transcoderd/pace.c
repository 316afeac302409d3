#include <inttypes.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "transcoderd/encode/outlet.h"
#include "transcoderd/session_impl.h"
#include "transcoderd/stats.h"

#define BUSY_SMOOTHING 4 /* ticks */
#define BEHIND_US US_PER_S
#define KEEPS_UP_US (US_PER_S / 2)
#define GIVE_WAY_US (300 * US_PER_MS) /* another session is so far behind: before frame rates are halved */
#define GIVE_WAY_FRAMES 8             /* a second, so that the proxy sees that it is not stuck */
#define FAR_STORED_US (5 * US_PER_S) /* far less than push_queue.h loses the oldest of */

static bool others_are_behind(const struct session *s)
{
        for (const struct session *other = s->all->first; other; other = other->next) {
                if (other != s && other->counted.behind_us > GIVE_WAY_US)
                        return true;
        }
        return false;
}

uint32_t session_credit(struct session *s)
{
        uint32_t room = (uint32_t)pipeline_room(s->pipeline);
        int64_t now_us = clock_mono_us();
        bool ahead = pipeline_is_ahead(s->pipeline);
        if (!ahead && !pipeline_has_backlog(s->pipeline))
                return room;
        if (push_waiting_us(s->push) > FAR_STORED_US)
                return 0;
        if (!ahead || !others_are_behind(s))
                return room;
        if (now_us - s->gave_way_us < US_PER_S)
                return 0;
        s->gave_way_us = now_us;
        return room < GIVE_WAY_FRAMES ? room : GIVE_WAY_FRAMES;
}

void pace_count(struct session *s)
{
        struct pipeline_stats now, *old = &s->counted;
        pipeline_stats(s->pipeline, &now);
        metric_add(&stats_decoded, (int64_t)(now.decoded - old->decoded));
        metric_add(&stats_encoded, (int64_t)(now.encoded - old->encoded));
        metric_add(&stats_late, (int64_t)(now.late_dropped - old->late_dropped));
        metric_add(&stats_corrupt, (int64_t)(now.corrupt - old->corrupt));
        metric_add(&stats_shed, (int64_t)(now.shed - old->shed));
        metric_add(&stats_skipped, (int64_t)(now.skipped - old->skipped));
        metric_add(&stats_captions_dropped, (int64_t)(now.captions_lost - old->captions_lost));
        metric_add(&stats_cues_dropped, (int64_t)(now.cues_lost - old->cues_lost));
        for (int i = 0; i < PICTURE_ENDS; i++)
                metric_add(&stats_pictures[i], (int64_t)(now.pictures[i] - old->pictures[i]));
        metric_add(&stats_slate_us, now.slate_us - old->slate_us);
        s->all->pixels += now.pixels - old->pixels;
        s->cost = now.cost ? now.cost : s->cost;
        int64_t now_us = clock_mono_us(), passed_us = now_us - s->counted_us, made_us = s->end_us - s->counted_end_us;
        if (made_us > passed_us)
                passed_us = made_us; /* of a replay, or a film that comes faster than real time, so many seconds were encoded */
        if (s->counted_us && passed_us > 0)
                s->busy += ((double)(now.busy_us - old->busy_us) / (double)passed_us - s->busy) / BUSY_SMOOTHING;
        s->counted_us = now_us;
        s->counted_end_us = s->end_us;
        *old = now;
}

/* Behind is who is too slow; who catches up with a backlog takes as long as that takes, and keeps no other stream away. */
void pace_watch(struct session *s)
{
        int64_t behind_us = s->counted.behind_us;
        bool was = s->behind;
        s->behind = behind_us > (was ? KEEPS_UP_US - 1 : BEHIND_US) && (was || !s->counted.gains);
        if (s->behind && !was)
                log_warn("session=%s stream=%s behind_ms=%" PRId64 " msg=\"encoding is behind real time\"", s->id,
                         s->stream, behind_us / US_PER_MS);
        else if (was && !s->behind)
                log_warn("session=%s stream=%s behind_ms=%" PRId64 " msg=\"encoding keeps up again\"", s->id, s->stream,
                         behind_us / US_PER_MS);
        s->behind_since_us = !s->behind ? 0 : s->behind_since_us ? s->behind_since_us : clock_mono_us();
}
