/* shed.h - what to leave out on a machine that is too slow: the frame rate of the top rungs is halved first, one rung a step, until
 * all are halved; then once more from the top. Restored step by step when the lag is gone, with growing patience if that was too
 * early. Audio is never shed.
 *
 * Too slow is who is behind and does not gain. What comes after a time without any transcoder is a backlog: however long it is, it
 * is encoded whole as long as that goes faster than real time by SHED_GAIN, so that it comes to an end. Where it does not, the live
 * edge would never be reached, and comes first. Only the clock tells the two apart: what waits here is as much as there is room for
 * until the backlog is nearly over.
 * Pure: time comes in as an argument. */
#ifndef TRANSCODERD_ENCODE_SHED_H
#define TRANSCODERD_ENCODE_SHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHED_GAIN 0.05 /* of real time: half a minute is caught up with in ten */
/* Looks of half a second each, over which a pace is measured: a picture or a keyframe more or less is none. With a backlog there is
 * time for more of them, and a moment in which others need the machine costs no pictures. */
#define SHED_LOOKS 6
#define SHED_LOOKS_BACKLOG 20
#define SHED_BACKLOG_US (2 * INT64_C(1000000)) /* so much more between two looks no slow machine makes: it came so */

struct shed {
        size_t rungs;
        int64_t too_far_us; /* further behind than this is too far */
        unsigned level;
        int64_t next_look_us, calm_since_us, patience_us, raised_us;
        int64_t looks_us[SHED_LOOKS_BACKLOG]; /* how far made media was from the clock, by number of the look */
        unsigned looks;                       /* so far, since the level was raised last, or a backlog came */
        int64_t behind_us;                    /* at the last look */
        unsigned bad_looks;
        bool calm, gains, backlog;
};

void shed_init(struct shed *s, size_t rungs, int64_t too_far_us);
/* waits_us: how late what waits is, and could be encoded. behind_us: media time from what is made to the clock, whether it was sent
 * already or not. True when the level changed. */
bool shed_update(struct shed *s, int64_t waits_us, int64_t behind_us, int64_t mono_us);
bool shed_gains(const struct shed *s); /* what is behind comes nearer to the clock, or nobody can say yet */
unsigned shed_halvings(const struct shed *s, size_t rung); /* rung 0 is the top one */

#endif
