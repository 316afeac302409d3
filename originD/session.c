#include "originD/session.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/stats.h"

#define END_GUESS_US 20000 /* so much may a track's last sample be thought to last too long */
#define SLATE_AFTER_US (3 * US_PER_S) /* a live session that nobody writes to shows as slate */

void session_restore(struct session *s, uv_loop_t *loop, const char *data_dir, bool sync_segments)
{
        s->loop = loop;
        s->dir = mem_printf("%s/%s/%s", data_dir, s->stream, s->id);
        s->sync_segments = sync_segments;
        s->heard_mono_us = clock_mono_us();
        s->slate_us = -1;
}

struct session *session_new(uv_loop_t *loop, const char *data_dir, const struct claim *c, bool sync_segments)
{
        struct session *s = mem_alloc(sizeof(*s));
        strcpy(s->id, c->session);
        strcpy(s->stream, c->stream);
        s->epoch_us = c->epoch_us;
        s->load = LOAD_DONE;
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
        for (size_t i = 0; i < s->track_count; i++) {
                chunk_log_free(&s->tracks[i].log);
                buf_unref(&s->tracks[i].init_bytes);
                eras_free(&s->tracks[i].eras);
        }
        free(s->dir);
        free(s);
}

static bool quiet(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i].making || (s->tracks[i].log && !chunk_log_idle(s->tracks[i].log)))
                        return false;
        return true;
}

bool session_busy(const struct session *s)
{
        return s->pins || s->saving_version || s->waits || s->end_waits || s->ending || s->load == LOAD_UNDER_WAY ||
               !quiet(s);
}

static void tell(struct session *s)
{
        if (s->changed)
                s->changed(s->arg, s);
}

static void end_now(struct session *s);

/* Answers the waits that are over. A wait's done() may add others. */
static void poke(struct session *s, int save_status)
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

static void start_save(struct session *s);

static void save_done(void *arg, int status)
{
        struct session *s = arg;
        uint64_t version = s->saving_version;
        s->saving_version = 0;
        if (!status)
                s->saved_version = version;
        if (status && !s->save_failed)
                log_warn("session=%s msg=\"cannot save session.json\" error=\"%s\"", s->id, err_text(status));
        else if (!status && s->save_failed)
                log_info("session=%s msg=\"session.json is saved again\"", s->id);
        s->save_failed = status != 0;
        if (!status && s->version > version)
                start_save(s);
        poke(s, status);
        tell(s);
}

static void start_save(struct session *s)
{
        if (s->saving_version)
                return;
        s->saving_version = s->version;
        struct buf *text = session_to_json(s);
        char *path = mem_printf("%s/session.json", s->dir);
        disk_save(s->loop, path, text, save_done, s);
        free(path);
        buf_unref(&text);
}

void session_retry_save(struct session *s)
{
        if (s->version > s->saved_version)
                start_save(s);
}

static void wait_for(struct session *s, struct session_wait *w, bool be_quiet,
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
                wait_for(s, w, be_quiet, done);
        start_save(s);
}

struct track *session_track(struct session *s, const char *name)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (strcmp(s->tracks[i].name, name) == 0)
                        return &s->tracks[i];
        return NULL;
}

void session_heard(struct session *s)
{
        s->heard_mono_us = clock_mono_us();
}

static bool has_video(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i].init.kind == TRACK_VIDEO)
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
        }
        poke(s, 0);
        tell(s);
}

static struct track *track_of(struct session *s, const struct chunk_log *log)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i].log == log)
                        return &s->tracks[i];
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
        if (era && era->generation == a->generation && (a->copied || strcmp(era->node, s->node) == 0))
                return 0;
        if (a->copied)
                return ERR_FENCED;
        eras_begin(&t->eras, place, a->generation, s->node);
        struct beginning *b = mem_alloc(sizeof(*b));
        b->log = log;
        session_save(s, &b->wait, false, era_saved);
        return 1;
}

void session_watch_log(struct session *s, struct chunk_log *log)
{
        log->moved = log_moved;
        log->admit = admit;
        log->arg = s;
}

