#include "originD/track.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"
#include "originD/log/file.h"
#include "originD/log/volumes_file.h"
#include "originD/session.h"
#include "originD/stats.h"

#define END_GUESS_US 20000 /* so much may a track's last sample be thought to last too long */

/* ---- the list ----------------------------------------------------------------------------------------------------- */

struct track *session_track(const struct session *s, const char *name)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (strcmp(s->tracks[i]->name, name) == 0)
                        return s->tracks[i];
        return NULL;
}

static struct track *insert_at(struct session *s, size_t i)
{
        struct track *t = mem_alloc(sizeof(*t));
        s->tracks = mem_resize(s->tracks, (s->track_count + 1) * sizeof(*s->tracks));
        memmove(&s->tracks[i + 1], &s->tracks[i], (s->track_count++ - i) * sizeof(*s->tracks));
        return s->tracks[i] = t;
}

struct track *track_append(struct session *s)
{
        return insert_at(s, s->track_count);
}

static void track_free(struct track *t)
{
        chunk_log_free(&t->log);
        buf_unref(&t->init_bytes);
        eras_free(&t->eras);
        free(t);
}

void track_remove(struct session *s, struct track *t)
{
        size_t i = 0;
        while (s->tracks[i] != t)
                i++;
        s->track_count--;
        memmove(&s->tracks[i], &s->tracks[i + 1], (s->track_count - i) * sizeof(*s->tracks));
        track_free(t);
}

char *track_dir(const struct session *s, const char *name)
{
        return mem_printf("%s/%s/%s/%s", s->data_dir, s->stream, s->id, name);
}

