#include "originD/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/retention.h"
#include "originD/startup.h"
#include "originD/stats.h"
#include "originD/trimming.h"

#define GRACE_EXTRA_US (10 * US_PER_S)

/* Drops the tracks of ended sessions that nobody asks for; and forgets `out`, which is removed. */
static void unload(struct store *st, const struct session *out)
{
        int64_t now = clock_mono_us();
        int64_t keep_us = st->loaded_count > STORE_LOADED_MAX ? STORE_LOADED_MANY_US : STORE_LOADED_US;
        for (struct session **at = &st->loaded; *at;) {
                struct session *s = *at;
                bool over = s == out || s->state != SESSION_ENDED || s->load != LOAD_DONE;
                if (!over && (now - s->asked_mono_us < keep_us || !session_unload(s))) {
                        at = &s->next_loaded;
                        continue;
                }
                *at = s->next_loaded;
                s->in_loaded = false;
                st->loaded_count--;
        }
}

void store_remove_for(struct store *st, struct session *s, const struct removal_reason *reason)
{
        assert(s->state == SESSION_ENDED && !session_busy(s));
        stat_add(STAT_STORED_BYTES, -(int64_t)session_here_bytes(s));
        stat_add(STAT_ARCHIVED_BYTES, -(int64_t)session_sum(s).archive.archived);
        if (s->in_loaded)
                unload(st, s);
        store_unlink_session(st, s);
        /* Without tracks, as far as is known: what a start could not read, and set aside, is still in there. */
        removal_begin(st, s, !session_tracks(s), reason);
}

void store_remove(struct store *st, struct session *s)
{
        store_remove_for(st, s, NULL);
}

void store_no_space(struct store *st)
{
        space_lack(st);
}

static void expire(struct store *st, struct session *s)
{
        int64_t allowed = (int64_t)s->grace_ms * US_PER_MS + GRACE_EXTRA_US;
        if (s->state == SESSION_LIVE && !s->ending && clock_mono_us() - s->heard_mono_us > allowed)
                session_end(s, s->end_us, false, NULL, NULL);
        if (!space_failing(st)) /* it would be four writes a second, of each session, that are known to fail */
                session_retry_save(s);
}

/* Of those that ended the loaded ones: what is not saved yet, and what was claimed but never written to. */
static void look_after_ended(struct store *st)
{
        for (struct session *s = st->loaded, *next; s; s = next) {
                next = s->next_loaded;
                if (s->state != SESSION_ENDED || s->load != LOAD_DONE)
                        continue;
                if (!space_failing(st))
                        session_retry_save(s);
                if (!session_tracks(s) && !session_busy(s)) {
                        store_remove(st, s);
                        next = st->loaded; /* the list was changed */
                }
        }
}

static void each_live(struct store *st, void (*visit)(struct store *st, struct session *s))
{
        for (struct session *s = st->first_live, *next; s; s = next) {
                next = s->older;
                visit(st, s);
        }
}

static bool any_busy(struct store *st)
{
        for (size_t i = 0; i < STORE_BUCKETS; i++)
                for (struct session *s = st->by_id[i]; s; s = s->next_by_id)
                        if (session_busy(s))
                                return true;
        return false;
}

/* Some at a time, since of 10,000 sessions with seven tracks all at once would be a stop of 15 ms. A round comes to its end, however late
 * the ticks are. Who comes or goes meanwhile may have another looked at once more, or not this time. */
static void retry_some_tracks(struct store *st)
{
        const struct by_start *live = &st->live_by_start;
        size_t some = live->count / (STORE_RETRY_US / US_PER_MS / STORE_TICK_MS) + 1;
        for (size_t n = 0; n < some && st->retry_at < live->count; n++)
                session_retry_tracks(live->at[st->retry_at++]);
}

