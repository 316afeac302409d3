/* Which sessions there are: by id, by stream, the live ones, those that ended in the order in which they did, and all in the order in
 * which they changed. */
#include "originD/store_impl.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/mem.h"
#include "originD/stats.h"

static size_t bucket(const char *s)
{
        return XXH3_64bits(s, strlen(s)) % STORE_BUCKETS;
}

struct session *store_session(struct store *st, const char *id)
{
        struct session *s = st->by_id[bucket(id)];
        while (s && strcmp(s->id, id) != 0)
                s = s->next_by_id;
        return s;
}

struct stream *store_stream(struct store *st, const char *id)
{
        struct stream *s = st->by_name[bucket(id)];
        while (s && strcmp(s->id, id) != 0)
                s = s->next;
        return s;
}

struct session *stream_live(const struct stream *stream)
{
        for (struct session *s = stream ? stream->sessions : NULL; s; s = s->next_of_stream)
                if (s->state == SESSION_LIVE && !s->ending)
                        return s;
        return NULL;
}

static struct stream *stream_make(struct store *st, const char *id)
{
        struct stream *s = store_stream(st, id);
        if (s)
                return s;
        s = mem_alloc(sizeof(*s));
        strcpy(s->id, id);
        struct stream **head = &st->by_name[bucket(id)];
        s->next = *head;
        *head = s;
        s->next_all = st->all;
        s->prev_all = &st->all;
        if (st->all)
                st->all->prev_all = &s->next_all;
        st->all = s;
        return s;
}

static void stream_free(struct store *st, struct stream *s)
{
        struct stream **at = &st->by_name[bucket(s->id)];
        while (*at != s)
                at = &(*at)->next;
        *at = s->next;
        *s->prev_all = s->next_all;
        if (s->next_all)
                s->next_all->prev_all = s->prev_all;
        free(s);
}

/* ---- lists: the live ones, and those that ended in the order in which they did ---------------------------------------- */

static void unlist(struct store *st, struct session *s)
{
        bool live = s->list == LIST_LIVE;
        if (s->list == LIST_NONE)
                return;
        if (st->sweep_at == s)
                st->sweep_at = s->newer;
        if (st->archive_at == s)
                st->archive_at = s->older || !live ? s->older : st->newest_ended;
        if (st->scrub_at == s)
                st->scrub_at = s->older || !live ? s->older : st->newest_ended;
        *(s->newer ? &s->newer->older : live ? &st->first_live : &st->newest_ended) = s->older;
        if (s->older)
                s->older->newer = s->newer;
        else if (!live)
                st->oldest_ended = s->newer;
        s->newer = s->older = NULL;
        if (live)
                by_start_remove(&st->live_by_start, s);
        s->of_stream->live -= live;
        if (!live) {
                s->of_stream->ended_bytes -= s->listed_bytes;
                st->ended_bytes -= s->listed_bytes;
        }
        *(live ? &st->live : &st->ended) -= 1;
        stat_add(live ? STAT_SESSIONS_LIVE : STAT_SESSIONS_ENDED, -1);
        s->list = LIST_NONE;
}

static void list_live(struct store *st, struct session *s)
{
        s->older = st->first_live;
        if (s->older)
                s->older->newer = s;
        st->first_live = s;
        by_start_add(&st->live_by_start, s);
}

/* From the newest end on: a session that ends now is there. Those of a start come the newest first. */
static void list_ended(struct store *st, struct session *s)
{
        struct session *newer = NULL, *older = st->newest_ended;
        if (!st->started) {
                newer = st->oldest_ended;
                while (newer && newer->ended_wall_us <= s->ended_wall_us)
                        newer = newer->newer;
                older = newer ? newer->older : older;
        }
        while (older && older->ended_wall_us > s->ended_wall_us) {
                newer = older;
                older = older->older;
        }
        s->newer = newer;
        s->older = older;
        *(newer ? &newer->older : &st->newest_ended) = s;
        *(older ? &older->newer : &st->oldest_ended) = s;
        s->listed_wall_us = s->ended_wall_us;
        s->listed_bytes = session_bytes(s);
        s->of_stream->ended_bytes += s->listed_bytes;
        st->ended_bytes += s->listed_bytes;
}

