/* audience.h - how many watch each stream here, by what they fetch: who plays fetches each second's segment once, of one picture and of one
 * sound, however many connections he has and whatever stands between him and us.
 *
 * Near the live edge segments are counted by their number: a count is how many have seen that second, exact also while a crowd arrives,
 * when each newcomer fetches some seconds at once. A segment is near for AUDIENCE_NEAR_US from when somebody here first wanted it. All
 * others (those that go back, recordings) are counted by the clock. Of both the last whole ten are told. Edges that share a stream's
 * viewers, however the balancer deals their requests out, are added up: their tens are the same. Of a recording's track on demand seconds
 * count by the share of its bytes (routes/recording.c). Pictures and sounds are told apart, since
 * who adds up edges has to take the greater one of the sums: some streams have sound only, some viewers too.
 *
 *   audience_open → audience_saw() of each thread … audience_look() each second → audience_close
 *
 * Each thread counts in a part of its own, with a lock that the loop thread takes once a second. A part has AUDIENCE_STREAMS sessions of
 * streams; who watches others is counted as watching the stream "". What was told is read by any thread. */
#ifndef EDGED_AUDIENCE_H
#define EDGED_AUDIENCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "edged/headcount.h"

#define AUDIENCE_TEN 10 /* segments, and seconds, of what is told */
#define AUDIENCE_NEAR_US (8 * US_PER_S)
#define AUDIENCE_SILENT_US (15 * US_PER_S) /* nobody asked for anything near for so long: nobody is there */

struct audience;

struct audience *audience_open(unsigned threads);
void audience_close(struct audience *a);

struct audience_fetch {
        const char *stream, *session;
        enum audience_of of;
        uint32_t segment;
        int64_t wanted_us, now_us; /* monotonic: when it was first wanted here; when it was fetched */
};
void audience_saw(struct audience *a, unsigned thread, const struct audience_fetch *f);

void audience_look(struct audience *a, int64_t now_us); /* loop thread */
size_t audience_rows(struct audience *a, struct audience_row rows[AUDIENCE_STREAMS + 1]); /* how many; those that somebody watched lately. Any thread */

#endif
