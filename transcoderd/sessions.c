#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "transcoderd/session_impl.h"
#include "transcoderd/stats.h"

#define TICK_MS 500

struct session *session_find(struct sessions *ss, const char *stream)
{
        struct session *s = ss->first;
        while (s && strcmp(s->stream, stream) != 0)
                s = s->next;
        return s;
}

/* A process that was stopped or suspended may have lost its sessions to others: that is asked first. */
static void look_if_stood_still(struct sessions *ss, int64_t now_us)
{
        int64_t still_us = ss->ticked_us ? now_us - ss->ticked_us : 0;
        ss->ticked_us = now_us;
        if (still_us < SESSION_SILENT_US)
                return;
        log_warn("ms=%" PRId64 " sessions=%u msg=\"this process stood still\"", still_us / US_PER_MS, ss->count);
        for (struct session *s = ss->first; s; s = s->next) {
                if (s->push)
                        push_verify(s->push);
        }
}

static void count_cpu(struct sessions *ss)
{
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        int64_t cpu_us = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
        metric_set(&stats_cpu_us, cpu_us);
        /* To open encoders takes time and makes no pixels: what streams that only begin cost tells nothing of what others do. */
        bool beginning = ss->starts.under_way || ss->starts.begun != ss->begun;
        capacity_note(&ss->capacity, beginning ? 0 : ss->pixels, cpu_us);
        ss->pixels = 0;
        ss->begun = ss->starts.begun;
        metric_set(&stats_capacity, capacity_pixels_s(&ss->capacity));
        metric_set(&stats_promised, beginnings_promised(ss));
        metric_set(&stats_cpus, uv_available_parallelism());
}

/* Each once. When one moves an OPEN may have its turn, and that may be the end of any other. */
static void run_all(struct sessions *ss)
{
        unsigned round = ++ss->rounds;
        for (struct session *s = ss->first; s;) {
                bool had = s->round == round;
                s->round = round;
                if (had) {
                        s = s->next;
                } else {
                        session_run(s);
                        s = ss->first;
                }
        }
}

void sessions_tick(struct sessions *ss, int64_t now_us)
{
        int64_t behind_us = 0, unstored = 0, recent = 0, shadows = 0;
        look_if_stood_still(ss, now_us);
        opens_expire(&ss->opens, now_us);
        for (struct session *s = ss->first; s; s = s->next) {
                if (s->pipeline) {
                        pace_count(s);
                        pace_watch(s);
                        behind_us = s->counted.behind_us > behind_us ? s->counted.behind_us : behind_us;
                }
                if (s->push)
                        push_tick(s->push);
                unstored += s->push ? (int64_t)push_queued(s->push) : 0;
                recent += (int64_t)s->recent.bytes;
                shadows += s->shadow;
        }
        run_all(ss);
        metric_set(&stats_behind_us, behind_us);
        count_cpu(ss);
        metric_set(&stats_queued, unstored);
        metric_set(&stats_recent, recent);
        metric_set(&stats_shadows, shadows);
        metric_set(&stats_closing, ss->reaper->closing);
}

static void on_tick(uv_timer_t *t)
{
        sessions_tick(magic_check(t->data, SESSIONS_MAGIC), clock_mono_us());
}

void sessions_start(struct sessions *ss)
{
        ss->magic = SESSIONS_MAGIC;
        uv_timer_init(ss->loop, &ss->starter);
        ss->starter.data = ss;
        uv_timer_init(ss->loop, &ss->ticker);
        ss->ticker.data = ss;
        uv_timer_start(&ss->ticker, on_tick, TICK_MS, TICK_MS);
}

void sessions_poke(struct sessions *ss)
{
        for (struct session *s = ss->first; s; s = s->next) {
                if (s->push)
                        push_poke(s->push);
        }
}

void sessions_have_room(void *sessions)
{
        struct sessions *ss = magic_check(sessions, SESSIONS_MAGIC);
        opens_look(&ss->opens, NULL);
}

void sessions_drain(struct sessions *ss)
{
        ss->draining = true;
        ss->leave_at_us = clock_mono_us() + ss->drain_ms * US_PER_MS;
        for (struct session *s = ss->first; s; s = s->next) {
                if (session_asks(s) || session_is_queued(s))
                        s->given_up = "stopping";
        }
        run_all(ss);
}

void sessions_stop(struct sessions *ss)
{
        ss->draining = true;
        while (ss->first) {
                struct session *s = ss->first;
                s->given_up = "stopping";
                session_run(s);
        }
        opens_expire(&ss->opens, INT64_MAX);
        uv_close((uv_handle_t *)&ss->ticker, NULL);
        uv_close((uv_handle_t *)&ss->starter, NULL);
}
