/* slate.h - when must the pipeline itself go on, because nothing comes? Pure: both clocks come in as arguments, the session's
 * (media time, media_clock.h) and the monotonic one.
 *
 * Slate is due when the session's clock has passed the end of the media by after_us, the queue is empty, and nothing real
 * was placed for half that long (a replay after a failover is old media that comes fast: it must not be overtaken).
 * Once slate has begun it goes on until real media is placed. It never reaches beyond now - after_us.
 * A process that stood still (stopped, suspended) has not looked meanwhile: what was sent to it waits in its socket, is on
 * its way again, or is with another transcoder. So slate waits twice as long as it stood still, at most SLATE_HOLD_MAX_US. */
#ifndef TRANSCODERD_ENCODE_SLATE_H
#define TRANSCODERD_ENCODE_SLATE_H

#include <stdbool.h>
#include <stdint.h>

struct slate {
        int64_t after_us;
        int64_t fed_mono_us; /* when real media was placed last */
        bool active;
        int64_t looked_mono_us, hold_until_us; /* held: after standing still */
};

#define SLATE_STOOD_STILL_US (700 * INT64_C(1000))  /* between two looks, which are at most 500 ms apart */
#define SLATE_HOLD_MAX_US (3 * INT64_C(1000000))    /* a proxy dials once a second */

#define SLATE_NOT_DUE INT64_MIN

void slate_init(struct slate *s, int64_t after_us, int64_t mono_us);
void slate_fed(struct slate *s, int64_t mono_us);

/* Media time up to which slate is due, or SLATE_NOT_DUE. end_us: where the media placed so far ends. The caller has
 * seen that its queue is empty. */
int64_t slate_due(struct slate *s, int64_t end_us, int64_t now_us, int64_t mono_us);

/* How long the queue may be waited for before slate could be due, in [1 ms, 500 ms]. */
int64_t slate_wait_us(struct slate *s, int64_t end_us, int64_t now_us, int64_t mono_us);

#endif
