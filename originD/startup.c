#include "originD/startup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"

/* Of errno, which stays; returns it as ours. Who is out of descriptors or memory could read nothing more: that start fails. */
static int cannot_read(struct startup *out, const char *path)
{
        int why = errno;
        log_error("path=%s msg=\"cannot read what is stored\" error=\"%s\"", path, strerror(why));
        if (why == EMFILE || why == ENFILE || why == ENOMEM)
                out->status = ERR_LIMIT;
        errno = why;
        return err_from_errno(why);
}

/* What is known for certain not to be there is left out; what cannot be read now stays, and is tried again. */
static void recover_tracks(struct startup *out, struct session *s, const char *dir)
{
        for (size_t i = 0; i < s->track_count;) {
                struct track *t = s->tracks[i];
                struct startup_track *r = mem_alloc(sizeof(*r));
                *r = (struct startup_track){.next = out->live_tracks, .s = s, .track = t};
                int rc = track_find(s, dir, t, true, &r->found);
                if (!rc) {
                        out->torn_bytes += r->found.volumes.last.torn_bytes;
                        out->live_tracks = r;
                        const struct index *ix = &r->found.volumes.last.index;
                        log_info("session=%s stream=%s track=%s msg=\"recovered\" volumes=%zu segments=%zu end_us=%lld", s->id,
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

/* NULL at the end, with errno 0, or when the folder cannot be read: errno says why. */
static const struct dirent *next_entry(struct startup *out, DIR *d, const char *dir)
{
        const struct dirent *e = NULL;
        if (d) {
                errno = 0;
                e = readdir(d);
        }
        if (!e && errno)
                cannot_read(out, dir);
        return e;
}

/* Anything but session.json and what is left of saving it; also when that cannot be found out. */
static bool may_hold_media(struct startup *out, const char *dir)
{
        DIR *d = opendir(dir);
        const struct dirent *e;
        bool media = false;
        while ((e = next_entry(out, d, dir)))
                media |= e->d_name[0] != '.' && strncmp(e->d_name, "session.json", 12) != 0;
        media |= errno != 0;
        if (d)
                closedir(d);
        return media;
}

static bool is_removed(const char *name)
{
        size_t len = strlen(name), suffix = strlen(DISK_REMOVED_SUFFIX);
        return len > suffix && strcmp(name + len - suffix, DISK_REMOVED_SUFFIX) == 0;
}

static void recover_session(struct startup *out, const char *stream, const char *name, const char *dir)
{
        if (is_removed(name)) {
                disk_remove_now(dir);
                return;
        }
        struct session *s = mem_alloc(sizeof(*s));
        errno = 0;
        int rc = session_read(s, dir, false);
        if (rc && rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
                rc = cannot_read(out, dir);
        if (!rc && (strcmp(s->stream, stream) != 0 || strcmp(s->id, name) != 0))
                rc = ERR_CORRUPT;
        if (!rc) {
                if (s->state == SESSION_LIVE)
                        recover_tracks(out, s, dir);
                s->load = s->state == SESSION_LIVE ? LOAD_DONE : LOAD_NO;
                s->next_by_id = out->sessions;
                out->sessions = s;
                return;
        }
        tracks_free(s);
        free(s);
        if ((rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) && session_id_valid(name) && !may_hold_media(out, dir))
                disk_remove_now(dir);
        else
                log_error("msg=\"not a session, left alone\" path=%s error=\"%s\"", dir, err_text(rc));
}

static void each_folder(struct startup *out, const char *path, const char *stream)
{
        DIR *d = opendir(path);
        const struct dirent *e;
        while ((e = next_entry(out, d, path))) {
                if (e->d_name[0] == '.')
                        continue;
                char *inner = mem_printf("%s/%s", path, e->d_name);
                struct stat st;
                if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode)) {
                        if (stream)
                                recover_session(out, stream, e->d_name, inner);
                        else if (stream_id_valid(e->d_name))
                                each_folder(out, inner, e->d_name);
                }
                free(inner);
        }
        if (errno && !stream && !out->status)
                out->status = ERR_IO;
        if (d)
                closedir(d);
}

void startup_read(struct startup *out, const char *data_dir)
{
        *out = (struct startup){0};
        if (mkdir(data_dir, 0755) < 0 && errno != EEXIST) {
                out->status = ERR_IO;
                return;
        }
        each_folder(out, data_dir, NULL);
}
