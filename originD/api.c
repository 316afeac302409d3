#include "originD/api.h"

#include "common/clock.h"
#include "originD/session_json.h"
#include "originD/stats.h"
#include "originD/store.h"

#define SHOWN_MAX 1000
#define FILLING_BYTES_S 1000 /* less is nothing that fills a disk: no guess when it will be full */

static json_t *track_json(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        return json_pack("{s:s, s:s, s:s, s:f, s:I, s:i}", "name", t->name, "kind", track_kind_name(t->init.kind),
                         "codec", t->init.codec, "end", (double)f.end_us / 1e6, "bytes", (json_int_t)f.file_bytes, "bandwidth",
                         (int)f.average_bps);
}

static json_t *session_json(const struct session *s)
{
        json_t *tracks = json_array();
        int64_t end_us = -1; /* where all tracks are stored up to */
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                struct track_facts f = track_facts(s, t);
                json_array_append_new(tracks, track_json(s, t));
                if (f.any && t->init.kind < TRACK_KINDS && (end_us < 0 || f.end_us < end_us))
                        end_us = f.end_us;
        }
        return json_pack("{s:s, s:s, s:s, s:i, s:s, s:o, s:i, s:I, s:o, s:o, s:o}", "stream", s->stream, "session", s->id, "state",
                         session_state_name(s), "generation", (int)s->generation, "writer", s->node, "title",
                         json_title(s->title), "chunk_ms", (int)s->chunk_ms, "bytes", (json_int_t)session_bytes(s), "stored_until",
                         end_us < 0 ? json_null() : json_real((double)end_us / 1e6), "lag_ms",
                         end_us < 0 ? json_null() : json_integer((session_live_edge_us(s) - end_us) / US_PER_MS), "tracks", tracks);
}

/* Retention may keep it from ever being so. */
static json_t *full_in(const struct store *st)
{
        double room = (double)st->room.free_bytes - (double)st->options.min_free_bytes;
        if (st->fill_bytes_s < FILLING_BYTES_S)
                return json_null();
        return json_real(room > 0 ? room / st->fill_bytes_s : 0);
}

static json_t *disk_json(const struct store *st)
{
        uint64_t used = st->room.total_bytes > st->room.free_bytes ? st->room.total_bytes - st->room.free_bytes : 0;
        return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:b}", "total_bytes", (json_int_t)st->room.total_bytes, "free_bytes",
                         (json_int_t)st->room.free_bytes, "used_bytes", (json_int_t)used, "stored_bytes",
                         (json_int_t)stat_get(STAT_STORED_BYTES), "min_free_bytes", (json_int_t)st->options.min_free_bytes,
                         "fill_bytes_s", st->fill_bytes_s, "full_in_seconds", full_in(st), "writable", !st->why_full);
}

static void get_sessions(void *arg, struct admin_call *call)
{
        const struct store *st = arg;
        json_t *list = json_array();
        unsigned left_out = 0;
        for (const struct session *s = st->first_live; s; s = s->older) {
                if (!s->ending && json_array_size(list) < SHOWN_MAX)
                        json_array_append_new(list, session_json(s));
                else
                        left_out += !s->ending;
        }
        call->answer = json_pack("{s:o, s:i, s:I, s:I, s:o}", "sessions", list, "left_out", (int)left_out, "ended",
                                 (json_int_t)stat_get(STAT_SESSIONS_ENDED), "behind", (json_int_t)stat_get(STAT_BEHIND), "disk",
                                 disk_json(st));
}

static const struct admin_route routes[] = {
        {"GET", "/api/sessions", NULL, get_sessions},
};

void api_open(struct daemon *d, struct store *st)
{
        daemon_routes(d, routes, sizeof(routes) / sizeof(routes[0]), st);
}
