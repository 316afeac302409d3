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
#define BETWEEN '='       /* of stream and session in a file's name; neither has one */

/* A recording that is gone here. */
struct gone {
        struct gone *next;
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1];
        int64_t not_before_us;
};

struct discards {
        uv_loop_t *loop;
        struct archive *archive;
        struct peer_link *link;
        struct discards_options options;
        struct gone *waiting, *now; /* now: the one that is under way, in no list */
        size_t next_peer, most_up;  /* to be asked; that were up at once */
        bool stopping;
        unsigned under_way; /* questions, jobs of the disk and of the archive */
        struct gone *found; /* by the job that reads the folder */
};

static char *path_of(const char *data_dir, const char *stream, const char *session)
{
        return mem_printf("%s/" FOLDER "/%s%c%s", data_dir, stream, BETWEEN, session);
}

static struct gone *gone_new(const char *stream, const char *session)
{
        struct gone *g = mem_alloc(sizeof(*g));
        snprintf(g->stream, sizeof(g->stream), "%s", stream);
        snprintf(g->session, sizeof(g->session), "%s", session);
        return g;
}

static void wait_in_line(struct discards *r, struct gone *g)
{
        struct gone **last = &r->waiting;
        while (*last)
                last = &(*last)->next;
        *last = g;
        g->next = NULL;
}

/* ---- one after the other --------------------------------------------------------------------------------------------- */

static void again_later(struct discards *r)
{
        r->now->not_before_us = clock_mono_us() + r->options.again_us;
        wait_in_line(r, r->now);
        r->now = NULL;
}

struct forgetting {
        struct discards *r;
        char *path;
};

static void forget_work(void *arg)
{
        const struct forgetting *f = arg;
        (void)unlink(f->path); /* left there it is asked for once more after a start, which is in vain */
}

static void forgotten(void *arg)
{
        struct forgetting *f = arg;
        f->r->under_way--;
        free(f->path);
        free(f);
}

static void settle(struct discards *r)
{
        struct forgetting *f = mem_alloc(sizeof(*f));
        *f = (struct forgetting){.r = r, .path = path_of(r->options.store->options.data_dir, r->now->stream, r->now->session)};
        free(r->now);
        r->now = NULL;
        r->under_way++;
        disk_run(r->loop, DISK_WRITE, forget_work, forgotten, f);
}

static void removed(void *arg, int err, const char *words)
{
        struct discards *r = arg;
        (void)words; /* the archive tells when it cannot be used */
        r->under_way--;
        if (err || r->stopping) { /* stopping: after the next start it is in vain, but nothing else is begun now */
                again_later(r);
                return;
        }
        log_info("session=%s stream=%s msg=\"removed from the archive\"", r->now->session, r->now->stream);
        settle(r);
}

static void remove_objects(struct discards *r)
{
        if (store_session(r->options.store, r->now->session)) { /* it came back from another owner, which is gone by now */
                settle(r);
                return;
        }
        if (store_unreadable(r->options.store, r->now->session)) {
                again_later(r);
                return;
        }
        char *begin = mem_printf("%s/%s/", r->now->stream, r->now->session);
        int rc = r->stopping ? ERR_CANCELED : archive_remove(r->archive, begin, ARCHIVE_ALL, removed, r);
        free(begin);
        if (rc)
                again_later(r);
        else
                r->under_way++;
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
        bool has = c.count > 0;
        catalog_free(&c);
        if (has) /* what it has there is its own to remove */
                settle(r);
        else
                ask_next(r);
}

static void ask_next(struct discards *r)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t count = r->link ? r->link->ops->up(r->link, up) : 0;
        if (!r->options.peers) {
                remove_objects(r);
                return;
        }
        if (!count || count < r->most_up) {
                again_later(r);
                return;
        }
        r->most_up = count;
        if (r->next_peer == count) {
                remove_objects(r);
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

void discards_tick(struct discards *r)
{
        int64_t now = clock_mono_us();
        if (r->now || r->stopping)
                return;
        for (struct gone **at = &r->waiting; *at; at = &(*at)->next) {
                if ((*at)->not_before_us > now)
                        continue;
                r->now = *at;
                *at = r->now->next;
                r->next_peer = 0;
                ask_next(r);
                return;
        }
}

/* ---- what is to go --------------------------------------------------------------------------------------------------- */

static void tell_noted(int status)
{
        if (status)
                log_warn("msg=\"cannot note that a recording is to be removed from the archive\" error=\"%s\"", err_text(status));
}

void discards_note(const char *data_dir, const char *stream, const char *session)
{
        char *path = path_of(data_dir, stream, session);
        tell_noted(file_save(path, "", 0)); /* the recording goes all the same: it may be that the disk is full */
        free(path);
}

static void noted(void *arg, int status)
{
        struct discards *r = arg;
        r->under_way--;
        tell_noted(status);
}

void discards_add(struct discards *r, const char *stream, const char *session)
{
        for (const struct gone *w = r->waiting; w; w = w->next)
                if (strcmp(w->session, session) == 0 && strcmp(w->stream, stream) == 0)
                        return; /* it waits already, and is noted */
        struct gone *g = gone_new(stream, session);
        char *path = path_of(r->options.store->options.data_dir, stream, session);
        struct buf *nothing = buf_new(0);
        r->under_way++;
        disk_save(r->loop, path, nothing, noted, r);
        buf_unref(&nothing);
        free(path);
        g->not_before_us = clock_mono_us() + US_PER_S; /* its folder is to be gone, and an upload under way to have ended, most likely */
        wait_in_line(r, g);
}

static void volume_removed(void *arg, int err, const char *words)
{
        struct discards *r = arg;
        r->under_way--;
        if (err && err != ERR_CANCELED)
                log_warn("msg=\"a volume stays in the archive that retention removed here\" error=\"%s\"", words);
}

void discards_volume(struct discards *r, const char *stream, const char *session, const char *track, uint32_t number)
{
        char *begin = mem_printf("%s/%s/%s/", stream, session, track);
        int rc = r->stopping ? ERR_CANCELED : archive_remove(r->archive, begin, number + 1, volume_removed, r);
        r->under_way++;
        if (rc)
                volume_removed(r, rc, err_text(rc));
        free(begin);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static void read_folder(void *arg)
{
        struct discards *r = arg;
        char *path = mem_printf("%s/" FOLDER, r->options.store->options.data_dir);
        DIR *d = opendir(path);
        for (const struct dirent *e; d && (e = readdir(d));) {
                const char *between = strchr(e->d_name, BETWEEN);
                char stream[STREAM_ID_MAX + 1];
                if (!between || (size_t)(between - e->d_name) >= sizeof(stream))
                        continue;
                snprintf(stream, sizeof(stream), "%.*s", (int)(between - e->d_name), e->d_name);
                if (!stream_id_valid(stream) || !session_id_valid(between + 1))
                        continue;
                struct gone *g = gone_new(stream, between + 1);
                g->next = r->found;
                r->found = g;
        }
        if (d)
                closedir(d);
        free(path);
}

static void folder_read(void *arg)
{
        struct discards *r = arg;
        r->under_way--;
        while (r->found) {
                struct gone *g = r->found;
                r->found = g->next;
                wait_in_line(r, g);
        }
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
                struct gone *g = r->waiting;
                r->waiting = g->next;
                free(g);
        }
        free(r->now);
        free(r);
}
