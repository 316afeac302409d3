/* What is known of a session on the disk: session.json and the rows of its tracks' volumes, one save at a time. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "originD/log/volumes_file.h"
#include "originD/session.h"

#define FOLDERS 2 /* that a save may make: the stream's, the session's */

static void start_save(struct session *s);

/* A save on its way: TRACK/volumes of the tracks whose rows have changed, then session.json. What a crash between leaves is rows that
 * are newer than it: each says of a volume's files what is so. The other way round a session would have ended in a volume
 * that nobody noted, and that would pass for one which was left before its end. So rows may also be taken later than the text of
 * session.json: some tracks' at a time, for those of a broadcast of a year are 3 MB a track, which the loop is not to copy at once. */
struct saving {
        struct session *s;
        struct buf *text; /* of session.json */
        char *path;
        char changed[SESSION_TRACKS_MAX][TRACK_NAME_MAX + 1]; /* tracks by name: one may be dropped meanwhile */
        size_t changed_count, next;
        struct rows_to_save {
                char *dir;
                struct volumes rows;
        } tracks[SESSION_TRACKS_MAX]; /* those on the pool now */
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
        if (!w->status && w->next == w->changed_count)
                w->status = file_save(w->path, w->text->data, w->text->len, FOLDERS);
}

static void free_rows(struct saving *w)
{
        for (size_t i = 0; i < w->track_count; i++) {
                volumes_free(&w->tracks[i].rows);
                free(w->tracks[i].dir);
        }
        w->track_count = 0;
}

static bool rows_changed(const struct track *t)
{
        return t && t->log && t->rows_saved != t->log->closed.changes;
}

/* The rows as they are now: of a broadcast of a month 240 KB a track, copied here and written by the pool. Returns how many. */
static size_t take_rows(struct saving *w, struct track *t)
{
        struct rows_to_save *r = &w->tracks[w->track_count++];
        r->dir = track_dir(w->s, t->name);
        chunk_log_rows(t->log, &r->rows);
        t->rows_saved = t->log->closed.changes;
        return r->rows.count;
}

static void save_done(void *arg);

/* The next tracks' rows, and behind the last of them session.json. */
static void save_some(struct saving *w)
{
        for (size_t rows = 0; w->next < w->changed_count && rows < SESSION_SAVE_ROWS; w->next++) {
                struct track *t = session_track(w->s, w->changed[w->next]);
                rows += rows_changed(t) ? take_rows(w, t) : 0;
        }
        disk_run(w->s->loop, DISK_WRITE, save_work, save_done, w);
}

static void save_done(void *arg)
{
        struct saving *w = arg;
        struct session *s = w->s;
        int status = w->status;
        uint64_t version = s->saving_version;
        free_rows(w);
        if (!status && w->next < w->changed_count) {
                save_some(w);
                return;
        }
        s->saving_version = 0;
        if (!status)
                s->saved_version = version;
        if (status && !s->save_status)
                log_warn("session=%s path=%s msg=\"cannot save what is known of a session\" error=\"%s\"", s->id, w->path,
                         err_text(status));
        else if (!status && s->save_status)
                log_info("session=%s msg=\"what is known of the session is saved again\"", s->id);
        s->save_status = status;
        if (status && s->unsaved)
                s->unsaved(s->arg, status);
        for (size_t i = 0; status && i < s->track_count; i++)
                s->tracks[i]->rows_saved = ROWS_NOT_SAVED;
        buf_unref(&w->text);
        free(w->path);
        free(w);
        if (!status && s->version > version)
                start_save(s);
        session_answer_waits(s, status);
        session_tell(s);
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
                if (rows_changed(s->tracks[i]))
                        strcpy(w->changed[w->changed_count++], s->tracks[i]->name);
        save_some(w);
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
