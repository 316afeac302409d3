#include "transcoderd/audio_rung.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/grid.h"
#include "transcoderd/package.h"

#define NO_END (INT64_MAX / AAC_FRAME_SAMPLES) /* frames */

struct audio_track {
        struct audio_track_options o;
        AVCodecContext *codec;
        AVCodecContext *next; /* lock-step: takes over from frame next_frame on; NULL: none is starting */
        int64_t next_frame;
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

static int open_codec(const struct audio_track *t, AVCodecContext **out)
{
        const AVCodec *codec = avcodec_find_encoder_by_name("aac");
        if (!codec)
                return ERR_CODEC;
        AVCodecContext *c = *out = avcodec_alloc_context3(codec);
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
        int err = open_codec(t, &t->codec);
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

/* Those of the frames in [from, until). */
static void receive(struct audio_track *t, AVCodecContext *codec, int64_t from, int64_t until)
{
        while (avcodec_receive_packet(codec, t->pkt) == 0) {
                int64_t at = t->pkt->pts;
                if (at < from * AAC_FRAME_SAMPLES || at >= until * AAC_FRAME_SAMPLES) {
                        av_packet_unref(t->pkt);
                        continue;
                }
                package_next(t->package, at); /* cuts only after a hole that was left open */
                package_add(t->package, t->pkt, at, at >= t->silent_from && at < t->silent_until);
                package_next(t->package, at + AAC_FRAME_SAMPLES);
        }
}

static void encode(struct audio_track *t, AVCodecContext *codec, AVFrame *f, int64_t from, int64_t until)
{
        if (avcodec_send_frame(codec, f) >= 0)
                receive(t, codec, from, until);
}

/* NULL: nothing comes any more. */
static void encode_by_both(struct audio_track *t, AVFrame *f)
{
        encode(t, t->codec, f, t->o.first_frame, t->next ? t->next_frame : NO_END);
        if (t->next)
                encode(t, t->next, f, t->next_frame, NO_END);
}

/* Whether an encoder begins anew with this frame. */
static bool in_lockstep_from(const struct audio_track *t, int64_t frame)
{
        if (!t->o.lockstep_segments || frame <= t->o.first_frame)
                return false;
        int64_t segment = frame * AAC_FRAME_SAMPLES / AUDIO_TIMESCALE;
        return segment % t->o.lockstep_segments == 0 && grid_aac_frame_from(segment * SEGMENT_US) == frame;
}

#define ENCODER_HOLDS 2 /* frames: the packet of frame j comes when frame j + 2 is sent */

/* The old one still has the last frames of its own when the new one gets its first. It goes on if there is no new one: sound
 * out of lock-step is better than none. */
static void renew(struct audio_track *t, const AVFrame *f)
{
        int64_t frame = f->pts / AAC_FRAME_SAMPLES;
        if (t->next && frame >= t->next_frame + ENCODER_HOLDS) {
                avcodec_free_context(&t->codec);
                t->codec = t->next;
                t->next = NULL;
                t->o.first_frame = t->next_frame;
        }
        if (t->next || !in_lockstep_from(t, frame + AUDIO_PREROLL))
                return;
        t->next_frame = frame + AUDIO_PREROLL;
        if (open_codec(t, &t->next))
                avcodec_free_context(&t->next);
}

void audio_track_encode(struct audio_track *t, AVFrame *f, bool silence)
{
        if (f->pts < (t->o.first_frame - AUDIO_PREROLL) * AAC_FRAME_SAMPLES)
                return;
        if (silence && f->pts != t->silent_until)
                t->silent_from = f->pts;
        if (silence)
                t->silent_until = f->pts + AAC_FRAME_SAMPLES;
        renew(t, f);
        encode_by_both(t, f);
}

void audio_track_finish(struct audio_track *t)
{
        bool goes_on = atomic_load(&t->o.outlet->goes_on);
        if (!goes_on)
                encode_by_both(t, NULL);
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
        avcodec_free_context(&t->next);
        avcodec_free_context(&t->codec);
        free(t);
}
