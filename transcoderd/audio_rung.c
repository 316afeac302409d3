#include "transcoderd/audio_rung.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/grid.h"
#include "transcoderd/package.h"

struct audio_track {
        struct audio_track_options o;
        AVCodecContext *codec;
        AVPacket *pkt;
        struct package *package;
        unsigned track;
        bool announced;
        int64_t silent_from, silent_until; /* sample numbers of the last run of made-up silence */
};

static void announce(struct audio_track *t)
{
        struct track_info info = {
                .track = t->track,
                .kind = TRACK_AUDIO,
                .init = package_init_segment(t->package),
                .bandwidth = (uint32_t)t->o.rung.bitrate_bps,
                .start_us = t->o.start_us,
        };
        snprintf(info.name, sizeof(info.name), "%s", t->o.rung.name);
        outlet_track(t->o.outlet, &info);
        t->announced = true;
}

static void on_chunk(void *arg, struct chunk *c)
{
        struct audio_track *t = arg;
        if (!t->announced)
                announce(t);
        c->track = t->track;
        outlet_chunk(t->o.outlet, c);
}

static int open_codec(struct audio_track *t)
{
        const AVCodec *codec = avcodec_find_encoder_by_name("aac");
        if (!codec)
                return ERR_CODEC;
        AVCodecContext *c = t->codec = avcodec_alloc_context3(codec);
        c->sample_rate = AUDIO_TIMESCALE;
        c->sample_fmt = AV_SAMPLE_FMT_FLTP;
        c->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        c->time_base = (AVRational){1, AUDIO_TIMESCALE};
        c->bit_rate = t->o.rung.bitrate_bps;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
        return avcodec_open2(c, codec, NULL) < 0 ? ERR_CODEC : 0;
}

int audio_track_open(struct audio_track **out, const struct audio_track_options *o)
{
        struct audio_track *t = mem_alloc(sizeof(*t));
        t->o = *o;
        int err = open_codec(t);
        if (!err) {
                struct package_options package = {
                        .codec = t->codec, .epoch_us = o->epoch_us, .chunk = on_chunk, .arg = t};
                err = package_open(&t->package, &package);
        }
        t->pkt = av_packet_alloc();
        t->track = outlet_number(o->outlet);
        if (err)
                audio_track_close(&t);
        *out = t;
        return err;
}

static void receive(struct audio_track *t)
{
        while (avcodec_receive_packet(t->codec, t->pkt) == 0) {
                int64_t at = t->pkt->pts;
                if (at < t->o.first_frame * AAC_FRAME_SAMPLES) {
                        av_packet_unref(t->pkt);
                        continue;
                }
                package_next(t->package, at); /* cuts only after a hole that was left open */
                package_add(t->package, t->pkt, at, at >= t->silent_from && at < t->silent_until);
                package_next(t->package, at + AAC_FRAME_SAMPLES);
        }
}

void audio_track_encode(struct audio_track *t, AVFrame *f, bool silence)
{
        if (f->pts < (t->o.first_frame - AUDIO_PREROLL) * AAC_FRAME_SAMPLES)
                return;
        if (silence && f->pts != t->silent_until)
                t->silent_from = f->pts;
        if (silence)
                t->silent_until = f->pts + AAC_FRAME_SAMPLES;
        if (avcodec_send_frame(t->codec, f) >= 0)
                receive(t);
}

void audio_track_finish(struct audio_track *t)
{
        bool goes_on = atomic_load(&t->o.outlet->goes_on);
        if (!goes_on) {
                avcodec_send_frame(t->codec, NULL);
                receive(t);
        }
        int64_t end = package_finish(t->package, AAC_FRAME_SAMPLES, goes_on);
        outlet_ended(t->o.outlet, grid_us(end, AUDIO_TIMESCALE));
}

void audio_track_close(struct audio_track **tp)
{
        struct audio_track *t = *tp;
        *tp = NULL;
        if (!t)
                return;
        package_close(&t->package);
        av_packet_free(&t->pkt);
        avcodec_free_context(&t->codec);
        free(t);
}
