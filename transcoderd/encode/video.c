#include "transcoderd/encode/video.h"

#include <libavutil/pixdesc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/daemon/told.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/cadence.h"
#include "transcoderd/encode/captions.h"
#include "transcoderd/encode/cost.h"
#include "transcoderd/encode/cues.h"
#include "transcoderd/encode/decode.h"
#include "transcoderd/encode/deinterlace.h"
#include "transcoderd/encode/video_rung.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/intake.h"
#include "transcoderd/encode/job.h"
#include "transcoderd/encode/precedence.h"
#include "transcoderd/encode/scale.h"
#include "transcoderd/encode/shed.h"
#include "transcoderd/encode/slate.h"
#include "transcoderd/encode/slow.h"
#include "transcoderd/encode/thumbs.h"

#define CLEARLY_US (3 * US_PER_MS)   /* so far beyond the chunk's end a next picture must be expected to cut early */
#define SAME_PLACE_US (5 * US_PER_MS) /* rounding may put a picture so far before the last: moved, not lost */
#define FILL_US (400 * US_PER_MS)    /* a longer gap is filled with the last picture */
#define FILL_STEP_MIN_US (8 * US_PER_MS)
#define OPENED 32 /* more frames than a decoder holds before it gives its first picture */
#define HOLE_MAX_US (600 * US_PER_S) /* a gap longer than any grace time is a fault; it is left open */

/* SHOWN_AGAIN: a slow source's last picture, where it has no other; not slate, nothing is missing. */
enum shown { SHOWN_REAL, SHOWN_AGAIN, SHOWN_SLATE };

struct rung {
        struct ladder_video conf;
        struct scaler *scaler;
        struct captions captions;
        struct cues cues;
        struct video_rung *encoder;
        AVFrame *picture; /* the last one, scaled: slate repeats it */
        struct fps_limit limit;
        struct cadence cadence;
        int64_t start_us;  /* nothing before is encoded */
        int64_t last_us;   /* the last picture's place */
        int64_t closed_us; /* chunks before have been cut */
        bool any;
};

struct video {
        struct job job; /* session and config are not valid */
        struct outlet *out;
        struct intake in;
        pthread_t thread;
        atomic_bool stop;
        bool late;
        unsigned not_opened; /* frames from which no encoders have come; OPENED: that is told, or they were opened */

        struct buf *config; /* of `codec`, until the decoder is opened by it; NULL: it comes with the frames */
        uint8_t codec;
        struct decoder *decoder;
        struct deinterlacer *deinterlacer;
        struct slate slate;
        struct cadence cadence; /* of the source */
        struct slow slow;
        struct shed shed;
        struct rung rungs[LADDER_VIDEO_MAX];
        size_t rung_count;
        struct thumbs *thumbs; /* of the last rung's pictures; NULL: none are made */
        bool built, failed;
        bool any;
        enum shown last;  /* what was placed last */
        bool begins_anew; /* what comes is another broadcaster's, or another clock's */
        int64_t last_us;  /* of the last picture, real or slate */
        struct told told_corrupt;
};

static void count_corrupt(struct video *v, const char *what)
{
        uint64_t n = atomic_fetch_add(&v->out->tally.corrupt, 1) + 1;
        if (!told_may(&v->told_corrupt, 10 * US_PER_S, clock_mono_us(), NULL))
                return;
        log_warn("session=%s msg=\"damaged video: %s\" count=%llu", v->out->session, what, (unsigned long long)n);
}

/* --- the rungs, made for the first picture --- */

static size_t resumed_rungs(const struct video *v, const struct ladder *l)
{
        size_t n = 0;
        for (size_t i = 0; i < l->video_count; i++)
                n += job_resume_of(&v->job, l->video[i].name) != NULL;
        return n;
}

/* A session that goes on keeps the rungs it has, whatever the source's size is now; only when none of them is in the
 * ladder any more, or it had hardly begun, does it get new ones. */
