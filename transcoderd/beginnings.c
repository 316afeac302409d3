#include "common/clock.h"
#include "common/daemon/log.h"
#include "transcoderd/encode/precedence.h"
#include "transcoderd/session_impl.h"
#include "transcoderd/stats.h"

#define START_LOOK_MS 20
#define FULL_BEHIND_US (3 * US_PER_S) /* behind real time for so long: not just the frames of a failover */

/* Of those whose turn it may be: first who goes on, then who came first. */
static struct session *next_to_start(const struct sessions *ss)
{
        struct session *next = NULL;
        for (struct session *s = ss->first; s; s = s->next) { /* the newest first */
                if (session_is_queued(s) && (!next || s->goes_on || !next->goes_on))
                        next = s;
        }
        return next;
}

int64_t beginnings_promised(const struct sessions *ss)
{
        int64_t sum = 0;
        for (const struct session *s = ss->first; s; s = s->next) {
                bool asks = session_asks(s) && s->full; /* most that only ask have no place then */
                if (s->pipeline || (session_asks(s) && !asks) || session_is_queued(s))
                        sum += s->cost;
        }
        return sum;
}

const char *sessions_full(const struct sessions *ss, int64_t cost)
{
        int64_t now_us = clock_mono_us();
        for (const struct session *s = ss->first; s; s = s->next) {
                if (s->behind_since_us && now_us - s->behind_since_us > FULL_BEHIND_US)
                        return "encoding is behind real time";
        }
        if (capacity_fits(&ss->capacity, beginnings_promised(ss), cost))
                return NULL;
        return "its encoding would be too much beside the others";
}

const char *sessions_closed(const struct sessions *ss)
{
        if (ss->draining)
                return "stopping";
        return ss->count >= ss->max_sessions ? "at max_sessions" : NULL;
}

void session_tell_full(const char *stream, const char *publisher, int64_t cost, const char *why)
{
        metric_add(&stats_refused_capacity, 1);
        log_warn_of(publisher, "stream=%s publisher=%s pixels_s=%lld why=\"%s\" msg=\"stream refused\"", stream,
                    *publisher ? publisher : "-", (long long)cost, why);
}

unsigned sessions_new_ones(const struct sessions *ss)
{
        unsigned count = 0;
        for (const struct session *s = ss->first; s; s = s->next)
                count += !s->goes_on && (session_asks(s) || session_is_queued(s));
        return count;
}

/* Whose turn it is begins; if it may only later, the timer comes for it. */
static void look_for_starts(struct sessions *ss)
{
        struct session *s, *last = NULL;
        while ((s = next_to_start(ss)) && s != last) {
                last = s;
                session_run(s);
        }
}

void beginnings_look(uv_timer_t *t)
{
        struct sessions *ss = magic_check(t->data, SESSIONS_MAGIC);
        int64_t now_us = clock_mono_us();
        for (struct session *s = ss->first; s; s = s->next) {
                if (starts_takes_long(&s->start, now_us))
                        starts_end(&ss->starts, &s->start, now_us);
        }
        look_for_starts(ss);
}

/* Each of the sessions that wait for their turn comes closer to it. */
void beginnings_end(struct session *s)
{
        if (!s->start.under_way)
                return;
        starts_end(&s->all->starts, &s->start, clock_mono_us());
        uv_timer_start(&s->all->starter, beginnings_look, 0, 0);
}

bool beginnings_turn(struct session *s, int64_t now_us)
{
        struct sessions *ss = s->all;
        if (next_to_start(ss) == s && starts_may(&ss->starts, s->goes_on, precedence_is_asked(now_us), now_us)) {
                starts_begin(&ss->starts, &s->start, s->goes_on, now_us);
                return true;
        }
        if (!uv_is_active((uv_handle_t *)&ss->starter))
                uv_timer_start(&ss->starter, beginnings_look, START_LOOK_MS, 0);
        return false;
}
