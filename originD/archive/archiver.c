#include "originD/archive/archiver.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/index_cache.h"
#include "originD/stats.h"

#define FAILING_US (1 * US_PER_S) /* after the archive could not be used, */
#define FAILING_DOUBLES 6         /* doubled so often */
#define WANTED_US (1 * US_PER_S)
#define WANTED_AGAIN_US (10 * US_PER_S)
#define FAILED_AGAIN_US (60 * US_PER_S) /* a volume that cannot go: another owner may be sending it just now */
#define TELL_US (600 * US_PER_S) /* one line about volumes that cannot go, so often */

enum step { IDLE, LOADING, PUTTING, DROPPING };

struct archiver {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct archive *archive;
        struct archiver_options options;
        bool stopping;
        unsigned failures; /* of the archive, one after the other */
        int64_t not_before_us, told_us;

        enum step step;
        bool in_pass;
        int64_t pass_mono_us; /* when it began; 0: none did */
        uint64_t waiting_bytes; /* seen in this pass */

        /* The session, by name as long as nothing of it is pinned. */
        char session[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1];
        bool loads; /* it is loaded for this only: */
        int64_t loaded_us; /* since then; 0: not yet */
        int64_t due_us; /* until something of it that is looked at too early may go; INT64_MAX: nothing is */
        uint64_t version; /* its, when its turn began: what a fill brings meanwhile comes behind where the turn is */

        /* The volume. */
        char track[TRACK_NAME_MAX + 1]; /* "": before the first */
        uint32_t number;
        struct volume_row seen;
        struct session_wait wait; /* for the save before its file goes */
        struct session *pinned;

        /* The file that comes back. */
        struct {
                struct session *s; /* pinned; NULL: none */
                char track[TRACK_NAME_MAX + 1];
                struct volume_row of;
                char *path;
                int64_t look_us; /* when it is looked for one */
                bool failing;    /* that the disk does not take them was told */
        } bring;
};

static void next_volume(struct archiver *ar);

static struct chunk_log *log_of(struct session *s, const char *track)
{
        struct track *t = s && s->load == LOAD_DONE ? session_track(s, track) : NULL;
        return t ? t->log : NULL;
}

/* Since its last segment was captured. */
static int64_t age_us(const struct session *s, const struct volume_row *v)
{
        return clock_wall_us() - s->epoch_us - ((int64_t)v->sum.last_segment + 1) * SEGMENT_US;
}

/* ---- the end of a session's turn ------------------------------------------------------------------------------------- */

static void end_session(struct archiver *ar)
{
        struct session *s = store_session(ar->store, ar->session);
        if (s && ar->loads && s->asked_mono_us == ar->loaded_us)
                s->asked_mono_us = 0; /* its tracks need not stay in memory for us */
        ar->step = IDLE;
}

/* Nothing more of it can go now. It is not read again before something is due, or has changed since its turn began: a volume was
 * brought, say. What the turn itself changed counts too, so one in which something went is followed by one that finds nothing. */
static void session_done(struct archiver *ar)
{
        struct session *s = store_session(ar->store, ar->session);
        if (s && s->state == SESSION_ENDED) {
                s->archive_again_us = clock_mono_us() + (ar->due_us < ARCHIVER_AGAIN_US ? ar->due_us : ARCHIVER_AGAIN_US);
                s->archive_version = ar->version;
        }
        end_session(ar);
}

/* The archive cannot be used: the session has its turn again in a pass after that. */
static void put_off(struct archiver *ar)
{
        unsigned doubles = ar->failures < FAILING_DOUBLES ? ar->failures : FAILING_DOUBLES;
        ar->failures++;
        ar->not_before_us = clock_mono_us() + (FAILING_US << doubles);
        end_session(ar);
}

/* ---- its file goes --------------------------------------------------------------------------------------------------- */

static void unpin(struct archiver *ar)
{
        ar->pinned->pins--;
        ar->pinned = NULL;
}