static struct ladder choose_rungs(const struct video *v, int source_height)
{
        struct ladder limited = v->job.ladder, kept = v->job.ladder;
        ladder_limit(&limited, source_height & ~1);
        size_t resumed = resumed_rungs(v, &v->job.ladder);
        if (resumed == 0)
                return limited;
        if (resumed_rungs(v, &limited) == resumed)
                kept = limited;
        size_t n = 0;
        for (size_t i = 0; i < kept.video_count; i++)
                if (job_resume_of(&v->job, kept.video[i].name) || job_is_young(&v->job))
                        kept.video[n++] = kept.video[i];
        kept.video_count = n;
        return kept;
}

/* What a rung's rate will be by what is known at the first picture; it measures itself from then on. */
static uint32_t expected_milli(const struct video *v, const struct ladder_video *conf)
{
        struct fps_limit limit = {0};
        uint32_t rate_milli = cadence_rate_milli(&v->cadence, decoder_fps_milli(v->decoder));
        uint32_t limited_milli = rate_milli / fps_limit_every(&limit, rate_milli, conf->fps_max * 1000);
        bool slow = rate_milli * SLOW_GAP_US <= 1000 * US_PER_S; /* its pictures are shown again, one in each chunk at least */
        uint32_t least_milli = chunks_of_segment(slow ? v->job.chunk_ms : CHUNK_MS) * 1000;
        return limited_milli > least_milli ? limited_milli : least_milli;
}

static bool open_rung(struct video *v, const struct ladder_video *conf, const AVFrame *pic, int64_t start_us)
{
        struct rung *r = &v->rungs[v->rung_count];
        const struct job_resume *resume = job_resume_of(&v->job, conf->name);
        struct video_rung_options o = {
                .rung = *conf,
                .width = scale_width_for(pic, conf->height),
                .height = conf->height,
                .threads = v->job.encoder_threads,
                .epoch_us = v->job.epoch_us,
                .chunk_ms = v->job.chunk_ms,
                .lockstep_segments = v->job.lockstep_segments,
                .start_us = resume ? 0 : start_us,
                .declared_milli = decoder_fps_milli(v->decoder),
                .expected_milli = expected_milli(v, conf),
                .outlet = v->out,
        };
        *r = (struct rung){.conf = *conf, .start_us = resume ? resume->end_us : start_us,
                           .closed_us = resume ? resume->from_us : 0};
        int err = video_rung_open(&r->encoder, &o);
        if (err) {
                outlet_failed(v->out, err, "no encoder for rung %s (%dx%d)", conf->name, o.width, o.height);
                return false;
        }
        r->scaler = scaler_new(o.width, o.height);
        v->rung_count++;
        log_info("session=%s track=%s msg=\"rung opened\" size=%dx%d source=%dx%d from_us=%lld", v->out->session,
                 conf->name, o.width, o.height, pic->width, pic->height, (long long)r->start_us);
        return true;
}

static void note_cost(const struct video *v, const AVFrame *pic)
{
        struct ladder l = {.audio_count = v->job.ladder.audio_count, .video_count = v->rung_count};
        struct cost_source source = {pic->width, pic->height, cadence_rate_milli(&v->cadence, decoder_fps_milli(v->decoder))};
        for (size_t i = 0; i < v->rung_count; i++)
                l.video[i] = v->rungs[i].conf;
        atomic_store(&v->out->tally.cost, cost_of_ladder(&l, &source, v->job.codecs[TRACK_AUDIO] != CODEC_NONE));
}

/* They are of the smallest rung, which is nearest to their size. */
static void open_thumbs(struct video *v, const AVFrame *pic, int64_t start_us)
{
        const struct rung *r = &v->rungs[v->rung_count - 1];
        const struct job_resume *resume = job_resume_of(&v->job, PICTURES_TRACK);
        struct thumbs_options o = {.width = scale_width_for(pic, r->conf.height), .height = r->conf.height, .every_s = v->job.thumbs_s,
                                   .start_us = resume ? 0 : start_us, .first_us = start_us, .outlet = v->out};
        if (resume)
                o.first_us = resume->end_us > resume->from_us ? resume->end_us : resume->from_us;
        v->thumbs = thumbs_open(&o);
}