/* Two of us on one folder would write over each other's chunks. The name is none that a stream can have. */
static int lock_data_dir(struct store *st)
{
        char *path = mem_printf("%s/.lock", st->options.data_dir), pid[32] = "";
        st->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        int rc = st->lock < 0 ? err_from_errno(errno) : 0;
        if (!rc && flock(st->lock, LOCK_EX | LOCK_NB) < 0) {
                rc = errno == EWOULDBLOCK ? ERR_CONFLICT : err_from_errno(errno);
                if (read(st->lock, pid, sizeof(pid) - 1) < 0)
                        pid[0] = '\0';
                pid[strcspn(pid, "\n")] = '\0';
                log_error("path=%s pid=%s msg=\"another originD uses this folder\"", st->options.data_dir, pid[0] ? pid : "-");
        }
        if (!rc && (ftruncate(st->lock, 0) < 0 || dprintf(st->lock, "%d\n", (int)getpid()) < 0))
                rc = err_from_errno(errno);
        if (rc && st->lock >= 0)
                close(st->lock);
        free(path);
        return rc;
}

static void ticked(uv_timer_t *timer)
{
        struct store *st = timer->data;
        int64_t now = clock_mono_us();
        if (st->stopping) {
                if (!disk_jobs() && !st->starting && !any_busy(st) && !st->idle_told) {
                        st->idle_told = true;
                        st->events.idle(st->events.arg);
                }
                return;
        }
        if (!st->started) {
                store_start_meanwhile(st, now);
                return;
        }
        unload(st, NULL);
        removals_tick(st, now);
        age_clock_look(&st->age, clock_real_us(), clock_boot_us());
        each_live(st, expire);
        look_after_ended(st);
        if (now - st->retried_mono_us > STORE_RETRY_US && st->retry_at >= st->live_by_start.count) {
                st->retried_mono_us = now;
                st->retry_at = 0;
                store_retry_unreadable(st);
        }
        retry_some_tracks(st);
        space_tick(st, now);
        if (now - st->swept_mono_us > RETENTION_SWEEP_US) {
                st->swept_mono_us = now;
                retention_sweep(st, st->age.now_us);
                age_clock_save(&st->age, st->loop, st->options.data_dir);
        }
}

int store_open(struct store *st, uv_loop_t *loop, const struct store_options *options, const struct store_events *events)
{
        *st = (struct store){.loop = loop, .options = *options, .events = *events, .instance = (uint64_t)clock_real_us(),
                              .long_parts = true};
        if (!st->options.volume_segments)
                st->options.volume_segments = VOLUME_SEGMENTS;
        if (mkdir(options->data_dir, 0755) < 0 && access(options->data_dir, W_OK) < 0)
                return err_from_errno(errno);
        int rc = lock_data_dir(st);
        if (rc)
                return rc;
        st->folder = open(options->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (st->folder < 0) {
                rc = err_from_errno(errno);
                close(st->lock);
                return rc;
        }
        uv_idle_init(loop, &st->handing);
        st->handing.data = st;
        uv_timer_init(loop, &st->tick);
        st->tick.data = st;
        uv_timer_start(&st->tick, ticked, STORE_START_TICK_MS, STORE_START_TICK_MS);
        st->opened_mono_us = clock_mono_us();
        store_start(st);
        return 0;
}

void store_stop(struct store *st)
{
        st->stopping = true;
        uv_timer_start(&st->tick, ticked, 0, 10);
}

static void drop_session(struct store *st, struct session *s)
{
        store_unlink_session(st, s);
        session_free(&s);
}

void store_close(struct store *st)
{
        uv_close((uv_handle_t *)&st->tick, NULL);
        uv_close((uv_handle_t *)&st->handing, NULL);
        close(st->lock);
        close(st->folder);
        for (struct startup_folder *f = st->unreadable, *next; f; f = next) {
                next = f->next;
                free(f);
        }
        removals_close(st);
        trimming_close(st);
        for (size_t i = 0; i < STORE_BUCKETS; i++)
                while (st->by_id[i])
                        drop_session(st, st->by_id[i]);
        by_start_fini(&st->by_start);
        by_start_fini(&st->live_by_start);
}
