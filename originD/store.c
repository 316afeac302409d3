#include "originD/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/startup.h"
#include "originD/retention.h"
#include "originD/stats.h"

#define FILL_SMOOTH_US (60 * US_PER_S)
#define MEASURE_EVERY_US (1 * US_PER_S)
#define SWEEP_EVERY_US (5 * US_PER_S)
#define GRACE_EXTRA_US (10 * US_PER_S)

static size_t bucket(const char *s)
{
        return XXH3_64bits(s, strlen(s)) % STORE_BUCKETS;
}

struct session *store_session(struct store *st, const char *id)
{
        struct session *s = st->by_id[bucket(id)];
        while (s && strcmp(s->id, id) != 0)
                s = s->next_by_id;
        return s;
}

struct stream *store_stream(struct store *st, const char *id)
{
        struct stream *s = st->by_name[bucket(id)];
        while (s && strcmp(s->id, id) != 0)
                s = s->next;
        return s;
}

struct session *stream_live(const struct stream *stream)
{
        for (struct session *s = stream ? stream->sessions : NULL; s; s = s->next_of_stream)
                if (s->state == SESSION_LIVE && !s->ending)
                        return s;
        return NULL;
}

static struct stream *stream_make(struct store *st, const char *id)
{
        struct stream *s = store_stream(st, id);
        if (s)
                return s;
        s = mem_alloc(sizeof(*s));
        strcpy(s->id, id);
        struct stream **head = &st->by_name[bucket(id)];
        s->next = *head;
        *head = s;
        s->next_all = st->all;
        s->prev_all = &st->all;
        if (st->all)
                st->all->prev_all = &s->next_all;
        st->all = s;
        return s;
}

static void stream_free(struct store *st, struct stream *s)
{
        struct stream **at = &st->by_name[bucket(s->id)];
        while (*at != s)
                at = &(*at)->next;
        *at = s->next;
        *s->prev_all = s->next_all;
        if (s->next_all)
                s->next_all->prev_all = s->prev_all;
        free(s);
}

static void count_sessions(struct store *st, struct session *s, int n)
{
        if (s->state == SESSION_LIVE)
                st->live += (size_t)n;
        stat_add(s->state == SESSION_LIVE ? STAT_SESSIONS_LIVE : STAT_SESSIONS_ENDED, n);
}

static void changes_unlink(struct store *st, struct session *s)
{
        *(s->changed_before ? &s->changed_before->changed_after : &st->changed_first) = s->changed_after;
        *(s->changed_after ? &s->changed_after->changed_before : &st->changed_last) = s->changed_before;
        s->changed_before = s->changed_after = NULL;
}

static void changes_append(struct store *st, struct session *s)
{
        s->change = ++st->changes;
        s->change_version = s->version;
        s->changed_before = st->changed_last;
        *(st->changed_last ? &st->changed_last->changed_after : &st->changed_first) = s;
        st->changed_last = s;
}

struct session *store_changed_behind(const struct store *st, uint64_t since)
{
        struct session *s = since ? st->changed_last : st->changed_first;
        if (!since)
                return s;
        if (!s || s->change <= since)
                return NULL;
        while (s->changed_before && s->changed_before->change > since)
                s = s->changed_before;
        return s;
}

static void session_changed(void *arg, struct session *s)
{
        struct store *st = arg;
        if (s->change_version != s->version) { /* a chunk changes nothing that session.json says */
                changes_unlink(st, s);
                changes_append(st, s);
        }
        if (s->state == SESSION_ENDED && s->load == LOAD_DONE && !s->in_loaded) {
                s->in_loaded = true;
                s->asked_mono_us = clock_mono_us();
                s->next_loaded = st->loaded;
                st->loaded = s;
                st->loaded_count++;
        }
        st->events.changed(st->events.arg, s);
}

bool session_newer(int64_t epoch_us, const char *id, const struct session *than)
{
        return epoch_us > than->epoch_us || (epoch_us == than->epoch_us && strcmp(id, than->id) > 0);
}

void store_add(struct store *st, struct session *s)
{
        s->changed = session_changed;
        s->arg = st;
        struct session **head = &st->by_id[bucket(s->id)];
        s->next_by_id = *head;
        *head = s;
        changes_append(st, s);
        struct session **at = &stream_make(st, s->stream)->sessions;
        while (*at && session_newer((*at)->epoch_us, (*at)->id, s))
                at = &(*at)->next_of_stream;
        s->next_of_stream = *at;
        *at = s;
}

