#include "originD/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "originD/log/volumes_file.h"
#include "originD/stats.h"

#define SLATE_AFTER_US (3 * US_PER_S) /* a live session that nobody writes to shows as slate */

void session_restore(struct session *s, uv_loop_t *loop, const char *data_dir, bool sync_segments)
{
        s->loop = loop;
        s->data_dir = data_dir;
        if (!s->title)
                s->title = "";
        s->sync_segments = sync_segments;
        s->heard_mono_us = clock_mono_us();
        s->slate_us = -1;
}

/* Most have none. */
void session_set_title(struct session *s, const char *title)
{
        if (s->title && s->title[0])
                free((char *)(uintptr_t)s->title);
        s->title = title[0] ? mem_strdup(title) : "";
}

char *session_dir(const struct session *s)
{
        return mem_printf("%s/%s/%s", s->data_dir, s->stream, s->id);
}

struct session *session_new(uv_loop_t *loop, const char *data_dir, const struct claim *c, uint32_t volume_segments,
                            bool sync_segments)
{
        struct session *s = mem_alloc(sizeof(*s));
        strcpy(s->id, c->session);
        strcpy(s->stream, c->stream);
        s->epoch_us = c->epoch_us;
        s->load = LOAD_DONE;
        s->volume_segments = volume_segments;
        session_restore(s, loop, data_dir, sync_segments);
        return s;
}

void session_free(struct session **sp)
{
        struct session *s = *sp;
        *sp = NULL;
        if (!s)
                return;
        assert(!session_busy(s));
        tracks_free(s);
        session_set_title(s, "");
        free(s);
}

static bool quiet(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->making || (s->tracks[i]->log && !chunk_log_idle(s->tracks[i]->log)))
                        return false;
        return true;
}

/* Something of its files is on the pool, chunks or not. */
static bool logs_busy(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->log && chunk_log_busy(s->tracks[i]->log))
                        return true;
        return false;
}

bool session_busy(const struct session *s)
{
        return s->pins || s->saving_version || s->waits || s->end_waits || s->ending || s->load == LOAD_UNDER_WAY ||
               !quiet(s) || logs_busy(s);
}

void session_tell(struct session *s)
{
        if (s->changed)
                s->changed(s->arg, s);
}

static void end_now(struct session *s);

/* Answers the waits that are over. A wait's done() may add others. */
static void answer_waits(struct session *s, int save_status)
{
        struct session_wait *todo = s->waits;
        s->waits = NULL;
        bool is_quiet = quiet(s);
        while (todo) {
                struct session_wait *w = todo;
                todo = w->next;
                bool saved = w->version <= s->saved_version;
                if ((saved && (is_quiet || !w->quiet)) || (!saved && save_status)) {
                        w->done(w, saved ? 0 : save_status);
                } else {
                        w->next = s->waits;
                        s->waits = w;
                }
        }
        if (s->ending && s->state == SESSION_LIVE && is_quiet)
                end_now(s);
}

void session_answer_waits(struct session *s)
{
        answer_waits(s, 0);
}

static void start_save(struct session *s);

/* A save on its way: TRACK/volumes of the tracks whose rows have changed, then session.json. What a crash between leaves is rows that
 * are newer than it: each says of a volume's files what is so. The other way round a session would have ended in a volume
 * that nobody noted, and that would pass for one which was left before its end. */
struct saving {
        struct session *s;
        struct buf *text; /* of session.json */
        char *path;
        struct rows_to_save {
                char *dir;
                struct volumes rows;
        } tracks[SESSION_TRACKS_MAX];
        size_t track_count;
        int status;
};

static void save_work(void *arg)
{
        struct saving *w = arg;
        for (size_t i = 0; i < w->track_count && !w->status; i++) {
                w->status = volumes_file_save(w->tracks[i].dir, &w->tracks[i].rows);
                if (w->status == ERR_NOT_FOUND) /* dropped meanwhile: there are no files that a row could be about */
                        w->status = 0;
        }
        if (!w->status)
                w->status = file_save(w->path, w->text->data, w->text->len);
}

