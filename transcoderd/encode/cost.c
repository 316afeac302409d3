#include "transcoderd/encode/cost.h"

#include "transcoderd/encode/sps.h"

#define USUAL_WIDTH 1280
#define USUAL_HEIGHT 720
#define USUAL_FPS_MILLI 30000
#define FPS_MILLI_MIN 5000 /* a slow source's pictures are shown again, one a chunk */
#define FPS_MILLI_MAX 120000

int64_t cost_of_decoded(int width, int height)
{
        return (int64_t)(COST_DECODED * (double)width * (double)height);
}

int64_t cost_of_encoded(int width, int height)
{
        return (int64_t)width * height + COST_PICTURE;
}

static uint32_t usual(uint32_t fps_milli)
{
        uint32_t known = fps_milli ? fps_milli : USUAL_FPS_MILLI;
        return known < FPS_MILLI_MIN ? FPS_MILLI_MIN : known > FPS_MILLI_MAX ? FPS_MILLI_MAX : known;
}

int64_t cost_of_ladder(const struct ladder *ladder, const struct cost_source *source, bool sound)
{
        int64_t milli = 0;
        if (source->height > 0) {
                struct ladder l = *ladder;
                uint32_t fps_milli = usual(source->fps_milli);
                ladder_limit(&l, source->height);
                milli = cost_of_decoded(source->width, source->height) * fps_milli;
                for (size_t i = 0; i < l.video_count; i++) {
                        uint32_t most_milli = (uint32_t)l.video[i].fps_max * 1000;
                        uint32_t rung_milli = most_milli && most_milli < fps_milli ? most_milli : fps_milli;
                        int width = (int)((int64_t)l.video[i].height * source->width / source->height);
                        milli += cost_of_encoded(width, l.video[i].height) * rung_milli;
                }
        }
        return milli / 1000 + (sound ? (int64_t)ladder->audio_count * COST_SOUND : 0);
}

int64_t cost_of_stream(const struct ladder *ladder, const uint8_t codecs[TRACK_KINDS], const uint8_t *video_record, size_t len_bytes)
{
        struct cost_source source = {0};
        struct sps sps;
        if (codecs[TRACK_VIDEO] != CODEC_NONE)
                source = (struct cost_source){USUAL_WIDTH, USUAL_HEIGHT, USUAL_FPS_MILLI};
        if (codecs[TRACK_VIDEO] != CODEC_NONE && video_record && sps_of_record(&sps, video_record, len_bytes) == 0)
                source = (struct cost_source){sps.width, sps.height, sps.fps_milli};
        return cost_of_ladder(ladder, &source, codecs[TRACK_AUDIO] != CODEC_NONE);
}
