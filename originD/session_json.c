/* session.json: what of a session its files do not say themselves. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"
#include "originD/session.h"
#include "originD/session_json.h"

/* 4 knows one grid only: a version of this program that does not know of chunk_ms leaves a session of another one alone, instead of
 * taking its places for others. */
#define FORMAT_VERSION 5
#define FORMAT_VERSION_USUAL_GRID 4
#define JSON_MAX (1 << 20) /* sixteen tracks of 64 eras are 120 KB */

static _Thread_local const char *first_wrong; /* the key of the member that was found wrong first; static text */

static int wrong(const char *key)
{
        if (!first_wrong)
                first_wrong = key;
        return 1;
}

json_t *eras_to_json(const struct eras *e)
{
        json_t *list = json_array();
        for (size_t i = 0; i < e->count; i++)
                json_array_append_new(list, json_pack("[I, I, s]", (json_int_t)e->list[i].place,
                                                      (json_int_t)e->list[i].generation, e->list[i].node));
        return list;
}

static bool unsigned_at(const json_t *list, size_t i, uint64_t max, uint64_t *out)
{
        const json_t *v = json_array_get(list, i);
        json_int_t n = json_integer_value(v);
        *out = (uint64_t)n;
        return json_is_integer(v) && n >= 0 && (uint64_t)n <= max;
}

int eras_from_json(struct eras *e, const json_t *list)
{
        *e = (struct eras){0};
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *v = json_array_get(list, i);
                const char *node = json_string_value(json_array_get(v, 2));
                uint64_t place, generation;
                if (i == ERAS_MAX || !unsigned_at(v, 0, ERAS_PLACE_MAX, &place) ||
                    !unsigned_at(v, 1, UINT32_MAX, &generation) || !node || strlen(node) > NODE_ID_MAX ||
                    (e->count && e->list[e->count - 1].place >= place)) {
                        eras_free(e);
                        wrong("eras");
                        return ERR_CORRUPT;
                }
                eras_begin(e, place, (uint32_t)generation, node);
        }
        return json_is_array(list) ? 0 : ERR_CORRUPT;
}

static json_t *track_to_json(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "name", t->name, "start_us", (json_int_t)t->start_us,
                              "first_segment", (json_int_t)t->first_segment, "bandwidth", (json_int_t)t->bandwidth,
                              "fps_milli", (json_int_t)t->fps_milli, "eras", eras_to_json(&t->eras));
        if (s->state == SESSION_ENDED)
                json_object_set_new(j, "at_end",
                                    json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "any", f.any,
                                              "first_segment", (json_int_t)f.first_segment, "last_segment",
                                              (json_int_t)f.last_segment, "end_us", (json_int_t)f.end_us, "guess_us",
                                              (json_int_t)f.guess_us, "file_bytes", (json_int_t)f.file_bytes, "average_bps",
                                              (json_int_t)f.average_bps, "peak_bps", (json_int_t)f.peak_bps, "fps_milli",
                                              (json_int_t)f.fps_milli));
        return j;
}

json_t *json_title(const char *title)
{
        json_t *j = json_string(title);
        return j ? j : json_string("");
}

json_t *session_sum_to_json(const struct session_sum *sum)
{
        char digest[17];
        snprintf(digest, sizeof(digest), "%016" PRIx64, sum->digest);
        json_t *j = json_pack("{s:i, s:i, s:b, s:I, s:s, s:I, s:I}", "tracks", (int)sum->tracks, "lacking", (int)sum->lacking, "playable", sum->playable, "bytes",
                              (json_int_t)sum->bytes, "digest", digest, "written_generation", (json_int_t)sum->written_generation,
                              "written_place", (json_int_t)sum->written_place);
        const struct archive_sum *a = &sum->archive;
        if (a->copied || a->archived) /* only where there is an archive */
                json_object_set_new(j, "archive", json_pack("[I, I, I]", (json_int_t)a->uncopied, (json_int_t)a->copied,
                                                            (json_int_t)a->archived));
        return j;
}

void session_grid_to_json(json_t *j, uint8_t chunk_ms)
{
        if (chunk_ms != CHUNK_MS)
                json_object_set_new(j, "chunk_ms", json_integer(chunk_ms));
}

