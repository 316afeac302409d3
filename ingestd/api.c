#include "ingestd/api.h"

#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/magic.h"
#include "ingestd/publications.h"
#include "proto/check.h"

#define SHOWN_MAX 1000
#define WHY_MAX 200

static json_t *text_or_null(const char *text)
{
        json_t *j = *text ? json_string(text) : NULL; /* NULL too when it is not UTF-8: an encoder may say anything */
        return j ? j : json_null();
}

static json_t *publisher_json(const struct publication_view *v)
{
        int64_t lag_us = v->session_wall_us - v->media_us;
        json_t *j = json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:b, s:f}", "stream", v->stream, "state", v->state, "session",
                              text_or_null(v->relays.session), "address", v->address, "encoder", text_or_null(v->encoder),
                              "title", text_or_null(v->title), "backup", v->backup, "since", (double)v->since_wall_us / 1e6);
        json_t *flow = json_pack("{s:I, s:I, s:f, s:f}", "bytes", (json_int_t)v->bytes, "frames", (json_int_t)v->frames, "fps",
                                 v->fps, "kbps", v->kbps);
        bool known = v->started && v->relays.stored_us >= 0;
        json_t *place = json_pack("{s:f, s:o, s:o, s:I}", "media_time", (double)v->media_us / 1e6, "stored_until",
                                  known ? json_real((double)v->relays.stored_us / 1e6) : json_null(), "behind",
                                  known ? json_real((double)v->behind_us / 1e6) : json_null(), "kept_bytes",
                                  (json_int_t)v->kept_bytes);
        json_object_update_new(j, flow);
        json_object_update_new(j, place);
        json_object_set_new(j, "lag_ms", v->started ? json_integer(lag_us / US_PER_MS) : json_null());
        json_object_set_new(j, "transcoder", text_or_null(v->relays.transcoder));
        json_object_set_new(j, "shadow", text_or_null(v->relays.shadow));
        return j;
}

static void get_publishers(void *arg, struct admin_call *call)
{
        const struct publications *in = magic_check(arg, PUBLICATIONS_MAGIC);
        json_t *list = json_array();
        unsigned left_out = 0;
        for (struct publication *p = in->first; p; p = publication_next(p)) {
                struct publication_view v;
                publication_tell(p, &v);
                if (json_array_size(list) < SHOWN_MAX)
                        json_array_append_new(list, publisher_json(&v));
                else
                        left_out++;
        }
        call->answer = json_pack("{s:o, s:i}", "publishers", list, "left_out", (int)left_out);
}

static void post_kick(void *arg, struct admin_call *call)
{
        struct publications *in = magic_check(arg, PUBLICATIONS_MAGIC);
        char quoted[WHY_MAX * 4 + 8];
        const char *stream = admin_text(call, "stream", 1, STREAM_ID_MAX);
        if (!stream)
                return;
        const char *why = "let go by the operator";
        if (json_object_get(call->body, "why") && !(why = admin_text(call, "why", 1, WHY_MAX)))
                return;
        unsigned kicked = publications_kick(in, stream, why);
        if (kicked == 0) {
                admin_refuse(call, 404, "nobody publishes this stream here");
                return;
        }
        log_warn("stream=%s broadcasters=%u why=%s by=admin msg=\"kicked\"", stream, kicked,
                 log_quote(quoted, sizeof(quoted), why));
        call->answer = json_pack("{s:s, s:i}", "stream", stream, "kicked", (int)kicked);
}

static const struct admin_route routes[] = {
        {"GET", "/api/publishers", NULL, get_publishers},
        {"POST", "/api/kick", "stream why", post_kick},
};

void api_open(struct daemon *d, struct publications *in)
{
        daemon_routes(d, routes, sizeof(routes) / sizeof(routes[0]), in);
}
