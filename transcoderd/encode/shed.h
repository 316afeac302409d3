/* shed.h - what to leave out when encoding falls behind real time: the frame rate of the top rungs is halved first, one
 * rung a step, until all are halved; then once more from the top. Restored step by step when the lag is gone, with
 * growing patience if that was too early. Pure: time comes in as an argument. Audio is never shed. */
#ifndef TRANSCODERD_ENCODE_SHED_H
#define TRANSCODERD_ENCODE_SHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shed {
        size_t rungs;
        int64_t too_far_us; /* further behind than this is too far */
        unsigned level;
        int64_t next_look_us, before_lag_us, calm_since_us, patience_us, raised_us;
        unsigned bad_looks;
        bool calm;
};

void shed_init(struct shed *s, size_t rungs, int64_t too_far_us);
/* lag_us: behind real time. True when the level changed. */
bool shed_update(struct shed *s, int64_t lag_us, int64_t mono_us);
unsigned shed_halvings(const struct shed *s, size_t rung); /* rung 0 is the top one */

#endif
