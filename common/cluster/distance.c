#include "common/cluster/distance.h"

#include <inttypes.h>

#include "common/daemon/log.h"
#include "common/daemon/metrics.h"

static struct metric far_peers = {.name = "freshet_far_peers",
                                  .type = METRIC_GAUGE,
                                  .help = "Nodes that this one asks and that are more than 300 ms away, there and back."};

void distance_register(void)
{
        metrics_register(&far_peers, 1);
}

int64_t distance_us(const struct distance *d)
{
        int64_t least_us = d->taken ? d->trips_us[0] : 0;
        for (unsigned i = 1; i < DISTANCE_KEPT && i < d->taken; i++)
                least_us = d->trips_us[i] < least_us ? d->trips_us[i] : least_us;
        return least_us;
}

static void set_far(struct distance *d, bool far)
{
        metric_add(&far_peers, far - d->far);
        d->far = far;
}

void distance_take(struct distance *d, const char *address, const char *id, int64_t round_trip_us)
{
        d->trips_us[d->taken++ % DISTANCE_KEPT] = round_trip_us;
        if (d->taken < DISTANCE_KEPT)
                return;
        int64_t us = distance_us(d);
        if (!d->far && us >= DISTANCE_FAR_US) {
                set_far(d, true);
                log_warn("peer=%s peer_id=%s rtt_ms=%" PRId64 " made_for_ms=%" PRId64
                         " msg=\"far away: what goes there may be late, and lost packets show\"", address, *id ? id : "-", us / US_PER_MS,
                         DISTANCE_MADE_FOR_US / US_PER_MS);
        } else if (d->far && us < DISTANCE_MADE_FOR_US) {
                set_far(d, false);
                log_info("peer=%s peer_id=%s rtt_ms=%" PRId64 " msg=\"not far away any more\"", address, *id ? id : "-", us / US_PER_MS);
        }
}

void distance_forget(struct distance *d)
{
        set_far(d, false);
        d->taken = 0;
}
