/* until.h - waits on a loop for what is to come about, but not for ever: where the code is broken the test fails and says for what
 * it waited, and does not hang. Include after cmocka.h. */
#ifndef TESTS_UNTIL_H
#define TESTS_UNTIL_H

#include <poll.h>
#include <uv.h>

#include "tests/unit/patience.h"

#define UNTIL_US PATIENCE_US
#define UNTIL_POLL_MS 100

/* What a test does when the loop has nothing to do but to wait for a timer: before including this, it may say so. */
#ifndef UNTIL_WAITS
#define UNTIL_WAITS() ((void)0)
#endif

/* A turn of the loop, in which nothing need happen. */
static inline void until_turn(uv_loop_t *l, int64_t *end_us, const char *what, const char *file, int line)
{
        struct pollfd p = {.fd = uv_backend_fd(l), .events = POLLIN};
        int wait_ms = uv_backend_timeout(l);
        int64_t now_us = (int64_t)(uv_hrtime() / 1000); /* not the clock's, which a test may move on */
        if (!*end_us)
                *end_us = now_us + UNTIL_US;
        if (now_us > *end_us) {
                print_error("%s:%d: waited in vain until %s\n", file, line, what);
                _fail(file, line);
        }
        if (!poll(&p, 1, wait_ms < 0 || wait_ms > UNTIL_POLL_MS ? UNTIL_POLL_MS : wait_ms) && wait_ms)
                UNTIL_WAITS();
        uv_run(l, UV_RUN_NOWAIT);
}

/* Turns the loop until it is so. */
#define UNTIL(l, so)                                                                                                   \
        for (int64_t until_end_us = 0; !(so);)                                                                         \
        until_turn((l), &until_end_us, #so, __FILE__, __LINE__)

#endif