struct buf *session_to_json(const struct session *s)
{
        struct session_sum sum = session_sum(s);
        json_t *tracks = json_array();
        for (size_t i = 0; i < s->track_count; i++)
                if (!s->tracks[i]->making || s->tracks[i]->unreadable)
                        json_array_append_new(tracks, track_to_json(s, s->tracks[i]));
        json_t *head = json_pack("{s:i, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I, s:o}", "version",
                                 s->chunk_ms == CHUNK_MS ? FORMAT_VERSION_USUAL_GRID : FORMAT_VERSION, "session", s->id,
                                 "stream", s->stream, "title", json_title(s->title ? s->title : ""),
                                 "node", s->node, "epoch_us", (json_int_t)s->epoch_us, "generation",
                                 (json_int_t)s->generation, "grace_ms", (json_int_t)s->grace_ms, "state",
                                 s->state == SESSION_ENDED ? "ended" : "live", "ended_by_writer", s->ended_by_writer,
                                 "ended_wall_us", (json_int_t)s->ended_wall_us, "end_us", (json_int_t)s->end_us, "volume_segments",
                                 (json_int_t)s->volume_segments, "sum",
                                 session_sum_to_json(&sum));
        session_grid_to_json(head, s->chunk_ms);
        if (s->long_parts)
                json_object_set_new(head, "long_parts", json_true());
        if (s->captions)
                json_object_set_new(head, "captions", json_true());
        /* Cues are the session's and up to 70 KB, which a start does not read: they go with the tracks, as a member of the first one, for
         * a version that does not know them passes members by, and no others. */
        json_t *cues = json_array_size(tracks) ? cues_to_json(s->cues) : NULL;
        if (cues)
                json_object_set_new(json_array_get(tracks, 0), "cues", cues);
        char *first = json_dumps(head, JSON_COMPACT), *second = json_dumps(tracks, JSON_COMPACT);
        char *text = mem_printf("%s\n%s\n", first, second);
        struct buf *b = buf_copy(text, strlen(text));
        free(text);
        free(second);
        free(first);
        json_decref(tracks);
        json_decref(head);
        return b;
}

/* An integer member in [0, max]; sets *bad otherwise. */
uint64_t json_number(const json_t *j, const char *key, uint64_t max, int *bad)
{
        const json_t *v = json_object_get(j, key);
        json_int_t n = json_integer_value(v);
        if (!json_is_integer(v) || n < 0 || (uint64_t)n > max)
                *bad = wrong(key);
        return *bad ? 0 : (uint64_t)n;
}

void json_text(const json_t *j, const char *key, char *dst, size_t cap, int *bad)
{
        const char *v = json_string_value(json_object_get(j, key));
        if (!v || strlen(v) >= cap)
                *bad = wrong(key);
        else
                strcpy(dst, v);
}

static void track_from_json(struct track *t, const json_t *j, bool ended, int *bad)
{
        json_text(j, "name", t->name, sizeof(t->name), bad);
        t->start_us = (int64_t)json_number(j, "start_us", INT64_MAX, bad);
        t->first_segment = (uint32_t)json_number(j, "first_segment", UINT32_MAX, bad);
        t->bandwidth = (uint32_t)json_number(j, "bandwidth", UINT32_MAX, bad);
        t->fps_milli = (uint32_t)json_number(j, "fps_milli", UINT32_MAX, bad);
        if (!*bad && !track_name_valid(t->name))
                *bad = wrong("name");
        if (!ended)
                return;
        const json_t *end = json_object_get(j, "at_end");
        struct track_facts *f = &t->at_end;
        f->any = json_is_true(json_object_get(end, "any"));
        f->first_segment = (uint32_t)json_number(end, "first_segment", UINT32_MAX, bad);
        f->last_segment = (uint32_t)json_number(end, "last_segment", UINT32_MAX, bad);
        f->end_us = (int64_t)json_number(end, "end_us", INT64_MAX, bad);
        f->guess_us = (int64_t)json_number(end, "guess_us", INT64_MAX, bad);
        f->file_bytes = json_number(end, "file_bytes", INT64_MAX, bad);
        f->average_bps = (uint32_t)json_number(end, "average_bps", UINT32_MAX, bad);
        f->peak_bps = (uint32_t)json_number(end, "peak_bps", UINT32_MAX, bad);
        f->fps_milli = (uint32_t)json_number(end, "fps_milli", UINT32_MAX, bad);
}

int json_hex(const json_t *j, const char *key, uint64_t *out)
{
        const char *text = json_string_value(json_object_get(j, key));
        char *end;
        if (!text || strlen(text) != 16)
                return wrong(key);
        *out = strtoull(text, &end, 16);
        return *end ? wrong(key) : 0;
}

void session_sum_from_json(struct session_sum *sum, const json_t *j, int *bad)
{
        sum->tracks = (uint8_t)json_number(j, "tracks", SESSION_TRACKS_MAX, bad);
        sum->lacking = (uint32_t)json_number(j, "lacking", INT32_MAX, bad);
        sum->playable = json_is_true(json_object_get(j, "playable"));
        sum->bytes = json_number(j, "bytes", INT64_MAX, bad);
        const json_t *archive = json_object_get(j, "archive");
        struct archive_sum *a = &sum->archive;
        *a = (struct archive_sum){.uncopied = sum->bytes};
        if (archive && (!unsigned_at(archive, 0, INT64_MAX, &a->uncopied) || !unsigned_at(archive, 1, INT64_MAX, &a->copied) ||
                        !unsigned_at(archive, 2, INT64_MAX, &a->archived)))
                *bad = wrong("archive");
        sum->written_generation = (uint32_t)json_number(j, "written_generation", UINT32_MAX, bad);
        sum->written_place = json_number(j, "written_place", ERAS_PLACE_MAX, bad);
        *bad |= json_hex(j, "digest", &sum->digest);
}

