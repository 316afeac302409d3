#include "transcoderd/encode/grid.h"

#include <libavutil/mathematics.h>

#include "common/clock.h"
#include "proto/store.h"

int64_t grid_ticks(int64_t media_us, int64_t timescale)
{
        return av_rescale_rnd(media_us, timescale, US_PER_S, AV_ROUND_DOWN);
}

int64_t grid_us(int64_t ticks, int64_t timescale)
{
        return av_rescale_rnd(ticks, US_PER_S, timescale, AV_ROUND_DOWN);
}

struct grid_place grid_place(int64_t ticks, int64_t timescale, unsigned chunk_ms)
{
        unsigned chunks = chunks_of_segment(chunk_ms);
        int64_t per_chunk = timescale / chunks;
        int64_t n = ticks / per_chunk;
        return (struct grid_place){
                .segment = (uint32_t)(n / chunks),
                .chunk = (uint8_t)(n % chunks),
                .end_ticks = (n + 1) * per_chunk,
        };
}

bool grid_same_chunk(const struct grid_place *a, const struct grid_place *b)
{
        return a->end_ticks == b->end_ticks;
}

int64_t grid_segment(int64_t media_us)
{
        return media_us / SEGMENT_US;
}

int64_t grid_chunk_end_us(int64_t media_us, unsigned chunk_ms)
{
        return (media_us / chunk_us(chunk_ms) + 1) * chunk_us(chunk_ms);
}

int64_t grid_next_second_us(int64_t media_us)
{
        return (media_us / SEGMENT_US + 1) * SEGMENT_US;
}

int64_t grid_aac_frame_from(int64_t media_us)
{
        int64_t sample = av_rescale_rnd(media_us, AUDIO_TIMESCALE, US_PER_S, AV_ROUND_UP);
        return (sample + AAC_FRAME_SAMPLES - 1) / AAC_FRAME_SAMPLES;
}
