#include "transcoderd/api.h"

#include "common/clock.h"
#include "transcoderd/session.h"

static json_t *rungs_json(const struct session *s)
{
        json_t *list = json_array();
        for (size_t i = 0; i < SESSION_TRACKS_MAX; i++) {
                const struct track_info *t = &s->recent.tracks[i].info;
                if (t->init)
                        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", t->name, "kind",
                                                              track_kind_name((enum track_kind)t->kind), "bandwidth",
                                                              (int)t->bandwidth));
        }
        return list;
}

static json_t *owners_json(const struct session *s)
{
        struct push_view owners[PUSH_OWNERS_MAX];
        json_t *list = json_array();
        size_t n = s->push ? push_tell(s->push, owners) : 0;
        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "id", owners[i].id, "state", owners[i].state,
                                                      "queued_bytes", (json_int_t)owners[i].queued_bytes));
        return list;
}

static json_t *session_json(const struct session *s)
{
        int64_t lag_us = session_now_us(s) - s->end_us;
        double headroom = s->busy < 1 ? 1 - s->busy : 0;
        json_t *j = json_pack("{s:s, s:s, s:i, s:s, s:s, s:b, s:b}", "stream", s->stream, "session", s->id, "generation",
                              (int)s->generation, "role", s->shadow ? "shadow" : "leader", "state", s->state->name, "publisher",
                              s->active.handle != 0, "standby", s->standby.handle != 0);
        json_t *pace = json_pack("{s:f, s:f, s:f, s:f, s:I, s:I}", "behind_seconds", (double)s->counted.behind_us / 1e6, "headroom",
                                 headroom, "media_time", (double)s->end_us / 1e6, "slate_seconds",
                                 (double)s->counted.slate_us / 1e6, "frames", (json_int_t)s->frames, "shed",
                                 (json_int_t)s->counted.shed);
        json_object_update_new(j, pace);
        json_object_set_new(j, "stored_until", s->push ? json_real((double)push_stored_us(s->push) / 1e6) : json_null());
        json_object_set_new(j, "lag_ms", s->end_us ? json_integer(lag_us / US_PER_MS) : json_null());
        json_object_set_new(j, "chunk_ms", s->push ? json_integer(chunk_us(s->claimed.chunk_ms) / US_PER_MS) : json_null());
        json_object_set_new(j, "rungs", s->push ? rungs_json(s) : json_array());
        json_object_set_new(j, "owners", owners_json(s));
        return j;
}

static void get_sessions(void *arg, struct admin_call *call)
{
        const struct sessions *ss = magic_check(arg, SESSIONS_MAGIC);
        json_t *list = json_array();
        for (const struct session *s = ss->first; s; s = s->next)
                json_array_append_new(list, session_json(s));
        call->answer = json_pack("{s:o, s:i}", "sessions", list, "max_sessions", (int)ss->max_sessions);
}

static const struct admin_route routes[] = {
        {"GET", "/api/sessions", NULL, get_sessions},
};

void api_open(struct daemon *d, struct sessions *ss)
{
        daemon_routes(d, routes, sizeof(routes) / sizeof(routes[0]), ss);
}
