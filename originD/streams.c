#include "originD/streams.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

/* ---- text: written as it goes, since a tree of a thousand live streams, of seven tracks each, would stop the loop for 20 ms ---------
 * */

struct text {
        FILE *file;
        char *bytes; /* of the file, once it is closed */
        size_t len, entries;
};

static void begin(struct text *t)
{
        *t = (struct text){.entries = 0};
        t->file = open_memstream(&t->bytes, &t->len);
        if (!t->file)
                abort(); /* as mem_alloc() does */
}

/* The caller's to free. */
static char *end(struct text *t)
{
        if (fclose(t->file))
                abort();
        return t->bytes;
}

static struct buf *end_as_buf(struct text *t)
{
        char *bytes = end(t);
        struct buf *b = buf_copy(bytes, t->len);
        free(bytes);
        return b;
}

/* What is no UTF-8 is as good as nothing. */
static void write_string(struct text *t, const char *s)
{
        bool plain = true;
        for (const char *p = s; *p && plain; p++)
                plain = *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
        json_t *j = plain ? NULL : json_string(s);
        if (j)
                json_dumpf(j, t->file, JSON_ENCODE_ANY | JSON_COMPACT);
        else
                fprintf(t->file, "\"%s\"", plain ? s : "");
        json_decref(j);
}

static void write_track(struct text *t, const struct session *s, const struct track *track)
{
        bool declared = s->state == SESSION_LIVE && track->bandwidth;
        fputs("{\"name\":", t->file);
        write_string(t, track->name);
        fputs(",\"codec\":", t->file);
        write_string(t, track->init.codec);
        fprintf(t->file, ",\"bandwidth\":%u", declared ? track->bandwidth : track_facts(s, track).average_bps);
        if (track->init.kind == TRACK_VIDEO)
                fprintf(t->file, ",\"width\":%u,\"height\":%u", (unsigned)track->init.width, (unsigned)track->init.height);
        fputc('}', t->file);
}

static void write_tracks(struct text *t, const struct session *s)
{
        const char *between = "";
        fputc('[', t->file);
        for (size_t i = 0; i < s->track_count; i++)
                if (track_playable(s, s->tracks[i])) {
                        fputs(between, t->file);
                        write_track(t, s, s->tracks[i]);
                        between = ",";
                }
        fputc(']', t->file);
}

/* tracks NULL: as they are now. */
static void write_session(struct text *t, const struct session *s, const char *tracks)
{
        char iso[CLOCK_ISO_MAX];
        fprintf(t->file, "%s{\"id\":\"%s\",\"session\":\"%s\",\"state\":\"%s\",\"started\":\"%s\",\"title\":", t->entries++ ? "," : "",
                s->stream, s->id, session_state_name(s), clock_iso(iso, sizeof(iso), s->epoch_us));
        write_string(t, s->title);
        if (s->captions)
                fputs(",\"captions\":true", t->file);
        fputs(",\"tracks\":", t->file);
        if (tracks)
                fputs(tracks, t->file);
        else
                write_tracks(t, s);
        fputc('}', t->file);
}

/* ---- what is live -------------------------------------------------------------------------------------------------- */

struct streams_making {
        struct text text;
        int64_t before_ms; /* all that started later was told: a place of by_start.h */
        char before[SESSION_ID_MAX + 1];
};

/* A session that is live while a newer one of its stream is too has begun to end, or will. */
static bool has_newer_live(const struct session *s)
{
        for (s = s->prev_of_stream; s; s = s->prev_of_stream)
                if (s->state == SESSION_LIVE && !s->ending)
                        return true;
        return false;
}

/* The newest first: the same list has the same ETag, whoever asks. false: there are more. */
static bool tell_live(struct streams_making *m, const struct store *st)
{
        const struct by_start *live = &st->live_by_start;
        size_t i = by_start_before(live, m->before_ms, m->before);
        size_t end = live->count - i > STREAMS_STEP ? i + STREAMS_STEP : live->count;
        for (; i < end; i++) {
                const struct session *s = live->at[i];
                if (!s->ending && session_playable(s) && (s->of_stream->live == 1 || !has_newer_live(s)))
                        write_session(&m->text, s, NULL);
                m->before_ms = s->epoch_us / US_PER_MS;
                strcpy(m->before, s->id);
        }
        return i == live->count;
}

/* ---- the newest recordings of other streams ------------------------------------------------------------------------- */

static bool is_newest_playable(const struct session *s)
{
        for (const struct session *newer = s->prev_of_stream; newer; newer = newer->prev_of_stream)
                if (session_playable(newer))
                        return false;
        return true;
}

