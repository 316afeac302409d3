#include "originD/scrub.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "originD/stats.h"

#define HIDING_US (10 * US_PER_S) /* readers, and whoever is at work on the track, are waited for so long */
#define PIECE_MIN_BYTES (64u << 10)

enum step { IDLE, LOADING, READING, HIDING, MENDING };

struct scrub {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct scrub_options options;
        enum step step;
        bool under_way, stopping; /* under_way: a job of the pool */
        bool in_pass;
        int64_t pass_mono_us; /* when it began; 0: none did */
        int64_t allowance, allowed_us; /* bytes that may be read, as of then */
        bool failing; /* the disk, as was told */

        /* The session, by name, as nothing is pinned. */
        char session[SESSION_ID_MAX + 1];
        bool loads; /* it is loaded for this only: */
        int64_t loaded_us; /* since then; 0: not yet */
        uint32_t edge; /* volumes that are closed meanwhile are the next pass's: a live session would never be done */

        /* The volume. */
        char track[TRACK_NAME_MAX + 1]; /* "": before the first */
        uint32_t number;
        char *dir;
        struct volume_row seen; /* its row, when it was begun */
        int fd;
        uint64_t at;
        uint32_t crc;
        uint8_t *piece;
        size_t len;
        int status;
        int64_t since_us; /* it hides */
        bool hidden;
        const struct volume_track *of; /* the log's, which stays while the row is hidden */
        struct volume_found found;
};

static void next_volume(struct scrub *sc);

/* ---- the end of a volume, and of a session -------------------------------------------------------------------------- */

static void end_volume(struct scrub *sc)
{
        if (sc->fd >= 0)
                disk_close(sc->loop, sc->fd);
        sc->fd = -1;
        free(sc->dir);
        sc->dir = NULL;
}

/* Its tracks need not stay in memory for us. */
static void end_session(struct scrub *sc)
{
        struct session *s = store_session(sc->store, sc->session);
        if (s && sc->loads && s->asked_mono_us == sc->loaded_us)
                s->asked_mono_us = 0;
        sc->step = IDLE;
}

/* One line when the disk begins to fail, one when it is over. */
static void tell_failing(struct scrub *sc, int status)
{
        if (status)
                stat_add(STAT_SCRUBBED_UNREADABLE, 1);
        if (sc->failing == (status != 0))
                return;
        sc->failing = status != 0;
        if (status)
                log_error("session=%s path=%s volume=%06" PRIu32 " msg=\"a volume at rest cannot be read, or mended: it stays as it is\" error=\"%s\"",
                          sc->session, sc->dir, sc->number, err_text(status));
        else
                log_info("msg=\"volumes at rest can be read and mended again\"");
}

static struct chunk_log *log_of(struct scrub *sc, struct session **session)
{
        struct session *s = *session = store_session(sc->store, sc->session);
        struct track *t = s && s->load == LOAD_DONE ? session_track(s, sc->track) : NULL;
        return t ? t->log : NULL;
}

/* ---- a volume that is not as its row says --------------------------------------------------------------------------- */

static void mend_work(void *arg)
{
        struct scrub *sc = arg;
        sc->status = volume_look(sc->of, sc->number, CHECK_ALL, &sc->seen.sum, &sc->found);
        if (sc->status == ERR_NOT_FOUND && access(sc->dir, F_OK) < 0)
                sc->status = ERR_IO; /* not the file is gone, but the disk */
        index_free(&sc->found.index);
}

