#include "originD/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

struct fetching {
        struct serve_request request;
        struct rpc_request *req;
};

static void reply(struct serve_request *r, const struct serve_answer *a)
{
        struct fetching *f = (struct fetching *)r;
        struct fetch_reply m = {.status = (int8_t)a->status, .flags = a->flags, .ttl_ms = a->ttl_ms, .offset = r->offset,
                                .bytes = a->bytes ? a->bytes->data + a->from : NULL, .len = (uint32_t)a->len};
        snprintf(m.content_type, sizeof(m.content_type), "%s", a->content_type ? a->content_type : "");
        rpc_reply(f->req, message_new(MSG_FETCH_REPLY, fetch_reply_encode, &m));
        free(f);
}

void fetch_handle(void *arg, struct rpc_request *req)
{
        struct serve *serve_with = arg;
        struct fetch m;
        if (req->type != MSG_FETCH) {
                rpc_drop(req, "not for this port");
                return;
        }
        if (fetch_decode(&req->body, &m) < 0) {
                rpc_drop(req, "malformed FETCH");
                return;
        }
        struct fetching *f = mem_alloc(sizeof(*f));
        f->req = req;
        strcpy(f->request.key, m.key);
        f->request.offset = m.offset;
        f->request.wait_ms = m.wait_ms;
        f->request.max_bytes = BODY_MAX;
        f->request.hops = m.hops;
        f->request.from_node = true;
        f->request.asker = req->connection;
        f->request.done = reply;
        serve(serve_with, &f->request);
}
