/* allowance.h - how many bytes of old media may come from other origins by now: one for all that are copied, so that together
 * they come no faster than so many a second. A quarter of a second's may come at once. What came is taken off, also beyond what
 * there was: then nothing more may come for a while. Loop thread only; pure. */
#ifndef ORIGIND_ALLOWANCE_H
#define ORIGIND_ALLOWANCE_H

#include <stdint.h>

struct allowance {
        int64_t bytes_s; /* 0: nobody should ask */
        int64_t bytes, as_of_us;
};

static inline int64_t allowance_left(struct allowance *a, int64_t now_us)
{
        int64_t most = a->bytes_s / 4 + 1;
        if (a->as_of_us)
                a->bytes += (int64_t)((double)a->bytes_s * (double)(now_us - a->as_of_us) / 1e6);
        a->as_of_us = now_us;
        return a->bytes = a->bytes < most ? a->bytes : most;
}

#endif
