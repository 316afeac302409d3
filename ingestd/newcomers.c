#include "ingestd/newcomers.h"

#include <assert.h>
#include <openssl/rand.h>
#include <string.h>
#include <xxhash.h>

#include "ingestd/peer_address.h"

unsigned newcomers_slot(const struct newcomers *n, const char *address)
{
        uint8_t key[16];
        peer_address_key(key, address);
        return (unsigned)(XXH64(key, sizeof(key), n->secret) % NEWCOMERS_SLOTS);
}

static uint16_t *count_of(struct newcomers *n, const char *address)
{
        return &n->count[newcomers_slot(n, address)];
}

void newcomers_init(struct newcomers *n, unsigned most)
{
        memset(n, 0, sizeof(*n));
        n->most = most < UINT16_MAX ? most : UINT16_MAX;
        int ok = RAND_bytes((unsigned char *)&n->secret, sizeof(n->secret));
        assert(ok == 1);
        (void)ok;
}

bool newcomers_enter(struct newcomers *n, const char *address)
{
        uint16_t *count = count_of(n, address);
        if (*count >= n->most)
                return false;
        ++*count;
        return true;
}

void newcomers_leave(struct newcomers *n, const char *address)
{
        uint16_t *count = count_of(n, address);
        assert(*count > 0);
        --*count;
}
