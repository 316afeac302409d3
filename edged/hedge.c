#include "edged/hedge.h"

#include <stdlib.h>
#include <string.h>

void hedge_init(struct hedge *h)
{
        *h = (struct hedge){.budget = HEDGE_BURST * HEDGE_FETCHES_EACH};
}

/* ---- how long an answer takes ----------------------------------------------------------------------------------- */

static int compare_samples(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
}

void hedge_sample(struct hedge *h, enum hedge_kind kind, int64_t us)
{
        int64_t sorted[HEDGE_SAMPLES];
        h->recent[kind].us[h->recent[kind].taken++ % HEDGE_SAMPLES] = us < 0 ? 0 : us;
        unsigned taken = h->recent[kind].taken, count = taken < HEDGE_SAMPLES ? taken : HEDGE_SAMPLES;
        if (count < HEDGE_SAMPLES_MIN || (taken - HEDGE_SAMPLES_MIN) % HEDGE_SAMPLES_STEP)
                return;
        memcpy(sorted, h->recent[kind].us, count * sizeof(sorted[0]));
        qsort(sorted, count, sizeof(sorted[0]), compare_samples);
        int64_t p95_us = sorted[count * 95 / 100];
        h->recent[kind].p95_us = p95_us > 0 ? p95_us : 1;
}

int64_t hedge_p95_us(const struct hedge *h, enum hedge_kind kind)
{
        return h->recent[kind].p95_us;
}

int64_t hedge_after_us(const struct hedge *h, enum hedge_kind kind)
{
        int64_t us = h->recent[kind].p95_us;
        if (us == 0)
                return kind == HEDGE_THERE ? HEDGE_THERE_US : HEDGE_GROWING_US;
        return us < HEDGE_LEAST_US ? HEDGE_LEAST_US : us > HEDGE_MOST_US ? HEDGE_MOST_US : us;
}

/* ---- who is late ------------------------------------------------------------------------------------------------ */

/* The node's place, or -1. */
static int find_hedged(const struct hedge *h, uint64_t node)
{
        for (int i = 0; i < UPSTREAM_NODES_MAX; i++) {
                if (h->late[i].node == node)
                        return i;
        }
        return -1;
}

void hedge_late(struct hedge *h, uint64_t node, int64_t now_us)
{
        int at = find_hedged(h, node);
        if (at >= 0 && now_us - h->late[at].since_us < HEDGE_LATE_US)
                return;
        for (int i = 0; at < 0 && i < UPSTREAM_NODES_MAX; i++) {
                if (h->late[i].node == 0 || now_us - h->late[i].since_us >= HEDGE_LATE_US)
                        at = i;
        }
        if (at < 0) /* all of a large tier are late: then the order says nothing any more */
                return;
        h->late[at].node = node;
        h->late[at].since_us = now_us;
}

void hedge_heard(struct hedge *h, uint64_t node)
{
        int at = find_hedged(h, node);
        if (at >= 0)
                h->late[at].node = 0;
}

void hedge_avoid(const struct hedge *h, int64_t now_us, struct node_set *set)
{
        for (int i = 0; i < UPSTREAM_NODES_MAX; i++) {
                if (h->late[i].node && now_us - h->late[i].since_us < HEDGE_LATE_US)
                        node_set_add(set, h->late[i].node);
        }
}

/* ---- the budget ------------------------------------------------------------------------------------------------- */

void hedge_earn(struct hedge *h)
{
        if (h->budget < HEDGE_BURST * HEDGE_FETCHES_EACH)
                h->budget++;
}

static bool is_silent(const struct hedge *h, uint64_t node, int64_t now_us)
{
        int at = find_hedged(h, node);
        return at >= 0 && now_us - h->late[at].since_us >= HEDGE_SILENT_US;
}

bool hedge_may(const struct hedge *h, uint64_t silent_node, int64_t now_us)
{
        return h->budget >= HEDGE_FETCHES_EACH || is_silent(h, silent_node, now_us);
}

void hedge_spend(struct hedge *h, uint64_t silent_node, int64_t now_us)
{
        if (!is_silent(h, silent_node, now_us))
                h->budget -= HEDGE_FETCHES_EACH;
}
