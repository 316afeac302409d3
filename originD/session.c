#include "originD/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/captions.h"
#include "originD/stats.h"
#include "proto/generation.h"

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
        s->chunk_ms = c->chunk_ms ? c->chunk_ms : CHUNK_MS;
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

bool session_at_rest(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->unreadable || (s->tracks[i]->log && !s->tracks[i]->log->ended))
                        return false;
        return s->state == SESSION_ENDED;
}

void session_tell(struct session *s)
{
        if (s->changed)
                s->changed(s->arg, s);
}

static void end_now(struct session *s);

/* Answers the waits that are over. A wait's done() may add others. */
void session_answer_waits(struct session *s, int save_status)
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

static void note_captions(struct session *s, const struct chunk_append *chunk)
{
        if (s->captions || !captions_in_chunk(chunk->bytes->data, chunk->bytes->len))
                return;
        s->captions = true;
        log_info("session=%s stream=%s msg=\"closed captions begin\" at_us=%lld", s->id, s->stream, (long long)chunk->start_us);
        session_save(s, NULL, false, NULL);
}

static void note_cues(struct session *s, const struct chunk_append *chunk)
{
        size_t forgotten, taken = cues_take(&s->cues, chunk->bytes->data, chunk->bytes->len, &forgotten);
        stat_add(STAT_CUES, (int64_t)taken);
        stat_add(STAT_CUES_FORGOTTEN, (int64_t)forgotten);
        if (taken)
                session_save(s, NULL, false, NULL);
}

/* Rungs come one after the other: of those that are behind the last change none changes it back. */
static void note_slate(struct session *s, const struct chunk_append *chunk)
{
        int64_t at_us = chunk->start_us / chunk_us(s->chunk_ms) * chunk_us(s->chunk_ms);
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
                if (log->init.kind == TRACK_VIDEO || (log->init.kind == TRACK_AUDIO && !has_video(s))) {
                        note_slate(s, chunk);
                        note_cues(s, chunk);
                }
                if (log->init.kind == TRACK_VIDEO)
                        note_captions(s, chunk);
                if (!chunk->copied && log->init.kind < TRACK_KINDS)
                        histogram_observe(&stat_glass, clock_wall_us() - s->epoch_us - chunk->start_us);
                stat_add(STAT_CHUNKS, 1);
                stat_add(STAT_CHUNKS_SLATE, chunk->flags & PUT_SLATE ? 1 : 0);
                stat_add(STAT_CHUNKS_SHADOW, chunk->flags & PUT_SHADOW ? 1 : 0);
                stat_add(STAT_BYTES, (int64_t)chunk->bytes->len);
                stat_add(STAT_STORED_BYTES, (int64_t)chunk->bytes->len);
                if (log->index.chunks == 1 && log->closed.count) /* each volume begins with the init segment */
                        stat_add(STAT_STORED_BYTES, (int64_t)log->init_bytes->len);
        }
        session_answer_waits(s, 0);
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
        uint64_t place = eras_place(s->chunk_ms, a->segment, a->chunk);
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
                if (t->log)
                        chunk_log_archive_sum(t->log, &sum.archive);
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
                                    .generation_us = (int64_t)place * chunk_us(s->chunk_ms), .node = era ? era->node : s->node,
                                    .slate = s->slate, .slate_us = s->slate_us, .ended = s->state == SESSION_ENDED,
                                    .by_writer = s->ended_by_writer, .end_us = s->end_us};
}

static void fence(struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->log)
                        chunk_log_fence(s->tracks[i]->log);
}

uint32_t session_next_generation(const struct session *s, const struct claim *c)
{
        if (c->flags & CLAIM_JOIN)
                return c->generation;
        uint32_t seen = generation_possible(c->generation) ? c->generation : 0, known = s ? s->generation : 0;
        return (seen > known ? seen : known) + 1;
}

void session_claim(struct session *s, const struct claim *c, struct session_wait *w,
                   void (*done)(struct session_wait *w, int status))
{
        uint32_t generation = session_next_generation(s, c);
        bool other = generation != s->generation;
        s->generation = generation;
        s->claimed = true;
        s->over_elsewhere = false;
        s->grace_ms = c->grace_ms;
        if (c->flags & CLAIM_JOIN && c->chunk_ms && !s->track_count) /* whoever made it here may not have known (CLAIM_JOIN) */
                s->chunk_ms = c->chunk_ms;
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
                if (t->at_end.any && t->init.kind < TRACK_KINDS && t->at_end.end_us > s->end_us)
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
                if (w)
                        session_wait_saved(s, w, false, done);
                session_retry_save(s);
                session_answer_waits(s, 0);
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
        session_answer_waits(s, 0);
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

uint64_t session_here_bytes(const struct session *s)
{
        struct session_sum sum = session_sum(s);
        return sum.bytes - (sum.archive.archived < sum.bytes ? sum.archive.archived : sum.bytes);
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

/* ---- what another origin knows better ------------------------------------------------------------------------------ */

void session_adopt_generation(struct session *s, uint32_t generation, const char *node)
{
        if (generation <= s->generation || !generation_possible(generation))
                return;
        log_info("session=%s stream=%s msg=\"another origin has a newer writer\" generation=%u writer=%s before=%u", s->id,
                 s->stream, generation, node, s->generation);
        s->generation = generation;
        strcpy(s->node, node);
        fence(s);
        session_save(s, NULL, false, NULL);
}
