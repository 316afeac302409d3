#include "originD/events.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/json_buf.h"
#include "originD/session_json.h"

static const char *const names[EVENT_COUNT] = {
#define X(kind, name) [kind] = name,
        EVENT_KINDS(X)
#undef X
};

const char *event_name(enum event_kind kind)
{
        return names[kind];
}

bool event_kind_parse(const char *name, enum event_kind *out)
{
        for (int k = 0; k < EVENT_COUNT; k++)
                if (name && strcmp(names[k], name) == 0) {
                        *out = (enum event_kind)k;
                        return true;
                }
        return false;
}

static struct event *begin(struct event *e, enum event_kind kind, const struct event_facts *f, int64_t media_us)
{
        *e = (struct event){.kind = kind, .generation = f->generation, .media_us = media_us,
                            .wall_us = f->epoch_us + media_us};
        snprintf(e->id, sizeof(e->id), "%s.%s", f->session, names[kind]);
        snprintf(e->stream, sizeof(e->stream), "%s", f->stream);
        snprintf(e->session, sizeof(e->session), "%s", f->session);
        snprintf(e->title, sizeof(e->title), "%s", f->title);
        snprintf(e->node, sizeof(e->node), "%s", f->node);
        return e;
}

/* What can happen to a session more than once is told apart by a number that all its owners know. */
static void number(struct event *e, int64_t n)
{
        snprintf(e->id, sizeof(e->id), "%s.%s.%lld", e->session, names[e->kind], (long long)n);
}

size_t events_find(struct told *told, const struct event_facts *f, struct event out[EVENT_COUNT])
{
        size_t n = 0;
        if (told->ended || !f->stored)
                return 0;
        if (!told->started && f->ended) {
                told->started = told->ended = true;
                return 0;
        }
        if (!told->started) {
                begin(&out[n++], EVENT_STARTED, f, 0);
                told->started = true;
        } else if (f->generation > told->generation) {
                struct event *e = begin(&out[n++], EVENT_FAILED_OVER, f, f->generation_us);
                snprintf(e->before, sizeof(e->before), "%s", told->node);
                number(e, f->generation);
        }
        if (f->generation > told->generation) {
                told->generation = f->generation;
                snprintf(told->node, sizeof(told->node), "%s", f->node);
        }
        if (f->slate_us >= 0 && f->slate != told->slate) {
                number(begin(&out[n++], f->slate ? EVENT_SLATE_BEGUN : EVENT_SLATE_OVER, f, f->slate_us),
                       f->slate_us / US_PER_MS);
                told->slate = f->slate;
        }
        if (f->ended) {
                begin(&out[n++], EVENT_ENDED, f, f->end_us)->by_writer = f->by_writer;
                told->ended = true;
        }
        return n;
}

static const char *why(const struct event *e)
{
        return e->kind != EVENT_ENDED ? "" : e->by_writer ? "end" : "silence";
}

struct buf *event_body(const struct event *e, const char *origin)
{
        char iso[CLOCK_ISO_MAX];
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:s, s:s, s:s, s:s}", "id", e->id, "event",
                              names[e->kind], "stream", e->stream, "session", e->session, "title", json_title(e->title),
                              "time", clock_iso(iso, sizeof(iso), e->wall_us), "media_ms",
                              (json_int_t)(e->media_us / US_PER_MS), "generation", (json_int_t)e->generation,
                              "transcoder", e->node, "before", e->before, "why", why(e), "origin", origin);
        return json_to_buf(j);
}

json_t *event_to_json(const struct event *e)
{
        return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:I, s:I, s:b}", "kind", names[e->kind], "id", e->id,
                         "stream", e->stream, "session", e->session, "title", json_title(e->title), "node", e->node,
                         "before", e->before, "generation", (json_int_t)e->generation, "media_us", (json_int_t)e->media_us,
                         "wall_us", (json_int_t)e->wall_us, "by_writer", e->by_writer);
}

int event_from_json(struct event *e, const json_t *j)
{
        int bad = 0;
        *e = (struct event){.by_writer = json_is_true(json_object_get(j, "by_writer"))};
        if (!event_kind_parse(json_string_value(json_object_get(j, "kind")), &e->kind))
                return ERR_CORRUPT;
        json_text(j, "id", e->id, sizeof(e->id), &bad);
        json_text(j, "stream", e->stream, sizeof(e->stream), &bad);
        json_text(j, "session", e->session, sizeof(e->session), &bad);
        json_text(j, "title", e->title, sizeof(e->title), &bad);
        json_text(j, "node", e->node, sizeof(e->node), &bad);
        json_text(j, "before", e->before, sizeof(e->before), &bad);
        e->generation = (uint32_t)json_number(j, "generation", UINT32_MAX, &bad);
        e->media_us = (int64_t)json_number(j, "media_us", INT64_MAX, &bad);
        e->wall_us = (int64_t)json_number(j, "wall_us", INT64_MAX, &bad);
        return bad ? ERR_CORRUPT : 0;
}

json_t *told_to_json(const struct told *t)
{
        return json_pack("{s:b, s:b, s:b, s:I, s:s}", "started", t->started, "slate", t->slate, "ended", t->ended,
                         "generation", (json_int_t)t->generation, "node", t->node);
}

int told_from_json(struct told *t, const json_t *j)
{
        int bad = 0;
        *t = (struct told){.started = json_is_true(json_object_get(j, "started")),
                           .slate = json_is_true(json_object_get(j, "slate")),
                           .ended = json_is_true(json_object_get(j, "ended"))};
        t->generation = (uint32_t)json_number(j, "generation", UINT32_MAX, &bad);
        json_text(j, "node", t->node, sizeof(t->node), &bad);
        return bad ? ERR_CORRUPT : 0;
}

void event_sign(char dst[SIGNATURE_MAX], const char *secret, int64_t now_s, const void *body, size_t len_bytes)
{
        char t[24];
        int t_len = snprintf(t, sizeof(t), "%lld.", (long long)now_s);
        unsigned char mac[EVP_MAX_MD_SIZE];
        unsigned mac_len = 0;
        struct buf *text = buf_new((size_t)t_len + len_bytes);
        memcpy(text->data, t, (size_t)t_len);
        memcpy(text->data + t_len, body, len_bytes);
        HMAC(EVP_sha256(), secret, (int)strlen(secret), text->data, text->len, mac, &mac_len);
        buf_unref(&text);
        int n = snprintf(dst, SIGNATURE_MAX, "t=%lld,v1=", (long long)now_s);
        for (unsigned i = 0; i < mac_len; i++)
                n += snprintf(dst + n, SIGNATURE_MAX - (size_t)n, "%02x", mac[i]);
}
