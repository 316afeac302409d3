#include "transcoderd/encode/video_rung.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/cadence.h"
#include "transcoderd/encode/cost.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/package.h"
#include "transcoderd/encode/queue.h"

#define QUEUE_PICTURES 8
#define GOP_NEVER (1 << 20) /* key frames come by time only */
#define USUAL_FPS_MAX 60

struct video_rung {
        struct video_rung_options o;
        struct queue queue;
        pthread_t thread;
        AVCodecContext *codec; /* NULL until the first picture */
        uint32_t fps_milli;    /* that codec is opened for */
        struct pace pace;
        AVPacket *pkt;
        struct package *package;
        unsigned track, oversized;
        bool announced, failed, opened;
        _Atomic int64_t done_us;
};

/* The frame rate that the level allows for: what the source says of itself, no more than the rung may have. Up to 60, or
 * when it says nothing, it is 60 whatever the source, because avcC is to be the same when a broadcaster comes back with another
 * camera, and at the transcoder that goes on after this one: an origin refuses a track whose init segment is another. (A rate
 * over 60 that a broadcaster changes to later is not counted, and where another transcoder goes on after that, it has to begin a
 * new session.) */
static int level_fps(const struct video_rung_options *o)
{
        int source = o->declared_milli >= (USUAL_FPS_MAX + 1) * 1000 ? ((int)o->declared_milli + 999) / 1000 : USUAL_FPS_MAX;
        return o->rung.fps_max && o->rung.fps_max < source ? o->rung.fps_max : source;
}

/* Table A-1 of H.264: the least level for the size, the rate and VBV. */
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

/* Half a second: what a segment may have beyond its rate comes to the viewer as late as that on a link that just carries the rate, and
 * who watches half a second behind has no more in hand. No more than lets a chunk of 200 ms together with a full buffer fit into
 * one PUT. */
static int64_t vbv_buffer(int64_t bitrate_bps)
{
        int64_t fits = ((int64_t)BODY_MAX * 8 * 95 / 100 - bitrate_bps * 22 / 100) * 10 / 9;
        return bitrate_bps / 2 < fits ? bitrate_bps / 2 : fits;
}

static int64_t peak_bps(const struct video_rung_options *o)
{
        return o->rung.bitrate_bps * 11 / 10;
}

