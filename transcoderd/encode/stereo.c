#include "transcoderd/encode/stereo.h"

#include <libavutil/mathematics.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/grid.h"

#define CHANNELS_MAX 64 /* swr takes no more */

static bool fits(const struct stereo *s, const AVFrame *f)
{
        return s->swr && s->rate == f->sample_rate && s->format == f->format &&
               av_channel_layout_compare(&s->layout, &f->ch_layout) == 0;
}

/* matrix NULL: swr makes one of the layout. False: it cannot. */
static bool open_with(struct stereo *s, AVChannelLayout *in, const double *matrix)
{
        AVChannelLayout out = AV_CHANNEL_LAYOUT_STEREO;
        swr_free(&s->swr);
        if (swr_alloc_set_opts2(&s->swr, &out, AV_SAMPLE_FMT_FLTP, AUDIO_TIMESCALE, in, (enum AVSampleFormat)s->format, s->rate, 0,
                                NULL) >= 0 &&
            /* Without it a sum in floats may be as large as it gets. */
            av_opt_set_double(s->swr, "rematrix_maxval", 1, 0) >= 0 &&
            (!matrix || swr_set_matrix(s->swr, matrix, in->nb_channels) >= 0) && swr_init(s->swr) >= 0)
                return true;
        swr_free(&s->swr);
        return false;
}

static bool open_evenly(struct stereo *s, AVChannelLayout *in)
{
        double matrix[PCM_CHANNELS * CHANNELS_MAX];
        for (int i = 0; i < PCM_CHANNELS * in->nb_channels; i++)
                matrix[i] = 1.0 / in->nb_channels;
        return open_with(s, in, matrix);
}

int stereo_fit(struct stereo *s, const AVFrame *f)
{
        AVChannelLayout in = {0};
        if (fits(s, f))
                return 0;
        swr_free(&s->swr);
        if (f->ch_layout.nb_channels < 1 || f->ch_layout.nb_channels > CHANNELS_MAX)
                return ERR_UNSUPPORTED;
        av_channel_layout_copy(&s->layout, &f->ch_layout);
        s->rate = f->sample_rate;
        s->format = f->format;
        drift_reset(&s->drift);
        if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
                av_channel_layout_default(&in, f->ch_layout.nb_channels);
        else
                av_channel_layout_copy(&in, &f->ch_layout);
        /* swr itself would make one channel quieter by 3 dB, as if both sides were heard as one. */
        bool open = in.nb_channels == 1 ? open_evenly(s, &in) : open_with(s, &in, NULL) || open_evenly(s, &in);
        av_channel_layout_uninit(&in);
        return open ? 0 : ERR_UNSUPPORTED;
}

int64_t stereo_held(const struct stereo *s)
{
        return swr_get_delay(s->swr, AUDIO_TIMESCALE);
}

int stereo_follow(struct stereo *s, const AVFrame *f, int64_t error)
{
        int64_t count = av_rescale(f->nb_samples, AUDIO_TIMESCALE, f->sample_rate);
        int more = drift_add(&s->drift, error, count);
        /* Asking for more or fewer also makes a converter that only copied into a resampler. */
        return more && swr_set_compensation(s->swr, more, DRIFT_WINDOW) < 0 ? ERR_UNSUPPORTED : 0;
}

int stereo_convert(struct stereo *s, const AVFrame *f)
{
        int room = swr_get_out_samples(s->swr, f->nb_samples);
        if (room <= 0)
                return room < 0 ? ERR_CORRUPT : 0;
        if ((size_t)room > s->cap) {
                s->cap = (size_t)room;
                for (int c = 0; c < PCM_CHANNELS; c++)
                        s->samples[c] = mem_resize(s->samples[c], s->cap * sizeof(float));
        }
        uint8_t *out[PCM_CHANNELS] = {(uint8_t *)s->samples[0], (uint8_t *)s->samples[1]};
        int n = swr_convert(s->swr, out, room, (const uint8_t **)f->extended_data, f->nb_samples);
        return n < 0 ? ERR_CORRUPT : n;
}

void stereo_fini(struct stereo *s)
{
        swr_free(&s->swr);
        av_channel_layout_uninit(&s->layout);
        for (int c = 0; c < PCM_CHANNELS; c++)
                free(s->samples[c]);
        *s = (struct stereo){0};
}
