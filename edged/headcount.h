/* headcount.h - how many were counted last, by stream: put by the loop thread, once a second, and read by any thread. audience.h has one
 * of this edge, crowd.h one of the site.
 *
 *   headcount_open → headcount_put(), headcount_get() … → headcount_close */
#ifndef EDGED_HEADCOUNT_H
#define EDGED_HEADCOUNT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define AUDIENCE_STREAMS 128

enum audience_of { AUDIENCE_PICTURE, AUDIENCE_SOUND };
#define AUDIENCE_KINDS 2

struct audience_row {
        char stream[STREAM_ID_MAX + 1]; /* "": those that there was no room for */
        uint32_t tenths[AUDIENCE_KINDS]; /* viewers × 10 */
};

struct headcount {
        pthread_mutex_t lock; /* guards the rest */
        size_t count;
        struct audience_row rows[AUDIENCE_STREAMS + 1];
};

void headcount_open(struct headcount *h); /* nobody is there */
void headcount_close(struct headcount *h);
void headcount_put(struct headcount *h, const struct audience_row *rows, size_t count);
size_t headcount_get(struct headcount *h, struct audience_row rows[AUDIENCE_STREAMS + 1]); /* how many */

#endif
