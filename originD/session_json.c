/* session.json: what of a session its files do not say themselves. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "originD/session.h"
#include "originD/session_json.h"

#define FORMAT_VERSION 2 /* 1 had no eras: all of a track is then of the newest generation */

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
                                    json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "any", f.any, "last_segment",
                                              (json_int_t)f.last_segment, "end_us", (json_int_t)f.end_us, "file_bytes",
                                              (json_int_t)f.file_bytes, "average_bps", (json_int_t)f.average_bps,
                                              "peak_bps", (json_int_t)f.peak_bps, "fps_milli", (json_int_t)f.fps_milli));
        return j;
}

json_t *json_title(const char *title)
{
        json_t *j = json_string(title);
        return j ? j : json_string("");
}

struct buf *session_to_json(const struct session *s)
{
        json_t *tracks = json_array();
        for (size_t i = 0; i < s->track_count; i++)
                if (!s->tracks[i].making)
                        json_array_append_new(tracks, track_to_json(s, &s->tracks[i]));
        json_t *j = json_pack("{s:i, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:o}", "version",
                              FORMAT_VERSION, "session", s->id, "stream", s->stream, "title",
                              json_title(s->title), "node", s->node, "epoch_us", (json_int_t)s->epoch_us,
                              "generation", (json_int_t)s->generation, "grace_ms", (json_int_t)s->grace_ms, "state",
                              s->state == SESSION_ENDED ? "ended" : "live", "ended_by_writer", s->ended_by_writer,
                              "ended_wall_us", (json_int_t)s->ended_wall_us, "end_us", (json_int_t)s->end_us, "tracks",
                              tracks);
        char *text = json_dumps(j, JSON_INDENT(1));
        struct buf *b = buf_copy(text, strlen(text));
        free(text);
        json_decref(j);
        return b;
}

/* An integer member in [0, max]; sets *bad otherwise. */
uint64_t json_number(const json_t *j, const char *key, uint64_t max, int *bad)
{
        const json_t *v = json_object_get(j, key);
        json_int_t n = json_integer_value(v);
        if (!json_is_integer(v) || n < 0 || (uint64_t)n > max)
                *bad = 1;
        return *bad ? 0 : (uint64_t)n;
}

void json_text(const json_t *j, const char *key, char *dst, size_t cap, int *bad)
{
        const char *v = json_string_value(json_object_get(j, key));
        if (!v || strlen(v) >= cap)
                *bad = 1;
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
                *bad = 1;
        if (!ended)
                return;
        const json_t *end = json_object_get(j, "at_end");
        struct track_facts *f = &t->at_end;
        f->any = json_is_true(json_object_get(end, "any"));
        f->last_segment = (uint32_t)json_number(end, "last_segment", UINT32_MAX, bad);
        f->end_us = (int64_t)json_number(end, "end_us", INT64_MAX, bad);
        f->file_bytes = json_number(end, "file_bytes", INT64_MAX, bad);
        f->average_bps = (uint32_t)json_number(end, "average_bps", UINT32_MAX, bad);
        f->peak_bps = (uint32_t)json_number(end, "peak_bps", UINT32_MAX, bad);
        f->fps_milli = (uint32_t)json_number(end, "fps_milli", UINT32_MAX, bad);
}

static void track_eras_from_json(struct session *s, struct track *t, const json_t *j, uint64_t version, int *bad)
{
        if (version > 1)
                *bad |= eras_from_json(&t->eras, json_object_get(j, "eras")) != 0;
        else if (s->generation)
                eras_begin(&t->eras, eras_place(t->first_segment, 0), s->generation, s->node);
}

static int fill(struct session *s, const json_t *j)
{
        char state[8] = "";
        int bad = 0;
        uint64_t version = json_number(j, "version", FORMAT_VERSION, &bad);
        if (version == 0)
                return ERR_CORRUPT;
        json_text(j, "session", s->id, sizeof(s->id), &bad);
        json_text(j, "stream", s->stream, sizeof(s->stream), &bad);
        json_text(j, "title", s->title, sizeof(s->title), &bad);
        json_text(j, "node", s->node, sizeof(s->node), &bad);
        json_text(j, "state", state, sizeof(state), &bad);
        s->epoch_us = (int64_t)json_number(j, "epoch_us", INT64_MAX, &bad);
        s->generation = (uint32_t)json_number(j, "generation", UINT32_MAX, &bad);
        s->grace_ms = (uint32_t)json_number(j, "grace_ms", UINT32_MAX, &bad);
        s->ended_by_writer = json_is_true(json_object_get(j, "ended_by_writer"));
        s->ended_wall_us = (int64_t)json_number(j, "ended_wall_us", INT64_MAX, &bad);
        s->end_us = (int64_t)json_number(j, "end_us", INT64_MAX, &bad);
        s->state = strcmp(state, "ended") == 0 ? SESSION_ENDED : SESSION_LIVE;
        const json_t *tracks = json_object_get(j, "tracks");
        if (bad || !session_id_valid(s->id) || !stream_id_valid(s->stream) || json_array_size(tracks) > SESSION_TRACKS_MAX)
                return ERR_CORRUPT;
        for (size_t i = 0; i < json_array_size(tracks); i++) {
                const json_t *v = json_array_get(tracks, i);
                struct track *t = &s->tracks[s->track_count++];
                track_from_json(t, v, s->state == SESSION_ENDED, &bad);
                track_eras_from_json(s, t, v, version, &bad);
        }
        return bad ? ERR_CORRUPT : 0;
}

int session_from_json(struct session *s, const char *json_text, size_t len_bytes)
{
        json_t *j = json_loadb(json_text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
        int rc = j ? fill(s, j) : ERR_CORRUPT;
        json_decref(j);
        for (size_t i = 0; rc && i < s->track_count; i++)
                eras_free(&s->tracks[i].eras);
        return rc;
}