static void build(struct video *v, const AVFrame *pic)
{
        struct ladder l = choose_rungs(v, pic->height);
        bool late = outlet_begins_late(v->out, pic->pts) || v->late || v->job.resume_count > 0;
        int64_t start_us = late ? grid_next_second_us(pic->pts) : 0;

        v->built = true;
        slow_init(&v->slow, v->job.chunk_ms, decoder_fps_milli(v->decoder));
        for (size_t i = 0; i < l.video_count && !v->failed; i++)
                v->failed = !open_rung(v, &l.video[i], pic, start_us);
        if (scale_is_beyond(pic))
                log_warn("session=%s primaries=%s transfer=%s msg=\"the source is HDR, and is shown as if it were not\"",
                         v->out->session, av_color_primaries_name(pic->color_primaries), av_color_transfer_name(pic->color_trc));
        if (v->job.thumbs_s && v->rung_count && !v->failed)
                open_thumbs(v, pic, start_us);
        shed_init(&v->shed, v->rung_count, v->job.shed_after_us);
}

/* --- one picture to all rungs --- */

/* Every so many segments a rung that leaves pictures out does not, but takes the first one: in lock-step another transcoder,
 * which began elsewhere, is to take the same ones; and with less than a picture a chunk the segment would begin late. 0: never. */
static int64_t restart_segments(const struct video *v, unsigned every)
{
        if (every * cadence_interval_us(&v->cadence) > chunk_us(v->job.chunk_ms))
                return 1;
        return v->job.lockstep_segments;
}

/* Of a picture among the source's. Before the first of them, which may not have been seen, is less than an interval; a tenth of it is
 * more than RTMP's milliseconds take away. */
static unsigned number_in_segment(const struct video *v, int64_t pts_us, uint32_t rate_milli)
{
        int64_t exact_milli = cadence_fps_milli(decoder_fps_milli(v->decoder), 1000 * US_PER_S / rate_milli);
        if (v->any && grid_segment(pts_us) != grid_segment(v->last_us))
                return 0;
        return (unsigned)((pts_us % SEGMENT_US * exact_milli / 1000 + US_PER_S / 10) / US_PER_S);
}

/* A picture before the rung's beginning that the rung would have taken: another writer said with it what was to be said. */
static bool leave_to_writer_before(struct rung *r)
{
        struct buf *said = cues_give(&r->cues);
        buf_unref(&said);
        return false;
}

static bool rung_wants(struct video *v, size_t i, int64_t pts_us)
{
        struct rung *r = &v->rungs[i];
        bool begun = pts_us >= r->start_us;
        /* Two pictures of a slow source may be near to each other, one of them shown again: neither may be left out for it. */
        if (slow_is(&v->slow))
                return begun || leave_to_writer_before(r);
        uint32_t rate_milli = cadence_rate_milli(&v->cadence, decoder_fps_milli(v->decoder));
        unsigned allowed = fps_limit_every(&r->limit, rate_milli, r->conf.fps_max * 1000);
        unsigned every = allowed << shed_halvings(&v->shed, i);
        int64_t segment = grid_segment(pts_us), restart = restart_segments(v, every);
        if (restart && segment % restart == 0 && segment != grid_segment(v->last_us))
                fps_limit_restart(&r->limit);
        /* Nobody says which pictures the writer before would have taken. Where a second has a whole number of steps, they are counted
         * from the begin of a segment. */
        if (v->last_us < r->start_us)
                fps_limit_align(&r->limit, number_in_segment(v, pts_us, rate_milli), every);
        if (fps_limit_keep(&r->limit, every))
                return begun || leave_to_writer_before(r);
        if (begun && every > allowed && r->limit.left_out % allowed == 0)
                atomic_fetch_add(&v->out->tally.shed, 1);
        return false;
}