struct dropping {
        struct session *s;
        char *dir;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

static void drop_work(void *arg)
{
        struct dropping *d = arg;
        char *away = mem_printf("%s.dropped", d->dir);
        d->status = file_remove_folder(away); /* of an earlier time */
        if (!d->status || d->status == ERR_NOT_FOUND)
                d->status = rename(d->dir, away) < 0 ? err_from_errno(errno) : file_remove_folder(away);
        free(away);
}

static void drop_done(void *arg)
{
        struct dropping *d = arg;
        d->s->pins--;
        d->done(d->arg, d->status);
        free(d->dir);
        free(d);
}

void track_drop(struct session *s, struct track *t, void (*done)(void *arg, int status), void *arg)
{
        struct dropping *d = mem_alloc(sizeof(*d));
        *d = (struct dropping){.s = s, .dir = track_dir(s, t->name), .done = done, .arg = arg};
        struct archive_sum sum = {0};
        if (t->log)
                chunk_log_archive_sum(t->log, &sum);
        stat_add(STAT_STORED_BYTES, (int64_t)sum.archived - (int64_t)track_facts(s, t).file_bytes);
        stat_add(STAT_ARCHIVED_BYTES, -(int64_t)sum.archived);
        track_remove(s, t);
        s->pins++;
        disk_run(s->loop, DISK_WRITE, drop_work, drop_done, d);
}

void tracks_free(struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                track_free(s->tracks[i]);
        free(s->tracks);
        s->tracks = NULL;
        s->track_count = 0;
        cues_free(&s->cues);
}

/* ---- facts -------------------------------------------------------------------------------------------------------- */

bool track_playable(const struct session *s, const struct track *t)
{
        return t->init.kind < TRACK_KINDS && !t->making && (s->state == SESSION_ENDED ? t->at_end.any : t->log && t->log->index.count > 0);
}

static uint32_t per_second(uint64_t n, uint64_t ticks, uint32_t timescale)
{
        unsigned __int128 v = ticks ? (unsigned __int128)n * timescale / ticks : 0;
        return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static struct track_facts facts_of(const struct chunk_log *log)
{
        const struct index *ix = &log->index;
        struct volume_sum sum;
        bool any = chunk_log_sum(log, &sum) && ix->count;
        struct track_facts f = {.any = any, .file_bytes = sum.bytes};
        if (!f.any)
                return f;
        f.first_segment = sum.first_segment;
        f.last_segment = sum.last_segment;
        f.end_us = box_ticks_to_us(ix->end_ticks, ix->timescale);
        f.guess_us = box_ticks_to_us(ix->slack_ticks, ix->timescale);
        f.average_bps = per_second((sum.bytes - ix->init_bytes) * 8, sum.media_ticks, ix->timescale);
        f.peak_bps = sum.peak_bytes > UINT32_MAX / 8 ? UINT32_MAX : sum.peak_bytes * 8;
        f.fps_milli = per_second((uint64_t)sum.samples * 1000, sum.media_ticks, ix->timescale);
        return f;
}

struct track_facts track_facts(const struct session *s, const struct track *t)
{
        if (!t->log || (s->state == SESSION_ENDED && t->log->ended))
                return t->at_end;
        return facts_of(t->log);
}

/* What is missing of a damaged volume was written, and may be elsewhere. */
bool track_hole(const struct track *t, uint32_t from, uint32_t *first, uint32_t *end)
{
        const struct volumes *v = &t->log->closed;
        for (size_t i = 0; i < v->count; i++) {
                const struct volume_row *row = &v->rows[i], *before = i ? row - 1 : row;
                const struct index *ix = row->state == VOLUME_HERE && row->index && row->index->ready ? &row->index->index : NULL;
                *first = before->sum.last_segment + 1;
                *end = row->sum.first_segment;
                if (i && *first >= from && *end > *first && before->state != VOLUME_DAMAGED && row->state != VOLUME_DAMAGED)
                        return true;
                for (size_t k = 1; ix && k < ix->count; k++) {
                        *first = ix->rows[k - 1].segment + 1;
                        *end = ix->rows[k].segment;
                        if (*first >= from && *end > *first)
                                return true;
                }
        }
        return false;
}

const struct volume_row *track_unseen_hole(const struct session *s, const struct track *t)
{
        const struct volumes *v = &t->log->closed;
        int64_t end_us = track_facts(s, t).end_us;
        for (size_t i = 0; i < v->count; i++) {
                const struct volume_row *row = &v->rows[i];
                int64_t begins_us = row->sum.first_segment * SEGMENT_US, ends_us = (row->sum.last_segment + 1) * SEGMENT_US;
                begins_us = begins_us > t->start_us ? begins_us : t->start_us;
                ends_us = ends_us < end_us ? ends_us : end_us;
                bool whole = ends_us - begins_us - box_ticks_to_us(row->sum.media_ticks, t->init.timescale) < SEGMENT_US / 2;
                if (row->state == VOLUME_HERE && !row->closing && !whole && !(row->index && row->index->ready))
                        return row;
        }
        return NULL;
}

uint32_t track_first_segment(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        struct volume_sum sum; /* of an ended one the facts are from its end: volumes may have gone since */
        if (t->log && chunk_log_sum(t->log, &sum))
                f.first_segment = sum.first_segment;
        return f.any && f.first_segment > t->first_segment ? f.first_segment : t->first_segment;
}

void track_next(const struct track *t, uint32_t *segment, uint8_t *chunk, int64_t *end_us)
{
        const struct chunk_log *log = t->log;
        const struct volume_row *last = log->closed.count ? &log->closed.rows[log->closed.count - 1] : NULL;
        if (last && (!log->index.count || last->number > log->open_number)) {
                *segment = (last->number + 1) * log->volume_track.segments;
                *chunk = 0;
                *end_us = *segment * SEGMENT_US;
        } else if (log->index.count) {
                index_next(&log->index, segment, chunk, end_us);
        } else {
                *segment = t->first_segment;
                *chunk = 0;
                *end_us = t->start_us;
        }
}

bool track_ahead(const struct track *t, uint32_t segment, uint8_t chunk)
{
        const struct index *ix = &t->log->index;
        unsigned chunk_ms = ix->chunk_ms, chunks = chunks_of_segment(chunk_ms);
        uint64_t end = (ix->end_ticks + ix->slack_ticks) * chunks / ix->timescale;
        return eras_place(chunk_ms, segment, chunk) > (ix->count ? end : eras_place(chunk_ms, t->first_segment, (uint8_t)(chunks - 1)));
}

uint64_t track_end_place(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        int64_t end_us = f.end_us - (f.guess_us < END_GUESS_US ? f.guess_us : END_GUESS_US);
        return f.any ? (uint64_t)(end_us > 0 ? end_us - 1 : 0) / (uint64_t)chunk_us(s->chunk_ms) + 1 : 0;
}

/* ---- declaring ---------------------------------------------------------------------------------------------------- */

struct adding {
        struct session_wait wait;
        struct adding *next; /* of the track's */
        struct session *s;
        struct track *t;
        char *dir;
        struct buf *init;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
};

/* Only the disk is to blame here, whatever it said (told() in chunk_log.c). */
static void adding_done(struct adding *a, int status)
{
        a->done(a->arg, !status || status == ERR_NOSPACE ? status : ERR_IO);
        free(a->dir);
        free(a);
}

static void track_saved(struct session_wait *w, int status)
{
        adding_done((struct adding *)w, status);
}

static void make_work(void *arg)
{
        struct adding *a = arg;
        a->status = volumes_begin(a->dir, a->init);
}

static void make_done(void *arg)
{
        struct adding *a = arg;
        struct session *s = a->s;
        struct track *t = a->t;
        a->next = t->same;
        t->same = NULL;
        t->making = false;
        buf_unref(&a->init);
        if (a->status) {
                int status = a->status;
                track_remove(s, t);
                while (a) {
                        struct adding *next = a->next;
                        adding_done(a, status);
                        a = next;
                }
                session_answer_waits(s, 0);
                return;
        }
        t->log = chunk_log_new(s->loop, a->dir, &t->init, buf_ref(t->init_bytes), s->volume_segments, s->chunk_ms, NULL, false,
                               s->sync_segments);
        t->rows_saved = ROWS_NOT_SAVED; /* nor is what an earlier track of the name may have left */
        session_watch_log(s, t->log);
        stat_add(STAT_STORED_BYTES, (int64_t)t->init_bytes->len);
        s->last_track_mono_us = clock_mono_us();
        log_info("session=%s stream=%s track=%s codec=%s msg=\"track begins\" start_us=%lld", s->id, s->stream, t->name,
                 t->init.codec, (long long)t->start_us);
        struct adding *same = a->next;
        session_save(s, &a->wait, false, track_saved);
        while (same) { /* that save is theirs too */
                struct adding *next = same->next;
                session_wait_saved(s, &same->wait, false, track_saved);
                same = next;
        }
}

static int same_track(const struct track *t, const struct put *p)
{
        return t->init_bytes->len != p->len || memcmp(t->init_bytes->data, p->bytes, p->len) != 0 ? ERR_CONFLICT : 0;
}

static struct adding *new_adding(struct session *s, struct track *t, void (*done)(void *arg, int status), void *arg)
{
        struct adding *a = mem_alloc(sizeof(*a));
        *a = (struct adding){.s = s, .t = t, .done = done, .arg = arg};
        return a;
}

/* Where a track stands in every list: video before audio, the largest first, whatever order they came in. */
static size_t place_for(const struct session *s, const struct init_info *init, uint32_t bandwidth)
{
        size_t i = 0;
        for (; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (init->kind != t->init.kind ? init->kind < t->init.kind : bandwidth > t->bandwidth)
                        break;
        }
        return i;
}

void session_add_track(struct session *s, const struct put *p, void (*done)(void *arg, int status), void *arg)
{
        struct init_info info;
        struct track *t = session_track(s, p->track);
        if (t && !t->unreadable && t->making && !same_track(t, p)) { /* by the other writer of the generation */
                struct adding *a = new_adding(s, t, done, arg);
                a->next = t->same;
                t->same = a;
                return;
        }
        if (t) {
                done(arg, t->unreadable ? ERR_IO : same_track(t, p));
                return;
        }
        int rc = p->len > INIT_MAX_BYTES || s->track_count == SESSION_TRACKS_MAX
                         ? ERR_LIMIT
                         : box_init_parse(p->bytes, p->len, &info);
        if (rc) {
                done(arg, rc);
                return;
        }
        t = insert_at(s, place_for(s, &info, p->bandwidth));
        *t = (struct track){.init = info, .init_bytes = buf_copy(p->bytes, p->len), .start_us = p->start_us,
                            .first_segment = p->segment, .bandwidth = p->bandwidth, .fps_milli = p->fps_milli,
                            .making = true};
        strcpy(t->name, p->track);
        struct adding *a = new_adding(s, t, done, arg);
        a->dir = track_dir(s, p->track);
        a->init = buf_ref(t->init_bytes);
        disk_run(s->loop, DISK_WRITE, make_work, make_done, a);
}

/* ---- reading what is there ----------------------------------------------------------------------------------------- */

int track_find(const struct session *s, const char *dir, const struct track *t, bool append, struct track_found *out)
{
        char *path = mem_printf("%s/%s", dir, t->name);
        *out = (struct track_found){0};
        int rc = volumes_read_init(path, &out->init, &out->init_bytes);
        struct volume_track all = {.dir = path, .info = &out->init, .init = out->init_bytes, .segments = s->volume_segments,
                                   .chunk_ms = s->chunk_ms};
        struct volumes known = {0};
        struct buf *saved = NULL;
        if (!rc)
                rc = volumes_file_read(path, &known, &saved);
        if (!rc)
                rc = volumes_find(&all, &known, append, &out->volumes);
        if (!rc && saved) {
                struct buf *now = volumes_file_encode(&out->volumes.closed);
                bool open_one = out->volumes.open && out->volumes.last.lacking; /* of that there is a row too: chunk_log_rows() */
                out->rows_saved = !open_one && now->len == saved->len && memcmp(now->data, saved->data, now->len) == 0;
                buf_unref(&now);
        }
        buf_unref(&saved);
        volumes_free(&known);
        if (rc)
                buf_unref(&out->init_bytes);
        free(path);
        return rc;
}

void track_found_free(struct track_found *f)
{
        buf_unref(&f->init_bytes);
        volumes_found_free(&f->volumes);
}

void track_opened(struct session *s, struct track *t, struct track_found *found, bool ended)
{
        char *dir = track_dir(s, t->name);
        t->init = found->init;
        t->init_bytes = found->init_bytes;
        t->log = chunk_log_new(s->loop, dir, &t->init, buf_ref(t->init_bytes), s->volume_segments, s->chunk_ms, &found->volumes, ended,
                               s->sync_segments);
        t->rows_saved = found->rows_saved ? t->log->closed.changes : ROWS_NOT_SAVED;
        session_watch_log(s, t->log);
        free(dir);
}

struct retrying {
        struct session *s;
        struct track *t;
        char *dir;
        struct session seen; /* what track_find() looks at */
        struct track_found found;
        int status;
};

static void retry_work(void *arg)
{
        struct retrying *r = arg;
        r->status = track_find(&r->seen, r->dir, r->t, true, &r->found);
}

/* The new log is in place of the old one, if there was one. */
static void take_retried(struct session *s, struct track *t, struct track_found *found)
{
        int64_t before = (int64_t)track_facts(s, t).file_bytes;
        bool had = t->log != NULL;
        chunk_log_free(&t->log);
        buf_unref(&t->init_bytes);
        track_opened(s, t, found, false);
        if (had)
                stat_add(STAT_STORED_BYTES, (int64_t)track_facts(s, t).file_bytes - before);
        t->unreadable = false;
        log_info("session=%s stream=%s track=%s msg=\"the track can be read again\"", s->id, s->stream, t->name);
}

static void retry_done(void *arg)
{
        struct retrying *r = arg;
        struct session *s = r->s;
        s->pins--;
        r->t->making = false;
        if (r->t->log)
                r->t->log->rereading = false;
        if (!r->status)
                take_retried(s, r->t, &r->found);
        free(r->dir);
        bool changed = !r->status;
        free(r);
        session_answer_waits(s, 0);
        if (changed)
                session_tell(s);
}

static void retry(struct session *s, struct track *t)
{
        struct retrying *r = mem_alloc(sizeof(*r));
        *r = (struct retrying){.s = s, .t = t, .dir = session_dir(s)};
        r->seen.volume_segments = s->volume_segments;
        r->seen.chunk_ms = s->chunk_ms;
        s->pins++;
        disk_run(s->loop, DISK_LIVE, retry_work, retry_done, r);
}

static bool is_failed(const struct track *t)
{
        return t->log && t->log->failed;
}

bool session_readable(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i]->unreadable || is_failed(s->tracks[i]))
                        return false;
        return true;
}

/* What the log knows of its volumes is on the disk first: it is gone with it. */
static bool may_reread(struct session *s, const struct track *t)
{
        if (s->version > s->saved_version)
                session_retry_save(s);
        return s->version == s->saved_version && !s->saving_version && !chunk_log_busy(t->log);
}

void session_retry_tracks(struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = s->tracks[i];
                if (t->unreadable && !t->making) {
                        t->making = true;
                        retry(s, t);
                } else if (is_failed(t) && may_reread(s, t)) {
                        t->log->rereading = true;
                        stat_add(STAT_TRACKS_REREAD, 1);
                        retry(s, t);
                }
        }
}
