#include "originD/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/startup.h"
#include "originD/retention.h"
#include "originD/stats.h"

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

/* ---- lists: the live ones, and those that ended in the order in which they did ---------------------------------------- */

static void unlist(struct store *st, struct session *s)
{
        bool live = s->list == LIST_LIVE;
        if (s->list == LIST_NONE)
                return;
        if (st->sweep_at == s)
                st->sweep_at = s->newer;
        if (st->archive_at == s)
                st->archive_at = s->older || !live ? s->older : st->newest_ended;
        if (st->scrub_at == s)
                st->scrub_at = s->older || !live ? s->older : st->newest_ended;
        *(s->newer ? &s->newer->older : live ? &st->first_live : &st->newest_ended) = s->older;
        if (s->older)
                s->older->newer = s->newer;
        else if (!live)
                st->oldest_ended = s->newer;
        s->newer = s->older = NULL;
        if (!live) {
                s->of_stream->ended_bytes -= s->listed_bytes;
                st->ended_bytes -= s->listed_bytes;
        }
        *(live ? &st->live : &st->ended) -= 1;
        stat_add(live ? STAT_SESSIONS_LIVE : STAT_SESSIONS_ENDED, -1);
        s->list = LIST_NONE;
}

static void list_live(struct store *st, struct session *s)
{
        s->older = st->first_live;
        if (s->older)
                s->older->newer = s;
        st->first_live = s;
}

/* From the newest end on: a session that ends now is there. Those of a start come the newest first. */
static void list_ended(struct store *st, struct session *s)
{
        struct session *newer = NULL, *older = st->newest_ended;
        if (!st->started) {
                newer = st->oldest_ended;
                while (newer && newer->ended_wall_us <= s->ended_wall_us)
                        newer = newer->newer;
                older = newer ? newer->older : older;
        }
        while (older && older->ended_wall_us > s->ended_wall_us) {
                newer = older;
                older = older->older;
        }
        s->newer = newer;
        s->older = older;
        *(newer ? &newer->older : &st->newest_ended) = s;
        *(older ? &older->newer : &st->oldest_ended) = s;
        s->listed_wall_us = s->ended_wall_us;
        s->listed_bytes = session_bytes(s);
        s->of_stream->ended_bytes += s->listed_bytes;
        st->ended_bytes += s->listed_bytes;
}

static void enlist(struct store *st, struct session *s)
{
        bool live = s->state == SESSION_LIVE;
        if (s->list == LIST_ENDED && !live && s->listed_wall_us == s->ended_wall_us) {
                uint64_t bytes = s->load == LOAD_UNDER_WAY ? s->listed_bytes : session_bytes(s);
                s->of_stream->ended_bytes += bytes - s->listed_bytes;
                st->ended_bytes += bytes - s->listed_bytes;
                s->listed_bytes = bytes;
                return;
        }
        if (s->list == LIST_LIVE && live)
                return;
        unlist(st, s);
        s->list = live ? LIST_LIVE : LIST_ENDED;
        *(live ? &st->live : &st->ended) += 1;
        stat_add(live ? STAT_SESSIONS_LIVE : STAT_SESSIONS_ENDED, 1);
        if (live)
                list_live(st, s);
        else
                list_ended(st, s);
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
        enlist(st, s);
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
        struct stream *stream = stream_make(st, s->stream);
        struct session *newer = NULL, *older = stream->sessions;
        if (!st->started) { /* as in list_ended() */
                newer = stream->oldest;
                while (newer && !session_newer(newer->epoch_us, newer->id, s))
                        newer = newer->prev_of_stream;
                older = newer ? newer->next_of_stream : older;
        }
        while (older && session_newer(older->epoch_us, older->id, s)) {
                newer = older;
                older = older->next_of_stream;
        }
        s->of_stream = stream;
        s->prev_of_stream = newer;
        s->next_of_stream = older;
        *(newer ? &newer->next_of_stream : &stream->sessions) = s;
        *(older ? &older->prev_of_stream : &stream->oldest) = s;
        enlist(st, s);
}

