/* timer.h - a libuv timer that is never early, for what is promised not to happen before a time is over.
 *
 * uv_timer_start() counts whole milliseconds from the loop's own time. That is as old as the round of the loop that is under
 * way, which may have taken long, and cut to a millisecond. Loop thread only. */
#ifndef COMMON_TIMER_H
#define COMMON_TIMER_H

#include <uv.h>

/* Calls cb once, when at least ms have passed from now; 0: in the loop's next round. */
static inline void timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t ms)
{
        uv_update_time(timer->loop);
        uv_timer_start(timer, cb, ms ? ms + 1 : 0, 0);
}

#endif
