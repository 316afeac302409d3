#include "transcoderd/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/stats.h"

#define SWEEP_MS 20
#define TTL_UNKNOWN_MS 1000 /* a session or track that may yet come */
#define TTL_GONE_MS 10000   /* a segment that is never here again */
#define DUE_SOON_SEGMENTS 5 /* beyond the newest, that a question is held for */

struct held {
        struct held *next, **link;
        struct rpc_request *req;
        struct chunk_key key;
        uint64_t offset;
        int64_t until_us;
};

static bool take_part(const char **at, char *dst, size_t cap)
{
        size_t len = strcspn(*at, "/");
        if (len >= cap || (*at)[len] != '/')
                return false;
        memcpy(dst, *at, len);
        dst[len] = '\0';
        *at += len + 1;
        return true;
}

/* Decimal without leading zeros, as there is one name for one segment. */
static bool take_number(const char *at, uint32_t *out)
{
        uint64_t n = 0;
        size_t len = strspn(at, "0123456789");
        if (len == 0 || len > 10 || (len > 1 && *at == '0') || strcmp(at + len, ".m4s") != 0)
                return false;
        for (size_t i = 0; i < len; i++)
                n = n * 10 + (unsigned)(at[i] - '0');
        *out = (uint32_t)n;
        return n <= UINT32_MAX;
}

bool chunk_key_parse(struct chunk_key *out, const char *key)
{
        static const char prefix[] = "/live/";
        *out = (struct chunk_key){0};
        if (strncmp(key, prefix, sizeof(prefix) - 1) != 0)
                return false;
        key += sizeof(prefix) - 1;
        if (!take_part(&key, out->stream, sizeof(out->stream)) || !take_part(&key, out->session, sizeof(out->session)) ||
            !take_part(&key, out->track, sizeof(out->track)) || !stream_id_valid(out->stream) ||
            !session_id_valid(out->session) || !track_name_valid(out->track))
                return false;
        out->init = strcmp(key, "init.mp4") == 0;
        return out->init || take_number(key, &out->segment);
}

static void reply(struct rpc_request *req, const struct fetch_reply *m)
{
        metric_add(m->status ? &stats_fetched_nothing : &stats_fetched, 1);
        rpc_reply(req, message_new(MSG_FETCH_REPLY, fetch_reply_encode, m));
}

static void reply_status(struct rpc_request *req, uint64_t offset, int status, uint32_t ttl_ms)
{
        reply(req, &(struct fetch_reply){.status = (int8_t)status, .ttl_ms = ttl_ms, .offset = offset});
}

static void reply_bytes(struct rpc_request *req, uint64_t offset, const uint8_t *bytes, size_t len, bool complete)
{
        struct fetch_reply m = {.flags = FETCH_IMMUTABLE | (complete ? FETCH_COMPLETE : 0), .offset = offset,
                                .content_type = "video/mp4", .bytes = bytes, .len = (uint32_t)len};
        reply(req, &m);
}

enum look { LOOK_DONE, LOOK_WAIT };

static enum look look_init(struct rpc_request *req, uint64_t offset, const struct recent_track *t)
{
        const struct buf *init = t->info.init;
        if (offset > init->len) {
                reply_status(req, offset, ERR_NOT_FOUND, TTL_UNKNOWN_MS);
                return LOOK_DONE;
        }
        size_t len = init->len - offset < BODY_MAX ? init->len - offset : BODY_MAX;
        reply_bytes(req, offset, init->data + offset, len, offset + len == init->len);
        return LOOK_DONE;
}

