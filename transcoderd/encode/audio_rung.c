#include "transcoderd/encode/audio_rung.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/cost.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/package.h"

#define NO_END (INT64_MAX / AAC_FRAME_SAMPLES) /* frames */
#define SAID_MAX 64 /* frames that say something and are not packaged: more than come in a second */

struct said {
        int64_t frame;
        struct buf *boxes;
};

struct audio_rung {
        struct audio_rung_options o;
        AVCodecContext *codec;
        AVCodecContext *next; /* lock-step: takes over from frame next_frame on; NULL: none is starting */
        int64_t next_frame;
        AVPacket *pkt;
        struct package *package;
        unsigned track;
        bool announced;
        int64_t silent_from, silent_until; /* sample numbers of the last run of made-up silence */
        int64_t begins; /* frame: the first one of this writer's */
        struct said said[SAID_MAX]; /* rising */
        size_t said_count;
};

/* What no segment exceeds. The encoder keeps its rate on average; seconds of it were seen to have up to 1.22 times that. */
static uint32_t segment_bps(const struct audio_rung_options *o)
{
        return (uint32_t)(o->rung.bitrate_bps * 5 / 4 + package_overhead_bps(AUDIO_TIMESCALE / AAC_FRAME_SAMPLES + 1, o->chunk_ms));
}

static void announce(struct audio_rung *r)
{
        struct track_info info = {
                .track = r->track,
                .kind = TRACK_AUDIO,
                .init = package_init_segment(r->package),
                .bandwidth = segment_bps(&r->o),
                .start_us = r->o.start_us,
        };
        snprintf(info.name, sizeof(info.name), "%s", r->o.rung.name);
        outlet_track(r->o.outlet, &info);
        r->announced = true;
}

static void on_chunk(void *arg, struct chunk *c)
{
        struct audio_rung *r = arg;
        if (!r->announced)
                announce(r);
        c->track = r->track;
        outlet_chunk(r->o.outlet, c);
}

static int open_codec(const struct audio_rung *r, AVCodecContext **out)
{
        const AVCodec *codec = avcodec_find_encoder_by_name("aac");
        if (!codec)
                return ERR_CODEC;
        AVCodecContext *c = *out = avcodec_alloc_context3(codec);
        c->sample_rate = AUDIO_TIMESCALE;
        c->sample_fmt = AV_SAMPLE_FMT_FLTP;
        c->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        c->time_base = (AVRational){1, AUDIO_TIMESCALE};
        c->bit_rate = r->o.rung.bitrate_bps;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
        return avcodec_open2(c, codec, NULL) < 0 ? ERR_CODEC : 0;
}

int audio_rung_open(struct audio_rung **out, const struct audio_rung_options *o)
{
        struct audio_rung *r = mem_alloc(sizeof(*r));
        r->o = *o;
        r->begins = o->first_frame;
        int err = open_codec(r, &r->codec);
        if (!err) {
                struct package_options package = {
                        .codec = r->codec, .epoch_us = o->epoch_us, .chunk_ms = o->chunk_ms, .chunk = on_chunk, .arg = r};
                err = package_open(&r->package, &package);
        }
        r->pkt = av_packet_alloc();
        r->track = outlet_number(o->outlet);
        if (err)
                audio_rung_close(&r);
        *out = r;
        return err;
}

bool audio_rung_say(struct audio_rung *r, int64_t frame, struct buf *boxes)
{
        if (frame >= r->begins && r->said_count < SAID_MAX) {
                r->said[r->said_count++] = (struct said){.frame = frame, .boxes = boxes};
                return true;
        }
        buf_unref(&boxes);
        return frame < r->begins;
}

size_t audio_rung_unsaid(const struct audio_rung *r)
{
        return r->said_count;
}

/* All that belongs to this frame or one before it. */
static void say(struct audio_rung *r, int64_t frame)
{
        size_t n = 0;
        for (; n < r->said_count && r->said[n].frame <= frame; n++)
                if (!package_say(r->package, r->said[n].boxes))
                        atomic_fetch_add(&r->o.outlet->tally.cues_lost, 1);
        r->said_count -= n;
        memmove(r->said, r->said + n, r->said_count * sizeof(r->said[0]));
}