/* When the rung's next picture is due: sooner than its own rhythm says where it takes the first one of a segment. */
static int64_t next_due_us(const struct video *v, const struct rung *r, int64_t pts_us)
{
        int64_t interval_us = cadence_interval_us(&r->cadence), source_us = cadence_interval_us(&v->cadence);
        int64_t next_us = pts_us + interval_us;
        int64_t restart_us = restart_segments(v, (unsigned)((interval_us + source_us / 2) / source_us)) * SEGMENT_US;
        if (restart_us == 0)
                return next_us;
        int64_t segment_us = (pts_us / restart_us + 1) * restart_us;
        int64_t first_us = pts_us + (segment_us - pts_us + source_us - 1) / source_us * source_us;
        return next_us > segment_us && first_us < next_us ? first_us : next_us;
}

static void rung_emit(const struct video *v, struct rung *r, int64_t pts_us, bool slate)
{
        /* A picture that comes before the end of a chunk which was cut early begins the next one. */
        int64_t at_us = pts_us < r->closed_us ? r->closed_us : pts_us;
        if (r->any && at_us < r->last_us + PICTURES_APART_US)
                at_us = r->last_us + PICTURES_APART_US;
        struct video_rung_picture p = {
                .frame = av_frame_clone(r->picture),
                .pts_us = at_us,
                .idr = !r->any || grid_segment(at_us) != grid_segment(r->last_us),
                .slate = slate,
                .said = cues_give(&r->cues),
        };
        captions_give(&r->captions, p.frame);
        r->any = true;
        r->last_us = at_us;
        cadence_add(&r->cadence, at_us);
        int64_t next_us = next_due_us(v, r, at_us), end_us = grid_chunk_end_us(at_us, v->job.chunk_ms);
        int64_t segment_us = grid_next_second_us(at_us);
        /* Where this chunk may be the segment's last one but for a forecast that is a little too soon it is. */
        if (end_us < segment_us && next_us >= segment_us - CLEARLY_US && next_us < segment_us)
                next_us = segment_us;
        if (cadence_steady(&r->cadence) && !slow_is(&v->slow) && next_us >= end_us + CLEARLY_US) {
                p.expected_us = next_us;
                /* The chunk is the segment's last one, and says so, when none is expected in those that are left of it. */
                r->closed_us = next_us >= segment_us ? segment_us : end_us;
        }
        video_rung_put(r->encoder, &p);
}

/* Captions and cues. Of what is before the rung's beginning another writer has made them part of its last pictures, but for the cues of
 * pictures that the rung leaves out behind the last one that it takes. */
static void take_words(struct video *v, struct rung *r, const AVFrame *pic)
{
        if (pic->pts >= r->start_us)
                atomic_fetch_add(&v->out->tally.captions_lost, captions_add(&r->captions, pic));
        atomic_fetch_add(&v->out->tally.cues_lost, cues_add(&r->cues, pic, VIDEO_TIMESCALE));
}

static void show_thumb(struct video *v, int64_t pts_us)
{
        const AVFrame *picture = v->rung_count ? v->rungs[v->rung_count - 1].picture : NULL;
        if (v->thumbs && picture)
                thumbs_show(v->thumbs, picture, pts_us, v->shed.level > 0);
}

/* pic NULL: the last one again. */
static void place(struct video *v, const AVFrame *pic, int64_t pts_us, enum shown as)
{
        const AVFrame *above = pic;
        for (size_t i = 0; i < v->rung_count && !atomic_load(&v->stop); i++) {
                struct rung *r = &v->rungs[i];
                if (pic && pts_us == pic->pts)
                        take_words(v, r, pic);
                if (!rung_wants(v, i, pts_us))
                        continue;
                if (pic) {
                        AVFrame *scaled = scaler_run(r->scaler, above);
                        if (!scaled) {
                                count_corrupt(v, "pixel format without conversion");
                                continue;
                        }
                        av_frame_free(&r->picture);
                        above = r->picture = scaled;
                }
                if (r->picture)
                        rung_emit(v, r, pts_us, as == SHOWN_SLATE);
        }
        show_thumb(v, pts_us);
        v->last_us = pts_us > v->last_us || !v->any ? pts_us : v->last_us;
        atomic_store(&v->out->tally.placed_us[TRACK_VIDEO], v->last_us);
        v->last = as;
        v->any = true;
}

