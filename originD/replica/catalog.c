#include "originD/replica/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/json_buf.h"
#include "common/mem.h"
#include "originD/session_json.h"
#include "proto/check.h"
#include "proto/generation.h"

/* Of a session on another grid than the usual one an older origin, that knows one only, would take places for others, copy it over what
 * it leaves alone, or refuse the list for it. So it is told a generation that there cannot be, and leaves the session out; who knows
 * reads these instead. */
#define SHORT_GENERATION "short_generation"
#define SHORT_CHUNK "short_next_chunk"

static json_int_t told_generation(const struct session *s)
{
        return s->chunk_ms == CHUNK_MS ? s->generation : UINT32_MAX;
}

static json_t *track_json(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        uint64_t next = f.any ? track_end_place(s, t) : eras_place(s->chunk_ms, t->first_segment, 0);
        unsigned chunks = chunks_of_segment(s->chunk_ms);
        bool usual = s->chunk_ms == CHUNK_MS;
        json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name", t->name, "start_us",
                         (json_int_t)t->start_us, "end_us", (json_int_t)(f.any ? f.end_us : t->start_us),
                         "first_segment", (json_int_t)t->first_segment, "bandwidth", (json_int_t)t->bandwidth, "fps_milli",
                         (json_int_t)t->fps_milli, "next_segment", (json_int_t)(next / chunks), "next_chunk",
                         (json_int_t)(usual ? next % chunks : 0), "bytes", (json_int_t)f.file_bytes, "first_here",
                         (json_int_t)track_first_segment(s, t), "history",
                         eras_to_json(&t->eras));
        if (!usual)
                json_object_set_new(j, SHORT_CHUNK, json_integer((json_int_t)(next % chunks)));
        return j;
}

/* The number from which on volumes of all tracks are told in one page: no track has more than CATALOG_VOLUMES in it. */
static uint32_t page_begins(const struct session *s, uint64_t below)
{
        uint32_t from = 0;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct chunk_log *log = s->tracks[i]->log;
                size_t n = log ? volumes_below(&log->closed, below) : 0;
                if (n > CATALOG_VOLUMES && log->closed.rows[n - CATALOG_VOLUMES].number > from)
                        from = log->closed.rows[n - CATALOG_VOLUMES].number;
        }
        return from;
}

/* All of them: who copies has to know of one that is being closed, or lacking here too, or it would take the place for a hole. The
 * checksum is of those that are whole, and can be had from here. */
static json_t *volumes_json(const struct track *t, uint32_t from, uint64_t below)
{
        json_t *list = json_array();
        size_t count = t->log ? volumes_below(&t->log->closed, below) : 0;
        for (size_t i = t->log ? volumes_below(&t->log->closed, from) : 0; i < count; i++) {
                const struct volume_row *v = &t->log->closed.rows[i];
                bool whole = (v->state == VOLUME_HERE || v->state == VOLUME_ARCHIVED) && !v->closing;
                json_array_append_new(list, json_pack("[I, I, I, I, I, i]", (json_int_t)v->number, (json_int_t)v->sum.first_segment,
                                                      (json_int_t)v->sum.last_segment, (json_int_t)v->sum.bytes,
                                                      (json_int_t)(whole ? v->sum.crc : 0), (int)v->state));
        }
        return list;
}

static json_t *session_json(const struct session *s, bool whole)
{
        json_t *j = json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I}", "id", s->id, "stream", s->stream,
                              "node", s->node, "title", json_title(s->title), "epoch_us", (json_int_t)s->epoch_us,
                              "generation", told_generation(s), "grace_ms", (json_int_t)s->grace_ms, "state",
                              s->state == SESSION_ENDED ? "ended" : "live", "ended_by_writer", s->ended_by_writer,
                              "ended_wall_us", (json_int_t)s->ended_wall_us, "end_us", (json_int_t)s->end_us,
                              "volume_segments", (json_int_t)s->volume_segments);
        session_grid_to_json(j, s->chunk_ms);
        if (s->chunk_ms != CHUNK_MS)
                json_object_set_new(j, SHORT_GENERATION, json_integer(s->generation));
        if (s->long_parts)
                json_object_set_new(j, "long_parts", json_true());
        if (s->captions)
                json_object_set_new(j, "captions", json_true());
        if (!whole) {
                struct session_sum sum = session_sum(s);
                json_object_set_new(j, "sum", session_sum_to_json(&sum));
                return j;
        }
        json_t *tracks = json_array();
        for (size_t i = 0; i < s->track_count; i++)
                if (!s->tracks[i]->making)
                        json_array_append_new(tracks, track_json(s, s->tracks[i]));
        json_object_set_new(j, "tracks", tracks);
        return j;
}