/* What is there now; a disk that does not let itself be read, or mended, leaves the row as it was. */
static void take_mended(struct scrub *sc, struct chunk_log *log, const struct session *s)
{
        const struct volume_sum *sum = &sc->seen.sum;
        enum volume_state state = sc->seen.state;
        bool gone = sc->status == ERR_CORRUPT || sc->status == ERR_NOT_FOUND, readable = gone || !sc->status;
        if (!sc->status) {
                bool differs = !sc->found.closed || (sc->seen.sum.crc && sc->found.sum.crc != sc->seen.sum.crc);
                sum = &sc->found.sum;
                state = sc->found.lacking || differs ? VOLUME_DAMAGED : state;
        }
        state = gone ? VOLUME_LACKING : state;
        tell_failing(sc, readable ? 0 : sc->status);
        if (readable) {
                bool damaged = state != sc->seen.state || sc->found.lacking;
                stat_add(damaged ? STAT_SCRUBBED_DAMAGED : STAT_SCRUBBED_WHOLE, 1);
                stat_add(STAT_STORED_BYTES, (gone ? 0 : (int64_t)sum->bytes) - (int64_t)sc->seen.sum.bytes);
                log_line(damaged ? LOG_ERROR : LOG_WARN,
                         "session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"%s\" lost_segments=%" PRIu32, s->id, s->stream,
                         sc->track, sc->number,
                         gone      ? "a volume at rest is gone: it is lacking"
                         : damaged ? "a volume at rest is damaged"
                                   : "the index of a volume at rest was damaged, and is made anew",
                         gone ? sc->seen.sum.last_segment - sc->seen.sum.first_segment + 1 : sc->found.lost_segments);
        }
        chunk_log_take_volume(log, sc->number, state, gone ? NULL : sum);
}

static void mended(void *arg)
{
        struct scrub *sc = arg;
        struct session *s;
        struct chunk_log *log = log_of(sc, &s);
        sc->under_way = sc->hidden = false;
        s->pins--;
        take_mended(sc, log, s);
        end_volume(sc);
        next_volume(sc);
}

/* Its files are about to be others: who reads the old ones by their index comes to an end first. */
static void hide(struct scrub *sc)
{
        struct session *s;
        struct chunk_log *log = log_of(sc, &s);
        if (s && s->load != LOAD_DONE)
                session_load(s);
        if (log && !sc->hidden) {
                const struct volume_row *row = volumes_get(&log->closed, sc->number);
                if (!row || row->sum.crc != sc->seen.sum.crc || row->sum.bytes != sc->seen.sum.bytes || row->state != sc->seen.state)
                        log = NULL; /* it is removed, or another's by now */
                else
                        sc->hidden = chunk_log_hide_volume(log, sc->number, NULL);
        }
        if (sc->hidden && (log->cutting || log->reopening)) { /* a writer waits for that: it goes first */
                chunk_log_take_volume(log, sc->number, sc->seen.state, &sc->seen.sum);
                sc->hidden = false;
        }
        bool late = clock_mono_us() - sc->since_us > HIDING_US;
        if (sc->hidden && !s->reads && !sc->stopping) {
                s->pins++;
                sc->of = &log->volume_track;
                sc->step = MENDING;
                sc->under_way = true;
                if (!disk_run(sc->loop, DISK_COLD, mend_work, mended, sc))
                        return;
                sc->under_way = false;
                sc->step = HIDING;
                s->pins--;
        }
        if (!sc->stopping && !late && (log || (s && s->load == LOAD_UNDER_WAY)))
                return;
        if (sc->hidden)
                chunk_log_take_volume(log, sc->number, sc->seen.state, &sc->seen.sum);
        sc->hidden = false;
        end_volume(sc);
        next_volume(sc);
}