static void unlink_session(struct store *st, struct session *s)
{
        struct session **at = &st->by_id[bucket(s->id)];
        while (*at != s)
                at = &(*at)->next_by_id;
        *at = s->next_by_id;
        changes_unlink(st, s);
        struct stream *stream = store_stream(st, s->stream);
        at = &stream->sessions;
        while (*at != s)
                at = &(*at)->next_of_stream;
        *at = s->next_of_stream;
        if (!stream->sessions)
                stream_free(st, stream);
}

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

static void removed(void *arg, int status)
{
        char *dir = arg;
        if (status)
                log_warn("msg=\"cannot remove a recording\" path=%s error=\"%s\"", dir, err_text(status));
        free(dir);
}

void store_remove(struct store *st, struct session *s)
{
        assert(s->state == SESSION_ENDED && !session_busy(s));
        stat_add(STAT_STORED_BYTES, -(int64_t)session_bytes(s));
        if (s->in_loaded)
                unload(st, s);
        unlink_session(st, s);
        if (session_tracks(s))
                disk_remove(st->loop, s->dir, removed, mem_strdup(s->dir));
        else /* as far as is known: what a start could not read, and set aside, is still in there */
                disk_remove_unused(st->loop, s->dir, "session.json", removed, mem_strdup(s->dir));
        session_free(&s);
}

static int begin_session(struct store *st, const struct claim *c, struct session **out)
{
        if (store_session(st, c->session))
                return ERR_CONFLICT;
        if (st->full)
                return ERR_NOSPACE;
        if ((int64_t)st->live >= st->options.live_max)
                return ERR_FULL;
        *out = session_new(st->loop, st->options.data_dir, c, st->options.volume_segments,
                           st->options.sync_segments);
        store_add(st, *out);
        st->live++;
        return 0;
}

/* May the writer go on with this one here? */
static int judge_join(const struct session *s, const struct claim *c)
{
        if (strcmp(s->stream, c->stream) != 0)
                return ERR_CONFLICT;
        if (s->state == SESSION_ENDED || s->ending)
                return ERR_CLOSED;
        bool same = c->generation == s->generation && strcmp(c->node, s->node) == 0;
        return same || c->generation > s->generation ? 0 : ERR_FENCED;
}

static int join(struct store *st, const struct claim *c, struct session **out)
{
        struct session *s = store_session(st, c->session), *live = stream_live(store_stream(st, c->stream));
        int rc = s ? judge_join(s, c) : 0;
        if (rc)
                return rc;
        if (live && live != s) {
                bool only_claimed = !live->track_count && strcmp(live->node, c->node) == 0;
                if (!only_claimed && !session_newer(c->epoch_us, c->session, live))
                        return ERR_FENCED;
                log_info("session=%s stream=%s msg=\"superseded\" by=%s", live->id, live->stream, c->session);
                session_end(live, live->end_us, false, NULL, NULL);
                st->live--;
        }
        *out = s;
        return s ? 0 : begin_session(st, c, out);
}

int store_claim(struct store *st, const struct claim *c, struct session **out)
{
        if (c->flags & CLAIM_JOIN)
                return join(st, c, out);
        *out = stream_live(store_stream(st, c->stream));
        if (*out && (*out)->over_elsewhere) /* the other owners would refuse it (ERR_CLOSED): one copy only from there on */
                *out = NULL;
        if (c->generation == UINT32_MAX || (*out && (*out)->generation == UINT32_MAX))
                return ERR_LIMIT;
        return *out ? 0 : begin_session(st, c, out);
}

static void set_full(struct store *st, bool full)
{
        if (st->full == full)
                return;
        st->full = full;
        log_line(full ? LOG_ERROR : LOG_INFO, "msg=\"%s\" path=%s", full ? "no space: writes are refused" : "space is back",
                 st->options.data_dir);
        st->events.space(st->events.arg, !full);
}

void store_no_space(struct store *st)
{
        set_full(st, true);
}

static void count_filling(struct store *st)
{
        int64_t bytes = stat_get(STAT_BYTES), now_us = clock_mono_us(), passed_us = now_us - st->filled_mono_us;
        if (st->filled_mono_us && passed_us > 0) {
                double weight = passed_us < FILL_SMOOTH_US ? (double)passed_us / FILL_SMOOTH_US : 1;
                st->fill_bytes_s += ((double)(bytes - st->filled_bytes) * 1e6 / (double)passed_us - st->fill_bytes_s) * weight;
        }
        st->filled_bytes = bytes;
        st->filled_mono_us = now_us;
}

static void measured(void *arg, int status, struct disk_room room)
{
        struct store *st = arg;
        st->measuring = false;
        st->room = room;
        count_filling(st);
        stat_set(STAT_FREE_BYTES, (int64_t)room.free_bytes);
        set_full(st, status || room.free_bytes < (uint64_t)st->options.min_free_bytes);
}

