#include "transcoderd/encode.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/cadence.h"
#include "transcoderd/grid.h"
#include "transcoderd/package.h"
#include "transcoderd/queue.h"

#define QUEUE_PICTURES 8
#define GOP_NEVER (1 << 20) /* key frames come by time only */

struct encoder {
        struct encoder_options o;
        struct queue queue;
        pthread_t thread;
        AVCodecContext *codec;
        AVPacket *pkt;
        struct package *package;
        unsigned track, oversized;
        bool announced, failed;
        _Atomic int64_t done_us;
};

/* Table A-1 of H.264: the least level for the size, the rate at the highest frame rate the rung may have, and VBV. Made
 * from the rung alone, never from the source, so that avcC does not depend on it. */
static int level_for(int width, int height, int fps, int64_t bps)
{
        static const struct {
                int level, frame_mbs, mbs_per_s, kbps; /* kbps: High profile, 1.25 × MaxBR */
        } levels[] = {
                {21, 792, 19800, 5000},      {30, 1620, 40500, 12500},    {31, 3600, 108000, 17500},
                {32, 5120, 216000, 25000},   {40, 8192, 245760, 25000},   {42, 8704, 522240, 62500},
                {50, 22080, 589824, 168750}, {51, 36864, 983040, 300000},
        };
        int mbs = ((width + 15) / 16) * ((height + 15) / 16);
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
                if (mbs <= levels[i].frame_mbs && mbs * fps <= levels[i].mbs_per_s && bps <= levels[i].kbps * 1000LL)
                        return levels[i].level;
        return 52;
}

/* One second, but no more than lets 200 ms of the stream together with a full buffer fit into one PUT. */
static int64_t vbv_buffer(int64_t bitrate_bps)
{
        int64_t fits = ((int64_t)BODY_MAX * 8 * 95 / 100 - bitrate_bps * 22 / 100) * 10 / 9;
        return bitrate_bps < fits ? bitrate_bps : fits;
}