static void save_done(void *arg)
{
        struct saving *w = arg;
        struct session *s = w->s;
        int status = w->status;
        uint64_t version = s->saving_version;
        s->saving_version = 0;
        if (!status)
                s->saved_version = version;
        if (status && !s->save_failed)
                log_warn("session=%s path=%s msg=\"cannot save what is known of a session\" error=\"%s\"", s->id, w->path,
                         err_text(status));
        else if (!status && s->save_failed)
                log_info("session=%s msg=\"what is known of the session is saved again\"", s->id);
        s->save_failed = status != 0;
        for (size_t i = 0; status && i < s->track_count; i++)
                s->tracks[i]->rows_saved = ROWS_NOT_SAVED;
        for (size_t i = 0; i < w->track_count; i++) {
                volumes_free(&w->tracks[i].rows);
                free(w->tracks[i].dir);
        }
        buf_unref(&w->text);
        free(w->path);
        free(w);
        if (!status && s->version > version)
                start_save(s);
        answer_waits(s, status);
        session_tell(s);
}

/* The rows as they are now: of a broadcast of a month 240 KB a track, copied here and written by the pool. */
static void take_rows(struct saving *w, struct track *t)
{
        if (!t->log || t->rows_saved == t->log->closed.changes)
                return;
        struct rows_to_save *r = &w->tracks[w->track_count++];
        r->dir = track_dir(w->s, t->name);
        chunk_log_rows(t->log, &r->rows);
        t->rows_saved = t->log->closed.changes;
}

static void start_save(struct session *s)
{
        if (s->saving_version)
                return;
        assert(s->load == LOAD_DONE); /* or the tracks would be forgotten */
        s->saving_version = s->version;
        struct saving *w = mem_alloc(sizeof(*w));
        *w = (struct saving){.s = s, .text = session_to_json(s)};
        w->path = mem_printf("%s/%s/%s/session.json", s->data_dir, s->stream, s->id);
        for (size_t i = 0; i < s->track_count; i++)
                take_rows(w, s->tracks[i]);
        disk_run(s->loop, DISK_WRITE, save_work, save_done, w);
}

void session_retry_save(struct session *s)
{
        if (s->version > s->saved_version)
                start_save(s);
}

void session_wait_saved(struct session *s, struct session_wait *w, bool be_quiet,
                     void (*done)(struct session_wait *w, int status))
{
        *w = (struct session_wait){.version = s->version, .quiet = be_quiet, .done = done, .next = s->waits};
        s->waits = w;
}

void session_save(struct session *s, struct session_wait *w, bool be_quiet,
                  void (*done)(struct session_wait *w, int status))
{
        s->version++;
        if (w)
                session_wait_saved(s, w, be_quiet, done);
        start_save(s);
}

void session_heard(struct session *s)
{
        s->heard_mono_us = clock_mono_us();
}

static bool has_video(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->init.kind == TRACK_VIDEO)
                        return true;
        return false;
}

/* Rungs come one after the other: of those that are behind the last change none changes it back. */
static void note_slate(struct session *s, const struct chunk_append *chunk)
{
        int64_t at_us = chunk->start_us / CHUNK_US * CHUNK_US;
        bool slate = chunk->flags & PUT_SLATE;
        if (chunk->copied || (s->slate_us >= 0 && (s->slate == slate || at_us <= s->slate_us)))
                return;
        s->slate = slate;
        s->slate_us = at_us;
}

static void log_moved(void *arg, struct chunk_log *log, const struct chunk_append *chunk)
{
        struct session *s = arg;
        if (chunk) {
                session_heard(s);
                if (!s->first_chunk_mono_us)
                        s->first_chunk_mono_us = s->heard_mono_us;
                if (log->init.kind == TRACK_VIDEO || !has_video(s))
                        note_slate(s, chunk);
                if (!chunk->copied)
                        histogram_observe(&stat_glass, clock_wall_us() - s->epoch_us - chunk->start_us);
                stat_add(STAT_CHUNKS, 1);
                stat_add(STAT_CHUNKS_SLATE, chunk->flags & PUT_SLATE ? 1 : 0);
                stat_add(STAT_CHUNKS_SHADOW, chunk->flags & PUT_SHADOW ? 1 : 0);
                stat_add(STAT_BYTES, (int64_t)chunk->bytes->len);
                stat_add(STAT_STORED_BYTES, (int64_t)chunk->bytes->len);
                if (log->index.chunks == 1 && log->closed.count) /* each volume begins with the init segment */
                        stat_add(STAT_STORED_BYTES, (int64_t)log->init_bytes->len);
        }
        answer_waits(s, 0);
        session_tell(s);
}

static struct track *track_of(struct session *s, const struct chunk_log *log)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->log == log)
                        return s->tracks[i];
        return NULL;
}

struct beginning {
        struct session_wait wait;
        struct chunk_log *log;
};

static void era_saved(struct session_wait *w, int status)
{
        struct beginning *b = (struct beginning *)w;
        chunk_log_go_on(b->log, status);
        free(b);
}

