/* grid.h - where a sample belongs: pure functions of media time, the same on every transcoder.
 *
 * Media time is µs since the session's epoch; positions inside a track are ticks of its timescale. µs become ticks by
 * rounding down, so that what lies in [N, N + 1) s keeps lying there. chunk_ms is the session's (struct job), whoever began it. Any
 * thread. */
#ifndef TRANSCODERD_ENCODE_GRID_H
#define TRANSCODERD_ENCODE_GRID_H

#include <stdbool.h>
#include <stdint.h>

#define VIDEO_TIMESCALE 90000
#define AUDIO_TIMESCALE 48000
#define AAC_FRAME_SAMPLES 1024

/* No broadcast is longer; a time beyond is a peer's mistake. It also keeps all arithmetic here far from overflow. */
#define MEDIA_TIME_MAX_US (INT64_C(10) * 366 * 86400 * 1000000)

struct grid_place {
        uint32_t segment;
        uint8_t chunk;
        int64_t end_ticks; /* where this chunk ends and the next begins */
};

int64_t grid_ticks(int64_t media_us, int64_t timescale);
int64_t grid_us(int64_t ticks, int64_t timescale);
struct grid_place grid_place(int64_t ticks, int64_t timescale, unsigned chunk_ms); /* ticks ≥ 0 */
bool grid_same_chunk(const struct grid_place *a, const struct grid_place *b);

int64_t grid_segment(int64_t media_us);
int64_t grid_chunk_end_us(int64_t media_us, unsigned chunk_ms);
int64_t grid_next_second_us(int64_t media_us); /* the first whole second after */

/* The first AAC frame (number since the epoch) that begins at or after media_us. */
int64_t grid_aac_frame_from(int64_t media_us);

#endif