static int64_t fill_step_us(const struct video *v)
{
        int64_t step_us = cadence_interval_us(&v->cadence), most_us = chunk_us(v->job.chunk_ms); /* a picture a chunk */
        if (step_us > most_us)
                return most_us;
        return step_us < FILL_STEP_MIN_US ? FILL_STEP_MIN_US : step_us;
}

/* Repeats the last picture as long as that ends by until_us. */
static void fill(struct video *v, int64_t until_us, bool for_real)
{
        int64_t step_us = fill_step_us(v);
        while (v->last_us + step_us <= until_us && !atomic_load(&v->stop) && (for_real || intake_empty(&v->in))) {
                place(v, NULL, v->last_us + step_us, SHOWN_SLATE);
                atomic_fetch_add(&v->out->tally.slate_us[TRACK_VIDEO], step_us);
        }
}

/* Where the first of the rungs goes on that another process began; INT64_MAX when there are none. */
static int64_t resumes_at_us(const struct video *v)
{
        int64_t at_us = INT64_MAX;
        for (size_t i = 0; i < v->rung_count; i++)
                if (job_resume_of(&v->job, v->rungs[i].conf.name) && v->rungs[i].start_us < at_us)
                        at_us = v->rungs[i].start_us;
        return at_us;
}

/* When the proxy died as well, the frames between the other process's last picture and our first are nowhere: the first one
 * stands there too. */
static void bridge(struct video *v, const AVFrame *pic)
{
        int64_t at_us = resumes_at_us(v), step_us = fill_step_us(v);
        if (at_us == INT64_MAX || pic->pts - at_us <= FILL_US || pic->pts - at_us >= HOLE_MAX_US)
                return;
        /* A rung may go on half a picture before its end: see slack_ticks in originD/log/index.h. */
        for (at_us += step_us / 2; at_us + step_us / 2 < pic->pts && !atomic_load(&v->stop); at_us += step_us) {
                place(v, pic, at_us, SHOWN_REAL);
                atomic_fetch_add(&v->out->tally.slate_us[TRACK_VIDEO], step_us);
        }
}

/* Refuses the broadcast if it begins so; later the last picture before stays. */
static void refuse_picture(struct video *v, const char *why)
{
        if (!v->built && !v->failed)
                outlet_failed(v->out, ERR_UNSUPPORTED, "%s", why);
        v->failed = v->failed || !v->built;
        count_corrupt(v, why);
}

static bool usable_shape(struct video *v, const AVFrame *pic)
{
        char why[128];
        if (scale_judge(pic, why, sizeof(why)) == 0)
                return true;
        refuse_picture(v, why);
        return false;
}

/* The chunks of a slow source that have no picture, up to where one comes. */
static void show_again(struct video *v, int64_t until_us)
{
        int64_t at_us;
        while ((at_us = slow_again_us(&v->slow, v->last_us)) < until_us && !atomic_load(&v->stop))
                place(v, NULL, at_us, SHOWN_AGAIN);
}

/* After a break a picture nearer to the last one than half a frame may be the same one, come another way. */
static bool has_place(const struct video *v, int64_t pts_us)
{
        if (!v->any)
                return true;
        if (v->begins_anew)
                return pts_us - v->last_us > cadence_interval_us(&v->cadence) / 2;
        if (pts_us > v->last_us)
                return true;
        switch (v->last) {
        case SHOWN_REAL:
                return v->last_us - pts_us <= SAME_PLACE_US;
        case SHOWN_AGAIN: /* what stands there is the picture before; this one comes behind it */
                return pts_us > v->slow.last_us;
        default:
                return false;
        }
}

