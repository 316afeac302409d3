#include "common/cluster/rpc_handshakes.h"

#include <assert.h>
#include <openssl/rand.h>
#include <xxhash.h>

void rpc_handshakes_init(struct rpc_handshakes *h, const struct rpc_handshake_limits *limits)
{
        *h = (struct rpc_handshakes){.limits = *limits};
        int ok = RAND_bytes((unsigned char *)&h->secret, sizeof(h->secret));
        assert(ok == 1);
        (void)ok;
}

static unsigned slot(const struct rpc_handshakes *h, const uint8_t address[16])
{
        return (unsigned)(XXH3_64bits_withSeed(address, 16, h->secret) % RPC_HANDSHAKES_SLOTS);
}

/* What was let through is paid off by time, one after the other. */
static bool has_room(int64_t paid_us, unsigned at_once, int64_t each_us, int64_t now_us)
{
        return paid_us - now_us <= (at_once - 1) * each_us;
}

static void put(int64_t *paid_us, int64_t each_us, int64_t now_us)
{
        *paid_us = (*paid_us > now_us ? *paid_us : now_us) + each_us;
}

/* An address that has used up its own share takes nothing of everybody's. */
bool rpc_handshakes_may(struct rpc_handshakes *h, const uint8_t address[16], int64_t now_us)
{
        const struct rpc_handshake_limits *most = &h->limits;
        unsigned at = slot(h, address);
        int64_t *own_us = &h->paid_of_us[at], *all_us = &h->paid_us[h->known_until_us[at] > now_us];
        if (!has_room(*own_us, most->of_address, most->of_address_each_us, now_us) ||
            !has_room(*all_us, most->of_all, most->of_all_each_us, now_us))
                return false;
        put(own_us, most->of_address_each_us, now_us);
        put(all_us, most->of_all_each_us, now_us);
        return true;
}

void rpc_handshakes_known(struct rpc_handshakes *h, const uint8_t address[16], int64_t now_us)
{
        h->known_until_us[slot(h, address)] = now_us + RPC_HANDSHAKES_KNOWN_US;
}
