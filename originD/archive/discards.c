#include "originD/archive/discards.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "originD/replica/catalog.h"
#include "proto/key.h"

#define FOLDER ".archive" /* no stream has such a name */
#define FOLDERS 1         /* that a note may make: this one */
#define BETWEEN '='       /* of stream and session in a file's name; neither has one */
#define SOON_US US_PER_S

/* A recording of which something was removed here, or all. */
struct discard {
        struct discard *next;
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1];
        int64_t not_before_us;
        bool again; /* more of it was removed since its turn began */
        bool noted;
};

/* Of a track of one that is still here: volumes of smaller numbers are to go. */
struct before {
        char track[TRACK_NAME_MAX + 1];
        uint32_t below;
};

struct discards {
        uv_loop_t *loop;
        struct archive *archive;
        struct peer_link *link;
        struct discards_options options;
        struct discard *waiting, *now; /* now: the one that is under way, in no list */
        bool here;                     /* it is a recording here: */
        struct before tracks[SESSION_TRACKS_MAX];
        size_t track_count, next_track;
        size_t next_peer, most_up; /* to be asked; that were up at once */
        bool stopping;
        char sending[SESSION_ID_MAX + 1]; /* of this one something is on its way to the archive; "": of none */
        unsigned under_way; /* questions, jobs of the disk and of the archive */
        struct discard *found; /* by the job that reads the folder */
};

static char *path_of(const char *data_dir, const char *stream, const char *session)
{
        return mem_printf("%s/" FOLDER "/%s%c%s", data_dir, stream, BETWEEN, session);
}

static struct discard *discard_new(const char *stream, const char *session)
{
        struct discard *d = mem_alloc(sizeof(*d));
        snprintf(d->stream, sizeof(d->stream), "%s", stream);
        snprintf(d->session, sizeof(d->session), "%s", session);
        return d;
}

static void wait_in_line(struct discards *r, struct discard *d, int64_t us)
{
        struct discard **last = &r->waiting;
        while (*last)
                last = &(*last)->next;
        *last = d;
        d->next = NULL;
        d->not_before_us = clock_mono_us() + us;
}

/* ---- notes ----------------------------------------------------------------------------------------------------------- */

static void tell_noted(int status)
{
        if (status)
                log_warn("msg=\"cannot note that a recording is to be removed from the archive\" error=\"%s\"", err_text(status));
}

void discards_note(const char *data_dir, const char *stream, const char *session)
{
        char *path = path_of(data_dir, stream, session);
        tell_noted(file_save(path, "", 0, FOLDERS)); /* the recording goes all the same: it may be that the disk is full */
        free(path);
}

static void noted(void *arg, int status)
{
        struct discards *r = arg;
        r->under_way--;
        tell_noted(status);
}

static void note(struct discards *r, struct discard *d)
{
        char *path = path_of(r->options.store->options.data_dir, d->stream, d->session);
        struct buf *nothing = buf_new(0);
        d->noted = true;
        r->under_way++;
        disk_save(r->loop, path, nothing, FOLDERS, noted, r);
        buf_unref(&nothing);
        free(path);
}

static void forget_work(void *arg)
{
        const struct discards *r = arg;
        char *path = path_of(r->options.store->options.data_dir, r->now->stream, r->now->session);
        (void)unlink(path); /* left there it is asked for once more after a start, which is in vain */
        free(path);
}

static void forgotten(void *arg)
{
        struct discards *r = arg;
        struct discard *d = r->now;
        r->under_way--;
        r->now = NULL;
        if (!d->again) {
                free(d);
                return;
        }
        note(r, d);
        wait_in_line(r, d, SOON_US);
}

/* ---- one after the other --------------------------------------------------------------------------------------------- */

static void again_in(struct discards *r, int64_t us)
{
        wait_in_line(r, r->now, us);
        r->now = NULL;
}

static void again_later(struct discards *r)
{
        again_in(r, r->options.again_us);
}

static void settle(struct discards *r)
{
        r->under_way++;
        disk_run(r->loop, DISK_WRITE, forget_work, forgotten, r);
}

/* The first volume of it that is kept here. */
static uint32_t first_kept(const struct session *s, const struct track *t)
{
        return track_first_segment(s, t) / s->volume_segments;
}

static void remove_next(struct discards *r);

