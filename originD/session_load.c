/* The tracks of a session that ended: read when somebody asks, dropped again, opened for appending once more. */
#include <assert.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/session.h"

/* ---- reading and dropping ------------------------------------------------------------------------------------------- */

struct loading {
        struct session *s;
        char *dir;
        struct session read; /* its tracks, filled in on the pool */
        struct track_found found[SESSION_TRACKS_MAX];
        size_t found_count;
        int status;
        const char *wrong; /* the member of session.json, or the track, that it failed for */
};

/* On the pool: of the session only what never changes is looked at. */
static void load_work(void *arg)
{
        struct loading *l = arg;
        l->status = session_read(&l->read, l->dir, true, &l->wrong);
        while (!l->status && l->found_count < l->read.track_count) {
                size_t i = l->found_count;
                l->wrong = l->read.tracks[i]->name;
                l->status = track_find(&l->read, l->dir, l->read.tracks[i], false, &l->found[i]);
                l->found_count += !l->status;
        }
}

static void load_done(void *arg)
{
        struct loading *l = arg;
        struct session *s = l->s;
        if (l->status) {
                log_warn("session=%s path=%s msg=\"cannot read the recording\" error=\"%s\" field=\"%s\"", s->id, l->dir, err_text(l->status),
                         l->wrong);
                while (l->found_count)
                        track_found_free(&l->found[--l->found_count]);
                tracks_free(&l->read);
        } else {
                s->tracks = l->read.tracks;
                s->track_count = l->read.track_count;
                s->cues = l->read.cues;
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

/* ---- appending to it once more ---------------------------------------------------------------------------------------- */

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

/* All of them or none: one that is opened and closed again is a new volume, whose file may go to the archive while another track's is
 * brought from there, so that they would never all be here. Each is asked, for a file is brought once it is asked for. */
static bool all_files_here(const struct session *s)
{
        bool here = true;
        for (size_t i = 0; i < s->track_count; i++) {
                struct chunk_log *log = s->tracks[i]->log;
                if (log && log->ended && !log->reopening && !chunk_log_may_cut(log, UINT32_MAX))
                        here = false;
        }
        return here;
}

void session_open_ended(struct session *s, void (*done)(void *arg, int status), void *arg)
{
        assert(s->state == SESSION_ENDED && s->load == LOAD_DONE);
        struct opening *o = mem_alloc(sizeof(*o));
        *o = (struct opening){.s = s, .left = 1, .done = done, .arg = arg};
        s->pins++;
        o->status = all_files_here(s) ? 0 : ERR_NOT_YET;
        for (size_t i = 0; i < s->track_count && !o->status; i++) {
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
                if (t->at_end.any && t->init.kind < TRACK_KINDS && t->at_end.end_us > s->end_us)
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