struct buf *catalog_write_one(const struct session *s, uint64_t below)
{
        json_t *list = json_array(), *j = s ? session_json(s, true) : NULL;
        uint32_t from = s ? page_begins(s, below) : 0;
        for (size_t i = 0; i < json_array_size(json_object_get(j, "tracks")); i++) {
                json_t *t = json_array_get(json_object_get(j, "tracks"), i);
                const char *name = json_string_value(json_object_get(t, "name"));
                json_object_set_new(t, "volumes", volumes_json(session_track(s, name), from, below));
        }
        if (j) {
                json_t *cues = cues_to_json(s->cues);
                if (cues)
                        json_object_set_new(j, "cues", cues);
                json_object_set_new(j, "volumes_from", json_integer(from));
                json_array_append_new(list, j);
        }
        return json_to_buf(json_pack("{s:o}", "sessions", list));
}

/* What it costs to tell it, and to read that. */
static size_t parts_of(const struct session *s)
{
        size_t parts = 1;
        for (size_t i = 0; i < s->track_count; i++)
                parts += 1 + s->tracks[i]->eras.count;
        return parts;
}

struct buf *catalog_write_live(const struct store *st, uint64_t since, int64_t before_ms, const char *before)
{
        const struct by_start *all = &st->live_by_start;
        json_t *list = json_array();
        size_t i = by_start_before(all, before_ms, before), parts = 0;
        for (size_t looks = 0; i < all->count && parts < CATALOG_LIVE_PARTS && looks < CATALOG_LIVE_LOOKS; i++, looks++) {
                const struct session *s = all->at[i];
                if (s->moved <= since)
                        continue;
                json_array_append_new(list, session_json(s, true));
                parts += parts_of(s);
        }
        bool more = i > 0 && i < all->count;
        json_t *j = json_pack("{s:o, s:I, s:b}", "sessions", list, "next", (json_int_t)st->moves, "more", more);
        if (more) {
                const struct session *last = all->at[i - 1];
                json_object_set_new(j, "before_ms", json_integer(last->epoch_us / US_PER_MS));
                json_object_set_new(j, "before", json_string(last->id));
        }
        return json_to_buf(j);
}

struct buf *catalog_write_ended(struct store *st, uint64_t since)
{
        json_t *list = json_array();
        struct session *s = store_changed_behind(st, since);
        uint64_t next = since;
        for (; s && json_array_size(list) < CATALOG_PAGE; s = s->changed_after) {
                next = s->change;
                if (s->state == SESSION_ENDED)
                        json_array_append_new(list, session_json(s, false));
        }
        return json_to_buf(json_pack("{s:o, s:I, s:b}", "sessions", list, "next", (json_int_t)next, "more", s != NULL));
}

static uint64_t number_at(const json_t *list, size_t i, uint64_t max, int *bad)
{
        const json_t *v = json_array_get(list, i);
        json_int_t n = json_integer_value(v);
        *bad |= !json_is_integer(v) || n < 0 || (uint64_t)n > max;
        return (uint64_t)n;
}

static void read_volumes(struct volumes *out, const json_t *list, int *bad)
{
        for (size_t i = 0; i < json_array_size(list) && !*bad; i++) {
                const json_t *v = json_array_get(list, i);
                struct volume_row row = {.number = (uint32_t)number_at(v, 0, UINT32_MAX, bad)};
                row.sum.first_segment = (uint32_t)number_at(v, 1, UINT32_MAX, bad);
                row.sum.last_segment = (uint32_t)number_at(v, 2, UINT32_MAX, bad);
                row.sum.bytes = number_at(v, 3, INT64_MAX, bad);
                row.sum.crc = (uint32_t)number_at(v, 4, UINT32_MAX, bad);
                row.state = (uint8_t)number_at(v, 5, VOLUME_STATES - 1, bad);
                *bad |= row.sum.last_segment < row.sum.first_segment ||
                        row.sum.last_segment - row.sum.first_segment >= VOLUME_SEGMENTS_MAX ||
                        (out->count && out->rows[out->count - 1].number >= row.number);
                if (!*bad)
                        volumes_insert(out, &row);
        }
}

