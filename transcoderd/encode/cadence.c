#include "transcoderd/encode/cadence.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/clock.h"
#include "transcoderd/encode/grid.h"

/* Milliseconds of RTMP make a steady 29.97 fps look like 33, 33, 34; B-frames round twice. */
#define STEADY_SPREAD_US 2500
#define STEADY_GAPS 4

void cadence_add(struct cadence *c, int64_t pts_us)
{
        int64_t gap_us = pts_us - c->last_us;
        if (c->any && gap_us > 0 && gap_us < US_PER_S)
                c->gaps_us[c->count++ % CADENCE_GAPS] = gap_us;
        else
                c->count = 0;
        c->last_us = pts_us;
        c->any = true;
}

static unsigned gaps_held(const struct cadence *c)
{
        return c->count < CADENCE_GAPS ? c->count : CADENCE_GAPS;
}

int64_t cadence_interval_us(const struct cadence *c)
{
        unsigned n = gaps_held(c);
        int64_t sum_us = 0;
        for (unsigned i = 0; i < n; i++)
                sum_us += c->gaps_us[i];
        return n ? sum_us / n : CADENCE_DEFAULT_US;
}

bool cadence_steady(const struct cadence *c)
{
        unsigned n = gaps_held(c);
        if (n < STEADY_GAPS)
                return false;
        int64_t least_us = c->gaps_us[0], most_us = c->gaps_us[0];
        for (unsigned i = 1; i < n; i++) {
                least_us = c->gaps_us[i] < least_us ? c->gaps_us[i] : least_us;
                most_us = c->gaps_us[i] > most_us ? c->gaps_us[i] : most_us;
        }
        return most_us - least_us <= STEADY_SPREAD_US;
}

bool fps_limit_keep(struct fps_limit *l, int64_t pts_us, int64_t fps_milli)
{
        /* A fifth of tolerance: 60 → 30 keeps 33 of 33.3 ms, 50 → 30 gives 25, 60 → 15 leaves the one at 50 ms. */
        bool keep = !l->any || fps_milli == 0 || grid_segment(pts_us) != grid_segment(l->kept_us) ||
                    pts_us - l->kept_us >= 800 * US_PER_S / fps_milli;
        if (keep) {
                l->any = true;
                l->kept_us = pts_us;
        }
        return keep;
}

static uint32_t usual_rate(int64_t milli)
{
        static const uint32_t usual[] = {5000,  7500,  10000, 12000, 12500, 14985, 15000, 20000, 23976, 24000,  25000,
                                         29970, 30000, 48000, 50000, 59940, 60000, 90000, 100000, 119880, 120000};
        uint32_t best = (uint32_t)milli;
        int64_t distance = milli / 50; /* 2 %: a few frames in ms do not measure better */
        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
                int64_t d = llabs(milli - (int64_t)usual[i]);
                /* Of 29.97 and 30 the round one, unless the measure is clearly nearer to the other. */
                if (d < distance || (d < distance + milli / 2000 && usual[i] % 1000 == 0)) {
                        best = usual[i];
                        distance = d;
                }
        }
        return best;
}

uint32_t cadence_fps_milli(uint32_t declared_milli, int64_t interval_us)
{
        int64_t measured = 1000 * US_PER_S / (interval_us > 0 ? interval_us : CADENCE_DEFAULT_US);
        if (declared_milli > 0) {
                int64_t times = (declared_milli + measured / 2) / measured;
                if (times < 1)
                        times = 1;
                int64_t rate = declared_milli / times;
                if (llabs(rate - measured) * 10 < measured)
                        return (uint32_t)rate;
        }
        return usual_rate(measured);
}
