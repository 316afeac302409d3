/* capacity.h - how much this machine can encode at a time, as it was measured, and whether one more stream fits in.
 *
 * What was encoded (cost.h) and the processor time that it took tell what a pixel takes; that is looked at while there is work that
 * is worth measuring, and remembered. Before, it is CAPACITY_GUESS_NS. By processor time and not by the clock, so that what else runs
 * on the machine, or waiting, does not count. What streams cost is promised when they are taken, and theirs until they are gone.
 * Pure; the loop's. */
#ifndef TRANSCODERD_CAPACITY_H
#define TRANSCODERD_CAPACITY_H

#include <stdbool.h>
#include <stdint.h>

#define CAPACITY_GUESS_NS 8.0 /* a pixel, x264 "veryfast" on a processor of 2.5 GHz */

struct capacity {
        double cpus;
        int64_t percent; /* of what can be encoded that may be promised; 0: all is */
        /* private */
        double pixel_ns; /* 0: not measured yet */
        int64_t cpu_us;  /* at the look before */
};

/* Since the look before `pixels` were encoded; cpu_us: processor time of this process so far. */
void capacity_note(struct capacity *c, int64_t pixels, int64_t cpu_us);
int64_t capacity_pixels_s(const struct capacity *c); /* that can be encoded in a second */
/* taken: pixels a second that are promised already. What is taken by nobody may be had by any stream, however large it is: there may
 * be no other machine that is larger. */
bool capacity_fits(const struct capacity *c, int64_t taken, int64_t more);

#endif
