/* GET /api/streams: what is live, and of the other streams the last recording. The shape is interfaces.md's. */
#include <jansson.h>

#include "common/clock.h"
#include "common/json_buf.h"
#include "originD/serve.h"
#include "originD/session_json.h"

#define STREAMS_MAX 1000
#define STREAMS_LOADS_MAX 4 /* recordings that are read for this at a time */

static json_t *track_json(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        uint32_t bandwidth = s->state == SESSION_LIVE && t->bandwidth ? t->bandwidth : f.average_bps;
        json_t *j = json_pack("{s:s, s:s, s:I}", "name", t->name, "codec", t->init.codec, "bandwidth",
                              (json_int_t)bandwidth);
        if (t->init.kind == TRACK_VIDEO) {
                json_object_set_new(j, "width", json_integer(t->init.width));
                json_object_set_new(j, "height", json_integer(t->init.height));
        }
        return j;
}

static json_t *session_json(const struct session *s)
{
        char iso[CLOCK_ISO_MAX];
        json_t *tracks = json_array();
        for (size_t i = 0; i < s->track_count; i++)
                if (track_playable(s, s->tracks[i]))
                        json_array_append_new(tracks, track_json(s, s->tracks[i]));
        return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", s->stream, "session", s->id, "state",
                         session_state_name(s), "started", clock_iso(iso, sizeof(iso), s->epoch_us), "title",
                         json_title(s->title), "tracks", tracks);
}

static struct session *shown_session(const struct stream *stream, bool live)
{
        struct session *s = stream_live(stream);
        if (s || live)
                return live && s && session_playable(s) ? s : NULL;
        for (s = stream->sessions; s; s = s->next_of_stream)
                if (session_playable(s))
                        return s;
        return NULL;
}

/* How many recordings may be begun to read. Everybody asks for the list, and nobody takes turns for it: so it leaves the disk to
 * those who want to watch, and does not push out what they have loaded. */
static size_t room_for_loads(const struct store *st)
{
        size_t under_way = 0;
        if (st->loaded_count >= STORE_LOADED_MAX)
                return 0;
        for (const struct stream *stream = st->all; stream; stream = stream->next_all) {
                const struct session *s = shown_session(stream, false);
                under_way += s && s->load == LOAD_UNDER_WAY;
        }
        return under_way < STREAMS_LOADS_MAX ? STREAMS_LOADS_MAX - under_way : 0;
}

struct buf *streams_json(struct store *st)
{
        json_t *list = json_array();
        size_t room = room_for_loads(st);
        for (int live = 1; live >= 0; live--)
                for (const struct stream *stream = st->all; stream; stream = stream->next_all) {
                        struct session *s = shown_session(stream, live);
                        if (!s || json_array_size(list) >= STREAMS_MAX)
                                continue;
                        if (room && session_loadable(s)) {
                                session_load(s); /* its tracks are told the next time */
                                room--;
                        }
                        json_array_append_new(list, session_json(s));
                }
        return json_to_buf(json_pack("{s:o}", "streams", list));
}
