#include "transcoderd/capacity.h"

#define WORTH_US 100000 /* of processor time: with less to do it is other things that take it */
#define SMOOTHING 16    /* looks */
#define LEAST_NS 0.1
#define MOST_NS 1000.0

void capacity_note(struct capacity *c, int64_t pixels, int64_t cpu_us)
{
        int64_t worked_us = cpu_us - c->cpu_us;
        bool first = c->cpu_us == 0;
        c->cpu_us = cpu_us;
        if (first || worked_us < WORTH_US || pixels <= 0)
                return;
        double ns = (double)worked_us * 1000 / (double)pixels;
        ns = ns < LEAST_NS ? LEAST_NS : ns > MOST_NS ? MOST_NS : ns;
        c->pixel_ns += c->pixel_ns ? (ns - c->pixel_ns) / SMOOTHING : (ns + CAPACITY_GUESS_NS) / 2;
}

int64_t capacity_pixels_s(const struct capacity *c)
{
        return (int64_t)(c->cpus * 1e9 / (c->pixel_ns ? c->pixel_ns : CAPACITY_GUESS_NS));
}

bool capacity_fits(const struct capacity *c, int64_t taken, int64_t more)
{
        return c->percent == 0 || taken == 0 || taken + more <= capacity_pixels_s(c) / 100 * c->percent;
}