static void read_track(struct peer_track *t, const json_t *j, unsigned chunk_ms, int *bad)
{
        json_text(j, "name", t->name, sizeof(t->name), bad);
        t->start_us = (int64_t)json_number(j, "start_us", TIME_MAX_US, bad);
        t->end_us = (int64_t)json_number(j, "end_us", TIME_MAX_US, bad);
        t->first_segment = (uint32_t)json_number(j, "first_segment", UINT32_MAX, bad);
        t->first_here = (uint32_t)json_number(j, "first_here", UINT32_MAX, bad);
        t->bandwidth = (uint32_t)json_number(j, "bandwidth", UINT32_MAX, bad);
        t->fps_milli = (uint32_t)json_number(j, "fps_milli", UINT32_MAX, bad);
        t->next_segment = (uint32_t)json_number(j, "next_segment", UINT32_MAX, bad);
        t->next_chunk = (uint8_t)json_number(j, chunk_ms == CHUNK_MS ? "next_chunk" : SHORT_CHUNK, chunks_of_segment(chunk_ms) - 1, bad);
        t->bytes = json_number(j, "bytes", INT64_MAX, bad);
        if (!track_name_valid(t->name) || eras_from_json(&t->eras, json_object_get(j, "history")))
                *bad = 1;
        read_volumes(&t->volumes, json_object_get(j, "volumes"), bad);
}

static bool told_twice(const struct peer_session *s, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (strcmp(s->tracks[k].name, s->tracks[i].name) == 0)
                        return true;
        return false;
}

static void read_session(struct peer_session *s, const json_t *j, int *bad)
{
        char state[8] = "";
        json_text(j, "id", s->id, sizeof(s->id), bad);
        json_text(j, "stream", s->stream, sizeof(s->stream), bad);
        json_text(j, "node", s->node, sizeof(s->node), bad);
        json_text(j, "title", s->title, sizeof(s->title), bad);
        json_text(j, "state", state, sizeof(state), bad);
        s->epoch_us = (int64_t)json_number(j, "epoch_us", TIME_MAX_US, bad);
        s->end_us = (int64_t)json_number(j, "end_us", TIME_MAX_US, bad);
        s->ended_wall_us = (int64_t)json_number(j, "ended_wall_us", TIME_MAX_US, bad);
        s->chunk_ms = session_grid_from_json(j, bad);
        s->generation = (uint32_t)json_number(j, s->chunk_ms == CHUNK_MS ? "generation" : SHORT_GENERATION, UINT32_MAX, bad);
        s->grace_ms = (uint32_t)json_number(j, "grace_ms", UINT32_MAX, bad);
        s->grace_ms = s->grace_ms < GRACE_MAX_MS ? s->grace_ms : GRACE_MAX_MS; /* no session stays alive for weeks without a writer */
        s->volume_segments = (uint32_t)json_number(j, "volume_segments", VOLUME_SEGMENTS_MAX, bad);
        if (!s->volume_segments)
                *bad = 1;
        s->ended = strcmp(state, "ended") == 0;
        s->ended_by_writer = json_is_true(json_object_get(j, "ended_by_writer"));
        s->long_parts = json_is_true(json_object_get(j, "long_parts"));
        s->captions = json_is_true(json_object_get(j, "captions"));
        const json_t *tracks = json_object_get(j, "tracks");
        s->whole = tracks != NULL;
        if (!s->whole)
                session_sum_from_json(&s->sum, json_object_get(j, "sum"), bad);
        if (!session_id_valid(s->id) || !stream_id_valid(s->stream) || (*s->node && !node_id_valid(s->node)) ||
            json_array_size(tracks) > SESSION_TRACKS_MAX)
                *bad = 1;
        if (*bad)
                return;
        if (!s->whole)
                return;
        if (json_object_get(j, "volumes_from"))
                s->volumes_from = (uint32_t)json_number(j, "volumes_from", UINT32_MAX, bad);
        cues_from_json(&s->cues, json_object_get(j, "cues"));
        s->track_count = json_array_size(tracks);
        s->tracks = mem_alloc(s->track_count * sizeof(*s->tracks));
        for (size_t i = 0; i < s->track_count; i++) {
                read_track(&s->tracks[i], json_array_get(tracks, i), s->chunk_ms, bad);
                s->tracks[i].older_volumes = s->volumes_from > 0;
                const struct volumes *v = &s->tracks[i].volumes; /* a page before this one ends there: their rows have to rise together */
                *bad |= told_twice(s, i) || (v->count && v->rows[0].number < s->volumes_from);
        }
}