static void suspect(struct scrub *sc)
{
        sc->step = HIDING;
        sc->since_us = clock_mono_us();
        hide(sc);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static void open_work(void *arg)
{
        struct scrub *sc = arg;
        char *path = volume_path(sc->dir, sc->number, "mp4");
        uint64_t bytes;
        sc->fd = file_open(path, O_RDONLY);
        sc->status = sc->fd < 0 ? sc->fd : file_size(sc->fd, &bytes);
        if (!sc->status && bytes != sc->seen.sum.bytes)
                sc->status = ERR_CORRUPT;
        if (!sc->status)
                sc->status = volume_check_index(sc->dir, sc->number, &sc->seen.sum);
        free(path);
}

/* What is in the page cache says nothing of the disk; and what nobody else reads is not to push out what others do. */
static void read_work(void *arg)
{
        struct scrub *sc = arg;
        posix_fadvise(sc->fd, (off_t)sc->at, (off_t)sc->len, POSIX_FADV_DONTNEED);
        ssize_t n = file_read(sc->fd, sc->piece, sc->len, sc->at);
        sc->status = n < 0 ? (int)n : (size_t)n < sc->len ? ERR_CORRUPT : 0;
        if (!sc->status)
                sc->crc = crc32c(sc->crc, sc->piece, sc->len);
        posix_fadvise(sc->fd, (off_t)sc->at, (off_t)sc->len, POSIX_FADV_DONTNEED);
}

static void have_read(void *arg)
{
        struct scrub *sc = arg;
        bool other = sc->status == ERR_CORRUPT || sc->status == ERR_NOT_FOUND;
        sc->under_way = false;
        sc->at += sc->status ? 0 : sc->len;
        stat_add(STAT_SCRUBBED_BYTES, sc->status ? 0 : (int64_t)sc->len);
        sc->len = 0;
        if (sc->stopping) {
                end_volume(sc);
                end_session(sc);
                return;
        }
        if (other || (!sc->status && sc->at == sc->seen.sum.bytes && sc->crc != sc->seen.sum.crc)) {
                suspect(sc);
                return;
        }
        if (!sc->status && sc->at < sc->seen.sum.bytes)
                return;
        if (!sc->status)
                stat_add(STAT_SCRUBBED_WHOLE, 1);
        tell_failing(sc, sc->status);
        end_volume(sc);
        next_volume(sc);
}

static void run(struct scrub *sc, void (*work)(void *arg))
{
        sc->under_way = true;
        if (disk_run(sc->loop, DISK_COLD, work, have_read, sc)) { /* others want more of it: at the next tick */
                sc->under_way = false;
                sc->len = 0;
        }
}

static void read_more(struct scrub *sc)
{
        if (sc->fd < 0) {
                run(sc, open_work);
                return;
        }
        uint64_t left = sc->seen.sum.bytes - sc->at;
        if (sc->allowance <= 0)
                return;
        size_t len = sc->allowance < SCRUB_PIECE_BYTES ? (size_t)sc->allowance : SCRUB_PIECE_BYTES;
        len = len > PIECE_MIN_BYTES ? len : PIECE_MIN_BYTES;
        sc->len = left < len ? (size_t)left : len;
        size_t wanted = sc->len;
        run(sc, read_work);
        sc->allowance -= sc->len ? (int64_t)wanted : 0;
}

/* ---- which one ------------------------------------------------------------------------------------------------------ */

/* The next one of the session in the order of track names and numbers, which no change of its lists upsets. */
static const struct volume_row *choose(struct scrub *sc, const struct session *s, const struct track **of)
{
        const struct volume_row *best = NULL;
        *of = NULL;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                int order = strcmp(t->name, sc->track);
                if (!t->log || order < 0 || (best && strcmp(t->name, (*of)->name) > 0))
                        continue;
                for (size_t k = 0; k < t->log->closed.count; k++) {
                        const struct volume_row *v = &t->log->closed.rows[k];
                        if ((order == 0 && v->number <= sc->number) || v->number > sc->edge)
                                continue;
                        /* one that is DAMAGED waits for a peer, and may have no checksum of its own */
                        if (v->state == VOLUME_HERE && !v->closing && v->sum.chunks) {
                                best = v;
                                *of = t;
                                break;
                        }
                }
        }
        return best;
}

static uint32_t newest_closed(const struct session *s)
{
        uint32_t newest = 0;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct volumes *v = s->tracks[i]->log ? &s->tracks[i]->log->closed : NULL;
                if (v && v->count && v->rows[v->count - 1].number > newest)
                        newest = v->rows[v->count - 1].number;
        }
        return newest;
}

