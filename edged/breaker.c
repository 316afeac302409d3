#include "edged/breaker.h"

#include <stddef.h>

void breakers_init(struct breakers *bs, unsigned most, uint64_t seed)
{
        *bs = (struct breakers){.most = most > BREAKER_LEAST ? most : BREAKER_LEAST, .random = seed | 1};
}

/* The node's place, or -1. */
static int find_breaker(const struct breakers *bs, uint64_t node)
{
        for (int i = 0; i < BREAKER_NODES_MAX; i++) {
                if (bs->nodes[i].node == node)
                        return i;
        }
        return -1;
}

/* The place of one that was not asked for longest is a new node's. NULL: all have something under way. */
static struct breaker *get_breaker(struct breakers *bs, uint64_t node)
{
        int at = find_breaker(bs, node);
        struct breaker *oldest = NULL;
        if (at >= 0)
                return &bs->nodes[at];
        for (struct breaker *b = bs->nodes; b < bs->nodes + BREAKER_NODES_MAX; b++) {
                if (b->under_way == 0 && (!oldest || b->used_us < oldest->used_us))
                        oldest = b;
        }
        if (oldest)
                *oldest = (struct breaker){.node = node, .limit = bs->most};
        return oldest;
}

bool breaker_may(const struct breakers *bs, uint64_t node, int64_t now_us)
{
        int at = find_breaker(bs, node);
        const struct breaker *b = &bs->nodes[at < 0 ? 0 : at];
        if (at < 0)
                return true;
        if (b->rest_us)
                return !b->probing && now_us >= b->rest_until_us;
        return b->under_way < b->limit;
}

bool breaker_sent(struct breakers *bs, uint64_t node, int64_t now_us)
{
        struct breaker *b = get_breaker(bs, node);
        if (!b)
                return false;
        b->under_way++;
        b->used_us = now_us;
        b->probing |= b->rest_us != 0;
        return b->rest_us != 0;
}

static int64_t half_of_it_by_chance(struct breakers *bs, int64_t us)
{
        bs->random ^= bs->random << 13; /* xorshift64 */
        bs->random ^= bs->random >> 7;
        bs->random ^= bs->random << 17;
        return us / 2 + (int64_t)(bs->random % (uint64_t)(us / 2 + 1));
}

static void rest_node(struct breakers *bs, struct breaker *b, int64_t now_us)
{
        b->rest_us = b->rest_us == 0 ? BREAKER_REST_US : b->rest_us * 2 < BREAKER_REST_MAX_US ? b->rest_us * 2 : BREAKER_REST_MAX_US;
        b->rest_until_us = now_us + half_of_it_by_chance(bs, b->rest_us);
        b->failures = 0;
}

static void cut_limit(struct breaker *b, int64_t now_us)
{
        unsigned had = b->under_way + 1 < b->limit ? b->under_way + 1 : b->limit; /* with the one that was heard */
        b->good = 0;
        if (b->cut_us && now_us - b->cut_us < BREAKER_CUT_US)
                return;
        b->cut_us = now_us;
        b->limit = had / 2 > BREAKER_LEAST ? had / 2 : BREAKER_LEAST;
        if (!b->cut)
                b->soon = b->limit;
        b->cut = true;
}

static enum breaker_change take_good(struct breakers *bs, struct breaker *b, bool probe)
{
        unsigned each = b->limit < b->soon ? 1 : BREAKER_GROWS_EACH;
        b->failures = 0;
        if (++b->good >= each && b->limit < bs->most) {
                b->good = 0;
                b->limit++;
        }
        if (probe || b->rest_us == 0) /* what was sent before the rest does not end the row */
                b->cut = false;
        if (!probe)
                return BREAKER_SAME;
        b->rest_us = 0;
        return BREAKER_ASKED_AGAIN;
}

/* While it is let alone, what was sent before says nothing new. */
static enum breaker_change take_bad(struct breakers *bs, struct breaker *b, bool probe, int64_t now_us)
{
        cut_limit(b, now_us);
        if (b->rest_us ? !probe : ++b->failures < BREAKER_FAILURES)
                return BREAKER_SAME;
        rest_node(bs, b, now_us);
        return probe ? BREAKER_SAME : BREAKER_RESTS;
}

enum breaker_change breaker_heard(struct breakers *bs, uint64_t node, bool probe, enum breaker_heard what, int64_t now_us)
{
        int at = find_breaker(bs, node);
        struct breaker *b = &bs->nodes[at < 0 ? 0 : at];
        if (at < 0 || b->under_way == 0) /* there was no place for it when it was sent */
                return BREAKER_SAME;
        b->under_way--;
        b->probing &= !probe;
        switch (what) {
        case BREAKER_GOOD:
                return take_good(bs, b, probe);
        case BREAKER_FULL:
        case BREAKER_LATE:
                return take_bad(bs, b, probe, now_us);
        case BREAKER_NOTHING:
                break;
        }
        return BREAKER_SAME;
}

unsigned breakers_resting(const struct breakers *bs)
{
        unsigned count = 0;
        for (int i = 0; i < BREAKER_NODES_MAX; i++)
                count += bs->nodes[i].rest_us != 0;
        return count;
}