uint8_t session_grid_from_json(const json_t *j, int *bad)
{
        if (!json_object_get(j, "chunk_ms"))
                return CHUNK_MS;
        uint64_t chunk_ms = json_number(j, "chunk_ms", CHUNK_MS, bad);
        if (!*bad && !chunk_ms_valid(chunk_ms))
                *bad = wrong("chunk_ms");
        return *bad ? CHUNK_MS : (uint8_t)chunk_ms;
}

static int head_from_json(struct session *s, const json_t *j)
{
        char state[8] = "", title[128] = "";
        int bad = 0;
        if (json_number(j, "version", FORMAT_VERSION, &bad) < FORMAT_VERSION_USUAL_GRID) {
                wrong("version");
                return ERR_CORRUPT;
        }
        json_text(j, "session", s->id, sizeof(s->id), &bad);
        json_text(j, "stream", s->stream, sizeof(s->stream), &bad);
        json_text(j, "title", title, sizeof(title), &bad);
        session_set_title(s, title);
        json_text(j, "node", s->node, sizeof(s->node), &bad);
        json_text(j, "state", state, sizeof(state), &bad);
        s->epoch_us = (int64_t)json_number(j, "epoch_us", INT64_MAX, &bad);
        s->generation = (uint32_t)json_number(j, "generation", UINT32_MAX, &bad);
        s->grace_ms = (uint32_t)json_number(j, "grace_ms", UINT32_MAX, &bad);
        s->ended_by_writer = json_is_true(json_object_get(j, "ended_by_writer"));
        s->captions = json_is_true(json_object_get(j, "captions"));
        s->ended_wall_us = (int64_t)json_number(j, "ended_wall_us", INT64_MAX, &bad);
        s->end_us = (int64_t)json_number(j, "end_us", INT64_MAX, &bad);
        s->volume_segments = (uint32_t)json_number(j, "volume_segments", VOLUME_SEGMENTS_MAX, &bad);
        s->chunk_ms = session_grid_from_json(j, &bad);
        s->long_parts = json_is_true(json_object_get(j, "long_parts"));
        if (!bad && !s->volume_segments)
                bad = wrong("volume_segments");
        s->state = strcmp(state, "ended") == 0 ? SESSION_ENDED : SESSION_LIVE;
        session_sum_from_json(&s->sum, json_object_get(j, "sum"), &bad);
        if (!bad && !session_id_valid(s->id))
                bad = wrong("session");
        if (!bad && !stream_id_valid(s->stream))
                bad = wrong("stream");
        return bad ? ERR_CORRUPT : 0;
}

static int tracks_from_json(struct session *s, const json_t *list)
{
        int bad = !json_is_array(list) || json_array_size(list) > SESSION_TRACKS_MAX ? wrong("the list of tracks") : 0;
        for (size_t i = 0; !bad && i < json_array_size(list); i++) {
                const json_t *v = json_array_get(list, i);
                struct track *t = track_append(s);
                cues_from_json(&s->cues, json_object_get(v, "cues"));
                track_from_json(t, v, s->state == SESSION_ENDED, &bad);
                bad |= eras_from_json(&t->eras, json_object_get(v, "eras")) != 0;
        }
        if (bad)
                tracks_free(s);
        return bad ? ERR_CORRUPT : 0;
}

/* The head is parsed alone, as far as its end: a start with many recordings has no time for the rest. */
static int read_text(struct session *s, const char *text, size_t len_bytes, bool tracks)
{
        json_error_t where;
        json_t *head = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &where);
        int rc = head ? head_from_json(s, head) : ERR_CORRUPT;
        bool whole = !rc && (s->state != SESSION_ENDED || tracks);
        if (whole)
                cues_from_json(&s->cues, json_object_get(head, "cues"));
        json_decref(head);
        if (!whole)
                return rc;
        size_t at = (size_t)where.position;
        json_t *list = at < len_bytes ? json_loadb(text + at, len_bytes - at, JSON_REJECT_DUPLICATES, NULL) : NULL;
        rc = tracks_from_json(s, list);
        json_decref(list);
        return rc;
}

int session_from_json(struct session *s, const char *text, size_t len_bytes, bool tracks, const char **out)
{
        first_wrong = NULL;
        int rc = read_text(s, text, len_bytes, tracks);
        *out = first_wrong ? first_wrong : "no JSON";
        return rc;
}

int session_read(struct session *s, const char *dir, bool tracks, const char **out)
{
        char *path = mem_printf("%s/session.json", dir);
        struct buf *text;
        int rc = file_load(path, JSON_MAX, &text);
        free(path);
        *out = "its length";
        if (!rc)
                rc = session_from_json(s, (const char *)text->data, text->len, tracks, out);
        buf_unref(&text);
        return rc;
}