struct adding {
        struct session_wait wait;
        struct adding *next; /* of the track's */
        struct session *s;
        char name[TRACK_NAME_MAX + 1];
        char *path;
        void (*done)(void *arg, int status);
        void *arg;
};

static void adding_done(struct adding *a, int status)
{
        a->done(a->arg, status);
        free(a->path);
        free(a);
}

static void track_forget(struct session *s, struct track *t)
{
        size_t i = (size_t)(t - s->tracks);
        chunk_log_free(&t->log);
        buf_unref(&t->init_bytes);
        eras_free(&t->eras);
        s->track_count--;
        memmove(t, t + 1, (s->track_count - i) * sizeof(*t));
        s->tracks[s->track_count] = (struct track){0};
}

static void track_saved(struct session_wait *w, int status)
{
        adding_done((struct adding *)w, status);
}

static void track_made(void *arg, int status, int fd)
{
        struct adding *a = arg;
        struct session *s = a->s;
        struct track *t = session_track(s, a->name);
        a->next = t->same;
        t->same = NULL;
        t->making = false;
        if (status) {
                track_forget(s, t);
                while (a) {
                        struct adding *next = a->next;
                        adding_done(a, status);
                        a = next;
                }
                poke(s, 0);
                return;
        }
        struct index ix;
        index_init(&ix, t->init.timescale, t->init_bytes->len);
        t->log = chunk_log_new(s->loop, a->path, fd, &t->init, buf_ref(t->init_bytes), &ix, s->sync_segments);
        session_watch_log(s, t->log);
        stat_add(STAT_STORED_BYTES, (int64_t)t->init_bytes->len);
        s->last_track_mono_us = clock_mono_us();
        log_info("session=%s stream=%s track=%s codec=%s msg=\"track begins\" start_us=%lld", s->id, s->stream, t->name,
                 t->init.codec, (long long)t->start_us);
        struct adding *same = a->next;
        session_save(s, &a->wait, false, track_saved);
        while (same) {
                struct adding *next = same->next;
                wait_for(s, &same->wait, false, track_saved);
                same = next;
        }
}

static int same_track(const struct track *t, const struct put *p)
{
        return t->init_bytes->len != p->len || memcmp(t->init_bytes->data, p->bytes, p->len) != 0 ? ERR_CONFLICT : 0;
}

static struct adding *new_adding(struct session *s, const char *track, void (*done)(void *arg, int status), void *arg)
{
        struct adding *a = mem_alloc(sizeof(*a));
        *a = (struct adding){.s = s, .done = done, .arg = arg};
        strcpy(a->name, track);
        return a;
}

/* Where a track stands in every list: video before audio, the largest first, whatever order they came in. */
static struct track *make_place(struct session *s, const struct init_info *init, uint32_t bandwidth)
{
        size_t i = 0;
        for (; i < s->track_count; i++) {
                const struct track *t = &s->tracks[i];
                if (init->kind != t->init.kind ? init->kind < t->init.kind : bandwidth > t->bandwidth)
                        break;
        }
        memmove(&s->tracks[i + 1], &s->tracks[i], (s->track_count++ - i) * sizeof(s->tracks[0]));
        return &s->tracks[i];
}

void session_add_track(struct session *s, const struct put *p, void (*done)(void *arg, int status), void *arg)
{
        struct init_info info;
        struct track *t = session_track(s, p->track);
        if (t && t->making && !same_track(t, p)) { /* by the other writer of the generation */
                struct adding *a = new_adding(s, p->track, done, arg);
                a->next = t->same;
                t->same = a;
                return;
        }
        if (t) {
                done(arg, same_track(t, p));
                return;
        }
        int rc = p->len > INIT_MAX_BYTES || s->track_count == SESSION_TRACKS_MAX
                         ? ERR_LIMIT
                         : box_init_parse(p->bytes, p->len, &info);
        if (rc) {
                done(arg, rc);
                return;
        }
        t = make_place(s, &info, p->bandwidth);
        *t = (struct track){.init = info, .init_bytes = buf_copy(p->bytes, p->len), .start_us = p->start_us,
                            .first_segment = p->segment, .bandwidth = p->bandwidth, .fps_milli = p->fps_milli,
                            .making = true};
        strcpy(t->name, p->track);
        struct adding *a = new_adding(s, p->track, done, arg);
        a->path = mem_printf("%s/%s.mp4", s->dir, p->track);
        disk_create(s->loop, a->path, t->init_bytes, track_made, a);
}