static void set_parameters(AVCodecContext *c, const struct video_rung_options *o, uint32_t fps_milli)
{
        /* x264 enlarges a buffer that does not hold what comes in the time of one picture. */
        int64_t least_milli = peak_bps(o) * 1000 / vbv_buffer(o->rung.bitrate_bps) + 1;

        c->width = o->width;
        c->height = o->height;
        c->pix_fmt = AV_PIX_FMT_YUV420P;
        c->sample_aspect_ratio = (AVRational){1, 1};
        c->time_base = (AVRational){1, VIDEO_TIMESCALE};
        c->framerate = (AVRational){fps_milli > least_milli ? (int)fps_milli : (int)least_milli, 1000};
        c->bit_rate = o->rung.bitrate_bps;
        c->rc_max_rate = peak_bps(o);
        c->rc_buffer_size = (int)vbv_buffer(o->rung.bitrate_bps);
        c->gop_size = GOP_NEVER;
        c->max_b_frames = 0;
        c->level = level_for(o->width, o->height, level_fps(o), peak_bps(o));
        c->thread_count = o->threads;
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP;
        c->color_range = AVCOL_RANGE_MPEG;
        c->colorspace = AVCOL_SPC_BT709;
        c->color_primaries = AVCOL_PRI_BT709;
        c->color_trc = AVCOL_TRC_BT709;
        c->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

enum purpose { FOR_HEADERS, FOR_PICTURES };

/* Headers are those of variable rates: time in ticks of the track's timescale, no fixed rate, so they are the same whatever the
 * source is. An encoder for such holds each picture back until it has the next one, which would make every chunk late by a picture;
 * so pictures come from one for a constant rate. What the two make differs in the headers alone. */
static int open_codec(AVCodecContext **out, const struct video_rung_options *o, enum purpose purpose, uint32_t fps_milli)
{
        const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
        if (!codec)
                return ERR_CODEC;
        AVDictionary *opts = NULL;
        *out = avcodec_alloc_context3(codec);
        set_parameters(*out, o, fps_milli);
        av_dict_set(&opts, "preset", "veryfast", 0);
        av_dict_set(&opts, "tune", "zerolatency", 0);
        av_dict_set(&opts, "profile", "high", 0);
        av_dict_set(&opts, "forced-idr", "1", 0);
        av_dict_set(&opts, "x264-params", "scenecut=0:open-gop=0:stitchable=1", 0);
        if (purpose == FOR_HEADERS)
                av_dict_set(&opts, "x264-params", ":force-cfr=0", AV_DICT_APPEND);
        int rv = avcodec_open2(*out, codec, &opts);
        av_dict_free(&opts);
        if (rv >= 0)
                return 0;
        avcodec_free_context(out);
        return ERR_CODEC;
}

static int open_package(struct video_rung *r, package_chunk *on_chunk)
{
        AVCodecContext *headers;
        int err = open_codec(&headers, &r->o, FOR_HEADERS, r->o.expected_milli);
        if (err)
                return err;
        struct package_options o = {.codec = headers, .epoch_us = r->o.epoch_us, .chunk_ms = r->o.chunk_ms, .chunk = on_chunk, .arg = r};
        err = package_open(&r->package, &o);
        avcodec_free_context(&headers);
        return err;
}

/* What no segment exceeds: a full buffer, and what comes into it in a second. */
static uint32_t segment_bps(const struct video_rung_options *o)
{
        return (uint32_t)(peak_bps(o) + vbv_buffer(o->rung.bitrate_bps) + package_overhead_bps(level_fps(o), o->chunk_ms));
}

static void announce(struct video_rung *r)
{
        struct track_info info = {
                .track = r->track,
                .kind = TRACK_VIDEO,
                .init = package_init_segment(r->package),
                .bandwidth = segment_bps(&r->o),
                .start_us = r->o.start_us,
        };
        snprintf(info.name, sizeof(info.name), "%s", r->o.rung.name);
        info.fps_milli = cadence_fps_milli(r->o.declared_milli,
                                           grid_us(package_sample_ticks(r->package), VIDEO_TIMESCALE));
        outlet_track(r->o.outlet, &info);
        r->announced = true;
}

static void on_chunk(void *arg, struct chunk *c)
{
        struct video_rung *r = arg;
        /* Not sooner: only now is the frame rate known. */
        if (!r->announced)
                announce(r);
        c->track = r->track;
        outlet_chunk(r->o.outlet, c);
}

static void fail(struct video_rung *r, const char *what)
{
        if (!r->failed)
                outlet_failed(r->o.outlet, ERR_CODEC, "rung %s: %s", r->o.rung.name, what);
        r->failed = true;
}

static void receive(struct video_rung *r, bool slate)
{
        while (avcodec_receive_packet(r->codec, r->pkt) == 0) {
                package_add(r->package, r->pkt, r->pkt->pts, slate);
                atomic_fetch_add(&r->o.outlet->tally.encoded, 1);
        }
}

static bool in_lockstep_from(const struct video_rung *r, const struct video_rung_picture *p)
{
        return r->o.lockstep_segments && p->idr && atomic_load(&r->done_us) != INT64_MIN &&
               grid_segment(p->pts_us) % r->o.lockstep_segments == 0;
}

/* For the rate that was counted, or else the one that is expected; to a quarter of a picture, so that in lock-step another transcoder,
 * which counted from elsewhere or not yet, comes to the same. */
static void begin_anew(struct video_rung *r)
{
        uint32_t counted_milli = pace_milli(&r->pace), milli = counted_milli ? counted_milli : r->o.expected_milli;
        r->fps_milli = (milli + 125) / 250 * 250;
        avcodec_free_context(&r->codec);
        if (open_codec(&r->codec, &r->o, FOR_PICTURES, r->fps_milli))
                fail(r, "x264 cannot be opened");
}

/* Rate control remembers all pictures since the encoder was opened, so only a new one makes the same of the same. Without lookahead
 * and B-pictures (zerolatency) the old one holds nothing back. */
static void choose_codec(struct video_rung *r, const struct video_rung_picture *p)
{
        pace_add(&r->pace, p->pts_us, r->o.declared_milli);
        if (!r->codec || in_lockstep_from(r, p) || (p->idr && pace_is_another(&r->pace, r->fps_milli)))
                begin_anew(r);
}

static void encode(struct video_rung *r, struct video_rung_picture *p)
{
        choose_codec(r, p);
        if (r->failed)
                return;
        AVFrame *f = p->frame;
        f->pts = grid_ticks(p->pts_us, VIDEO_TIMESCALE);
        package_next(r->package, f->pts);
        if (!package_say(r->package, p->said))
                atomic_fetch_add(&r->o.outlet->tally.cues_lost, 1);
        p->said = NULL;

        unsigned oversized = package_oversized(r->package);
        if (oversized != r->oversized)
                log_warn("session=%s track=%s msg=\"chunk over the limit of a PUT left out\" count=%u",
                         r->o.outlet->session, r->o.rung.name, oversized);
        f->pict_type = p->idr || oversized != r->oversized ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
        r->oversized = oversized;

        if (avcodec_send_frame(r->codec, f) < 0)
                fail(r, "x264 refuses a picture");
        else
                receive(r, p->slate);
        if (p->expected_us)
                package_early(r->package, grid_ticks(p->expected_us, VIDEO_TIMESCALE));
        atomic_fetch_add(&r->o.outlet->tally.pixels, cost_of_encoded(r->o.width, r->o.height));
        atomic_store(&r->done_us, p->pts_us);
}

static void tell_opened(struct video_rung *r)
{
        if (!r->opened)
                outlet_opened(r->o.outlet);
        r->opened = true;
}

static void finish(struct video_rung *r, int64_t interval_us)
{
        if (r->codec) {
                avcodec_send_frame(r->codec, NULL);
                receive(r, false);
        }
        int64_t end = package_finish(r->package, grid_ticks(interval_us, VIDEO_TIMESCALE),
                                     grid_ticks(PICTURES_APART_US, VIDEO_TIMESCALE), atomic_load(&r->o.outlet->goes_on));
        outlet_ended(r->o.outlet, grid_us(end, VIDEO_TIMESCALE));
}

static void drop_picture(void *arg)
{
        struct video_rung_picture *p = arg;
        av_frame_free(&p->frame);
        buf_unref(&p->said);
        free(p);
}

static void *run(void *arg)
{
        struct video_rung *r = arg;
        void *taken;
        pthread_setname_np(pthread_self(), r->o.rung.name); /* fails for 16 letters: no harm */
        while (queue_take(&r->queue, &taken, -1) == 0) {
                struct video_rung_picture *p = taken;
                bool end = !p->frame; /* queued by video_rung_finish: expected_us is the last interval */
                int64_t begun_us = clock_mono_us();
                if (end)
                        finish(r, p->expected_us);
                else if (!r->failed)
                        encode(r, p);
                tell_opened(r);
                if (r->track < SESSION_TRACKS_MAX)
                        atomic_fetch_add(&r->o.outlet->tally.busy_us[r->track], clock_mono_us() - begun_us);
                drop_picture(p);
                if (end)
                        break;
        }
        tell_opened(r);
        return NULL;
}

int video_rung_open(struct video_rung **out, const struct video_rung_options *o)
{
        struct video_rung *r = mem_alloc(sizeof(*r));
        *out = NULL;
        r->o = *o;
        atomic_init(&r->done_us, INT64_MIN);
        int err = open_package(r, on_chunk);
        if (err)
                goto fail_package;
        r->pkt = av_packet_alloc();
        r->track = outlet_number(o->outlet);
        queue_init(&r->queue, QUEUE_PICTURES);
        outlet_opening(o->outlet, 1);
        if (pthread_create(&r->thread, NULL, run, r) != 0) {
                err = ERR_LIMIT;
                goto fail_thread;
        }
        *out = r;
        return 0;

fail_thread:
        outlet_opened(o->outlet);
        queue_fini(&r->queue, drop_picture);
        av_packet_free(&r->pkt);
        package_close(&r->package);
fail_package:
        free(r);
        return err;
}

void video_rung_put(struct video_rung *r, const struct video_rung_picture *p)
{
        struct video_rung_picture *queued = mem_alloc(sizeof(*queued));
        *queued = *p;
        if (queue_put(&r->queue, queued) != 0)
                drop_picture(queued);
}

int64_t video_rung_done_us(struct video_rung *r)
{
        return atomic_load(&r->done_us);
}

void video_rung_finish(struct video_rung *r, int64_t interval_us)
{
        struct video_rung_picture end = {.expected_us = interval_us};
        video_rung_put(r, &end);
}

void video_rung_close(struct video_rung **rp, bool finished)
{
        struct video_rung *r = *rp;
        *rp = NULL;
        if (!r)
                return;
        if (!finished)
                queue_abort(&r->queue);
        pthread_join(r->thread, NULL);
        queue_fini(&r->queue, drop_picture);
        av_packet_free(&r->pkt);
        package_close(&r->package);
        avcodec_free_context(&r->codec);
        free(r);
}