static enum look look_segment(struct rpc_request *req, uint64_t offset, uint32_t segment, const struct recent *r,
                              const struct recent_track *t)
{
        size_t len;
        bool complete;
        switch (recent_segment(r, t, segment, &len, &complete)) {
        case RECENT_GONE:
                reply_status(req, offset, ERR_NOT_FOUND, TTL_GONE_MS);
                return LOOK_DONE;
        case RECENT_AHEAD:
                if (segment <= (uint64_t)t->next_segment + DUE_SOON_SEGMENTS)
                        return LOOK_WAIT;
                reply_status(req, offset, ERR_NOT_FOUND, TTL_UNKNOWN_MS);
                return LOOK_DONE;
        case RECENT_HERE:
                break;
        }
        if (offset > len) {
                reply_status(req, offset, ERR_NOT_FOUND, TTL_UNKNOWN_MS);
        } else if (offset < len) {
                struct buf *bytes = recent_read(t, segment, (size_t)offset, BODY_MAX);
                reply_bytes(req, offset, bytes->data, bytes->len, complete && offset + bytes->len == len);
                buf_unref(&bytes);
        } else if (complete) {
                reply_bytes(req, offset, NULL, 0, true);
        } else {
                return LOOK_WAIT;
        }
        return LOOK_DONE;
}

static enum look look(struct serve *sv, struct rpc_request *req, const struct chunk_key *key, uint64_t offset)
{
        const struct recent *r = sv->find(sv->arg, key->stream, key->session);
        const struct recent_track *t = r ? recent_find(r, key->track) : NULL;
        if (!t) {
                reply_status(req, offset, ERR_NOT_FOUND, TTL_UNKNOWN_MS);
                return LOOK_DONE;
        }
        return key->init ? look_init(req, offset, t) : look_segment(req, offset, key->segment, r, t);
}

static void let_go(struct held *h)
{
        *h->link = h->next;
        if (h->next)
                h->next->link = h->link;
        free(h);
}

static void on_sweep(uv_timer_t *timer)
{
        struct serve *sv = timer->data;
        int64_t now_us = clock_mono_us();
        for (struct held *h = sv->held, *next; h; h = next) {
                next = h->next;
                if (h->until_us > now_us)
                        continue;
                reply_status(h->req, h->offset, ERR_NOT_YET, 0);
                let_go(h);
        }
        if (!sv->held)
                uv_timer_stop(timer);
}

static void hold(struct serve *sv, struct rpc_request *req, const struct chunk_key *key, const struct fetch *m)
{
        struct held *h = mem_alloc(sizeof(*h));
        *h = (struct held){.next = sv->held, .link = &sv->held, .req = req, .key = *key, .offset = m->offset,
                           .until_us = clock_mono_us() + m->wait_ms * US_PER_MS};
        if (h->next)
                h->next->link = &h->next;
        sv->held = h;
        if (!uv_is_active((uv_handle_t *)&sv->timer))
                uv_timer_start(&sv->timer, on_sweep, SWEEP_MS, SWEEP_MS);
}

void serve_open(struct serve *sv, uv_loop_t *loop)
{
        uv_timer_init(loop, &sv->timer);
        sv->timer.data = sv;
}

void serve_handle(void *arg, struct rpc_request *req)
{
        struct serve *sv = arg;
        struct fetch m;
        struct chunk_key key;
        if (req->type != MSG_FETCH || fetch_decode(&req->body, &m) != 0)
                rpc_drop(req, req->type == MSG_FETCH ? "malformed FETCH" : "not a message for this port");
        else if (!chunk_key_parse(&key, m.key))
                reply_status(req, m.offset, ERR_NOT_FOUND, TTL_UNKNOWN_MS);
        else if (look(sv, req, &key, m.offset) == LOOK_DONE)
                return;
        else if (sv->stopping || m.wait_ms == 0)
                reply_status(req, m.offset, ERR_NOT_YET, 0);
        else
                hold(sv, req, &key, &m);
}

void serve_changed(struct serve *sv, const char *session)
{
        for (struct held *h = sv->held, *next; h; h = next) {
                next = h->next;
                if (strcmp(h->key.session, session) == 0 && look(sv, h->req, &h->key, h->offset) == LOOK_DONE)
                        let_go(h);
        }
}

void serve_stop(struct serve *sv)
{
        sv->stopping = true;
        while (sv->held) {
                reply_status(sv->held->req, sv->held->offset, ERR_NOT_YET, 0);
                let_go(sv->held);
        }
}

void serve_close(struct serve *sv)
{
        serve_stop(sv);
        uv_close((uv_handle_t *)&sv->timer, NULL);
}