static void dropped(void *arg, int status)
{
        struct archiver *ar = arg;
        const struct session *s = ar->pinned;
        if (status)
                log_warn("session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"cannot remove the file of an archived volume\" error=\"%s\"",
                         s->id, s->stream, ar->track, ar->number, err_text(status));
        else
                log_info("session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"a volume is in the archive alone\" bytes=%" PRIu64,
                         s->id, s->stream, ar->track, ar->number, ar->seen.sum.bytes);
        unpin(ar);
        next_volume(ar);
}

static void row_saved(struct session_wait *w, int status)
{
        struct archiver *ar = (struct archiver *)(void *)((char *)w - offsetof(struct archiver, wait));
        struct chunk_log *log = log_of(ar->pinned, ar->track);
        if (status) {
                chunk_log_keep_file(log, ar->number);
                unpin(ar);
                session_done(ar);
                return;
        }
        stat_add(STAT_STORED_BYTES, -(int64_t)ar->seen.sum.bytes);
        stat_add(STAT_ARCHIVED_BYTES, (int64_t)ar->seen.sum.bytes);
        chunk_log_drop_file(log, ar->number, dropped, ar);
}

/* false: not now. */
static bool drop_file(struct archiver *ar, struct session *s, struct chunk_log *log)
{
        const struct volume_row *row = volumes_get(&log->closed, ar->number);
        if (!row || row->wanted || age_us(s, row) < ar->options.keep_us || !chunk_log_archive(log, row))
                return false;
        ar->seen = *row;
        ar->pinned = s;
        s->pins++;
        ar->step = DROPPING;
        session_save(s, &ar->wait, false, row_saved);
        return true;
}

/* ---- it is copied ---------------------------------------------------------------------------------------------------- */

static bool tell_now(struct archiver *ar)
{
        int64_t now = clock_mono_us();
        if (ar->told_us && now - ar->told_us < TELL_US)
                return false;
        ar->told_us = now;
        return true;
}

/* Whether it is the file that is the trouble, or the object, and not the archive. */
static bool of_this_volume(int err)
{
        return err == ERR_CONFLICT || err == ERR_CORRUPT || err == ERR_IO || err == ERR_NOT_FOUND || err == ERR_LIMIT;
}

static void put_done(void *arg, int err, const char *words)
{
        struct archiver *ar = arg;
        struct session *s = store_session(ar->store, ar->session);
        struct chunk_log *log = log_of(s, ar->track);
        ar->step = LOADING;
        discards_sending(ar->options.discards, "");
        if (ar->stopping) {
                end_session(ar);
        } else if (!err) {
                ar->failures = 0;
                bool same = log && chunk_log_copied(log, &ar->seen);
                if (same)
                        log_info("session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"a volume is in the archive\" bytes=%" PRIu64, s->id,
                                 s->stream, ar->track, ar->number, ar->seen.sum.bytes);
                else if (!s || (log && !volumes_get(&log->closed, ar->number))) /* removed while it was sent: nobody else knows of the object */
                        discards_add(ar->options.discards, ar->stream, ar->session);
                if (!same || !drop_file(ar, s, log))
                        next_volume(ar);
        } else if (of_this_volume(err)) {
                ar->due_us = ar->due_us < FAILED_AGAIN_US ? ar->due_us : FAILED_AGAIN_US;
                if (tell_now(ar))
                        log_warn("session=%s track=%s volume=%06" PRIu32 " msg=\"a volume cannot go to the archive: it stays here\" "
                                 "error=\"%s\" why=\"%s\"", ar->session, ar->track, ar->number, err_text(err), words);
                next_volume(ar);
        } else {
                put_off(ar);
        }
}