static void free_session(struct peer_session *s)
{
        for (size_t t = 0; t < s->track_count; t++) {
                eras_free(&s->tracks[t].eras);
                if (s->tracks[t].volumes.rows)
                        free(s->tracks[t].volumes.rows - s->tracks[t].rows_room);
        }
        free(s->tracks);
        cues_free(&s->cues);
        *s = (struct peer_session){.whole = false};
}

static bool has_impossible_generation(const struct peer_session *s)
{
        bool found = !generation_possible(s->generation) || (!s->whole && !generation_possible(s->sum.written_generation));
        for (size_t i = 0; i < s->track_count && !found; i++)
                for (size_t k = 0; k < s->tracks[i].eras.count; k++)
                        found |= !generation_possible(s->tracks[i].eras.list[k].generation);
        return found;
}

int catalog_read(struct catalog *out, const char *text, size_t len_bytes)
{
        json_t *j = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
        const json_t *list = json_object_get(j, "sessions");
        size_t n = json_array_size(list);
        int bad = !json_is_array(list) || n > CATALOG_SESSIONS_MAX;
        *out = (struct catalog){.more = json_is_true(json_object_get(j, "more"))};
        if (json_object_get(j, "next"))
                out->next = json_number(j, "next", INT64_MAX, &bad);
        if (json_object_get(j, "before")) {
                json_text(j, "before", out->before, sizeof(out->before), &bad);
                out->before_ms = (int64_t)json_number(j, "before_ms", INT64_MAX, &bad);
                bad |= !bad && !session_id_valid(out->before);
        }
        if (!bad)
                out->sessions = mem_alloc(n * sizeof(*out->sessions));
        for (size_t i = 0; !bad && i < n; i++) {
                struct peer_session *to = &out->sessions[out->count++];
                read_session(to, json_array_get(list, i), &bad);
                if (!bad && has_impossible_generation(to)) {
                        free_session(to);
                        out->count--;
                        out->left_out++;
                }
        }
        json_decref(j);
        if (bad)
                catalog_free(out);
        return bad ? ERR_PROTO : 0;
}

static const struct volumes *volumes_of(const struct peer_session *s, const char *track)
{
        for (size_t i = 0; i < s->track_count; i++)
                if (strcmp(s->tracks[i].name, track) == 0)
                        return &s->tracks[i].volumes;
        return NULL; /* it came, or went, between two pages */
}

/* With as much room before them again when there is none: the rows of a year are not to be moved for each page. */
static void put_before(struct peer_track *t, const struct volumes *older)
{
        struct volumes *v = &t->volumes;
        if (t->rows_room < older->count) {
                size_t room = v->count + 2 * older->count;
                struct volume_row *block = mem_resize(NULL, (room + v->count) * sizeof(*block));
                if (v->count)
                        memcpy(block + room, v->rows, v->count * sizeof(*block));
                if (v->rows)
                        free(v->rows - t->rows_room);
                v->rows = block + room;
                t->rows_room = room;
        }
        v->rows -= older->count;
        v->count += older->count;
        t->rows_room -= older->count;
        memcpy(v->rows, older->rows, older->count * sizeof(*v->rows));
}

int catalog_add_older(struct peer_session *to, const struct catalog *page)
{
        const struct peer_session *from = page->count == 1 ? &page->sessions[0] : NULL;
        if (!from || strcmp(from->id, to->id) != 0 || !from->whole || from->volumes_from >= to->volumes_from)
                return ERR_PROTO;
        for (size_t i = 0; i < from->track_count; i++) {
                const struct volumes *v = &from->tracks[i].volumes;
                if (v->count && v->rows[v->count - 1].number >= to->volumes_from)
                        return ERR_PROTO;
        }
        to->volumes_from = from->volumes_from;
        for (size_t i = 0; i < to->track_count; i++) {
                const struct volumes *older = volumes_of(from, to->tracks[i].name);
                if (older && older->count)
                        put_before(&to->tracks[i], older);
                to->tracks[i].older_volumes = to->volumes_from > 0;
        }
        return 0;
}

void catalog_free(struct catalog *l)
{
        for (size_t i = 0; i < l->count; i++)
                free_session(&l->sessions[i]);
        free(l->sessions);
        *l = (struct catalog){0};
}
