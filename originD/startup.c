#include "originD/startup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"
#include "originD/store.h"

/* What one thread found, before it is put together with what the others did. */
struct reader_thread {
        pthread_t thread;
        struct reading *r;
        struct startup found;
        struct startup_folder *folders;
};

struct reading {
        struct startup *out;
        const char *data_dir;
        char **streams;
        size_t stream_count;
        struct startup_folder **folders;
        size_t folder_count;
        atomic_size_t next;
        struct reader_thread threads[STARTUP_THREADS];
};

static struct startup_folder *new_folder(const char *stream_path, const char *name)
{
        size_t stream_len = strlen(stream_path);
        struct startup_folder *f = mem_alloc(sizeof(*f) + stream_len + strlen(name) + 2);
        sprintf(f->path, "%s/%s", stream_path, name);
        f->name = f->path + stream_len + 1;
        return f;
}

/* Whether that is the name of the folder that it lies in. */
static bool is_of_stream(const struct startup_folder *f, const char *stream)
{
        size_t len = strlen(stream);
        return f->name - f->path > (ptrdiff_t)len + 1 && f->name[-2 - (ptrdiff_t)len] == '/' && memcmp(f->name - 1 - len, stream, len) == 0;
}

/* Of errno; returns it as ours. Who is out of descriptors or memory could read nothing more: that start fails. */
static int cannot_read(struct startup *out, const char *path, int rc)
{
        log_error("path=%s msg=\"cannot read what is stored\" error=\"%s\"", path, err_text(rc));
        if (rc == ERR_LIMIT)
                out->status = ERR_LIMIT;
        return rc;
}

/* NULL at the end, with *rc 0, or when the folder cannot be read. */
static const struct dirent *next_entry(struct startup *out, DIR *d, const char *dir, int *rc)
{
        const struct dirent *e = NULL;
        if (d) {
                errno = 0;
                e = readdir(d);
        }
        *rc = !e && errno ? cannot_read(out, dir, err_from_errno(errno)) : 0;
        return e;
}