static void expire(struct store *st, struct session *s)
{
        int64_t allowed = (int64_t)s->grace_ms * US_PER_MS + GRACE_EXTRA_US;
        if (s->state == SESSION_LIVE && !s->ending && clock_mono_us() - s->heard_mono_us > allowed)
                session_end(s, s->end_us, false, NULL, NULL);
        if (s->state == SESSION_ENDED && !session_tracks(s) && !session_busy(s)) /* claimed, never written to */
                store_remove(st, s);
}

static void each_session(struct store *st, void (*visit)(struct store *st, struct session *s))
{
        for (size_t i = 0; i < STORE_BUCKETS; i++)
                for (struct session *s = st->by_id[i], *next; s; s = next) {
                        next = s->next_by_id;
                        visit(st, s);
                }
}

static void count_one(struct store *st, struct session *s)
{
        count_sessions(st, s, 1);
        session_retry_save(s);
}

static bool any_busy(struct store *st)
{
        for (size_t i = 0; i < STORE_BUCKETS; i++)
                for (struct session *s = st->by_id[i]; s; s = s->next_by_id)
                        if (session_busy(s))
                                return true;
        return false;
}

static void ticked(uv_timer_t *timer)
{
        struct store *st = timer->data;
        int64_t now = clock_mono_us();
        if (st->stopping) {
                if (!disk_jobs() && !any_busy(st) && !st->idle_told) {
                        st->idle_told = true;
                        st->events.idle(st->events.arg);
                }
                return;
        }
        if (!st->recovered)
                return;
        unload(st, NULL);
        each_session(st, expire);
        st->live = 0;
        stat_set(STAT_SESSIONS_LIVE, 0);
        stat_set(STAT_SESSIONS_ENDED, 0);
        each_session(st, count_one);
        if (!st->measuring && now - st->measured_mono_us > MEASURE_EVERY_US) {
                st->measuring = true;
                st->measured_mono_us = now;
                disk_space(st->loop, st->options.data_dir, st->full, measured, st);
        }
        if (now - st->swept_mono_us > SWEEP_EVERY_US) {
                st->swept_mono_us = now;
                retention_sweep(st, clock_real_us());
        }
}

struct recovery {
        struct store *st;
        struct startup found;
};

static void recovery_work(void *arg)
{
        struct recovery *r = arg;
        startup_read(&r->found, r->st->options.data_dir);
}

static void recovery_done(void *arg)
{
        struct recovery *r = arg;
        struct store *st = r->st;
        for (struct startup_track *t = r->found.live_tracks, *next; t; t = next) {
                next = t->next;
                if (!t->s->loop) /* its first track */
                        session_restore(t->s, st->loop, st->options.data_dir, st->options.sync_segments);
                track_opened(t->s, t->track, &t->found, false);
                free(t);
        }
        for (struct session *s = r->found.sessions, *next; s; s = next) {
                next = s->next_by_id;
                if (!s->loop)
                        session_restore(s, st->loop, st->options.data_dir, st->options.sync_segments);
                store_add(st, s);
                stat_add(STAT_STORED_BYTES, (int64_t)session_bytes(s));
        }
        stat_add(STAT_TORN_BYTES, (int64_t)r->found.torn_bytes);
        st->recovered = true;
        int status = r->found.status;
        free(r);
        st->events.ready(st->events.arg, status);
}

int store_open(struct store *st, uv_loop_t *loop, const struct store_options *options, const struct store_events *events)
{
        *st = (struct store){.loop = loop, .options = *options, .events = *events};
        if (!st->options.volume_segments)
                st->options.volume_segments = VOLUME_SEGMENTS;
        if (mkdir(options->data_dir, 0755) < 0 && access(options->data_dir, W_OK) < 0)
                return ERR_IO;
        uv_timer_init(loop, &st->tick);
        st->tick.data = st;
        uv_timer_start(&st->tick, ticked, STORE_TICK_MS, STORE_TICK_MS);
        struct recovery *r = mem_alloc(sizeof(*r));
        r->st = st;
        disk_run(loop, DISK_LIVE, recovery_work, recovery_done, r);
        return 0;
}

void store_stop(struct store *st)
{
        st->stopping = true;
        uv_timer_start(&st->tick, ticked, 0, 10);
}

static void drop(struct store *st, struct session *s)
{
        unlink_session(st, s);
        session_free(&s);
}

void store_close(struct store *st)
{
        uv_close((uv_handle_t *)&st->tick, NULL);
        each_session(st, drop);
}