static void removed(void *arg, int err, const char *words)
{
        struct discards *r = arg;
        (void)words; /* the archive tells when it cannot be used */
        r->under_way--;
        if (err || r->stopping) /* stopping: after the next start it is in vain, but nothing else is begun now */
                again_later(r);
        else
                remove_next(r);
}

/* false: not now. */
static bool remove_objects(struct discards *r, const char *track, uint32_t below)
{
        char *begin = mem_printf("%s/%s/%s%s", r->now->stream, r->now->session, track, *track ? "/" : "");
        int rc = r->stopping ? ERR_CANCELED : archive_remove(r->archive, begin, below, removed, r);
        free(begin);
        r->under_way += !rc;
        return !rc;
}

/* Of a track that is here: what is before the first volume that any owner keeps; it may have been cut back meanwhile, which would make
 * that one an earlier one. */
static bool remove_before(struct discards *r, const struct session *s, const struct before *b)
{
        const struct track *t = session_track(s, b->track);
        uint32_t first = t && t->log ? first_kept(s, t) : 0;
        return remove_objects(r, b->track, first < b->below ? first : b->below);
}

static void remove_next(struct discards *r)
{
        const struct discard *d = r->now;
        const struct session *s = store_session(r->options.store, d->session);
        bool first = !r->next_track++;
        if (r->here ? !s : s || store_unreadable(r->options.store, d->session)) { /* it went or came meanwhile: it is looked at anew */
                again_later(r);
        } else if (r->here && r->next_track <= r->track_count) {
                if (!remove_before(r, s, &r->tracks[r->next_track - 1]))
                        again_later(r);
        } else if (!r->here && first) {
                if (!remove_objects(r, "", ARCHIVE_ALL))
                        again_later(r);
        } else {
                if (!r->here)
                        log_info("session=%s stream=%s msg=\"removed from the archive\"", d->session, d->stream);
                settle(r);
        }
}

/* What it keeps of a track is not to go yet: that is its to remove, when it removes that too. */
static void leave_to(struct discards *r, const struct peer_session *theirs)
{
        for (size_t i = 0; i < theirs->track_count; i++)
                for (size_t k = 0; k < r->track_count; k++) {
                        uint32_t first = theirs->tracks[i].first_here / theirs->volume_segments;
                        if (strcmp(theirs->tracks[i].name, r->tracks[k].track) == 0 && first < r->tracks[k].below)
                                r->tracks[k].below = first;
                }
}

static void ask_next(struct discards *r);

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct discards *r = arg;
        struct catalog c = {0};
        bool whole = !err && !m->status && bytes && m->flags & FETCH_COMPLETE;
        r->under_way--;
        if (!whole || r->stopping || catalog_read(&c, (const char *)bytes->data, bytes->len)) {
                again_later(r); /* it cannot be known */
                return;
        }
        bool all_is_theirs = c.count && !r->here; /* what it has there is its own to remove */
        for (size_t i = 0; i < c.count && r->here; i++)
                leave_to(r, &c.sessions[i]);
        catalog_free(&c);
        if (all_is_theirs)
                settle(r);
        else
                ask_next(r);
}

static void ask_next(struct discards *r)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t count = r->link ? r->link->ops->up(r->link, up) : 0;
        if (!r->options.peers) {
                remove_next(r);
                return;
        }
        if (!count || count < r->most_up) {
                again_later(r);
                return;
        }
        r->most_up = count;
        if (r->next_peer == count) {
                remove_next(r);
                return;
        }
        struct fetch m = {.hops = FETCH_HOPS_MAX};
        snprintf(m.key, sizeof(m.key), "/peer/session/%s", r->now->session);
        r->under_way++;
        if (r->link->ops->fetch(r->link, up[r->next_peer++].id, &m, on_answer, r)) {
                r->under_way--;
                again_later(r);
        }
}

/* Tracks of which volumes were removed here. */
static void note_tracks(struct discards *r, const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                struct before *b = &r->tracks[r->track_count];
                b->below = t->log ? first_kept(s, t) : 0;
                strcpy(b->track, t->name);
                r->track_count += b->below > 0;
        }
}

