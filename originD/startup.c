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

/* Cuts off what a dying process left unfinished. */
static int cut_tail(struct startup *out, const struct session *s, const char *name, int fd, const struct index *ix)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return ERR_IO;
        uint64_t torn = (uint64_t)st.st_size - ix->file_bytes;
        if (!torn)
                return 0;
        if (ftruncate(fd, (off_t)ix->file_bytes) < 0)
                return ERR_IO;
        out->torn_bytes += torn;
        log_warn("session=%s stream=%s track=%s msg=\"cut off an unfinished chunk\" torn_bytes=%llu kept_bytes=%llu", s->id,
                 s->stream, name, (unsigned long long)torn, (unsigned long long)ix->file_bytes);
        return 0;
}

static int recover_track(struct startup *out, struct session *s, struct track *t, char *path)
{
        struct index ix = {0};
        int fd = open(path, O_RDWR | O_CLOEXEC);
        int rc = fd < 0 ? cannot_read(out, path) : index_walk(fd, &ix, &t->init, &t->init_bytes);
        if (!rc)
                rc = cut_tail(out, s, t->name, fd, &ix);
        if (rc) {
                index_free(&ix);
                if (fd >= 0)
                        close(fd);
                return rc;
        }
        struct startup_track *r = mem_alloc(sizeof(*r));
        *r = (struct startup_track){.next = out->live_tracks, .s = s, .track = t, .fd = fd, .index = ix,
                                      .path = mem_strdup(path)};
        out->live_tracks = r;
        log_info("session=%s stream=%s track=%s msg=\"recovered\" segments=%zu end_us=%lld", s->id, s->stream, t->name,
                 ix.count, (long long)box_ticks_to_us(ix.end_ticks, ix.timescale));
        return 0;
}

/* A writer that goes on begins the track anew: not in place of what a person may still get something out of. */
static void set_aside(const char *path)
{
        char *aside = mem_printf("%s.unreadable", path);
        if (rename(path, aside) < 0 && errno != ENOENT)
                log_error("path=%s msg=\"cannot set it aside\" error=\"%s\"", path, strerror(errno));
        free(aside);
}

static void recover_tracks(struct startup *out, struct session *s, const char *dir)
{
        for (size_t i = 0; i < s->track_count;) {
                struct track *t = s->tracks[i];
                char *path = mem_printf("%s/%s.mp4", dir, t->name);
                int rc = recover_track(out, s, t, path);
                if (rc) {
                        log_warn("session=%s stream=%s msg=\"left out an unreadable track\" path=%s error=\"%s\"", s->id,
                                 s->stream, path, err_text(rc));
                        if (!out->status)
                                set_aside(path);
                        track_remove(s, t);
                } else {
                        i++;
                }
                free(path);
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

/* Also when that cannot be found out. */
static bool may_hold_media(struct startup *out, const char *dir)
{
        DIR *d = opendir(dir);
        const struct dirent *e;
        bool media = false;
        while ((e = next_entry(out, d, dir)))
                media |= strstr(e->d_name, ".mp4") != NULL;
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