size_t session_claim_tracks(const struct session *s, struct claim_track out[SESSION_TRACKS_MAX])
{
        size_t n = 0;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = &s->tracks[i];
                struct claim_track *c = &out[n];
                if (!t->log)
                        continue;
                strcpy(c->name, t->name);
                if (t->log->index.count) {
                        index_next(&t->log->index, &c->next_segment, &c->next_chunk, &c->end_us);
                } else {
                        c->next_segment = t->first_segment;
                        c->next_chunk = 0;
                        c->end_us = t->start_us;
                }
                n++;
        }
        return n;
}

bool track_ahead(const struct track *t, uint32_t segment, uint8_t chunk)
{
        const struct index *ix = &t->log->index;
        uint64_t end = (ix->end_ticks + ix->slack_ticks) * CHUNKS_PER_SEGMENT / ix->timescale;
        return eras_place(segment, chunk) > (ix->count ? end : eras_place(t->first_segment, CHUNKS_PER_SEGMENT - 1));
}

uint64_t track_end_place(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        const struct index *ix = t->log ? &t->log->index : NULL;
        int64_t guess_us = ix ? box_ticks_to_us(ix->slack_ticks, ix->timescale) : END_GUESS_US;
        int64_t end_us = f.end_us - (guess_us < END_GUESS_US ? guess_us : END_GUESS_US);
        return f.any ? (uint64_t)(end_us > 0 ? end_us - 1 : 0) / CHUNK_US + 1 : 0;
}

/* The era of the newest chunk; NULL: none is stored. */
static const struct era *written_era(const struct session *s)
{
        const struct era *newest = NULL;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = &s->tracks[i];
                uint64_t end = track_end_place(s, t);
                const struct era *era = end ? eras_at(&t->eras, end - 1) : NULL;
                if (era && (!newest || era->generation > newest->generation))
                        newest = era;
        }
        return newest;
}

uint32_t session_written_generation(const struct session *s)
{
        const struct era *era = written_era(s);
        return era ? era->generation : 0;
}

void session_event_facts(const struct session *s, struct event_facts *out)
{
        const struct era *era = written_era(s);
        *out = (struct event_facts){.stream = s->stream, .session = s->id, .title = s->title, .epoch_us = s->epoch_us,
                                    .stored = era, .node = era ? era->node : "", .slate = s->slate,
                                    .slate_us = s->slate_us, .ended = s->state == SESSION_ENDED,
                                    .by_writer = s->ended_by_writer, .end_us = s->end_us};
        if (era) {
                out->generation = era->generation;
                out->generation_us = (int64_t)era->place * CHUNK_US;
        }
}

static void fence(struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i].log)
                        chunk_log_fence(s->tracks[i].log);
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
                strcpy(s->title, c->title);
        session_heard(s);
        if (other) /* what a writer sent before it joined again is its own */
                fence(s);
        session_save(s, w, true, done);
}

static struct track_facts facts_of(const struct index *ix);

static void end_now(struct session *s)
{
        s->ending = false; /* chunk_log_end() comes back here through log_moved() */
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = &s->tracks[i];
                if (!t->log)
                        continue;
                chunk_log_end(t->log);
                t->at_end = facts_of(&t->log->index);
                if (t->at_end.any && t->at_end.end_us > s->end_us)
                        s->end_us = t->at_end.end_us;
        }
        s->state = SESSION_ENDED;
        s->ended_wall_us = clock_real_us();
        log_info("session=%s stream=%s msg=\"session ended\" by=%s end_us=%lld bytes=%llu", s->id, s->stream,
                 s->ended_by_writer ? "writer" : "silence", (long long)s->end_us, (unsigned long long)session_bytes(s));
        session_save(s, NULL, false, NULL);
        while (s->end_waits) {
                struct session_wait *w = s->end_waits;
                s->end_waits = w->next;
                wait_for(s, w, false, w->done);
        }
        tell(s);
}