/* false: it is not to go now. */
static bool put(struct archiver *ar, const struct session *s, const struct chunk_log *log)
{
        char *mp4 = volume_path(log->dir, ar->number, "mp4"), *idx = volume_path(log->dir, ar->number, "idx");
        char *name = archive_name(s->stream, s->id, log->dir, ar->number, ar->seen.sum.crc);
        struct archive_volume v = {.mp4_path = mp4, .idx_path = idx, .name = name, .mp4_bytes = ar->seen.sum.bytes,
                                   .mp4_crc32c = ar->seen.sum.crc,
                                   .content_type = init_type(&log->init)};
        int rc = archive_put(ar->archive, &v, put_done, ar);
        free(name);
        free(idx);
        free(mp4);
        ar->step = rc ? ar->step : PUTTING;
        if (!rc)
                discards_sending(ar->options.discards, s->id);
        return !rc;
}

/* ---- which one ------------------------------------------------------------------------------------------------------- */

/* Whether the row's turn is now; how long it takes until then is noted. */
static bool due(struct archiver *ar, const struct session *s, const struct volume_row *v)
{
        if (v->state != VOLUME_HERE || v->wanted || !v->sum.crc)
                return false;
        if (v->closing || (v->index && !v->index->ready)) { /* it is at work */
                ar->due_us = ar->due_us < US_PER_S ? ar->due_us : US_PER_S;
                return false;
        }
        int64_t left_us = (v->copied ? ar->options.keep_us : ar->options.after_us) - age_us(s, v);
        if (left_us > 0) {
                ar->due_us = left_us < ar->due_us ? left_us : ar->due_us;
                return false;
        }
        ar->waiting_bytes += v->copied ? 0 : v->sum.bytes;
        return true;
}

/* The next one of the session in the order of track names and numbers, which no change of its lists upsets. */
static struct track *choose(struct archiver *ar, const struct session *s)
{
        struct track *of = NULL;
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = s->tracks[i];
                int order = strcmp(t->name, ar->track);
                if (!t->log || order < 0 || (of && strcmp(t->name, of->name) > 0))
                        continue;
                const struct volumes *v = &t->log->closed;
                size_t count = s->state == SESSION_LIVE && v->count ? v->count - 1 : v->count;
                for (size_t k = 0; k < count; k++)
                        if ((order > 0 || v->rows[k].number > ar->number) && due(ar, s, &v->rows[k])) {
                                of = t;
                                ar->seen = v->rows[k];
                                break;
                        }
        }
        return of;
}

static void next_volume(struct archiver *ar)
{
        struct session *s = store_session(ar->store, ar->session);
        if (ar->stopping || !s) {
                end_session(ar);
                return;
        }
        ar->step = LOADING;
        if (s->load != LOAD_DONE) {
                session_load(s);
                ar->loads = true;
                ar->loaded_us = 0;
                if (s->load == LOAD_NO || s->load == LOAD_FAILED) /* who wants it hears of that; here it is the next pass's */
                        end_session(ar);
                return;
        }
        if (!ar->loaded_us)
                ar->loaded_us = s->asked_mono_us;
        if (!*ar->track)
                ar->version = s->version;
        struct track *t = choose(ar, s);
        if (!t) {
                session_done(ar);
                return;
        }
        strcpy(ar->track, t->name);
        ar->number = ar->seen.number;
        if (ar->seen.copied ? !drop_file(ar, s, t->log) : !put(ar, s, t->log))
                end_session(ar); /* something else is under way there: in the next pass */
}

/* By what its head says, without its tracks. */
static bool has_work(const struct archiver *ar, const struct session *s)
{
        int64_t age = clock_wall_us() - s->epoch_us;
        if (age < ar->options.after_us || s->ending)
                return false;
        if (s->state == SESSION_LIVE)
                return true;
        struct session_sum sum = {0};
        if (s->load != LOAD_UNDER_WAY)
                sum = session_sum(s);
        return (clock_mono_us() >= s->archive_again_us || s->version != s->archive_version) &&
               (sum.archive.uncopied || (sum.archive.copied && age > ar->options.keep_us));
}

