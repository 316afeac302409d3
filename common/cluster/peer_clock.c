#include "common/cluster/peer_clock.h"

#include <stdlib.h>

static int64_t error_of(const struct peer_clock_trip *t, int64_t now_us)
{
        int64_t age_us = now_us > t->at_us ? now_us - t->at_us : 0;
        return t->error_us + age_us / 1000000 * PEER_CLOCK_PPM + age_us % 1000000 * PEER_CLOCK_PPM / 1000000;
}

static const struct peer_clock_trip *best(const struct peer_clock *c, int64_t now_us)
{
        const struct peer_clock_trip *found = NULL;
        for (unsigned i = 0; i < c->count; i++)
                if (!found || error_of(&c->trips[i], now_us) < error_of(found, now_us))
                        found = &c->trips[i];
        return found;
}

void peer_clock_take(struct peer_clock *c, const struct peer_clock_times *t)
{
        int64_t took_us = t->back_us - t->left_us, theirs_us = t->answered_us - t->came_us;
        if (took_us < 0 || theirs_us < 0 || theirs_us > took_us)
                return;
        /* The middle of the one interval against the middle of the other. */
        int64_t ahead_us = t->came_us - t->left_us - (took_us - theirs_us) / 2;
        struct peer_clock_trip trip = {.at_us = t->back_us, .ahead_us = ahead_us, .error_us = (took_us - theirs_us + 1) / 2};
        const struct peer_clock_trip *old = best(c, t->back_us);
        /* Both cannot be true: one of the clocks was set since. */
        if (old && llabs(trip.ahead_us - old->ahead_us) > trip.error_us + error_of(old, t->back_us) + PEER_CLOCK_NOISE_US)
                *c = (struct peer_clock){0};
        c->trips[c->next] = trip;
        c->next = (c->next + 1) % PEER_CLOCK_KEPT;
        c->count += c->count < PEER_CLOCK_KEPT;
}

struct clock_ahead peer_clock_ahead(const struct peer_clock *c, int64_t now_us)
{
        const struct peer_clock_trip *t = best(c, now_us);
        if (!t)
                return (struct clock_ahead){0};
        return (struct clock_ahead){.known = true, .ahead_us = t->ahead_us, .error_us = error_of(t, now_us)};
}

int64_t clock_ahead_wrong_us(const struct clock_ahead *a, int64_t used_us)
{
        int64_t wrong_us = a->ahead_us - used_us;
        return a->known && llabs(wrong_us) > a->error_us + PEER_CLOCK_NOISE_US ? wrong_us : 0;
}
