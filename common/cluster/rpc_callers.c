#include "common/cluster/rpc_callers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static void key_of(uint8_t key[16], const struct sockaddr_storage *peer)
{
        memset(key, 0, 16);
        if (peer->ss_family == AF_INET) {
                key[10] = key[11] = 0xff;
                memcpy(key + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
        } else if (peer->ss_family == AF_INET6) {
                const struct in6_addr *six = &((const struct sockaddr_in6 *)peer)->sin6_addr;
                memcpy(key, six, IN6_IS_ADDR_V4MAPPED(six) ? 16 : 8);
        }
}

static struct caller **find(struct callers *c, const uint8_t key[16])
{
        uint32_t hash = 0;
        for (int i = 0; i < 16; i++)
                hash = (hash ^ key[i]) * 16777619u;
        struct caller **at = &c->rows[hash % CALLER_BUCKETS];
        while (*at && memcmp((*at)->address, key, 16) != 0)
                at = &(*at)->next;
        return at;
}

struct caller *callers_add(struct callers *c, const struct sockaddr_storage *peer)
{
        uint8_t key[16];
        key_of(key, peer);
        struct caller **at = find(c, key);
        if (!*at) {
                *at = mem_alloc(sizeof(**at));
                memcpy((*at)->address, key, sizeof(key));
        }
        (*at)->connections++;
        return *at;
}

void callers_remove(struct callers *c, struct caller *row)
{
        if (--row->connections > 0)
                return;
        *find(c, row->address) = row->next;
        free(row);
}
