#include "transcoderd/push/origins.h"

#include <string.h>

#define ORIGINS_MAX 64 /* that are looked at */

static void describe(const struct peer *peer, struct origin *out)
{
        _Static_assert(sizeof(out->id) == sizeof(peer->info.id), "an id is an id");
        memcpy(out->id, peer->info.id, sizeof(out->id));
        out->incarnation_us = peer->info.incarnation_us;
        out->can = peer->info.can;
        out->rpc = peer->rpc;
}

static size_t route(void *arg, const char *stream, struct origin *out, size_t max)
{
        struct peer *found[ORIGINS_MAX];
        size_t n = peers_route(arg, stream, found, max < ORIGINS_MAX ? max : ORIGINS_MAX);
        for (size_t i = 0; i < n; i++)
                describe(found[i], &out[i]);
        return n;
}

static bool find(void *arg, const char *id, struct origin *out)
{
        struct peer *all[ORIGINS_MAX];
        size_t n = peers_all(arg, all, ORIGINS_MAX);
        for (size_t i = 0; i < n; i++) {
                if (strcmp(all[i]->info.id, id) == 0) {
                        describe(all[i], out);
                        return true;
                }
        }
        return false;
}

const struct origin_link origins_over_peers = {route, find, rpc_call_far, rpc_client_drop};

bool origins_call(const struct origins *o, const char *id, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg)
{
        struct origin origin;
        if (!o->link->find(o->arg, id, &origin)) {
                nng_msg_free(request);
                return false;
        }
        o->link->call(origin.rpc, request, timeout_ms, done, arg);
        return true;
}

void origins_drop(const struct origins *o, const char *id, const char *why)
{
        struct origin origin;
        if (o->link->find(o->arg, id, &origin))
                o->link->drop(origin.rpc, why);
}
