#include "edged/gather.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "edged/merge.h"
#include "edged/stats.h"

#define WAIT_MS 500 /* an edge above may have to gather it itself */
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
        gather_done *done; /* NULL: abandoned */
        void *arg;
        char key[KEY_MAX + 1];
        struct key parsed;
        uint8_t hops;
        unsigned count, open;
        struct part parts[UPSTREAM_NODES_MAX];
        uv_loop_t *loop;
        uv_work_t work;
        struct buf *lists[UPSTREAM_NODES_MAX], *json;
        size_t list_count;
};

static void forget_gather(struct gather *g)
{
        for (size_t i = 0; i < g->list_count; i++)
                buf_unref(&g->lists[i]);
        buf_unref(&g->json);
        free(g);
}

static void tell_gathered(struct gather *g)
{
        if (g->done)
                g->done(g->arg, g->json ? 0 : ERR_CLOSED, g->json);
        forget_gather(g);
}

static void merge(struct gather *g)
{
        g->json = g->parsed.kind == KEY_STREAMS ? merge_streams(g->lists, g->list_count)
                                                : merge_recordings(&g->parsed, g->lists, g->list_count);
}

static void merge_work(uv_work_t *work)
{
        merge(work->data);
}

static void merged(uv_work_t *work, int status)
{
        (void)status;
        tell_gathered(work->data);
}

static void finish_gather(struct gather *g)
{
        size_t bytes = 0;
        for (unsigned i = 0; i < g->count; i++) {
                struct part *p = &g->parts[i];
                if (p->whole)
                        g->lists[g->list_count++] = buf_copy(p->data, p->len);
                bytes += p->len;
                free(p->data);
        }
        if (!g->list_count || !g->done) {
                tell_gathered(g);
        } else if (g->parsed.kind == KEY_STREAMS && bytes <= GATHER_AT_ONCE_BYTES) {
                merge(g);
                tell_gathered(g);
        } else { /* a thousand live streams take some 60 ms, in which no viewer would get a byte of what comes in; a page takes one, but
                  * anybody may ask for as many different ones as he likes */
                g->work.data = g;
                uv_queue_work(g->loop, &g->work, merge_work, merged);
        }
}

void gather_abandon(struct gather **g)
{
        if (*g)
                (*g)->done = NULL;
        *g = NULL;
}

static int ask_part(struct part *p, const struct node_set *tried);

static void on_part(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
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
        if (more && ask_part(p, NULL) == 0)
                return;
        if (--g->open == 0)
                finish_gather(g);
}

/* tried NULL: the same node again, from where its list goes on. */
static int ask_part(struct part *p, const struct node_set *tried)
{
        struct upstream *u = p->gather->upstream;
        struct fetch what = {.offset = p->len, .wait_ms = WAIT_MS, .hops = p->gather->hops};
        memcpy(what.key, p->gather->key, sizeof(what.key));
        return u->ops->fetch(u, what.key, tried, tried ? 0 : p->node, &what, ANSWER_MS, &p->node, on_part, p);
}

int gather_begin(struct gather **out, uv_loop_t *loop, struct upstream *u, const char *key, uint8_t hops, gather_done *done, void *arg)
{
        struct gather *g = mem_alloc(sizeof(*g));
        struct node_set tried = {0};
        int err = 0;
        g->loop = loop;
        strcpy(g->key, key);
        key_parse(&g->parsed, key);
        g->upstream = u;
        g->hops = hops;
        g->done = done;
        g->arg = arg;
        while (g->count < UPSTREAM_NODES_MAX) {
                struct part *p = &g->parts[g->count];
                p->gather = g;
                if ((err = ask_part(p, &tried)) != 0)
                        break;
                node_set_add(&tried, p->node);
                g->count++;
                g->open++;
        }
        if (g->open > 0) {
                *out = g;
                return 0;
        }
        forget_gather(g);
        return err;
}