/* A writer's first chunk in a track is written after session.json says that its era begins there. A leader and its shadow
 * are one writer here: one generation, claimed by one node, and one era, whoever's chunk was the first of a place. */
static int admit(void *arg, struct chunk_log *log, const struct chunk_append *a)
{
        struct session *s = arg;
        struct track *t = track_of(s, log);
        uint64_t place = eras_place(a->segment, a->chunk);
        const struct era *era = eras_at(&t->eras, place);
        bool known = era && era->generation == a->generation && (a->copied || strcmp(era->node, s->node) == 0);
        if (known && t->eras_version <= s->saved_version)
                return 0;
        if (a->copied && !known)
                return ERR_FENCED;
        if (!known)
                eras_begin(&t->eras, place, a->generation, s->node);
        struct beginning *b = mem_alloc(sizeof(*b));
        b->log = log;
        session_save(s, &b->wait, false, era_saved); /* also when an earlier save failed: until one succeeds no chunk of it is in */
        t->eras_version = s->version;
        return 1;
}

static void rows_saved(struct session_wait *w, int status)
{
        struct beginning *b = (struct beginning *)w;
        chunk_log_cut_on(b->log, status);
        free(b);
}

static int save_rows(void *arg, struct chunk_log *log)
{
        struct beginning *b = mem_alloc(sizeof(*b));
        b->log = log;
        session_save(arg, &b->wait, false, rows_saved);
        return 1;
}

/* The rows of closed volumes are saved, so that the next start opens none of them. */
static void volumes_changed(void *arg, struct chunk_log *log)
{
        struct session *s = arg;
        (void)log;
        if (s->load == LOAD_DONE)
                session_save(s, NULL, false, NULL);
}

void session_watch_log(struct session *s, struct chunk_log *log)
{
        log->moved = log_moved;
        log->volumes_changed = volumes_changed;
        log->save_rows = save_rows;
        log->admit = admit;
        log->arg = s;
}

size_t session_claim_tracks(const struct session *s, struct claim_track out[SESSION_TRACKS_MAX])
{
        size_t n = 0;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                struct claim_track *c = &out[n];
                if (!t->log)
                        continue;
                strcpy(c->name, t->name);
                track_next(t, &c->next_segment, &c->next_chunk, &c->end_us);
                n++;
        }
        return n;
}

/* The era of the newest chunk; NULL: none is stored. */
static const struct era *written_era(const struct session *s)
{
        const struct era *newest = NULL;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                uint64_t end = track_end_place(s, t);
                const struct era *era = end ? eras_at(&t->eras, end - 1) : NULL;
                if (era && (!newest || era->generation > newest->generation))
                        newest = era;
        }
        return newest;
}

static uint64_t track_digest(const struct session *s, const struct track *t)
{
        uint64_t bytes = track_facts(s, t).file_bytes;
        uint64_t digest = XXH3_64bits_withSeed(&bytes, sizeof(bytes), XXH3_64bits(t->name, strlen(t->name)));
        for (size_t i = 0; i < t->eras.count; i++) {
                const struct era *e = &t->eras.list[i];
                digest = XXH3_64bits_withSeed(e->node, strlen(e->node), digest ^ e->place ^ (uint64_t)e->generation << 32);
        }
        return digest;
}

struct session_sum session_sum(const struct session *s)
{
        if (s->load != LOAD_DONE)
                return s->sum;
        const struct era *era = written_era(s);
        struct session_sum sum = {.written_generation = era ? era->generation : 0, .written_place = era ? era->place : 0};
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                sum.bytes += track_facts(s, t).file_bytes;
                sum.lacking += t->log ? chunk_log_lacking(t->log) : 0;
                sum.playable |= track_playable(s, t);
                sum.digest += track_digest(s, t); /* in whatever order they are listed */
                sum.tracks++;
        }
        return sum;
}

uint32_t session_written_generation(const struct session *s)
{
        return session_sum(s).written_generation;
}

/* Who wrote last is known of a session that is loaded; of another one it is taken for the one that claimed it last. */
void session_event_facts(const struct session *s, struct event_facts *out)
{
        const struct era *era = written_era(s); /* and not the whole sum: this is asked at each chunk */
        uint32_t generation = s->load != LOAD_DONE ? s->sum.written_generation : era ? era->generation : 0;
        uint64_t place = s->load != LOAD_DONE ? s->sum.written_place : era ? era->place : 0;
        *out = (struct event_facts){.stream = s->stream, .session = s->id, .title = s->title, .epoch_us = s->epoch_us,
                                    .stored = generation, .generation = generation,
                                    .generation_us = (int64_t)place * CHUNK_US, .node = era ? era->node : s->node,
                                    .slate = s->slate, .slate_us = s->slate_us, .ended = s->state == SESSION_ENDED,
                                    .by_writer = s->ended_by_writer, .end_us = s->end_us};
}