static void set_parameters(AVCodecContext *c, const struct encoder_options *o)
{
        int fps = o->rung.fps_max ? o->rung.fps_max : 60;
        int64_t peak_bps = o->rung.bitrate_bps * 11 / 10;

        c->width = o->width;
        c->height = o->height;
        c->pix_fmt = AV_PIX_FMT_YUV420P;
        c->sample_aspect_ratio = (AVRational){1, 1};
        c->time_base = (AVRational){1, VIDEO_TIMESCALE};
        c->framerate = (AVRational){o->rung.fps_max ? o->rung.fps_max : 30, 1};
        c->bit_rate = o->rung.bitrate_bps;
        c->rc_max_rate = peak_bps;
        c->rc_buffer_size = (int)vbv_buffer(o->rung.bitrate_bps);
        c->gop_size = GOP_NEVER;
        c->max_b_frames = 0;
        c->level = level_for(o->width, o->height, fps, peak_bps);
        c->thread_count = o->threads;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP;
        c->color_range = AVCOL_RANGE_MPEG;
        c->colorspace = AVCOL_SPC_BT709;
        c->color_primaries = AVCOL_PRI_BT709;
        c->color_trc = AVCOL_TRC_BT709;
        c->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

static int open_codec(struct encoder *e)
{
        const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
        if (!codec)
                return ERR_CODEC;
        AVDictionary *opts = NULL;
        e->codec = avcodec_alloc_context3(codec);
        set_parameters(e->codec, &e->o);
        av_dict_set(&opts, "preset", "veryfast", 0);
        av_dict_set(&opts, "tune", "zerolatency", 0);
        av_dict_set(&opts, "profile", "high", 0);
        av_dict_set(&opts, "forced-idr", "1", 0);
        av_dict_set(&opts, "x264-params", "scenecut=0:open-gop=0:stitchable=1", 0);
        int rv = avcodec_open2(e->codec, codec, &opts);
        av_dict_free(&opts);
        return rv < 0 ? ERR_CODEC : 0;
}

static void announce(struct encoder *e)
{
        struct track_info info = {
                .track = e->track,
                .kind = TRACK_VIDEO,
                .init = package_init_segment(e->package),
                .bandwidth = (uint32_t)(e->o.rung.bitrate_bps * 11 / 10),
                .start_us = e->o.start_us,
        };
        snprintf(info.name, sizeof(info.name), "%s", e->o.rung.name);
        info.fps_milli = cadence_fps_milli(e->o.declared_milli,
                                           grid_us(package_sample_ticks(e->package), VIDEO_TIMESCALE));
        outlet_track(e->o.outlet, &info);
        e->announced = true;
}

static void on_chunk(void *arg, struct chunk *c)
{
        struct encoder *e = arg;
        /* Not sooner: only now is the frame rate known. */
        if (!e->announced)
                announce(e);
        c->track = e->track;
        outlet_chunk(e->o.outlet, c);
}

static void fail(struct encoder *e, const char *what)
{
        if (!e->failed)
                outlet_failed(e->o.outlet, ERR_CODEC, "rung %s: %s", e->o.rung.name, what);
        e->failed = true;
}

static void receive(struct encoder *e, bool slate)
{
        while (avcodec_receive_packet(e->codec, e->pkt) == 0) {
                package_add(e->package, e->pkt, e->pkt->pts, slate);
                atomic_fetch_add(&e->o.outlet->tally.encoded, 1);
        }
}

/* Rate control remembers all pictures since the encoder was opened, so only a new one makes the same of the same. Without
 * lookahead and B-pictures (zerolatency) the old one holds nothing back. */
static void renew_codec(struct encoder *e)
{
        avcodec_free_context(&e->codec);
        if (open_codec(e))
                fail(e, "x264 cannot be opened again");
}

static bool in_lockstep_from(const struct encoder *e, const struct encoder_picture *p)
{
        return e->o.lockstep_segments && p->idr && atomic_load(&e->done_us) != INT64_MIN &&
               grid_segment(p->pts_us) % e->o.lockstep_segments == 0;
}

static void encode(struct encoder *e, const struct encoder_picture *p)
{
        if (in_lockstep_from(e, p))
                renew_codec(e);
        if (e->failed)
                return;
        AVFrame *f = p->frame;
        f->pts = grid_ticks(p->pts_us, VIDEO_TIMESCALE);
        package_next(e->package, f->pts);

        unsigned oversized = package_oversized(e->package);
        if (oversized != e->oversized)
                log_warn("session=%s track=%s msg=\"chunk over the limit of a PUT left out\" count=%u",
                         e->o.outlet->session, e->o.rung.name, oversized);
        f->pict_type = p->idr || oversized != e->oversized ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
        e->oversized = oversized;

        if (avcodec_send_frame(e->codec, f) < 0)
                fail(e, "x264 refuses a picture");
        else
                receive(e, p->slate);
        if (p->expected_us)
                package_early(e->package, grid_ticks(p->expected_us, VIDEO_TIMESCALE));
        atomic_store(&e->done_us, p->pts_us);
}

static void encode_timed(struct encoder *e, const struct encoder_picture *p)
{
        int64_t begun_us = clock_mono_us();
        encode(e, p);
        if (e->track < SESSION_TRACKS_MAX)
                atomic_fetch_add(&e->o.outlet->tally.busy_us[e->track], clock_mono_us() - begun_us);
}

static void finish(struct encoder *e, int64_t interval_us)
{
        avcodec_send_frame(e->codec, NULL);
        receive(e, false);
        int64_t end = package_finish(e->package, grid_ticks(interval_us, VIDEO_TIMESCALE), atomic_load(&e->o.outlet->goes_on));
        outlet_ended(e->o.outlet, grid_us(end, VIDEO_TIMESCALE));
}

static void drop_picture(void *arg)
{
        struct encoder_picture *p = arg;
        av_frame_free(&p->frame);
        free(p);
}

static void *run(void *arg)
{
        struct encoder *e = arg;
        void *taken;
        pthread_setname_np(pthread_self(), e->o.rung.name); /* fails for 16 letters: no harm */
        while (queue_take(&e->queue, &taken, -1) == 0) {
                struct encoder_picture *p = taken;
                bool end = !p->frame; /* queued by encoder_finish: expected_us is the last interval */
                if (end)
                        finish(e, p->expected_us);
                else if (!e->failed)
                        encode_timed(e, p);
                drop_picture(p);
                if (end)
                        break;
        }
        return NULL;
}

int encoder_open(struct encoder **out, const struct encoder_options *o)
{
        struct encoder *e = mem_alloc(sizeof(*e));
        *out = NULL;
        e->o = *o;
        atomic_init(&e->done_us, INT64_MIN);
        int err = open_codec(e);
        if (err)
                goto fail_codec;
        struct package_options package = {.codec = e->codec, .epoch_us = o->epoch_us, .chunk = on_chunk, .arg = e};
        if ((err = package_open(&e->package, &package)))
                goto fail_codec;
        e->pkt = av_packet_alloc();
        e->track = outlet_number(o->outlet);
        queue_init(&e->queue, QUEUE_PICTURES);
        if (pthread_create(&e->thread, NULL, run, e) != 0) {
                err = ERR_LIMIT;
                goto fail_thread;
        }
        *out = e;
        return 0;

fail_thread:
        queue_fini(&e->queue, drop_picture);
        av_packet_free(&e->pkt);
        package_close(&e->package);
fail_codec:
        avcodec_free_context(&e->codec);
        free(e);
        return err;
}

void encoder_put(struct encoder *e, const struct encoder_picture *p)
{
        struct encoder_picture *queued = mem_alloc(sizeof(*queued));
        *queued = *p;
        if (queue_put(&e->queue, queued) != 0)
                drop_picture(queued);
}

int64_t encoder_done_us(struct encoder *e)
{
        return atomic_load(&e->done_us);
}

void encoder_finish(struct encoder *e, int64_t interval_us)
{
        struct encoder_picture end = {.expected_us = interval_us};
        encoder_put(e, &end);
}

void encoder_close(struct encoder **ep, bool finished)
{
        struct encoder *e = *ep;
        *ep = NULL;
        if (!e)
                return;
        if (!finished)
                queue_abort(&e->queue);
        pthread_join(e->thread, NULL);
        queue_fini(&e->queue, drop_picture);
        av_packet_free(&e->pkt);
        package_close(&e->package);
        avcodec_free_context(&e->codec);
        free(e);
}
