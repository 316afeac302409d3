/* precedence.h - the live edge first: who encodes what is due now is not made late by who encodes what is old, or not due yet.
 *
 * All sessions of a transcoder share its processors. One that catches up with a backlog, or encodes a film that comes faster than
 * real time, takes all that it can get. So a session at the live edge that begins to be late asks for precedence, again and again
 * while it is late, and those that are far from the live edge take no next frame meanwhile: only PRECEDENCE_STEP_US after the one
 * before, so that they stand still neither, and their proxies see that they do not.
 * Any thread; the one value that is shared is an atomic. */
#ifndef TRANSCODERD_ENCODE_PRECEDENCE_H
#define TRANSCODERD_ENCODE_PRECEDENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PRECEDENCE_LATE_US (150 * INT64_C(1000)) /* less than a viewer notices, more than frames that come in batches wait */
#define PRECEDENCE_EDGE_US (2 * INT64_C(1000000)) /* nearer to the clock is the live edge */
#define PRECEDENCE_HOLD_US (50 * INT64_C(1000))  /* of an ask: more than there is between two frames */
#define PRECEDENCE_STEP_US (125 * INT64_C(1000))

/* Of a session whose waiting frames are so late, and whose media is so far behind the clock (< 0: ahead of it). */
bool precedence_needed(int64_t late_us, int64_t behind_us);
bool precedence_given(int64_t behind_us); /* is that far from the live edge? */

void precedence_ask(int64_t mono_us);
bool precedence_is_asked(int64_t mono_us);
/* Waits while it is asked for, at most PRECEDENCE_STEP_US; not when *stop is true. */
void precedence_give(const atomic_bool *stop);

#endif