static void enlist(struct store *st, struct session *s)
{
        bool live = s->state == SESSION_LIVE;
        if (s->list == LIST_ENDED && !live && s->listed_wall_us == s->ended_wall_us) {
                uint64_t bytes = s->load == LOAD_UNDER_WAY ? s->listed_bytes : session_bytes(s);
                s->of_stream->ended_bytes += bytes - s->listed_bytes;
                st->ended_bytes += bytes - s->listed_bytes;
                s->listed_bytes = bytes;
                return;
        }
        if (s->list == LIST_LIVE && live)
                return;
        if (s->list == LIST_LIVE && s->ended_wall_us < st->age.reached_us)
                s->ended_mono_us = clock_mono_us();
        unlist(st, s);
        s->list = live ? LIST_LIVE : LIST_ENDED;
        *(live ? &st->live : &st->ended) += 1;
        stat_add(live ? STAT_SESSIONS_LIVE : STAT_SESSIONS_ENDED, 1);
        s->of_stream->live += live;
        if (live)
                list_live(st, s);
        else
                list_ended(st, s);
}

static void changes_unlink(struct store *st, struct session *s)
{
        *(s->changed_before ? &s->changed_before->changed_after : &st->changed_first) = s->changed_after;
        *(s->changed_after ? &s->changed_after->changed_before : &st->changed_last) = s->changed_before;
        s->changed_before = s->changed_after = NULL;
}

static void changes_append(struct store *st, struct session *s)
{
        s->change = ++st->changes;
        s->change_version = s->version;
        s->changed_before = st->changed_last;
        *(st->changed_last ? &st->changed_last->changed_after : &st->changed_first) = s;
        st->changed_last = s;
}

struct session *store_changed_behind(const struct store *st, uint64_t since)
{
        struct session *s = since ? st->changed_last : st->changed_first;
        if (!since)
                return s;
        if (!s || s->change <= since)
                return NULL;
        while (s->changed_before && s->changed_before->change > since)
                s = s->changed_before;
        return s;
}

static void session_changed(void *arg, struct session *s)
{
        struct store *st = arg;
        s->moved = ++st->moves;
        if (s->change_version != s->version) { /* a chunk changes nothing that session.json says */
                changes_unlink(st, s);
                changes_append(st, s);
        }
        enlist(st, s);
        if (s->state == SESSION_ENDED && s->load == LOAD_DONE && !s->in_loaded) {
                s->in_loaded = true;
                s->asked_mono_us = clock_mono_us();
                s->next_loaded = st->loaded;
                st->loaded = s;
                st->loaded_count++;
        }
        st->events.changed(st->events.arg, s);
}

static void session_unsaved(void *arg, int status)
{
        space_save_failed(arg, status);
}

bool session_newer(int64_t epoch_us, const char *id, const struct session *than)
{
        return epoch_us > than->epoch_us || (epoch_us == than->epoch_us && strcmp(id, than->id) > 0);
}

void store_add(struct store *st, struct session *s)
{
        s->changed = session_changed;
        s->unsaved = session_unsaved;
        s->arg = st;
        struct session **head = &st->by_id[bucket(s->id)];
        s->next_by_id = *head;
        *head = s;
        changes_append(st, s);
        s->moved = ++st->moves;
        struct stream *stream = stream_make(st, s->stream);
        struct session *newer = NULL, *older = stream->sessions;
        if (!st->started) { /* as in list_ended() */
                newer = stream->oldest;
                while (newer && !session_newer(newer->epoch_us, newer->id, s))
                        newer = newer->prev_of_stream;
                older = newer ? newer->next_of_stream : older;
        }
        while (older && session_newer(older->epoch_us, older->id, s)) {
                newer = older;
                older = older->next_of_stream;
        }
        s->of_stream = stream;
        s->prev_of_stream = newer;
        s->next_of_stream = older;
        *(newer ? &newer->next_of_stream : &stream->sessions) = s;
        *(older ? &older->prev_of_stream : &stream->oldest) = s;
        by_start_add(&st->by_start, s);
        enlist(st, s);
}

void store_unlink_session(struct store *st, struct session *s)
{
        struct session **at = &st->by_id[bucket(s->id)];
        while (*at != s)
                at = &(*at)->next_by_id;
        *at = s->next_by_id;
        changes_unlink(st, s);
        names_went(&st->gone, ++st->changes, names_session(s->stream, s->id));
        by_start_remove(&st->by_start, s);
        unlist(st, s);
        struct stream *stream = s->of_stream;
        *(s->prev_of_stream ? &s->prev_of_stream->next_of_stream : &stream->sessions) = s->next_of_stream;
        *(s->next_of_stream ? &s->next_of_stream->prev_of_stream : &stream->oldest) = s->prev_of_stream;
        if (!stream->sessions)
                stream_free(st, stream);
}
