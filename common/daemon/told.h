/* told.h - a line of the log that would be the same again and again, about one thing: told at once, then once in a while with how often
 * it was so meanwhile. Beside the bound that each place of the source has over all things (log_site.h). Pure; time is passed in,
 * monotonic. */
#ifndef COMMON_DAEMON_TOLD_H
#define COMMON_DAEMON_TOLD_H

#include <stdbool.h>
#include <stdint.h>

struct told { /* zeroed at first */
        int64_t at_us;
        uint64_t untold;
};

/* *count, if it may: how often it was so, with this time, since it was told last. NULL: of no interest. */
static inline bool told_may(struct told *t, int64_t every_us, int64_t now_us, uint64_t *count)
{
        t->untold++;
        if (t->at_us && now_us - t->at_us < every_us)
                return false;
        if (count)
                *count = t->untold;
        *t = (struct told){.at_us = now_us};
        return true;
}

#endif
