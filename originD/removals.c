#include "originD/removals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"
#include "originD/store.h"

struct removal {
        struct removal *next;      /* of those that are not under way */
        struct removal *next_by_id;
        struct store *st;
        struct session *s;         /* NULL: only the folder is left of it */
        char *dir;
        uint64_t bytes;
        bool unused;
        struct removal_reason reason;
        int64_t due_mono_us;
        int status;
        bool whole;                /* after a failure: nothing was touched */
        bool told_gone;
};

static struct removal **bucket(struct removals *rs, const char *id)
{
        return &rs->by_id[XXH3_64bits(id, strlen(id)) % REMOVAL_BUCKETS];
}

bool removals_have(const struct store *st, const char *id)
{
        struct removal *r = *bucket((struct removals *)(uintptr_t)&st->removals, id);
        while (r && strcmp(r->s->id, id) != 0)
                r = r->next_by_id;
        return r;
}

/* It is no recording any more, or is one again: its id is free, and its bytes are not on their way. */
static void forget_id(struct removal *r)
{
        struct removals *rs = &r->st->removals;
        struct removal **at = bucket(rs, r->s->id);
        while (*at != r)
                at = &(*at)->next_by_id;
        *at = r->next_by_id;
        rs->bytes -= r->bytes;
}

static void free_removal(struct removal *r)
{
        stat_set(STAT_REMOVING, --r->st->removals.waiting);
        free(r->dir);
        free(r);
}

static int remove_unused(const char *dir)
{
        char *file = mem_printf("%s/session.json", dir);
        int status = file_remove_unused_folder(file);
        free(file);
        return status;
}

/* Of …/STREAM/SESSION, or SESSION.removed. false: it is no session's folder. */
static bool names_of(const struct removal *r, char stream[STREAM_ID_MAX + 1], char session[SESSION_ID_MAX + 1])
{
        const char *name = strrchr(r->dir, '/') + 1, *folder = r->dir + strlen(r->st->options.data_dir) + 1;
        if (folder >= name || (size_t)(name - folder) > STREAM_ID_MAX + 1)
                return false;
        snprintf(stream, STREAM_ID_MAX + 1, "%.*s", (int)(name - folder - 1), folder);
        snprintf(session, SESSION_ID_MAX + 1, "%.*s", (int)strcspn(name, "."), name);
        return stream_id_valid(stream) && session_id_valid(session);
}

/* With its first file gone nobody could tell after a crash what else is to go, in the archive; and before it is marked it may yet
 * stay a recording. */
static int remove_media(struct removal *r)
{
        const struct store_events *e = &r->st->events;
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1], *marked;
        int status = file_mark_removed(r->dir, &marked);
        if (!status && e->removing && names_of(r, stream, session))
                e->removing(e->arg, stream, session);
        status = status ? status : file_remove_folder(marked);
        free(marked);
        return status;
}

/* Pool thread. */
static void remove_work(void *arg)
{
        struct removal *r = arg;
        r->status = r->unused ? remove_unused(r->dir) : remove_media(r);
        /* Where the mount itself is gone nothing was removed: the recording is there when that is back. */
        if (r->status == ERR_NOT_FOUND && file_compare(r->st->options.data_dir, r->st->folder))
                r->status = ERR_IO;
        /* It is renamed first. One that cannot even be looked for is taken for whole: it is read again before it is believed. */
        r->whole = r->status && (access(r->dir, F_OK) == 0 || errno != ENOENT || file_compare(r->st->options.data_dir, r->st->folder));
}

static void wait_until(struct removal *r, int64_t due_mono_us)
{
        r->due_mono_us = due_mono_us;
        r->next = r->st->removals.first;
        r->st->removals.first = r;
}

/* The first of a row of failures is told, and its end: a disk that is read-only refuses each of a thousand. */
static void tell_failing(struct removal *r, bool failing)
{
        struct removals *rs = &r->st->removals;
        if (failing && !rs->failing)
                log_warn("msg=\"cannot remove a recording: it is tried again\" path=%s error=\"%s\"", r->dir, err_text(r->status));
        else if (!failing && rs->failing)
                log_info("msg=\"recordings can be removed again\" path=%s", r->dir);
        rs->failing = failing;
}