static void begin_discard(struct discards *r)
{
        struct session *s = store_session(r->options.store, r->now->session);
        if (strcmp(r->sending, r->now->session) == 0) { /* it would come behind the removal, and after a crash nobody would know */
                again_in(r, SOON_US);
                return;
        }
        r->now->again = false;
        r->here = s != NULL;
        r->track_count = r->next_track = r->next_peer = 0;
        if (s && s->load != LOAD_DONE) { /* it ended */
                session_load(s);
                again_in(r, s->load == LOAD_UNDER_WAY ? SOON_US : r->options.again_us);
                return;
        }
        if (s)
                note_tracks(r, s);
        if (s && !r->track_count)
                settle(r);
        else
                ask_next(r);
}

void discards_sending(struct discards *r, const char *session)
{
        snprintf(r->sending, sizeof(r->sending), "%s", session);
}

void discards_tick(struct discards *r)
{
        int64_t now = clock_mono_us();
        if (r->now || r->stopping)
                return;
        for (struct discard **at = &r->waiting; *at; at = &(*at)->next) {
                if ((*at)->not_before_us > now)
                        continue;
                r->now = *at;
                *at = r->now->next;
                begin_discard(r);
                return;
        }
}

/* ---- what is to go --------------------------------------------------------------------------------------------------- */

static struct discard *find_discard(struct discards *r, const char *stream, const char *session)
{
        if (r->now && strcmp(r->now->session, session) == 0 && strcmp(r->now->stream, stream) == 0)
                return r->now;
        for (struct discard *d = r->waiting; d; d = d->next)
                if (strcmp(d->session, session) == 0 && strcmp(d->stream, stream) == 0)
                        return d;
        return NULL;
}

void discards_add(struct discards *r, const char *stream, const char *session)
{
        struct discard *d = find_discard(r, stream, session);
        if (d) {
                d->again = true;
                if (!d->noted)
                        note(r, d);
                return;
        }
        d = discard_new(stream, session);
        note(r, d);
        wait_in_line(r, d, SOON_US); /* its files are to be gone, and an upload under way to have ended, most likely */
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static void read_folder(void *arg)
{
        struct discards *r = arg;
        char *path = mem_printf("%s/" FOLDER, r->options.store->options.data_dir);
        DIR *dir = opendir(path);
        for (const struct dirent *e; dir && (e = readdir(dir));) {
                const char *between = strchr(e->d_name, BETWEEN);
                char stream[STREAM_ID_MAX + 1];
                if (!between || (size_t)(between - e->d_name) >= sizeof(stream))
                        continue;
                snprintf(stream, sizeof(stream), "%.*s", (int)(between - e->d_name), e->d_name);
                if (!stream_id_valid(stream) || !session_id_valid(between + 1))
                        continue;
                struct discard *d = discard_new(stream, between + 1);
                d->noted = true;
                d->next = r->found;
                r->found = d;
        }
        if (dir)
                closedir(dir);
        free(path);
}

static void folder_read(void *arg)
{
        struct discards *r = arg;
        r->under_way--;
        while (r->found) {
                struct discard *d = r->found;
                r->found = d->next;
                if (find_discard(r, d->stream, d->session))
                        free(d);
                else
                        wait_in_line(r, d, 0);
        }
        /* a crash may have come between the removal of a volume and its note */
        for (const struct session *s = r->options.store->first_live; s; s = s->older)
                if (!find_discard(r, s->stream, s->id))
                        wait_in_line(r, discard_new(s->stream, s->id), SOON_US);
}

void discards_open(struct discards **out, uv_loop_t *loop, struct archive *archive, const struct discards_options *options)
{
        struct discards *r = mem_alloc(sizeof(*r));
        *r = (struct discards){.loop = loop, .archive = archive, .options = *options};
        if (!r->options.again_us)
                r->options.again_us = DISCARDS_AGAIN_US;
        *out = r;
        r->under_way++;
        disk_run(loop, DISK_LIVE, read_folder, folder_read, r);
}

void discards_link(struct discards *r, struct peer_link *link)
{
        r->link = link;
}

void discards_stop(struct discards *r)
{
        r->stopping = true;
}

bool discards_idle(const struct discards *r)
{
        return !r->under_way;
}

void discards_close(struct discards *r)
{
        assert(discards_idle(r));
        while (r->waiting) {
                struct discard *d = r->waiting;
                r->waiting = d->next;
                free(d);
        }
        free(r->now);
        free(r);
}