static void unlink_session(struct store *st, struct session *s)
{
        struct session **at = &st->by_id[bucket(s->id)];
        while (*at != s)
                at = &(*at)->next_by_id;
        *at = s->next_by_id;
        changes_unlink(st, s);
        unlist(st, s);
        struct stream *stream = s->of_stream;
        *(s->prev_of_stream ? &s->prev_of_stream->next_of_stream : &stream->sessions) = s->next_of_stream;
        *(s->next_of_stream ? &s->next_of_stream->prev_of_stream : &stream->oldest) = s->prev_of_stream;
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

void store_remove_for(struct store *st, struct session *s, const struct removal_reason *reason)
{
        assert(s->state == SESSION_ENDED && !session_busy(s));
        stat_add(STAT_STORED_BYTES, -(int64_t)session_here_bytes(s));
        stat_add(STAT_ARCHIVED_BYTES, -(int64_t)session_sum(s).archive.archived);
        if (s->in_loaded)
                unload(st, s);
        unlink_session(st, s);
        /* Without tracks, as far as is known: what a start could not read, and set aside, is still in there. */
        removal_begin(st, s, !session_tracks(s), reason);
}

void store_remove(struct store *st, struct session *s)
{
        store_remove_for(st, s, NULL);
}

static int begin_session(struct store *st, const struct claim *c, struct session **out)
{
        if (store_session(st, c->session))
                return ERR_CONFLICT;
        if (store_unreadable(st, c->session))
                return ERR_IO;
        if (st->full)
                return st->why_full == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
        if ((int64_t)st->live >= st->options.live_max)
                return ERR_FULL;
        *out = session_new(st->loop, st->options.data_dir, c, st->options.volume_segments,
                           st->options.sync_segments);
        store_add(st, *out);
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
        }
        *out = s;
        return s ? 0 : begin_session(st, c, out);
}

int store_claim(struct store *st, const struct claim *c, struct session **out)
{
        int rc;
        if (c->flags & CLAIM_JOIN) {
                rc = join(st, c, out);
        } else {
                *out = stream_live(store_stream(st, c->stream));
                if (*out && (*out)->over_elsewhere) /* the other owners would refuse it (ERR_CLOSED): one copy only from there on */
                        *out = NULL;
                if (c->generation == UINT32_MAX || (*out && (*out)->generation == UINT32_MAX))
                        return ERR_LIMIT;
                rc = *out ? 0 : begin_session(st, c, out);
        }
        /* Where a track ends that cannot be read now nobody can say: the writer would write over what it does not know of. */
        return rc ? rc : session_readable(*out) ? 0 : ERR_IO;
}

void store_no_space(struct store *st)
{
        space_set(st, ERR_NOSPACE);
}

static void expire(struct store *st, struct session *s)
{
        int64_t allowed = (int64_t)s->grace_ms * US_PER_MS + GRACE_EXTRA_US;
        if (s->state == SESSION_LIVE && !s->ending && clock_mono_us() - s->heard_mono_us > allowed)
                session_end(s, s->end_us, false, NULL, NULL);
        session_retry_save(s);
        (void)st;
}

/* Of those that ended the loaded ones: what is not saved yet, and what was claimed but never written to. */
static void look_after_ended(struct store *st)
{
        for (struct session *s = st->loaded, *next; s; s = next) {
                next = s->next_loaded;
                if (s->state != SESSION_ENDED || s->load != LOAD_DONE)
                        continue;
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

/* ---- the start ------------------------------------------------------------------------------------------------------ */

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
        retention_started(&st->retention, clock_real_us(), clock_mono_us(), found->newest_wall_us);
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
static void start_meanwhile(struct store *st, int64_t now_us)
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
static void retry_unreadable(struct store *st)
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

static void retry_tracks(struct store *st, struct session *s)
{
        (void)st;
        session_retry_tracks(s);
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
                start_meanwhile(st, now);
                return;
        }
        unload(st, NULL);
        removals_tick(st, now);
        retention_clock(&st->retention, clock_real_us(), now);
        each_live(st, expire);
        look_after_ended(st);
        if (now - st->retried_mono_us > STORE_RETRY_US) {
                st->retried_mono_us = now;
                each_live(st, retry_tracks);
                retry_unreadable(st);
        }
        space_tick(st, now);
        if (now - st->swept_mono_us > SWEEP_EVERY_US) {
                st->swept_mono_us = now;
                retention_sweep(st, clock_real_us());
        }
}

int store_open(struct store *st, uv_loop_t *loop, const struct store_options *options, const struct store_events *events)
{
        *st = (struct store){.loop = loop, .options = *options, .events = *events};
        if (!st->options.volume_segments)
                st->options.volume_segments = VOLUME_SEGMENTS;
        if (mkdir(options->data_dir, 0755) < 0 && access(options->data_dir, W_OK) < 0)
                return ERR_IO;
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
        st->starting = new_starting(st, NULL);
        disk_run(loop, DISK_LIVE, start_work, start_done, st->starting);
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
        uv_close((uv_handle_t *)&st->handing, NULL);
        close(st->lock);
        close(st->folder);
        for (struct startup_folder *f = st->unreadable, *next; f; f = next) {
                next = f->next;
                free(f);
        }
        removals_close(st);
        retention_close(st);
        for (size_t i = 0; i < STORE_BUCKETS; i++)
                while (st->by_id[i])
                        drop(st, st->by_id[i]);
}