static void next_session(struct archiver *ar)
{
        struct store *st = ar->store;
        int64_t now = clock_mono_us();
        if (!ar->in_pass) {
                if (ar->pass_mono_us && now - ar->pass_mono_us < ARCHIVER_PASS_US)
                        return;
                st->archive_at = st->first_live ? st->first_live : st->newest_ended;
                ar->pass_mono_us = now;
                ar->in_pass = true;
                ar->waiting_bytes = 0;
        }
        for (unsigned n = 0; n < ARCHIVER_LOOKS_MAX; n++) {
                struct session *s = st->archive_at;
                if (!s) {
                        ar->in_pass = false;
                        stat_set(STAT_ARCHIVE_WAITING_BYTES, (int64_t)ar->waiting_bytes);
                        return;
                }
                st->archive_at = s->older || s->list != LIST_LIVE ? s->older : st->newest_ended;
                if (!has_work(ar, s))
                        continue;
                strcpy(ar->session, s->id);
                strcpy(ar->stream, s->stream);
                *ar->track = '\0';
                ar->number = 0;
                ar->loads = false;
                ar->loaded_us = 0;
                ar->due_us = INT64_MAX;
                next_volume(ar);
                return;
        }
}

/* ---- a file that is needed here again -------------------------------------------------------------------------------- */

static void unlink_work(void *arg)
{
        (void)unlink(arg);
}

static void unlinked(void *arg)
{
        free(arg);
}

/* What was fetched and has no place is taken away. */
static void end_bringing(struct archiver *ar, bool installed)
{
        ar->bring.s->pins--;
        ar->bring.s = NULL;
        if (installed)
                free(ar->bring.path);
        else
                disk_run(ar->loop, DISK_WRITE, unlink_work, unlinked, ar->bring.path);
        ar->bring.path = NULL;
        ar->bring.look_us = 0;
}

/* Only its own next turn is put off: an object that cannot be had is no reason to wait for the others. */
static void not_brought(struct archiver *ar)
{
        struct chunk_log *log = log_of(ar->bring.s, ar->bring.track);
        if (log)
                chunk_log_not_brought(log, ar->bring.of.number, clock_mono_us() + WANTED_AGAIN_US);
        end_bringing(ar, false);
}

/* What is wrong with the archive, or with the object, is told by archive.c. */
static bool disk_refuses(int err)
{
        return err == ERR_NOSPACE || err == ERR_IO || err == ERR_LIMIT;
}

static void bringing_failed(struct archiver *ar, bool disk, int err, const char *words)
{
        const struct session *s = ar->bring.s;
        stat_add(STAT_ARCHIVE_BROUGHT_FAILED, 1);
        if (disk && !ar->bring.failing)
                log_warn("session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"cannot bring a volume back from the archive: it is tried again\" "
                         "error=\"%s\" why=\"%s\"", s->id, s->stream, ar->bring.track, ar->bring.of.number, err_text(err), words);
        ar->bring.failing |= disk;
        not_brought(ar);
}

static void brought(void *arg, int status)
{
        struct archiver *ar = arg;
        const struct session *s = ar->bring.s;
        if (status) {
                bringing_failed(ar, true, status, "it cannot be put in its place");
                return;
        }
        log_info("session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"brought a volume back from the archive\" bytes=%" PRIu64, s->id,
                 s->stream, ar->bring.track, ar->bring.of.number, ar->bring.of.sum.bytes);
        if (ar->bring.failing)
                log_info("msg=\"volumes can be brought back from the archive again\"");
        ar->bring.failing = false;
        stat_add(STAT_ARCHIVE_BROUGHT, 1);
        stat_add(STAT_STORED_BYTES, (int64_t)ar->bring.of.sum.bytes);
        stat_add(STAT_ARCHIVED_BYTES, -(int64_t)ar->bring.of.sum.bytes);
        end_bringing(ar, true);
}

static void fetched(void *arg, int err, const char *words)
{
        struct archiver *ar = arg;
        struct chunk_log *log = log_of(ar->bring.s, ar->bring.track);
        if (ar->stopping)
                end_bringing(ar, false);
        else if (err)
                bringing_failed(ar, disk_refuses(err), err, words);
        else if (!log || !chunk_log_bring_file(log, &ar->bring.of, brought, ar))
                not_brought(ar); /* its row is another by now, or something is under way with it */
}

