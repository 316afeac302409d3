#include "originD/mend.h"

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

#define SILENT_US (3 * US_PER_S) /* nobody writes to it any more */

static bool wanted(const struct store *st, const struct peer_session *theirs)
{
        const struct store_options *o = &st->options;
        if (st->full || theirs->track_count == 0)
                return false;
        if (!theirs->ended)
                return (int64_t)st->live < o->live_max;
        return theirs->ended_wall_us > st->removed_until_wall_us &&
               (!o->retention_us || clock_real_us() - theirs->ended_wall_us < o->retention_us);
}

/* Of a stream one session is live. */
static bool make_way(struct store *st, const struct peer_session *theirs)
{
        struct session *live = theirs->ended ? NULL : stream_live(store_stream(st, theirs->stream));
        if (!live)
                return true;
        bool written = live->claimed && clock_mono_us() - live->heard_mono_us < SILENT_US;
        if (written || !session_newer(theirs->epoch_us, theirs->id, live))
                return false;
        log_info("session=%s stream=%s msg=\"superseded\" by=%s", live->id, live->stream, theirs->id);
        session_end(live, live->end_us, false, NULL, NULL);
        return true;
}

struct session *mend_begin(struct store *st, const struct peer_session *theirs)
{
        struct claim who = {.epoch_us = theirs->epoch_us};
        if (!wanted(st, theirs) || !make_way(st, theirs))
                return NULL;
        strcpy(who.session, theirs->id);
        strcpy(who.stream, theirs->stream);
        struct session *s = session_new(st->loop, st->options.data_dir, &who, st->options.sync_segments);
        s->generation = theirs->generation;
        s->grace_ms = theirs->grace_ms;
        strcpy(s->node, theirs->node);
        strcpy(s->title, theirs->title);
        if (theirs->ended) {
                s->state = SESSION_ENDED;
                s->ended_by_writer = theirs->ended_by_writer;
                s->ended_wall_us = theirs->ended_wall_us;
                s->end_us = theirs->end_us;
        }
        store_add(st, s);
        st->live += s->state == SESSION_LIVE;
        return s;
}

void mend_generation(struct session *s, const struct peer_session *theirs)
{
        if (theirs->generation <= s->generation)
                return;
        log_info("session=%s stream=%s msg=\"another origin has a newer writer\" generation=%u writer=%s before=%u", s->id,
                 s->stream, theirs->generation, theirs->node, s->generation);
        s->generation = theirs->generation;
        strcpy(s->node, theirs->node);
        for (size_t i = 0; i < s->track_count; i++)
                if (s->tracks[i].log)
                        chunk_log_fence(s->tracks[i].log);
        session_save(s, NULL, false, NULL);
}

struct opening {
        struct session *s;
        size_t count;
        int status;
        void (*done)(void *arg, int status);
        void *arg;
        struct {
                struct chunk_log *log;
                const char *path;
                uint64_t bytes;
                int fd;
        } files[SESSION_TRACKS_MAX];
};

/* What lies behind the last whole chunk was left by a copy that was interrupted. */
static void open_work(void *arg)
{
        struct opening *o = arg;
        for (size_t i = 0; i < o->count; i++) {
                int fd = o->status ? -1 : open(o->files[i].path, O_RDWR | O_CLOEXEC);
                if (!o->status && (fd < 0 || ftruncate(fd, (off_t)o->files[i].bytes) < 0))
                        o->status = ERR_IO;
                o->files[i].fd = fd;
        }
}

static void open_done(void *arg)
{
        struct opening *o = arg;
        struct session *s = o->s;
        for (size_t i = 0; i < o->count; i++) {
                if (!o->status)
                        chunk_log_reopen(o->files[i].log, o->files[i].fd, s->sync_segments);
                else if (o->files[i].fd >= 0)
                        close(o->files[i].fd);
        }
        s->pins--;
        o->done(o->arg, o->status);
        free(o);
}

void mend_open(struct session *s, void (*done)(void *arg, int status), void *arg)
{
        assert(s->state == SESSION_ENDED && s->load == LOAD_DONE);
        struct opening *o = mem_alloc(sizeof(*o));
        *o = (struct opening){.s = s, .done = done, .arg = arg};
        for (size_t i = 0; i < s->track_count; i++) {
                struct chunk_log *log = s->tracks[i].log;
                if (!log || !log->ended)
                        continue;
                session_watch_log(s, log);
                o->files[o->count].log = log;
                o->files[o->count].path = log->path;
                o->files[o->count++].bytes = log->index.file_bytes;
        }
        s->pins++;
        disk_run(s->loop, open_work, open_done, o);
}

void mend_close(struct session *s)
{
        bool any = false;
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = &s->tracks[i];
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

void mend_reopen(struct session *s)
{
        s->state = SESSION_LIVE;
        s->ended_by_writer = false;
        s->claimed = false;
        session_heard(s);
        session_save(s, NULL, false, NULL);
}

void mend_drop_track(struct session *s, struct track *t)
{
        size_t i = (size_t)(t - s->tracks);
        stat_add(STAT_STORED_BYTES, -(int64_t)track_facts(s, t).file_bytes);
        chunk_log_free(&t->log);
        buf_unref(&t->init_bytes);
        eras_free(&t->eras);
        s->track_count--;
        memmove(t, t + 1, (s->track_count - i) * sizeof(*t));
        s->tracks[s->track_count] = (struct track){0};
}