/* False: too late for its place, or at no place at all. */
static bool usable_time(struct video *v, int64_t pts_us)
{
        if (pts_us < 0 || pts_us > MEDIA_TIME_MAX_US || !has_place(v, pts_us)) {
                atomic_fetch_add(&v->out->tally.late_dropped, 1);
                return false;
        }
        v->begins_anew = false;
        return true;
}

static void on_picture(struct video *v, const AVFrame *pic)
{
        atomic_fetch_add(&v->out->tally.decoded, 1);
        atomic_fetch_add(&v->out->tally.pixels, cost_of_decoded(pic->width, pic->height));
        if (pic->decode_error_flags)
                count_corrupt(v, "errors concealed");
        if (!usable_shape(v, pic) || v->failed || !usable_time(v, pic->pts))
                return;
        if (!v->built)
                build(v, pic);
        if (!v->any)
                bridge(v, pic);
        if (v->any)
                show_again(v, pic->pts);
        int64_t gap_us = v->any ? pic->pts - v->last_us : 0;
        if (gap_us > FILL_US && gap_us < HOLE_MAX_US)
                fill(v, pic->pts - fill_step_us(v) / 2, true);
        if (!v->any || grid_segment(pic->pts) != grid_segment(v->last_us))
                note_cost(v, pic);
        cadence_add(&v->cadence, pic->pts);
        slow_add(&v->slow, pic->pts);
        place(v, pic, pic->pts, SHOWN_REAL);
        slate_fed(&v->slate, clock_mono_us());
}

/* --- the thread --- */

static void show_progressive(struct video *v)
{
        const AVFrame *pic;
        while ((pic = deinterlace_get(v->deinterlacer)))
                on_picture(v, pic);
}

static void not_decoded(struct video *v, const char *what)
{
        char why[96];
        int width, height;
        if (!decoder_too_large(v->decoder, &width, &height)) {
                count_corrupt(v, what);
                return;
        }
        snprintf(why, sizeof(why), "pictures of %dx%d, more than 4096x2304 is not decoded", width, height);
        refuse_picture(v, why);
}

static void receive_pictures(struct video *v)
{
        AVFrame *pic;
        int err;
        while (!atomic_load(&v->stop) && (err = decoder_receive(v->decoder, &pic)) != ERR_NOT_YET) {
                if (err)
                        not_decoded(v, "picture does not decode");
                else
                        deinterlace_put(v->deinterlacer, pic);
                show_progressive(v);
        }
        struct decoder_lost lost = decoder_lost(v->decoder);
        atomic_fetch_add(&v->out->tally.skipped, lost.skipped);
        while (lost.corrupt-- > 0)
                count_corrupt(v, "no picture came of a frame");
}

/* A picture of two fields waits for the next one no longer: none comes soon, or what comes does not follow it. */
static void show_held(struct video *v)
{
        deinterlace_flush(v->deinterlacer);
        show_progressive(v);
}

static void show_all(struct video *v)
{
        decoder_end(v->decoder);
        receive_pictures(v);
        show_held(v);
}

/* What comes does not follow what was: what the decoder holds is shown before that. */
static void interrupt(struct video *v)
{
        show_all(v);
        decoder_break(v->decoder);
        v->begins_anew = true;
}

static void on_frame(struct video *v, const struct frame *f)
{
        if (f->flags & FRAME_BREAK && v->any && f->dts_us + f->cts_us <= v->last_us) {
                /* It begins before the last picture: what the decoder still holds comes again, and what was missing with it. */
                decoder_break(v->decoder);
                deinterlace_drop(v->deinterlacer);
                v->begins_anew = true;
        } else if (f->flags & FRAME_BREAK) {
                interrupt(v);
        }
        if (f->flags & FRAME_CONFIG) {
                if (decoder_config(v->decoder, f->codec, f->bytes) != 0)
                        count_corrupt(v, "configuration record");
                return;
        }
        if (decoder_renews(v->decoder, f)) {
                show_all(v);
                if (decoder_renew(v->decoder) != 0)
                        count_corrupt(v, "configuration record");
        }
        int err = decoder_send(v->decoder, f);
        if (err == ERR_CORRUPT)
                not_decoded(v, "frame does not decode");
        else if (err == ERR_NOT_YET)
                atomic_fetch_add(&v->out->tally.skipped, 1);
        receive_pictures(v);
        if (slow_is(&v->slow))
                show_held(v);
}

