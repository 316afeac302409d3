/* starts.h - whose encoders are opened now: few at a time, so that many streams that begin at once cost those that run nothing.
 *
 * To open a ladder's encoders is tens of milliseconds of work on as many threads as it has rungs. One start for each two processors is
 * under way; it ends when each encoder has encoded its first picture, or after STARTS_LONG_US, for a stream may begin with what cannot
 * be decoded. After a stream that is new the next new one waits as long as that took, so new ones take half of that share at most; and it
 * waits while somebody is late at the live edge. Streams that go on from another transcoder wait for neither, come first, and have
 * one start more: they have viewers.
 * Pure: times come in as arguments, monotonic. The loop's. */
#ifndef TRANSCODERD_STARTS_H
#define TRANSCODERD_STARTS_H

#include <stdbool.h>
#include <stdint.h>

#define STARTS_LONG_US (500 * INT64_C(1000))
#define STARTS_REST_MAX_US (200 * INT64_C(1000))
#define STARTS_NEW_MAX 8 /* new streams that are asked for at the origins or wait for their start; the OPENs of others wait (opens.h) */

struct starts {
        unsigned at_once, under_way;
        unsigned begun;         /* so far */
        int64_t rest_until_us; /* of new streams */
};

struct start { /* of one stream; zeroed: not begun */
        int64_t begun_us;
        bool goes_on, under_way;
};

bool starts_may(const struct starts *s, bool goes_on, bool others_late, int64_t now_us);
void starts_begin(struct starts *s, struct start *one, bool goes_on, int64_t now_us);
void starts_end(struct starts *s, struct start *one, int64_t now_us); /* does nothing if it is not under way */
bool starts_takes_long(const struct start *one, int64_t now_us);      /* its end is not to be waited for */

#endif