void session_end(struct session *s, int64_t end_us, bool by_writer, struct session_wait *w,
                 void (*done)(struct session_wait *w, int status))
{
        if (s->state == SESSION_ENDED) { /* said twice: the answer to the first may have been lost */
                wait_for(s, w, false, done);
                session_retry_save(s);
                poke(s, 0);
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
        poke(s, 0);
}

uint64_t session_bytes(const struct session *s)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < s->track_count; i++)
                sum += track_facts(s, &s->tracks[i]).file_bytes;
        return sum;
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

bool track_playable(const struct session *s, const struct track *t)
{
        return !t->making && (s->state == SESSION_ENDED ? t->at_end.any : t->log && t->log->index.count > 0);
}

static uint32_t per_second(uint64_t n, uint64_t ticks, uint32_t timescale)
{
        unsigned __int128 v = ticks ? (unsigned __int128)n * timescale / ticks : 0;
        return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static struct track_facts facts_of(const struct index *ix)
{
        struct track_facts f = {.file_bytes = ix->file_bytes, .any = ix->count > 0};
        if (!f.any)
                return f;
        f.last_segment = ix->rows[ix->count - 1].segment;
        f.end_us = box_ticks_to_us(ix->end_ticks, ix->timescale);
        f.average_bps = per_second((ix->file_bytes - ix->init_bytes) * 8, ix->media_ticks, ix->timescale);
        f.peak_bps = ix->peak_bytes > UINT32_MAX / 8 ? UINT32_MAX : ix->peak_bytes * 8;
        f.fps_milli = per_second(ix->samples * 1000, ix->media_ticks, ix->timescale);
        return f;
}

struct track_facts track_facts(const struct session *s, const struct track *t)
{
        if (!t->log || (s->state == SESSION_ENDED && t->log->ended))
                return t->at_end;
        return facts_of(&t->log->index);
}

struct loading {
        struct session *s;
        size_t count;
        int status;
        struct loading_track {
                char *path;
                struct index index;
                struct init_info init;
                struct buf *init_bytes;
        } tracks[SESSION_TRACKS_MAX];
};

static void load_work(void *arg)
{
        struct loading *l = arg;
        for (size_t i = 0; i < l->count && !l->status; i++) {
                struct loading_track *t = &l->tracks[i];
                int fd = open(t->path, O_RDONLY | O_CLOEXEC);
                l->status = fd < 0 ? ERR_IO : index_walk(fd, &t->index, &t->init, &t->init_bytes);
                if (fd >= 0)
                        close(fd);
        }
}

static void load_done(void *arg)
{
        struct loading *l = arg;
        struct session *s = l->s;
        for (size_t i = 0; i < l->count; i++) {
                struct loading_track *t = &l->tracks[i];
                if (!l->status) {
                        s->tracks[i].log = chunk_log_new(s->loop, t->path, -1, &t->init, t->init_bytes, &t->index, false);
                } else {
                        index_free(&t->index);
                        buf_unref(&t->init_bytes);
                }
                free(t->path);
        }
        if (l->status)
                log_warn("session=%s msg=\"cannot read the recording\" error=\"%s\"", s->id, err_text(l->status));
        s->load = l->status ? LOAD_FAILED : LOAD_DONE;
        s->load_again_us = clock_mono_us() + SESSION_LOAD_AGAIN_US;
        free(l);
        tell(s);
}

void session_load(struct session *s)
{
        bool again = s->load == LOAD_FAILED && clock_mono_us() >= s->load_again_us;
        if (s->load != LOAD_NO && !again)
                return;
        struct loading *l = mem_alloc(sizeof(*l));
        *l = (struct loading){.s = s, .count = s->track_count};
        for (size_t i = 0; i < l->count; i++)
                l->tracks[i].path = mem_printf("%s/%s.mp4", s->dir, s->tracks[i].name);
        s->load = LOAD_UNDER_WAY;
        disk_run(s->loop, load_work, load_done, l);
}