static void next_volume(struct scrub *sc)
{
        struct session *s = store_session(sc->store, sc->session);
        const struct track *t;
        if (sc->stopping || !s) {
                end_session(sc);
                return;
        }
        sc->step = LOADING;
        if (s->load != LOAD_DONE) {
                session_load(s);
                sc->loads = true;
                sc->loaded_us = 0;
                if (s->load == LOAD_NO || s->load == LOAD_FAILED) /* who wants it hears of that; here it is the next pass's */
                        end_session(sc);
                return;
        }
        if (!sc->loaded_us)
                sc->loaded_us = s->asked_mono_us;
        if (!*sc->track)
                sc->edge = newest_closed(s);
        const struct volume_row *row = choose(sc, s, &t);
        if (!row) {
                end_session(sc);
                return;
        }
        strcpy(sc->track, t->name);
        sc->number = row->number;
        sc->seen = *row;
        sc->dir = mem_strdup(t->log->dir);
        sc->at = 0;
        sc->crc = 0;
        sc->found = (struct volume_found){0};
        sc->step = READING;
}

/* Where the first pass begins. */
static struct session *any_session(const struct scrub *sc)
{
        for (size_t i = 0; i < STORE_BUCKETS; i++) {
                struct session *s = sc->store->by_id[(sc->options.random + i) % STORE_BUCKETS];
                if (s)
                        return s;
        }
        return NULL;
}

static void next_session(struct scrub *sc)
{
        struct store *st = sc->store;
        int64_t now = clock_mono_us();
        if (!sc->in_pass) {
                if (sc->pass_mono_us && now - sc->pass_mono_us < sc->options.pass_us)
                        return;
                st->scrub_at = sc->pass_mono_us ? st->first_live ? st->first_live : st->newest_ended : any_session(sc);
                sc->pass_mono_us = now;
                sc->in_pass = true;
        }
        struct session *s = st->scrub_at;
        if (!s) {
                sc->in_pass = false;
                stat_add(STAT_SCRUBS, 1);
                return;
        }
        st->scrub_at = s->older || s->list != LIST_LIVE ? s->older : st->newest_ended;
        strcpy(sc->session, s->id);
        *sc->track = '\0';
        sc->loads = false;
        sc->loaded_us = 0;
        next_volume(sc);
}

static void ticked(uv_timer_t *timer)
{
        struct scrub *sc = timer->data;
        int64_t now = clock_mono_us(), most = sc->options.bytes_s / 4 + 1;
        sc->allowance += (int64_t)((double)sc->options.bytes_s * (double)(now - sc->allowed_us) / US_PER_S);
        sc->allowance = sc->allowance < most ? sc->allowance : most;
        sc->allowed_us = now;
        if (sc->under_way)
                return;
        switch (sc->step) {
        case IDLE:
                next_session(sc);
                break;
        case LOADING: {
                const struct session *s = store_session(sc->store, sc->session);
                if (!s || s->load != LOAD_UNDER_WAY)
                        next_volume(sc);
                break;
        }
        case READING:
                read_more(sc);
                break;
        case HIDING:
                hide(sc);
                break;
        case MENDING:
                break;
        }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

void scrub_open(struct scrub **out, uv_loop_t *loop, struct store *st, const struct scrub_options *options)
{
        struct scrub *sc = mem_alloc(sizeof(*sc));
        *sc = (struct scrub){.loop = loop, .store = st, .options = *options, .fd = -1, .allowed_us = clock_mono_us()};
        if (!sc->options.pass_us)
                sc->options.pass_us = SCRUB_PASS_US;
        sc->piece = mem_alloc(SCRUB_PIECE_BYTES);
        uv_timer_init(loop, &sc->timer);
        sc->timer.data = sc;
        if (options->bytes_s)
                uv_timer_start(&sc->timer, ticked, SCRUB_TICK_MS, SCRUB_TICK_MS);
        *out = sc;
}

void scrub_stop(struct scrub *sc)
{
        sc->stopping = true;
        uv_timer_stop(&sc->timer);
        if (sc->under_way)
                return;
        if (sc->step == HIDING) {
                hide(sc);
        } else {
                end_volume(sc);
                sc->step = IDLE;
        }
}

bool scrub_idle(const struct scrub *sc)
{
        return sc->step == IDLE && !sc->under_way;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void scrub_close(struct scrub *sc)
{
        assert(scrub_idle(sc));
        free(sc->piece);
        uv_close((uv_handle_t *)&sc->timer, on_closed);
}