/* How late the pictures are that wait before this rung's encoder: it has one in its hands. */
static int64_t rung_late_us(const struct rung *r, int64_t now_us)
{
        int64_t done_us = video_rung_done_us(r->encoder), until_us = r->last_us < now_us ? r->last_us : now_us;
        return done_us == INT64_MIN ? 0 : until_us - done_us - cadence_interval_us(&r->cadence);
}

static void supervise(struct video *v)
{
        int64_t now_us = job_now_us(&v->job), queued_us = 0;
        if (v->rung_count == 0)
                return;
        for (size_t i = 0; i < v->rung_count; i++) {
                int64_t late_us = rung_late_us(&v->rungs[i], now_us);
                queued_us = late_us > queued_us ? late_us : queued_us;
        }
        int64_t late_us = video_late_us(v, now_us) + queued_us, behind_us = now_us - v->last_us, mono_us = clock_mono_us();
        if (precedence_needed(late_us, behind_us))
                precedence_ask(mono_us);
        bool changed = shed_update(&v->shed, late_us, behind_us, mono_us);
        atomic_store(&v->out->tally.gains, shed_gains(&v->shed));
        if (changed)
                log_warn("session=%s msg=\"%s\" level=%u behind_ms=%lld", v->out->session,
                         v->shed.level ? "encoding is slower than real time: frame rates are halved from the top rung on"
                                       : "encoding keeps up again: full frame rates",
                         v->shed.level, (long long)(late_us / US_PER_MS));
}

static void close_rungs(struct video *v, bool finished)
{
        thumbs_close(&v->thumbs, finished);
        for (size_t i = 0; i < v->rung_count; i++) {
                video_rung_close(&v->rungs[i].encoder, finished);
                scaler_free(&v->rungs[i].scaler);
                av_frame_free(&v->rungs[i].picture);
                buf_unref(&v->rungs[i].cues.boxes);
        }
}

/* How long until the last picture of a slow source is to be shown again. */
static int64_t again_in_us(const struct video *v)
{
        return v->any ? slow_wait_us(&v->slow, v->last_us, job_now_us(&v->job), clock_mono_us() - v->slate.fed_mono_us)
                      : SLOW_NEVER;
}

/* Nothing came in time. */
static void go_on_without(struct video *v)
{
        int64_t until_us = slate_due(&v->slate, v->last_us, job_now_us(&v->job), clock_mono_us());
        bool again = again_in_us(v) <= 0;
        if (deinterlace_holds(v->deinterlacer) && (again || until_us != SLATE_NOT_DUE)) {
                struct slate before = v->slate;
                show_held(v);
                v->slate = before; /* that picture came long ago: nothing is due later for it */
        } else if (again)
                place(v, NULL, slow_again_us(&v->slow, v->last_us), SHOWN_AGAIN);
        else if (until_us != SLATE_NOT_DUE && until_us - v->last_us < HOLE_MAX_US)
                fill(v, until_us, false);
}