/* Those of the frames in [from, until). */
static void receive(struct audio_rung *r, AVCodecContext *codec, int64_t from, int64_t until)
{
        while (avcodec_receive_packet(codec, r->pkt) == 0) {
                int64_t at = r->pkt->pts;
                if (at < from * AAC_FRAME_SAMPLES || at >= until * AAC_FRAME_SAMPLES) {
                        av_packet_unref(r->pkt);
                        continue;
                }
                package_next(r->package, at); /* cuts only after a hole that was left open */
                say(r, at / AAC_FRAME_SAMPLES);
                package_add(r->package, r->pkt, at, at >= r->silent_from && at < r->silent_until);
                package_next(r->package, at + AAC_FRAME_SAMPLES);
        }
}

static void encode(struct audio_rung *r, AVCodecContext *codec, AVFrame *f, int64_t from, int64_t until)
{
        if (avcodec_send_frame(codec, f) >= 0)
                receive(r, codec, from, until);
}

/* NULL: nothing comes any more. */
static void encode_by_both(struct audio_rung *r, AVFrame *f)
{
        encode(r, r->codec, f, r->o.first_frame, r->next ? r->next_frame : NO_END);
        if (r->next)
                encode(r, r->next, f, r->next_frame, NO_END);
}

/* Whether an encoder begins anew with this frame. */
static bool in_lockstep_from(const struct audio_rung *r, int64_t frame)
{
        if (!r->o.lockstep_segments || frame <= r->o.first_frame)
                return false;
        int64_t segment = frame * AAC_FRAME_SAMPLES / AUDIO_TIMESCALE;
        return segment % r->o.lockstep_segments == 0 && grid_aac_frame_from(segment * SEGMENT_US) == frame;
}

#define ENCODER_HOLDS 2 /* frames: the packet of frame j comes when frame j + 2 is sent */

/* The old one still has the last frames of its own when the new one gets its first. It goes on if there is no new one: sound
 * out of lock-step is better than none. */
static void renew(struct audio_rung *r, const AVFrame *f)
{
        int64_t frame = f->pts / AAC_FRAME_SAMPLES;
        if (r->next && frame >= r->next_frame + ENCODER_HOLDS) {
                avcodec_free_context(&r->codec);
                r->codec = r->next;
                r->next = NULL;
                r->o.first_frame = r->next_frame;
        }
        if (r->next || !in_lockstep_from(r, frame + AUDIO_PREROLL))
                return;
        r->next_frame = frame + AUDIO_PREROLL;
        if (open_codec(r, &r->next))
                avcodec_free_context(&r->next);
}

void audio_rung_encode(struct audio_rung *r, AVFrame *f, bool silence)
{
        if (f->pts < (r->o.first_frame - AUDIO_PREROLL) * AAC_FRAME_SAMPLES)
                return;
        if (silence && f->pts != r->silent_until)
                r->silent_from = f->pts;
        if (silence)
                r->silent_until = f->pts + AAC_FRAME_SAMPLES;
        renew(r, f);
        encode_by_both(r, f);
        atomic_fetch_add(&r->o.outlet->tally.pixels, (int64_t)COST_SOUND * AAC_FRAME_SAMPLES / AUDIO_TIMESCALE);
}

void audio_rung_finish(struct audio_rung *r)
{
        bool goes_on = atomic_load(&r->o.outlet->goes_on);
        if (!goes_on)
                encode_by_both(r, NULL);
        int64_t end = package_finish(r->package, AAC_FRAME_SAMPLES, AAC_FRAME_SAMPLES, goes_on);
        outlet_ended(r->o.outlet, grid_us(end, AUDIO_TIMESCALE));
}

void audio_rung_close(struct audio_rung **rp)
{
        struct audio_rung *r = *rp;
        *rp = NULL;
        if (!r)
                return;
        while (r->said_count > 0)
                buf_unref(&r->said[--r->said_count].boxes);
        package_close(&r->package);
        av_packet_free(&r->pkt);
        avcodec_free_context(&r->next);
        avcodec_free_context(&r->codec);
        free(r);
}