/* Into told; *more: there are others. */
static size_t find_newest(const struct store *st, struct session *told[STREAMS_RECORDINGS], bool *more)
{
        const struct by_start *all = &st->by_start;
        size_t n = 0, i = 0, looks = all->count < RECORDINGS_LOOKS ? all->count : RECORDINGS_LOOKS;
        *more = false;
        for (; i < looks && !(*more && n == STREAMS_RECORDINGS); i++) {
                struct session *s = all->at[i];
                bool live = s->state == SESSION_LIVE && !s->ending;
                if (live || !session_playable(s))
                        continue;
                if (n < STREAMS_RECORDINGS && !(s->of_stream->live && stream_live(s->of_stream)) && is_newest_playable(s))
                        told[n++] = s;
                else
                        *more = true;
        }
        *more |= i < all->count;
        return n;
}

/* The caller's to free; NULL: they are not known now. */
static char *known_tracks(const struct streams_known *known, const struct session *s)
{
        for (size_t i = 0; i < known->count; i++)
                if (known->at[i].version == s->version && strcmp(known->at[i].session, s->id) == 0)
                        return mem_strdup(known->at[i].tracks);
        if (s->load != LOAD_DONE && s->state == SESSION_ENDED)
                return NULL;
        struct text t;
        begin(&t);
        write_tracks(&t, s);
        return end(&t);
}

/* How many may be begun to read. Everybody asks for the list, and nobody takes turns for it: so it leaves the disk to those who want to
 * watch, and does not push out what they have loaded. */
static size_t room_for_loads(const struct store *st, struct session *const told[], size_t count)
{
        size_t under_way = 0;
        if (st->loaded_count >= STORE_LOADED_MAX)
                return 0;
        for (size_t i = 0; i < count; i++)
                under_way += told[i]->load == LOAD_UNDER_WAY;
        return under_way < STREAMS_LOADS_MAX ? STREAMS_LOADS_MAX - under_way : 0;
}

void streams_forget(struct streams_known *known)
{
        for (size_t i = 0; i < known->count; i++)
                free(known->at[i].tracks);
        known->count = 0;
}

/* Returns whether there are more recordings than those. */
static bool tell_newest(struct text *t, struct store *st, struct streams_known *known)
{
        struct session *told[STREAMS_RECORDINGS];
        struct streams_known now = {.count = 0};
        bool more;
        size_t n = find_newest(st, told, &more), room = room_for_loads(st, told, n);
        for (size_t i = 0; i < n; i++) {
                struct session *s = told[i];
                char *tracks = known_tracks(known, s);
                write_session(t, s, tracks ? tracks : "[]");
                if (tracks) {
                        struct known_tracks *k = &now.at[now.count++];
                        *k = (struct known_tracks){.version = s->version, .tracks = tracks};
                        strcpy(k->session, s->id);
                } else if (room && session_loadable(s)) {
                        session_load(s); /* they are told the next time */
                        room--;
                }
        }
        streams_forget(known);
        *known = now;
        return more;
}

struct streams_making *streams_begin(void)
{
        struct streams_making *m = mem_alloc(sizeof(*m));
        begin(&m->text);
        m->before_ms = INT64_MAX;
        fputs("{\"streams\":[", m->text.file);
        return m;
}

struct buf *streams_go_on(struct streams_making **mp, struct store *st, struct streams_known *known)
{
        struct streams_making *m = *mp;
        if (!tell_live(m, st))
                return NULL;
        fputs(tell_newest(&m->text, st, known) ? "],\"next\":\"" KEY_RECORDINGS_PATH "\"}" : "]}", m->text.file);
        struct buf *list = end_as_buf(&m->text);
        free(m);
        *mp = NULL;
        return list;
}

void streams_give_up(struct streams_making **mp)
{
        if (*mp)
                free(end(&(*mp)->text));
        free(*mp);
        *mp = NULL;
}

/* ---- pages --------------------------------------------------------------------------------------------------------- */

struct buf *recordings_json(const struct store *st, const struct key *page)
{
        const struct by_start *all = &st->by_start;
        size_t i = by_start_before(all, page->before_ms, page->session), from = i;
        struct text t;
        begin(&t);
        fputs("{\"recordings\":[", t.file);
        for (; i < all->count && i - from < RECORDINGS_LOOKS; i++) {
                const struct session *s = all->at[i];
                if (s->state != SESSION_ENDED || !session_playable(s))
                        continue;
                if (t.entries == RECORDINGS_PAGE)
                        break;
                write_session(&t, s, NULL);
        }
        fputc(']', t.file);
        if (i < all->count) { /* where the next one begins: it may be that this one is not there any more then */
                char iso[CLOCK_ISO_MAX];
                const struct session *last = all->at[i - 1];
                fprintf(t.file, ",\"next\":\"" KEY_RECORDINGS_PATH "/before/%s/%s\"", clock_iso(iso, sizeof(iso), last->epoch_us), last->id);
        }
        fputc('}', t.file);
        return end_as_buf(&t);
}
