/* load_stamp.h - when rtmp_load sent a picture, written into that picture, so that fake_transcoder can tell how long it was on its way.
 * Both run on one machine, so both mean the same monotonic clock. */
#ifndef TESTS_TOOLS_LOAD_STAMP_H
#define TESTS_TOOLS_LOAD_STAMP_H

#define LOAD_STAMP UINT64_C(0x6672657368657421) /* then the time, µs, 64 bits; both big-endian */
#define LOAD_STAMP_AT 5                         /* of an access unit: behind the NAL unit's length and its first byte */

#endif
