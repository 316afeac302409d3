#include "ingestd/transcoders.h"

#include <stdlib.h>
#include <string.h>

#include "common/cluster/peers.h"
#include "common/magic.h"
#include "common/mem.h"

#define TRANSCODERS_MAGIC 0x54524e53

struct transcoders {
        uint32_t magic;
        struct peers *peers;
        const struct transcoders_events *events;
        void *arg;
        struct rpc_client *known[PEERS_MAX]; /* to tell which one is gone */
        size_t known_count;
};

static void tell_gone(struct transcoders *r, struct peer *const *now, size_t count)
{
        for (size_t i = 0; i < r->known_count; i++) {
                size_t k = 0;
                while (k < count && now[k]->rpc != r->known[i])
                        k++;
                if (k == count)
                        r->events->gone(r->arg, r->known[i]);
        }
}

static void on_changed(void *arg, struct peer *peer)
{
        struct transcoders *r = magic_check(arg, TRANSCODERS_MAGIC);
        struct peer *now[PEERS_MAX];
        (void)peer;
        if (!r->peers)
                return;
        size_t n = peers_all(r->peers, now, PEERS_MAX);
        tell_gone(r, now, n);
        for (size_t i = 0; i < n; i++)
                r->known[i] = now[i]->rpc;
        r->known_count = n;
        r->events->live(r->arg, n);
}

int transcoders_open(struct transcoders **out, uv_loop_t *loop, const char *names, const struct node_identity *self,
                     const struct transcoders_events *events, void *arg)
{
        struct transcoders *r = mem_alloc(sizeof(*r));
        r->magic = TRANSCODERS_MAGIC;
        r->events = events;
        r->arg = arg;
        int err = peers_open(&r->peers, loop, names, ROLE_TRANSCODERD, self, on_changed, r);
        if (err) {
                free(r);
                r = NULL;
        }
        *out = r;
        return err;
}

void transcoders_close(struct transcoders *r)
{
        struct peers *peers = r->peers;
        r->peers = NULL;
        peers_close(peers);
        r->magic = 0;
        free(r);
}

size_t transcoders_live(const struct transcoders *r)
{
        return peers_live(r->peers);
}

static size_t walk(void *arg, const char *stream, struct transcoder_candidate *out, size_t max)
{
        struct transcoders *r = magic_check(arg, TRANSCODERS_MAGIC);
        struct peer *found[TRANSCODER_CANDIDATES];
        size_t n = peers_route(r->peers, stream, found, max < TRANSCODER_CANDIDATES ? max : TRANSCODER_CANDIDATES);
        for (size_t i = 0; i < n; i++) {
                memcpy(out[i].address, found[i]->address, sizeof(out[i].address));
                out[i].rpc = found[i]->rpc;
                out[i].draining = rpc_client_info(found[i]->rpc)->state == PEER_DRAINING;
        }
        return n;
}

static bool can_be_told(const struct rpc_client *c)
{
        return rpc_client_info(c)->can & CAN_BE_TOLD;
}

const struct transcoder_link transcoders_link = {.walk = walk, .call = rpc_call_far, .can_be_told = can_be_told, .tell = rpc_tell,
                                                 .cancel = rpc_cancel, .drop = rpc_client_drop, .clock = rpc_client_clock};