static void fence(struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->log)
                        chunk_log_fence(s->tracks[i]->log);
}

void session_claim(struct session *s, const struct claim *c, struct session_wait *w,
                   void (*done)(struct session_wait *w, int status))
{
        uint32_t generation = c->generation;
        if (!(c->flags & CLAIM_JOIN))
                generation = (generation > s->generation ? generation : s->generation) + 1;
        bool other = generation != s->generation;
        s->generation = generation;
        s->claimed = true;
        s->over_elsewhere = false;
        s->grace_ms = c->grace_ms;
        strcpy(s->node, c->node);
        if (c->title[0])
                session_set_title(s, c->title);
        session_heard(s);
        if (other) /* what a writer sent before it joined again is its own */
                fence(s);
        session_save(s, w, true, done);
}

static void end_now(struct session *s)
{
        s->ending = false; /* chunk_log_end() comes back here through log_moved() */
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = s->tracks[i];
                if (!t->log)
                        continue;
                t->at_end = track_facts(s, t);
                chunk_log_end(t->log);
                if (t->at_end.any && t->at_end.end_us > s->end_us)
                        s->end_us = t->at_end.end_us;
        }
        s->state = SESSION_ENDED;
        /* The epoch is the writer's clock. When ours is behind, what ends now would be old as soon as ours is right again. */
        int64_t by_writer_us = s->epoch_us + s->end_us;
        s->ended_wall_us = clock_real_us();
        if (s->ended_wall_us < by_writer_us)
                s->ended_wall_us = by_writer_us;
        log_info("session=%s stream=%s msg=\"session ended\" by=%s end_us=%lld bytes=%llu", s->id, s->stream,
                 s->ended_by_writer ? "writer" : "silence", (long long)s->end_us, (unsigned long long)session_bytes(s));
        session_save(s, NULL, false, NULL);
        while (s->end_waits) {
                struct session_wait *w = s->end_waits;
                s->end_waits = w->next;
                session_wait_saved(s, w, false, w->done);
        }
        session_tell(s);
}

void session_end(struct session *s, int64_t end_us, bool by_writer, struct session_wait *w,
                 void (*done)(struct session_wait *w, int status))
{
        if (s->state == SESSION_ENDED) { /* said twice: the answer to the first may have been lost */
                session_wait_saved(s, w, false, done);
                session_retry_save(s);
                answer_waits(s, 0);
                return;
        }
        if (w) {
                w->done = done;
                w->next = s->end_waits;
                s->end_waits = w;
        }
        if (s->ending)
                return;
        s->ending = true;
        s->ended_by_writer = by_writer;
        s->end_us = end_us;
        answer_waits(s, 0);
}

uint64_t session_bytes(const struct session *s)
{
        if (s->load != LOAD_DONE)
                return s->sum.bytes;
        uint64_t sum = 0;
        for (size_t i = 0; i < s->track_count; i++)
                sum += track_facts(s, s->tracks[i]).file_bytes;
        return sum;
}

size_t session_tracks(const struct session *s)
{
        return s->load == LOAD_DONE ? s->track_count : s->sum.tracks;
}

bool session_playable(const struct session *s)
{
        if (s->load != LOAD_DONE)
                return s->sum.playable;
        for (size_t i = 0; i < s->track_count; i++)
                if (track_playable(s, s->tracks[i]))
                        return true;
        return false;
}

const char *session_state_name(const struct session *s)
{
        if (s->state == SESSION_ENDED)
                return "ended";
        return s->slate || clock_mono_us() - s->heard_mono_us > SLATE_AFTER_US ? "slate" : "live";
}

int64_t session_live_edge_us(const struct session *s)
{
        return clock_wall_us() - s->epoch_us;
}


/* ---- loading: the tracks of a session that ended ------------------------------------------------------------------- */

struct loading {
        struct session *s;
        char *dir;
        struct session read; /* its tracks, filled in on the pool */
        struct track_found found[SESSION_TRACKS_MAX];
        size_t found_count;
        int status;
};

/* On the pool: of the session only what never changes is looked at. */
static void load_work(void *arg)
{
        struct loading *l = arg;
        l->status = session_read(&l->read, l->dir, true);
        while (!l->status && l->found_count < l->read.track_count) {
                size_t i = l->found_count;
                l->status = track_find(&l->read, l->dir, l->read.tracks[i], false, &l->found[i]);
                l->found_count += !l->status;
        }
}

