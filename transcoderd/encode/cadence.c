#include "transcoderd/encode/cadence.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/clock.h"
#include "transcoderd/encode/grid.h"

/* Milliseconds of RTMP make a steady 29.97 fps look like 33, 33, 34; B-frames round twice. */
#define STEADY_SPREAD_US 2500
#define STEADY_GAPS 4

#define LIMIT_PERMILLE 1060
#define LIMIT_DOUBT_PERMILLE 15
#define PACE_SEEN_US (US_PER_S / 2)
#define PACE_LASTS_MAX_US (US_PER_S / 5)
#define PACE_MORE_PERCENT 106
#define PACE_FEWER_PERCENT 88

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

static unsigned gaps_held(const struct cadence *c, unsigned most)
{
        return c->count < most ? c->count : most;
}

/* 0: none yet. */
static int64_t mean_gap_us(const struct cadence *c, unsigned most)
{
        unsigned n = gaps_held(c, most);
        int64_t sum_us = 0;
        for (unsigned i = 1; i <= n; i++)
                sum_us += c->gaps_us[(c->count - i) % CADENCE_GAPS];
        return n ? sum_us / n : 0;
}

int64_t cadence_interval_us(const struct cadence *c)
{
        int64_t mean_us = mean_gap_us(c, CADENCE_NEWEST_GAPS);
        return mean_us ? mean_us : CADENCE_DEFAULT_US;
}

bool cadence_steady(const struct cadence *c)
{
        unsigned n = gaps_held(c, CADENCE_NEWEST_GAPS);
        if (n < STEADY_GAPS)
                return false;
        int64_t least_us = INT64_MAX, most_us = 0;
        for (unsigned i = 1; i <= n; i++) {
                int64_t gap_us = c->gaps_us[(c->count - i) % CADENCE_GAPS];
                least_us = gap_us < least_us ? gap_us : least_us;
                most_us = gap_us > most_us ? gap_us : most_us;
        }
        return most_us - least_us <= STEADY_SPREAD_US;
}

uint32_t cadence_rate_milli(const struct cadence *c, uint32_t declared_milli)
{
        if (c->count < CADENCE_NEWEST_GAPS)
                return declared_milli ? declared_milli : (uint32_t)(1000 * US_PER_S / CADENCE_DEFAULT_US);
        /* Few gaps follow a source that changes its rate; if they are uneven, only many have a mean that is worth anything. */
        int64_t gap_us = mean_gap_us(c, cadence_steady(c) ? CADENCE_NEWEST_GAPS : CADENCE_GAPS);
        return (uint32_t)(1000 * US_PER_S / (gap_us > 0 ? gap_us : 1));
}

/* The least n for which rate / n is at most that part of the limit. */
static unsigned least_divisor(uint32_t rate_milli, int64_t max_milli, int permille)
{
        int64_t allowed = max_milli * permille;
        return (unsigned)((rate_milli * INT64_C(1000) + allowed - 1) / allowed);
}

unsigned fps_limit_every(struct fps_limit *l, uint32_t rate_milli, int64_t max_milli)
{
        if (max_milli == 0)
                return l->every = 1;
        /* A rate at the bound itself is measured now above and now below it. */
        unsigned most = least_divisor(rate_milli, max_milli, LIMIT_PERMILLE - LIMIT_DOUBT_PERMILLE);
        unsigned least = least_divisor(rate_milli, max_milli, LIMIT_PERMILLE + LIMIT_DOUBT_PERMILLE);
        if (l->every < least || l->every > most)
                l->every = least_divisor(rate_milli, max_milli, LIMIT_PERMILLE);
        return l->every;
}

bool fps_limit_keep(struct fps_limit *l, unsigned every)
{
        bool keep = !l->any || l->left_out + 1 >= every;
        l->any = true;
        l->left_out = keep ? 0 : l->left_out + 1;
        return keep;
}

void fps_limit_restart(struct fps_limit *l)
{
        l->any = false;
}

void fps_limit_align(struct fps_limit *l, unsigned number, unsigned every)
{
        l->any = true;
        l->left_out = (number + every - 1) % every;
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

void pace_add(struct pace *p, int64_t pts_us, uint32_t declared_milli)
{
        if (p->pictures == 0 || grid_segment(pts_us) != grid_segment(p->first_us)) {
                /* The last one lasts until this one, but a hole is not part of it. */
                int64_t end_us = grid_next_second_us(p->first_us) + PACE_LASTS_MAX_US;
                int64_t seen_us = (pts_us < end_us ? pts_us : end_us) - p->first_us;
                if (p->pictures && seen_us >= PACE_SEEN_US)
                        p->milli[p->segments++ % PACE_SEGMENTS] = cadence_fps_milli(declared_milli, seen_us / p->pictures);
                p->first_us = pts_us;
                p->pictures = 0;
        }
        p->pictures++;
}

uint32_t pace_milli(const struct pace *p)
{
        uint32_t highest = 0;
        for (unsigned i = 0; i < p->segments && i < PACE_SEGMENTS; i++)
                highest = p->milli[i] > highest ? p->milli[i] : highest;
        return highest;
}

bool pace_is_another(const struct pace *p, uint32_t opened_milli)
{
        int64_t newest = p->segments ? p->milli[(p->segments - 1) % PACE_SEGMENTS] : 0, opened = opened_milli;
        return newest * 100 > opened * PACE_MORE_PERCENT ||
               (p->segments >= PACE_SEGMENTS && pace_milli(p) * INT64_C(100) < opened * PACE_FEWER_PERCENT);
}