/* Takes one frame, or makes slate when there is none. True at the end. */
static bool step(struct video *v)
{
        struct frame f;
        int64_t wait_us = slate_wait_us(&v->slate, v->last_us, job_now_us(&v->job), clock_mono_us()), again_us = again_in_us(v);
        if (again_us < wait_us)
                wait_us = again_us > US_PER_MS ? again_us : US_PER_MS;
        int err = intake_take(&v->in, &f, wait_us);
        if (err == ERR_TIMEOUT && (v->any || deinterlace_holds(v->deinterlacer)))
                go_on_without(v);
        if (err)
                return false;
        if (!f.bytes) { /* the end: the decoder still holds pictures, and the last one lasts as long as the others did */
                show_all(v);
                for (size_t i = 0; i < v->rung_count; i++) {
                        atomic_fetch_add(&v->out->tally.captions_lost, v->rungs[i].captions.count);
                        atomic_fetch_add(&v->out->tally.cues_lost, v->rungs[i].cues.boxes != NULL);
                        video_rung_finish(v->rungs[i].encoder, cadence_interval_us(&v->rungs[i].cadence));
                }
                return true;
        }
        on_frame(v, &f);
        buf_unref(&f.bytes);
        return false;
}

/* Once the rungs are there their encoders are opened by their own threads, each of which is counted. What cannot be decoded opens none.
 * */
static void look_if_opened(struct video *v)
{
        if (v->not_opened == OPENED || (!v->built && !v->failed && ++v->not_opened < OPENED))
                return;
        v->not_opened = OPENED;
        outlet_opened(v->out);
}

/* It begins threads of its own, which takes too long for the loop. */
static void open_decoder(struct video *v)
{
        if (v->config && decoder_config(v->decoder, v->codec, v->config) != 0)
                count_corrupt(v, "configuration record");
        buf_unref(&v->config);
}

static void *run(void *arg)
{
        struct video *v = arg;
        pthread_setname_np(pthread_self(), "video");
        bool ended = false;
        open_decoder(v);
        while (!ended && !atomic_load(&v->stop)) {
                if (v->any && precedence_given(job_now_us(&v->job) - v->last_us))
                        precedence_give(&v->stop);
                ended = step(v);
                look_if_opened(v);
                supervise(v);
        }
        while (v->not_opened != OPENED)
                look_if_opened(v);
        close_rungs(v, ended && !atomic_load(&v->stop));
        if (ended)
                outlet_leave(v->out);
        return NULL;
}

struct video *video_open(const struct job *job, struct outlet *outlet, uint8_t codec, struct buf *config,
                         bool late)
{
        struct video *v = mem_alloc(sizeof(*v));
        v->job = *job;
        v->job.session = NULL;
        memset(v->job.config, 0, sizeof(v->job.config));
        v->out = outlet;
        v->late = late;
        intake_init(&v->in);
        slate_init(&v->slate, job->slate_after_us, clock_mono_us());
        v->decoder = decoder_new(TRACK_VIDEO, job->decoder_threads);
        v->deinterlacer = deinterlace_new(job->decoder_threads);
        v->config = config ? buf_ref(config) : NULL;
        v->codec = codec;
        outlet_join(outlet);
        outlet_opening(outlet, 1);
        if (pthread_create(&v->thread, NULL, run, v) == 0)
                return v;
        outlet_opened(outlet);
        buf_unref(&v->config);
        intake_fini(&v->in);
        deinterlace_free(&v->deinterlacer);
        decoder_free(&v->decoder);
        free(v);
        return NULL;
}

void video_push(struct video *v, const struct frame *f)
{
        intake_push(&v->in, f);
}

size_t video_room(struct video *v)
{
        return intake_room(&v->in);
}

int64_t video_newest_us(const struct video *v)
{
        return atomic_load(&v->in.newest_us);
}

int64_t video_late_us(const struct video *v, int64_t now_us)
{
        return intake_late_us(&v->in, atomic_load(&v->out->tally.placed_us[TRACK_VIDEO]), now_us);
}

void video_end(struct video *v)
{
        intake_end(&v->in);
}

void video_abort(struct video *v)
{
        atomic_store(&v->stop, true);
        intake_abort(&v->in);
}

void video_close(struct video **vp)
{
        struct video *v = *vp;
        *vp = NULL;
        if (!v)
                return;
        video_abort(v);
        pthread_join(v->thread, NULL);
        intake_fini(&v->in);
        deinterlace_free(&v->deinterlacer);
        decoder_free(&v->decoder);
        free(v);
}
