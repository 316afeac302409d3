#include "edged/addresses.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/networks.h"

#define BUCKETS 4096 /* power of two */

struct account {
        double left; /* what may be asked for */
        int64_t as_of_us;
};

struct entry {
        struct entry *chain;
        struct entry *newer, *older; /* of those without connections */
        struct address address;
        atomic_uint connections; /* changed under the lock */
        _Atomic int64_t asked_ns; /* so much of its time is used up by requests: what is beyond now is a debt, of a second at most */
        struct account account, shakes;
};

struct addresses {
        struct addresses_config cfg;
        pthread_mutex_t lock; /* guards all below */
        uint64_t seed;
        struct account all, all_shakes;
        struct entry *buckets[BUCKETS];
        struct entry *newest, *oldest;
        size_t kept;
};

/* ---- addresses ---------------------------------------------------------------------------------------------------- */

static void shorten(struct address *a)
{
        static const uint8_t four[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        if (memcmp(a->bytes, four, sizeof(four)) != 0)
                memset(a->bytes + 8, 0, 8);
}

void address_of(struct address *out, const struct sockaddr *peer)
{
        *out = (struct address){0};
        if (peer && networks_address(out->bytes, peer))
                shorten(out);
}

bool address_forwarded(struct address *out, const char *header)
{
        char text[INET6_ADDRSTRLEN];
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        *out = (struct address){0};
        if (!header)
                return false;
        const char *last = strrchr(header, ',');
        last = last ? last + 1 : header;
        last += strspn(last, " \t[");
        size_t len = strcspn(last, " \t]");
        if (len == 0 || len >= sizeof(text))
                return false;
        memcpy(text, last, len);
        text[len] = '\0';
        char *colon = strchr(text, ':'); /* one alone: some balancers say the port as well */
        if (colon && colon[1 + strspn(colon + 1, "0123456789")] == '\0' && colon[1])
                *colon = '\0';
        if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
                address_of(out, (const struct sockaddr *)(const void *)&v4);
        else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
                address_of(out, (const struct sockaddr *)(const void *)&v6);
        return !address_is_none(out);
}

bool address_is_none(const struct address *a)
{
        static const struct address none;
        return memcmp(a, &none, sizeof(none)) == 0;
}

/* ---- the table; under the lock --------------------------------------------------------------------------------------- */

static struct entry **place_of_address(struct addresses *as, const struct address *a)
{
        struct entry **at = &as->buckets[XXH3_64bits_withSeed(a, sizeof(*a), as->seed) & (BUCKETS - 1)];
        while (*at && memcmp(&(*at)->address, a, sizeof(*a)) != 0)
                at = &(*at)->chain;
        return at;
}

static void rest_address(struct addresses *as, struct entry *e)
{
        e->older = as->newest;
        e->newer = NULL;
        *(as->newest ? &as->newest->newer : &as->oldest) = e;
        as->newest = e;
        as->kept++;
}

static void unrest_address(struct addresses *as, struct entry *e)
{
        *(e->newer ? &e->newer->older : &as->newest) = e->older;
        *(e->older ? &e->older->newer : &as->oldest) = e->newer;
        e->newer = e->older = NULL;
        as->kept--;
}

static void forget_address(struct addresses *as, struct entry *e)
{
        struct entry **at = place_of_address(as, &e->address);
        *at = e->chain;
        unrest_address(as, e);
        free(e);
}

/* A new one rests: it has no connections. */
static struct entry *get_address(struct addresses *as, const struct address *a)
{
        struct entry **at = place_of_address(as, a), *e = *at;
        if (e)
                return e;
        e = *at = mem_alloc(sizeof(*e));
        e->address = *a;
        e->account.left = (double)as->cfg.misses_of_one_s * ADDRESSES_BURST_S;
        e->shakes.left = (double)as->cfg.shakes_of_one_s * ADDRESSES_BURST_S;
        rest_address(as, e);
        if (as->kept > ADDRESSES_KEPT)
                forget_address(as, as->oldest);
        return e;
}

/* ---- accounts ------------------------------------------------------------------------------------------------------------ */

static bool can_pay(struct account *a, unsigned rate_s, int64_t now_us)
{
        double most = (double)rate_s * ADDRESSES_BURST_S;
        if (now_us > a->as_of_us) {
                if (a->as_of_us)
                        a->left += (double)rate_s * (double)(now_us - a->as_of_us) / 1e6;
                a->left = a->left < most ? a->left : most;
                a->as_of_us = now_us;
        }
        return rate_s == 0 || a->left >= 1;
}

/* From one's own account, NULL: he has none, and from that of all; or from neither. */
static enum addresses_says pay_from(struct account *own, unsigned own_s, struct account *all, unsigned all_s, int64_t now_us)
{
        if (own && !can_pay(own, own_s, now_us))
                return ADDRESSES_ONE_FULL;
        if (!can_pay(all, all_s, now_us))
                return ADDRESSES_ALL_FULL;
        all->left -= 1;
        if (own)
                own->left -= 1;
        return ADDRESSES_YES;
}

enum addresses_says addresses_pay(struct addresses *as, const struct address *a, int64_t now_us)
{
        pthread_mutex_lock(&as->lock);
        struct entry *e = address_is_none(a) ? NULL : get_address(as, a);
        enum addresses_says says = pay_from(e ? &e->account : NULL, as->cfg.misses_of_one_s, &as->all, as->cfg.misses_s, now_us);
        pthread_mutex_unlock(&as->lock);
        return says;
}

enum addresses_says addresses_shake(struct addresses *as, const struct address *a, int64_t now_us)
{
        pthread_mutex_lock(&as->lock);
        struct entry *e = address_is_none(a) ? NULL : get_address(as, a);
        enum addresses_says says = pay_from(e ? &e->shakes : NULL, as->cfg.shakes_of_one_s, &as->all_shakes, as->cfg.shakes_s, now_us);
        pthread_mutex_unlock(&as->lock);
        return says;
}

void addresses_pay_back(struct addresses *as, const struct address *a)
{
        pthread_mutex_lock(&as->lock);
        struct entry *e = address_is_none(a) ? NULL : *place_of_address(as, a);
        as->all.left += 1;
        if (e)
                e->account.left += 1;
        pthread_mutex_unlock(&as->lock);
}

/* The entry stays as long as it has connections, so nothing is locked. */
bool addresses_ask(struct addresses *as, atomic_uint *count, int64_t now_us)
{
        if (!count || as->cfg.requests_of_one_s == 0)
                return true;
        struct entry *e = (struct entry *)(void *)((char *)count - offsetof(struct entry, connections));
        int64_t now_ns = now_us * 1000, each_ns = INT64_C(1000000000) / as->cfg.requests_of_one_s, used_ns = atomic_load(&e->asked_ns), from_ns;
        do {
                from_ns = used_ns > now_ns ? used_ns : now_ns;
                if (from_ns + each_ns - now_ns > INT64_C(1000000000))
                        return false;
        } while (!atomic_compare_exchange_weak(&e->asked_ns, &used_ns, from_ns + each_ns));
        return true;
}

/* ---- connections --------------------------------------------------------------------------------------------------------- */

bool addresses_enter(struct addresses *as, const struct address *a, atomic_uint **count)
{
        *count = NULL;
        if (address_is_none(a))
                return true;
        pthread_mutex_lock(&as->lock);
        struct entry *e = get_address(as, a);
        bool may = atomic_load(&e->connections) < as->cfg.connections;
        if (may && atomic_fetch_add(&e->connections, 1) == 0)
                unrest_address(as, e);
        if (may)
                *count = &e->connections;
        pthread_mutex_unlock(&as->lock);
        return may;
}

void addresses_leave(struct addresses *as, const struct address *a)
{
        if (address_is_none(a))
                return;
        pthread_mutex_lock(&as->lock);
        struct entry *e = *place_of_address(as, a);
        assert(e && atomic_load(&e->connections) > 0);
        if (atomic_fetch_sub(&e->connections, 1) == 1) {
                rest_address(as, e);
                if (as->kept > ADDRESSES_KEPT)
                        forget_address(as, as->oldest);
        }
        pthread_mutex_unlock(&as->lock);
}

struct addresses *addresses_open(const struct addresses_config *cfg)
{
        struct addresses *as = mem_alloc(sizeof(*as));
        as->cfg = *cfg;
        as->seed = (uint64_t)clock_real_us() ^ (uint64_t)(uintptr_t)as << 20; /* nobody is to choose addresses that meet in one bucket */
        as->all.left = (double)cfg->misses_s * ADDRESSES_BURST_S;
        as->all_shakes.left = (double)cfg->shakes_s * ADDRESSES_BURST_S;
        pthread_mutex_init(&as->lock, NULL);
        return as;
}

void addresses_close(struct addresses *as)
{
        for (size_t i = 0; i < BUCKETS; i++) {
                for (struct entry *e = as->buckets[i], *next; e; e = next) {
                        next = e->chain;
                        free(e);
                }
        }
        pthread_mutex_destroy(&as->lock);
        free(as);
}