static void load_done(void *arg)
{
        struct loading *l = arg;
        struct session *s = l->s;
        if (l->status) {
                log_warn("session=%s msg=\"cannot read the recording\" error=\"%s\"", s->id, err_text(l->status));
                while (l->found_count)
                        track_found_free(&l->found[--l->found_count]);
                tracks_free(&l->read);
        } else {
                s->tracks = l->read.tracks;
                s->track_count = l->read.track_count;
                for (size_t i = 0; i < s->track_count; i++)
                        track_opened(s, s->tracks[i], &l->found[i], true);
        }
        session_set_title(&l->read, "");
        s->load = l->status ? LOAD_FAILED : LOAD_DONE;
        s->load_again_us = clock_mono_us() + SESSION_LOAD_AGAIN_US;
        free(l->dir);
        free(l);
        session_tell(s);
}

bool session_loadable(const struct session *s)
{
        return s->load == LOAD_NO || (s->load == LOAD_FAILED && clock_mono_us() >= s->load_again_us);
}

void session_load(struct session *s)
{
        s->asked_mono_us = clock_mono_us();
        if (!session_loadable(s))
                return;
        struct loading *l = mem_alloc(sizeof(*l));
        *l = (struct loading){.s = s, .dir = session_dir(s)};
        s->load = LOAD_UNDER_WAY;
        if (disk_run(s->loop, DISK_COLD, load_work, load_done, l)) { /* too many at once: as if nobody had asked yet */
                s->load = LOAD_NO;
                free(l->dir);
                free(l);
        }
}

bool session_unload(struct session *s)
{
        if (s->state != SESSION_ENDED || s->load != LOAD_DONE || session_busy(s) || s->version > s->saved_version)
                return false;
        s->sum = session_sum(s);
        s->load = LOAD_NO;
        tracks_free(s);
        return true;
}

/* ---- what another origin knows better ------------------------------------------------------------------------------ */

void session_adopt_generation(struct session *s, uint32_t generation, const char *node)
{
        if (generation <= s->generation)
                return;
        log_info("session=%s stream=%s msg=\"another origin has a newer writer\" generation=%u writer=%s before=%u", s->id,
                 s->stream, generation, node, s->generation);
        s->generation = generation;
        strcpy(s->node, node);
        fence(s);
        session_save(s, NULL, false, NULL);
}

struct opening {
        struct session *s;
        size_t left;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

static void one_opened(void *arg, int status)
{
        struct opening *o = arg;
        o->status = o->status ? o->status : status;
        if (--o->left)
                return;
        o->s->pins--;
        o->done(o->arg, o->status);
        free(o);
}

static void opened_from_loop(uv_timer_t *timer)
{
        void *arg = timer->data;
        uv_close((uv_handle_t *)timer, (uv_close_cb)free);
        one_opened(arg, 0);
}

void session_open_ended(struct session *s, void (*done)(void *arg, int status), void *arg)
{
        assert(s->state == SESSION_ENDED && s->load == LOAD_DONE);
        struct opening *o = mem_alloc(sizeof(*o));
        *o = (struct opening){.s = s, .left = 1, .done = done, .arg = arg};
        s->pins++;
        for (size_t i = 0; i < s->track_count; i++) {
                struct chunk_log *log = s->tracks[i]->log;
                if (!log || !log->ended || log->reopening)
                        continue;
                o->left++;
                chunk_log_reopen(log, s->sync_segments, one_opened, o);
        }
        uv_timer_t *soon = mem_alloc(sizeof(*soon)); /* one without tracks is opened from the loop too */
        uv_timer_init(s->loop, soon);
        soon->data = o;
        uv_timer_start(soon, opened_from_loop, 0, 0);
}

void session_close_ended(struct session *s)
{
        bool any = false;
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = s->tracks[i];
                if (!t->log || t->log->ended)
                        continue;
                t->at_end = track_facts(s, t);
                if (t->at_end.any && t->at_end.end_us > s->end_us)
                        s->end_us = t->at_end.end_us;
                chunk_log_end(t->log);
                any = true;
        }
        if (any)
                session_save(s, NULL, false, NULL);
}

void session_reopen(struct session *s)
{
        s->state = SESSION_LIVE;
        s->ended_by_writer = false;
        s->claimed = false;
        session_heard(s);
        session_save(s, NULL, false, NULL);
}