static bool bring(struct archiver *ar, struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                const struct volume_row *row = t->log ? chunk_log_wanted(t->log, clock_mono_us()) : NULL;
                if (!row || row->closing)
                        continue;
                char *name = archive_name(s->stream, s->id, t->log->dir, row->number, row->sum.crc);
                char *path = volume_path(t->log->dir, row->number, VOLUME_FETCHED);
                struct archive_volume v = {.name = name, .mp4_path = path, .mp4_bytes = row->sum.bytes, .mp4_crc32c = row->sum.crc};
                int rc = archive_fetch(ar->archive, &v, fetched, ar);
                free(name);
                if (rc) {
                        free(path);
                        return true; /* not now, nor any other */
                }
                ar->bring.s = s;
                s->pins++;
                strcpy(ar->bring.track, t->name);
                ar->bring.of = *row;
                ar->bring.path = path;
                return true;
        }
        return false;
}

/* What is cut or opened again is loaded, as what is live is. */
static void look_for_wanted(struct archiver *ar)
{
        int64_t now = clock_mono_us();
        if (ar->bring.s || now < ar->bring.look_us)
                return;
        ar->bring.look_us = now + WANTED_US;
        for (struct session *s = ar->store->first_live; s; s = s->older)
                if (bring(ar, s))
                        return;
        for (struct session *s = ar->store->loaded; s; s = s->next_loaded)
                if (s->load == LOAD_DONE && bring(ar, s))
                        return;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static void tell(const struct archiver *ar)
{
        struct archive_stats a = archive_stats(ar->archive);
        stat_set(STAT_ARCHIVE_STORED, (int64_t)a.put);
        stat_set(STAT_ARCHIVE_CONFLICT, (int64_t)a.put_conflicts);
        stat_set(STAT_ARCHIVE_FAILED, (int64_t)a.put_failed);
        stat_set(STAT_ARCHIVE_SENT_BYTES, (int64_t)a.put_bytes);
        stat_set(STAT_ARCHIVE_READS, (int64_t)a.read);
        stat_set(STAT_ARCHIVE_READS_FAILED, (int64_t)a.read_failed);
        stat_set(STAT_ARCHIVE_READ_BYTES, (int64_t)a.read_bytes);
        stat_set(STAT_ARCHIVE_FAILING, a.failing);
}

static void ticked(uv_timer_t *timer)
{
        struct archiver *ar = timer->data;
        tell(ar);
        look_for_wanted(ar);
        discards_tick(ar->options.discards);
        if (ar->step == IDLE && ar->options.copies && clock_mono_us() >= ar->not_before_us) {
                next_session(ar);
        } else if (ar->step == LOADING) {
                const struct session *s = store_session(ar->store, ar->session);
                if (!s || s->load != LOAD_UNDER_WAY)
                        next_volume(ar);
        }
}

void archiver_open(struct archiver **out, uv_loop_t *loop, struct store *st, struct archive *archive,
                   const struct archiver_options *options)
{
        struct archiver *ar = mem_alloc(sizeof(*ar));
        *ar = (struct archiver){.loop = loop, .store = st, .archive = archive, .options = *options};
        uv_timer_init(loop, &ar->timer);
        ar->timer.data = ar;
        uv_timer_start(&ar->timer, ticked, ARCHIVER_TICK_MS, ARCHIVER_TICK_MS);
        *out = ar;
}

void archiver_stop(struct archiver *ar)
{
        ar->stopping = true;
        uv_timer_stop(&ar->timer);
        if (ar->step == LOADING)
                end_session(ar);
}

bool archiver_idle(const struct archiver *ar)
{
        return ar->step == IDLE && !ar->bring.s;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void archiver_close(struct archiver *ar)
{
        assert(archiver_idle(ar));
        uv_close((uv_handle_t *)&ar->timer, on_closed);
}
