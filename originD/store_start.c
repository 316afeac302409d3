/* The start: what the threads of startup.c found goes into the store, in slices of the loop; and what could not be read then is tried
 * again. */
#include "originD/store_impl.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/startup.h"
#include "originD/stats.h"

struct starting {
        struct store *st;
        struct startup found;         /* by its threads, and not taken yet */
        struct startup_folder *again; /* that is looked at once more */
        struct startup taken;
        size_t handed; /* of the taken ones: they are in the store */
        bool read;     /* nothing more is found */
};

static struct starting *new_starting(struct store *st, struct startup_folder *again)
{
        struct starting *r = mem_alloc(sizeof(*r));
        *r = (struct starting){.st = st, .found = STARTUP_INIT, .again = again};
        return r;
}

static void start_work(void *arg)
{
        struct starting *r = arg;
        if (r->again)
                startup_read_again(&r->found, r->again);
        else
                startup_read(&r->found, r->st->options.data_dir);
}

bool store_unreadable(const struct store *st, const char *id)
{
        for (const struct startup_folder *f = st->unreadable; f; f = f->next)
                if (strcmp(f->name, id) == 0)
                        return true;
        return (st->retrying && strcmp(st->retrying_id, id) == 0) || removals_have(st, id);
}

static void note_unreadable(struct store *st, struct startup_folder *f)
{
        int64_t n = 0;
        while (f) {
                struct startup_folder *next = f->next;
                f->next = st->unreadable;
                st->unreadable = f;
                f = next;
        }
        for (f = st->unreadable; f; f = f->next)
                n++;
        stat_set(STAT_UNREADABLE, n);
}

/* The logs of live tracks first: a session is given to others whole. */
static void open_logs(struct store *st, struct startup *found)
{
        for (struct startup_track *t = found->live_tracks, *next; t; t = next) {
                next = t->next;
                if (!t->s->loop)
                        session_restore(t->s, st->loop, st->options.data_dir, st->options.sync_segments);
                track_opened(t->s, t->track, &t->found, false);
                free(t);
        }
        found->live_tracks = NULL;
}

static void take_session(struct store *st, struct session *s)
{
        if (!s->loop)
                session_restore(s, st->loop, st->options.data_dir, st->options.sync_segments);
        store_add(st, s);
        stat_add(STAT_STORED_BYTES, (int64_t)session_here_bytes(s));
        stat_add(STAT_ARCHIVED_BYTES, (int64_t)session_sum(s).archive.archived);
        if (s->state == SESSION_ENDED && !session_tracks(s)) /* claimed, never written to */
                store_remove(st, s);
}

static void start_over(struct store *st)
{
        struct starting *r = st->starting;
        struct startup *found = &r->found;
        for (struct startup_folder *f = found->removed, *next; f; f = next) { /* what a removal that was interrupted left */
                next = f->next;
                removal_begin_folder(st, mem_strdup(f->path));
                free(f);
        }
        note_unreadable(st, found->unreadable);
        stat_add(STAT_TORN_BYTES, (int64_t)found->torn_bytes);
        for (struct session *s = st->first_live; s; s = s->older) /* from here on there can be a writer */
                session_heard(s);
        age_clock_begin(&st->age, age_clock_load(st->options.data_dir), found->newest_wall_us, clock_real_us(), clock_boot_us());
        st->started = true;
        st->starting = NULL;
        if (!st->stopping)
                uv_timer_set_repeat(&st->tick, STORE_TICK_MS);
        int status = found->status;
        free(found->sessions);
        free(r);
        st->events.ready(st->events.arg, status);
}

static void hand_over(uv_idle_t *idle);

/* Begins to hand over what was found since the last time. false: nothing was. */
static bool take_found(struct store *st)
{
        struct starting *r = st->starting;
        startup_take(&r->found, &r->taken);
        r->handed = 0;
        open_logs(st, &r->taken);
        if (r->taken.count)
                uv_idle_start(&st->handing, hand_over);
        return r->taken.count > 0;
}

static void hand_over(uv_idle_t *idle)
{
        struct store *st = idle->data;
        struct starting *r = st->starting;
        for (unsigned n = 0; n < STORE_SLICE && r->handed < r->taken.count; n++)
                take_session(st, r->taken.sessions[r->handed++]);
        if (r->handed < r->taken.count)
                return;
        uv_idle_stop(idle);
        free(r->taken.sessions);
        if (r->read && !take_found(st))
                start_over(st);
}

static void start_done(void *arg)
{
        struct starting *r = arg;
        struct store *st = r->st;
        r->read = true;
        if (!uv_is_active((uv_handle_t *)&st->handing) && !take_found(st))
                start_over(st);
}

/* What was found so far is in the store, and may be told, while the rest is being read. */
void store_start_meanwhile(struct store *st, int64_t now_us)
{
        if (!uv_is_active((uv_handle_t *)&st->handing))
                take_found(st);
        if (st->events.slow && !st->slow_told && now_us - st->opened_mono_us >= STORE_SLOW_US) {
                st->slow_told = true;
                st->events.slow(st->events.arg);
        }
}

static void retry_done(void *arg)
{
        struct starting *r = arg;
        struct store *st = r->st;
        st->retrying = false;
        open_logs(st, &r->found);
        for (size_t i = 0; i < r->found.count; i++) {
                struct session *s = r->found.sessions[i];
                log_info("session=%s stream=%s msg=\"the session can be read again\"", s->id, s->stream);
                take_session(st, s);
                session_tell(s);
        }
        note_unreadable(st, r->found.unreadable);
        free(r->found.sessions);
        free(r);
}

/* One at a time, in turn. While it is looked at it stays in the list, so that nothing is put in its place. */
void store_retry_unreadable(struct store *st)
{
        struct startup_folder **last = &st->unreadable;
        if (!*last || st->retrying)
                return;
        while ((*last)->next)
                last = &(*last)->next;
        struct starting *r = new_starting(st, *last);
        strcpy(st->retrying_id, r->again->name);
        *last = NULL;
        st->retrying = true;
        disk_run(st->loop, DISK_LIVE, start_work, retry_done, r);
}

void store_start(struct store *st)
{
        st->starting = new_starting(st, NULL);
        disk_run(st->loop, DISK_LIVE, start_work, start_done, st->starting);
}