static void bring_back(struct removal *r)
{
        struct session *s = r->s;
        s->remove_again_us = clock_mono_us() + REMOVAL_AGAIN_US;
        stat_add(STAT_STORED_BYTES, (int64_t)session_here_bytes(s));
        stat_add(STAT_ARCHIVED_BYTES, (int64_t)session_sum(s).archive.archived);
        store_add(r->st, s);
        session_tell(s);
        free_removal(r);
}

static void gone(struct removal *r)
{
        if (r->s)
                session_free(&r->s);
        free_removal(r);
}

static void tell_removed(const struct removal *r)
{
        if (!r->s || !r->reason.why)
                return;
        log_info("session=%s stream=%s msg=\"recording removed\" reason=%s bytes=%llu", r->s->id, r->s->stream, r->reason.why,
                 (unsigned long long)r->bytes);
        stat_add(r->reason.count, 1);
}

/* What is left of it has another name now, which none that begins anew has. */
static void go_on_with_half(struct removal *r)
{
        size_t len = strlen(r->dir), suffix = strlen(FILE_REMOVED_SUFFIX);
        if (r->s && !r->unused && (len < suffix || strcmp(r->dir + len - suffix, FILE_REMOVED_SUFFIX) != 0)) {
                char *half = mem_printf("%s" FILE_REMOVED_SUFFIX, r->dir);
                free(r->dir);
                r->dir = half;
        }
        if (r->s)
                session_free(&r->s);
        wait_until(r, clock_mono_us() + REMOVAL_AGAIN_US);
}

/* It does not come back, so what the archive has of it can go too. */
static void tell_gone(struct removal *r)
{
        const struct store_events *e = &r->st->events;
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1];
        if (!r->told_gone && !r->unused && e->removed && names_of(r, stream, session))
                e->removed(e->arg, stream, session);
        r->told_gone = true; /* what is left of it may be tried for days */
}

static void removed(void *arg)
{
        struct removal *r = arg;
        bool over = !r->status || r->status == ERR_NOT_FOUND;
        if (r->unused && r->status == ERR_CONFLICT) { /* somebody's files are in it: they stay for a person to look at */
                log_warn("msg=\"a session without media is left alone: there is something else in its folder\" path=%s", r->dir);
                forget_id(r);
                gone(r);
                return;
        }
        stat_add(STAT_REMOVALS_FAILED, !over);
        tell_failing(r, !over);
        if (r->s)
                forget_id(r);
        if (over || !(r->s && r->whole && !r->unused))
                tell_gone(r);
        if (over) {
                tell_removed(r);
                gone(r);
        } else if (r->s && r->whole && !r->unused) {
                bring_back(r);
        } else {
                go_on_with_half(r);
        }
}

/* The disk's line is bounded: who has no place in it comes again with the next tick. Forgotten, it would be a recording again
 * after the next start. */
static void begin_removal(struct removal *r)
{
        if (disk_run(r->st->loop, DISK_COLD, remove_work, removed, r))
                wait_until(r, 0);
}

void removal_begin(struct store *st, struct session *s, bool unused, const struct removal_reason *reason)
{
        struct removal *r = mem_alloc(sizeof(*r)), **at = bucket(&st->removals, s->id);
        *r = (struct removal){.st = st, .s = s, .dir = session_dir(s), .bytes = session_here_bytes(s), .unused = unused, .next_by_id = *at};
        if (reason)
                r->reason = *reason;
        *at = r;
        st->removals.bytes += r->bytes;
        stat_set(STAT_REMOVING, ++st->removals.waiting);
        begin_removal(r);
}

void removal_begin_folder(struct store *st, char *dir)
{
        struct removal *r = mem_alloc(sizeof(*r));
        *r = (struct removal){.st = st, .dir = dir};
        stat_set(STAT_REMOVING, ++st->removals.waiting);
        begin_removal(r);
}

void removals_tick(struct store *st, int64_t now_mono_us)
{
        struct removal *r = st->removals.first, *next;
        st->removals.first = NULL;
        for (; r; r = next) {
                next = r->next;
                if (r->due_mono_us <= now_mono_us)
                        begin_removal(r);
                else
                        wait_until(r, r->due_mono_us);
        }
}

void removals_close(struct store *st)
{
        for (struct removal *r = st->removals.first, *next; r; r = next) {
                next = r->next;
                if (r->s)
                        forget_id(r);
                gone(r);
        }
        st->removals.first = NULL;
}
