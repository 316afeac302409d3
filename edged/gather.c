#include "edged/gather.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/json_buf.h"
#include "common/mem.h"
#include "edged/stats.h"

#define KEY "/api/streams"
#define ANSWER_MS 1000

struct gather;

struct part { /* one node's list as it comes */
        struct gather *gather;
        uint64_t node;
        uint8_t *data;
        size_t len;
        bool whole;
};

struct gather {
        struct upstream *upstream;
        gather_done *done;
        void *arg;
        uint8_t hops;
        unsigned count, open;
        struct part parts[UPSTREAM_NODES_MAX];
};

/* ---- joining -------------------------------------------------------------------------------------------------- */

static const char *text_of(json_t *stream, const char *name)
{
        const char *s = json_string_value(json_object_get(stream, name));
        return s ? s : "";
}

static int rank(json_t *stream)
{
        const char *state = text_of(stream, "state");
        return strcmp(state, "live") == 0 ? 2 : strcmp(state, "slate") == 0 ? 1 : 0;
}

/* The newer session; of one and the same, live before ended: an origin that nobody writes to ends a session by itself. */
static bool is_better(json_t *a, json_t *b)
{
        int newer = strcmp(text_of(a, "started"), text_of(b, "started"));
        return newer ? newer > 0 : rank(a) > rank(b);
}

static void take_list(json_t *by_id, struct buf *list)
{
        json_t *root = json_loadb((const char *)list->data, list->len, 0, NULL), *stream;
        size_t i;
        json_array_foreach(json_object_get(root, "streams"), i, stream) {
                const char *id = text_of(stream, "id");
                json_t *known = *id ? json_object_get(by_id, id) : NULL;
                if (*id && (!known || is_better(stream, known)))
                        json_object_set(by_id, id, stream);
        }
        json_decref(root);
}

struct buf *gather_merge(struct buf *const *lists, size_t count)
{
        json_t *by_id = json_object(), *streams = json_array();
        for (size_t i = 0; i < count; i++)
                take_list(by_id, lists[i]);
        for (void *at = json_object_iter(by_id); at; at = json_object_iter_next(by_id, at))
                json_array_append(streams, json_object_iter_value(at));
        json_t *root = json_pack("{s:o}", "streams", streams);
        struct buf *out = json_to_buf(root);
        json_decref(by_id);
        return out;
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

static void finish(struct gather *g)
{
        struct buf *lists[UPSTREAM_NODES_MAX], *json = NULL;
        size_t count = 0;
        for (unsigned i = 0; i < g->count; i++) {
                struct part *p = &g->parts[i];
                if (p->whole)
                        lists[count++] = buf_copy(p->data, p->len);
                free(p->data);
        }
        if (count > 0)
                json = gather_merge(lists, count);
        for (size_t i = 0; i < count; i++)
                buf_unref(&lists[i]);
        g->done(g->arg, json ? 0 : ERR_CLOSED, json);
        buf_unref(&json);
        free(g);
}

static int ask(struct part *p, const struct node_set *tried);

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct part *p = arg;
        struct gather *g = p->gather;
        bool more = false;
        stats_fetch(err ? err : m->status, true);
        if (err == 0 && m->status == 0 && (!bytes || p->len + bytes->len <= GATHER_BYTES_MAX)) {
                size_t len = bytes ? bytes->len : 0;
                p->data = mem_resize(p->data, p->len + len);
                if (len)
                        memcpy(p->data + p->len, bytes->data, len);
                p->len += len;
                p->whole = m->flags & FETCH_COMPLETE;
                more = !p->whole && len > 0;
        }
        if (more && ask(p, NULL) == 0)
                return;
        if (--g->open == 0)
                finish(g);
}

/* tried NULL: the same node again, from where its list goes on. */
static int ask(struct part *p, const struct node_set *tried)
{
        struct upstream *u = p->gather->upstream;
        struct fetch what = {.key = KEY, .offset = p->len, .hops = p->gather->hops};
        return u->ops->fetch(u, KEY, tried, tried ? 0 : p->node, &what, ANSWER_MS, &p->node, on_answer, p);
}

void gather_begin(struct upstream *u, uint8_t hops, gather_done *done, void *arg)
{
        struct gather *g = mem_alloc(sizeof(*g));
        struct node_set tried = {0};
        g->upstream = u;
        g->hops = hops;
        g->done = done;
        g->arg = arg;
        while (g->count < UPSTREAM_NODES_MAX) {
                struct part *p = &g->parts[g->count];
                p->gather = g;
                if (ask(p, &tried) != 0)
                        break;
                node_set_add(&tried, p->node);
                g->count++;
                g->open++;
        }
        if (g->open == 0)
                finish(g);
}