static bool is_folder(DIR *d, const struct dirent *e)
{
        struct stat st;
        if (e->d_type != DT_UNKNOWN)
                return e->d_type == DT_DIR;
        return fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* ---- one session --------------------------------------------------------------------------------------------------- */

/* What is known for certain not to be there is left out; what cannot be read now stays, and is tried again. */
static void read_tracks(struct startup *out, struct session *s, const char *dir)
{
        for (size_t i = 0; i < s->track_count;) {
                struct track *t = s->tracks[i];
                struct startup_track *r = mem_alloc(sizeof(*r));
                *r = (struct startup_track){.next = out->live_tracks, .s = s, .track = t};
                int rc = track_find(s, dir, t, true, &r->found);
                if (!rc) {
                        const struct index *ix = &r->found.volumes.last.index;
                        out->torn_bytes += r->found.volumes.last.torn_bytes;
                        out->live_tracks = r;
                        log_info("session=%s stream=%s track=%s msg=\"track found\" volumes=%zu segments=%zu end_us=%lld", s->id,
                                 s->stream, t->name, r->found.volumes.closed.count + r->found.volumes.open, ix->count,
                                 (long long)(ix->count ? box_ticks_to_us(ix->end_ticks, ix->timescale) : 0));
                        i++;
                        continue;
                }
                free(r);
                if (rc == ERR_NOT_FOUND) {
                        log_error("session=%s stream=%s track=%s msg=\"a track is not here any more\"", s->id, s->stream, t->name);
                        track_remove(s, t);
                        continue;
                }
                if (rc == ERR_LIMIT)
                        out->status = ERR_LIMIT;
                log_error("session=%s stream=%s track=%s msg=\"a track cannot be read now\" error=\"%s\"", s->id, s->stream, t->name,
                          err_text(rc));
                t->unreadable = true;
                i++;
        }
}

/* Anything but session.json and what is left of saving it; also when that cannot be found out. */
static bool may_hold_media(struct startup *out, const char *dir)
{
        DIR *d = opendir(dir);
        const struct dirent *e;
        bool media = false;
        int rc = d ? 0 : cannot_read(out, dir, err_from_errno(errno));
        while (!rc && (e = next_entry(out, d, dir, &rc)))
                media |= e->d_name[0] != '.' && strncmp(e->d_name, "session.json", 12) != 0;
        if (d)
                closedir(d);
        return media || rc;
}

static bool is_removed(const char *name)
{
        size_t len = strlen(name), suffix = strlen(FILE_REMOVED_SUFFIX);
        return len > suffix && strcmp(name + len - suffix, FILE_REMOVED_SUFFIX) == 0;
}

static void make_room(struct startup *out, size_t more)
{
        while (out->cap < out->count + more) {
                out->cap = out->cap ? out->cap * 2 : 64;
                out->sessions = mem_resize(out->sessions, out->cap * sizeof(*out->sessions));
        }
}

static void keep_session(struct startup *out, struct session *s)
{
        int64_t wall_us = s->state == SESSION_ENDED ? s->ended_wall_us : s->epoch_us;
        out->newest_wall_us = wall_us > out->newest_wall_us ? wall_us : out->newest_wall_us;
        make_room(out, 1);
        out->sessions[out->count++] = s;
}

/* Takes the folder. */
static void read_session(struct startup *out, struct startup_folder *f)
{
        if (is_removed(f->name)) {
                f->next = out->removed;
                out->removed = f;
                return;
        }
        struct session *s = mem_alloc(sizeof(*s));
        const char *wrong;
        int rc = session_read(s, f->path, false, &wrong);
        if (!rc && (!is_of_stream(f, s->stream) || strcmp(s->id, f->name) != 0)) {
                rc = ERR_CORRUPT;
                wrong = strcmp(s->id, f->name) != 0 ? "session, which is another folder's" : "stream, which is another folder's";
        }
        if (!rc) {
                if (s->state == SESSION_LIVE)
                        read_tracks(out, s, f->path);
                s->load = s->state == SESSION_LIVE ? LOAD_DONE : LOAD_NO;
                keep_session(out, s);
                free(f);
                return;
        }
        session_free(&s);
        if (rc != ERR_NOT_FOUND && rc != ERR_CORRUPT) { /* told, and tried again */
                cannot_read(out, f->path, rc);
                f->next = out->unreadable;
                out->unreadable = f;
                return;
        }
        if (session_id_valid(f->name) && !may_hold_media(out, f->path))
                file_remove_folder(f->path);
        else
                log_error("msg=\"not a session, left alone\" path=%s/session.json error=\"%s\" field=\"%s\"", f->path, err_text(rc),
                          rc == ERR_CORRUPT ? wrong : "-");
        free(f);
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

static void list_stream(struct reader_thread *t, const char *stream)
{
        char *path = mem_printf("%s/%s", t->r->data_dir, stream);
        DIR *d = opendir(path);
        const struct dirent *e;
        int rc = d ? 0 : cannot_read(&t->found, path, err_from_errno(errno));
        while (!rc && (e = next_entry(&t->found, d, path, &rc))) {
                if (e->d_name[0] == '.' || strlen(e->d_name) > STARTUP_NAME_MAX || !is_folder(d, e))
                        continue;
                struct startup_folder *f = new_folder(path, e->d_name);
                f->next = t->folders;
                t->folders = f;
        }
        if (rc && rc != ERR_NOT_FOUND && !t->found.status) /* what recordings there are is not known */
                t->found.status = ERR_IO;
        if (d)
                closedir(d);
        free(path);
}

static struct startup_folder **last_of(struct startup_folder **f)
{
        while (*f)
                f = &(*f)->next;
        return f;
}

/* Takes all of part. */
static void put_together(struct startup *out, struct startup *part)
{
        pthread_mutex_lock(&out->lock);
        make_room(out, part->count);
        if (part->count)
                memcpy(out->sessions + out->count, part->sessions, part->count * sizeof(*out->sessions));
        out->count += part->count;
        struct startup_track **end = &part->live_tracks;
        while (*end)
                end = &(*end)->next;
        *end = out->live_tracks;
        out->live_tracks = part->live_tracks;
        *last_of(&part->unreadable) = out->unreadable;
        out->unreadable = part->unreadable;
        *last_of(&part->removed) = out->removed;
        out->removed = part->removed;
        out->torn_bytes += part->torn_bytes;
        out->newest_wall_us = part->newest_wall_us > out->newest_wall_us ? part->newest_wall_us : out->newest_wall_us;
        out->status = out->status ? out->status : part->status;
        pthread_mutex_unlock(&out->lock);
        *part = (struct startup){.sessions = part->sessions, .cap = part->cap}; /* the room is for what it finds next */
}

static void *list_streams(void *arg)
{
        struct reader_thread *t = arg;
        for (size_t i; (i = atomic_fetch_add(&t->r->next, 1)) < t->r->stream_count;)
                list_stream(t, t->r->streams[i]);
        return NULL;
}

static void *read_sessions(void *arg)
{
        struct reader_thread *t = arg;
        for (size_t i; (i = atomic_fetch_add(&t->r->next, 1)) < t->r->folder_count;) {
                read_session(&t->found, t->r->folders[i]);
                put_together(t->r->out, &t->found);
        }
        return NULL;
}

/* Each of the threads does it, this one too. */
static void with_all_threads(struct reading *r, void *(*what)(void *arg))
{
        bool begun[STARTUP_THREADS] = {false};
        atomic_store(&r->next, 0);
        for (size_t i = 1; i < STARTUP_THREADS; i++)
                begun[i] = pthread_create(&r->threads[i].thread, NULL, what, &r->threads[i]) == 0;
        what(&r->threads[0]);
        for (size_t i = 1; i < STARTUP_THREADS; i++)
                if (begun[i])
                        pthread_join(r->threads[i].thread, NULL);
}

/* Their names begin with when they began. */
static int later_name_first(const void *a, const void *b)
{
        const struct startup_folder *x = *(struct startup_folder *const *)a, *y = *(struct startup_folder *const *)b;
        return strcmp(y->name, x->name);
}

static void gather_folders(struct reading *r)
{
        size_t cap = 0;
        for (size_t i = 0; i < STARTUP_THREADS; i++)
                for (struct startup_folder *f = r->threads[i].folders; f; f = f->next) {
                        if (r->folder_count == cap) {
                                cap = cap ? cap * 2 : 256;
                                r->folders = mem_resize(r->folders, cap * sizeof(*r->folders));
                        }
                        r->folders[r->folder_count++] = f;
                }
        if (r->folder_count)
                qsort(r->folders, r->folder_count, sizeof(*r->folders), later_name_first);
}

static void list_data_dir(struct startup *out, struct reading *r)
{
        DIR *d = opendir(r->data_dir);
        const struct dirent *e;
        int rc = d ? 0 : cannot_read(out, r->data_dir, err_from_errno(errno));
        while (!rc && (e = next_entry(out, d, r->data_dir, &rc)))
                if (stream_id_valid(e->d_name) && is_folder(d, e)) {
                        r->streams = mem_resize(r->streams, (r->stream_count + 1) * sizeof(*r->streams));
                        r->streams[r->stream_count++] = mem_strdup(e->d_name);
                }
        if (rc && !out->status)
                out->status = ERR_IO;
        if (d)
                closedir(d);
}

static void free_reading(struct reading *r)
{
        for (size_t i = 0; i < STARTUP_THREADS; i++)
                free(r->threads[i].found.sessions);
        for (size_t i = 0; i < r->stream_count; i++)
                free(r->streams[i]);
        free(r->streams);
        free(r->folders);
        free(r);
}

void startup_read(struct startup *out, const char *data_dir)
{
        struct reading *r = mem_alloc(sizeof(*r));
        struct startup first = {0};
        r->out = out;
        r->data_dir = data_dir;
        if (mkdir(data_dir, 0755) < 0 && errno != EEXIST)
                first.status = ERR_IO;
        else
                list_data_dir(&first, r);
        bool known = !first.status;
        put_together(out, &first);
        for (size_t i = 0; i < STARTUP_THREADS; i++)
                r->threads[i].r = r;
        if (known) {
                with_all_threads(r, list_streams);
                gather_folders(r);
                with_all_threads(r, read_sessions);
        }
        for (size_t i = 0; i < STARTUP_THREADS; i++) /* of a thread that had no session to read: what streams it could not */
                put_together(out, &r->threads[i].found);
        free(first.sessions);
        free_reading(r);
}

static int newer_first(const void *a, const void *b)
{
        const struct session *x = *(struct session *const *)a, *y = *(struct session *const *)b;
        return session_newer(x->epoch_us, x->id, y) ? -1 : 1;
}

void startup_take(struct startup *from, struct startup *to)
{
        pthread_mutex_lock(&from->lock);
        to->sessions = from->sessions;
        to->count = from->count;
        to->live_tracks = from->live_tracks;
        from->sessions = NULL;
        from->count = from->cap = 0;
        from->live_tracks = NULL;
        pthread_mutex_unlock(&from->lock);
        if (to->count)
                qsort(to->sessions, to->count, sizeof(*to->sessions), newer_first);
}

void startup_read_again(struct startup *out, struct startup_folder *folder)
{
        folder->next = NULL;
        read_session(out, folder);
}
