/* lag.h - how late each stream comes here: what was captured how long ago when the beginning of its newest segment came.
 *
 * A memory of LAG_STREAMS streams, the one that was not heard of for longest makes room. Loop thread only, no allocation. */
#ifndef EDGED_LAG_H
#define EDGED_LAG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define LAG_STREAMS 128
#define LAG_KEPT_US INT64_C(10000000) /* one that nobody watched for so long is not told of any more */

struct lag {
        char stream[STREAM_ID_MAX + 1]; /* "": free */
        int64_t late_us, seen_us;       /* seen: monotonic */
};

void lag_saw(const char *stream, int64_t late_us, int64_t now_us);
const struct lag *lag_at(size_t i, int64_t now_us); /* i < LAG_STREAMS; NULL: nothing there */

#endif
