#include "transcoderd/encode/audio.h"

#include <libswresample/swresample.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/audio_rung.h"
#include "transcoderd/encode/decode.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/intake.h"
#include "transcoderd/encode/pcm.h"
#include "transcoderd/encode/job.h"
#include "transcoderd/encode/slate.h"

#define SILENCE_PIECE 8192 /* samples put in at a time, so that a long hole does not need the memory of a long hole */
#define HOLE_MAX (INT64_C(600) * AUDIO_TIMESCALE) /* as video.c: a gap beyond any grace time is left open */
#define APART_AFTER_LOSS 240 /* 5 ms: after a lost frame its time is given back at once, not stretched for seconds */

struct audio {
        struct job job; /* session and config are not valid */
        struct outlet *out;
        struct intake in;
        pthread_t thread;
        atomic_bool stop;
        bool late;

        struct decoder *decoder;
        struct slate slate;
        struct SwrContext *swr;
        AVChannelLayout in_layout; /* what swr was made for */
        int in_rate, in_format;
        float *converted[PCM_CHANNELS];
        size_t converted_cap;

        struct pcm pcm;
        struct drift drift;
        int64_t apart; /* how far the next sound may lie from its place before it is moved there */
        struct audio_rung *rungs[LADDER_AUDIO_MAX];
        size_t rung_count;
        bool begun, failed, placed;
        int64_t logged_mono_us;
};

static void count_corrupt(struct audio *a, const char *what)
{
        uint64_t n = atomic_fetch_add(&a->out->tally.corrupt, 1) + 1;
        int64_t now_us = clock_mono_us();
        a->apart = APART_AFTER_LOSS;
        if (a->logged_mono_us && now_us - a->logged_mono_us < 10 * US_PER_S)
                return;
        a->logged_mono_us = now_us;
        log_warn("session=%s msg=\"damaged audio: %s\" count=%llu", a->out->session, what, (unsigned long long)n);
}

/* --- where the tracks begin --- */

static bool any_resumes(const struct audio *a)
{
        for (size_t i = 0; i < a->job.ladder.audio_count; i++)
                if (job_resume_of(&a->job, a->job.ladder.audio[i].name))
                        return true;
        return false;
}

/* first_us: of the first sound, ≥ 0. A session that goes on keeps the tracks it has. */
static void begin(struct audio *a, int64_t first_us)
{
        bool resumes = any_resumes(a);
        bool late = outlet_begins_late(a->out, first_us) || a->late || a->job.resume_count > 0;
        int64_t earliest = INT64_MAX;

        a->begun = true;
        a->apart = 0;
        for (size_t i = 0; i < a->job.ladder.audio_count && !a->failed; i++) {
                const struct job_resume *r = job_resume_of(&a->job, a->job.ladder.audio[i].name);
                if (resumes && !r && !job_is_young(&a->job))
                        continue;
                struct audio_rung_options o = {
                        .rung = a->job.ladder.audio[i],
                        .lockstep_segments = a->job.lockstep_segments,
                        .epoch_us = a->job.epoch_us,
                        .start_us = late && !r ? grid_next_second_us(first_us) : 0,
                        .outlet = a->out,
                };
                if (r)
                        o.first_frame = grid_aac_frame_from(r->end_us);
                else if (late)
                        o.first_frame = grid_aac_frame_from(o.start_us);
                else
                        o.first_frame = grid_ticks(first_us, AUDIO_TIMESCALE) / AAC_FRAME_SAMPLES;
                int err = audio_rung_open(&a->rungs[a->rung_count], &o);
                if (err) {
                        outlet_failed(a->out, err, "no encoder for rung %s", o.rung.name);
                        a->failed = true;
                        break;
                }
                a->rung_count++;
                earliest = o.first_frame < earliest ? o.first_frame : earliest;
        }
        if (a->rung_count > 0)
                pcm_init(&a->pcm, (earliest - AUDIO_PREROLL) * AAC_FRAME_SAMPLES);
}

/* --- onto the grid --- */

static void encode_one(struct audio *a, bool silence)
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_SAMPLE_FMT_FLTP;
        f->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        f->sample_rate = AUDIO_TIMESCALE;
        f->nb_samples = AAC_FRAME_SAMPLES;
        f->pts = a->pcm.first;
        if (av_frame_get_buffer(f, 0) == 0) {
                float *const planes[PCM_CHANNELS] = {(void *)f->data[0], (void *)f->data[1]};
                pcm_take(&a->pcm, planes, AAC_FRAME_SAMPLES);
                for (size_t i = 0; i < a->rung_count; i++)
                        audio_rung_encode(a->rungs[i], f, silence);
        }
        av_frame_free(&f);
}

static void encode_all(struct audio *a, bool silence)
{
        while (a->pcm.len >= AAC_FRAME_SAMPLES && !atomic_load(&a->stop))
                encode_one(a, silence);
        atomic_store(&a->out->tally.placed_us[TRACK_AUDIO], grid_us(a->pcm.first, AUDIO_TIMESCALE));
}

static void put_silence(struct audio *a, int64_t count)
{
        /* What real sound is held (less than a frame) goes into the first frame of it. */
        while (count > 0 && !atomic_load(&a->stop)) {
                size_t n = count < SILENCE_PIECE ? (size_t)count : SILENCE_PIECE;
                pcm_append(&a->pcm, NULL, n);
                encode_all(a, true);
                count -= (int64_t)n;
        }
}

/* count samples in a->converted that belong at target. */
static void place(struct audio *a, size_t count, int64_t target)
{
        struct pcm_fit fit = pcm_fit(pcm_end(&a->pcm), target, a->apart);
        if (fit.skip >= (int64_t)count) {
                if (a->placed) /* before: a replay brings sound that is stored already */
                        atomic_fetch_add(&a->out->tally.late_dropped, 1);
                return;
        }
        a->apart = PCM_APART_SAMPLES;
        a->placed = true;
        if (fit.insert > HOLE_MAX) {
                pcm_init(&a->pcm, target / AAC_FRAME_SAMPLES * AAC_FRAME_SAMPLES);
                fit.insert = target - a->pcm.first;
        }
        if (fit.insert > 0)
                put_silence(a, fit.insert);
        if (fit.insert || fit.skip)
                drift_reset(&a->drift);
        const float *const data[PCM_CHANNELS] = {a->converted[0] + fit.skip, a->converted[1] + fit.skip};
        pcm_append(&a->pcm, data, count - (size_t)fit.skip);
        encode_all(a, false);
        slate_fed(&a->slate, clock_mono_us());
}

/* --- to 48 kHz stereo --- */

static bool converter_fits(const struct audio *a, const AVFrame *f)
{
        return a->swr && a->in_rate == f->sample_rate && a->in_format == f->format &&
               av_channel_layout_compare(&a->in_layout, &f->ch_layout) == 0;
}

static int open_converter(struct audio *a, const AVFrame *f)
{
        AVChannelLayout out = AV_CHANNEL_LAYOUT_STEREO, in = {0};
        swr_free(&a->swr);
        av_channel_layout_copy(&a->in_layout, &f->ch_layout);
        a->in_rate = f->sample_rate;
        a->in_format = f->format;
        if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
                av_channel_layout_default(&in, f->ch_layout.nb_channels);
        else
                av_channel_layout_copy(&in, &f->ch_layout);
        int rv = swr_alloc_set_opts2(&a->swr, &out, AV_SAMPLE_FMT_FLTP, AUDIO_TIMESCALE, &in,
                                     (enum AVSampleFormat)f->format, f->sample_rate, 0, NULL);
        av_channel_layout_uninit(&in);
        if (rv >= 0 && swr_init(a->swr) >= 0) {
                drift_reset(&a->drift);
                return 0;
        }
        swr_free(&a->swr);
        return ERR_UNSUPPORTED;
}

static void grow_converted(struct audio *a, size_t cap)
{
        if (cap <= a->converted_cap)
                return;
        a->converted_cap = cap;
        for (int c = 0; c < PCM_CHANNELS; c++)
                a->converted[c] = mem_resize(a->converted[c], cap * sizeof(float));
}

/* Soft correction; asking for it also makes a converter that only copied into a resampler. */
static void correct_drift(struct audio *a, int64_t error, int64_t count)
{
        if (!a->placed || error > PCM_APART_SAMPLES || error < -PCM_APART_SAMPLES)
                return; /* this is for silence or leaving out */
        int more = drift_add(&a->drift, error, count);
        if (more && swr_set_compensation(a->swr, more, DRIFT_WINDOW) < 0)
                a->apart = APART_AFTER_LOSS;
}

static void convert(struct audio *a, const AVFrame *f)
{
        if (!converter_fits(a, f) && open_converter(a, f) != 0) {
                count_corrupt(a, "sample format without conversion");
                return;
        }
        int64_t held = swr_get_delay(a->swr, AUDIO_TIMESCALE);
        int64_t target = grid_ticks(f->pts, AUDIO_TIMESCALE) - held;
        correct_drift(a, target - pcm_end(&a->pcm), f->nb_samples);
        int room = swr_get_out_samples(a->swr, f->nb_samples);
        if (room <= 0)
                return;
        grow_converted(a, (size_t)room);
        uint8_t *out[PCM_CHANNELS] = {(uint8_t *)a->converted[0], (uint8_t *)a->converted[1]};
        int n = swr_convert(a->swr, out, room, (const uint8_t **)f->extended_data, f->nb_samples);
        if (n < 0)
                count_corrupt(a, "sound does not convert");
        else if (n > 0)
                place(a, (size_t)n, target);
}

static void on_sound(struct audio *a, const AVFrame *f)
{
        if (a->failed || f->nb_samples <= 0 || f->sample_rate <= 0)
                return;
        if (f->pts < 0 || f->pts > MEDIA_TIME_MAX_US) {
                atomic_fetch_add(&a->out->tally.late_dropped, 1);
                return;
        }
        if (!a->begun)
                begin(a, f->pts);
        if (a->rung_count > 0)
                convert(a, f);
}

/* --- the thread --- */

static void receive_sound(struct audio *a)
{
        AVFrame *f;
        int err;
        while (!atomic_load(&a->stop) && (err = decoder_receive(a->decoder, &f)) != ERR_NOT_YET) {
                if (err)
                        count_corrupt(a, "frame does not decode");
                else
                        on_sound(a, f);
        }
}

static void interrupt(struct audio *a)
{
        decoder_end(a->decoder);
        receive_sound(a);
        decoder_break(a->decoder);
        a->apart = APART_AFTER_LOSS;
}

static void on_frame(struct audio *a, const struct frame *f)
{
        if (f->flags & FRAME_BREAK)
                interrupt(a);
        if (f->flags & FRAME_CONFIG) {
                if (!decoder_config_differs(a->decoder, f->codec, f->bytes))
                        return;
                interrupt(a);
                if (decoder_config(a->decoder, f->codec, f->bytes) != 0)
                        count_corrupt(a, "configuration record");
                return;
        }
        if (decoder_send(a->decoder, f) == ERR_CORRUPT)
                count_corrupt(a, "frame does not decode");
        receive_sound(a);
}

static int64_t end_us(const struct audio *a)
{
        return a->begun ? grid_us(pcm_end(&a->pcm), AUDIO_TIMESCALE) : 0;
}

/* A session that goes on is silent until its sound comes; a new one has no sound before that. */
static void make_silence(struct audio *a)
{
        if (!a->begun && any_resumes(a))
                begin(a, 0);
        if (!a->begun || a->rung_count == 0)
                return;
        int64_t until_us = slate_due(&a->slate, end_us(a), job_now_us(&a->job), clock_mono_us());
        if (until_us == SLATE_NOT_DUE)
                return;
        int64_t missing = grid_ticks(until_us, AUDIO_TIMESCALE) - pcm_end(&a->pcm);
        missing = missing / AAC_FRAME_SAMPLES * AAC_FRAME_SAMPLES;
        if (missing <= 0 || missing > HOLE_MAX)
                return;
        put_silence(a, missing);
        a->apart = APART_AFTER_LOSS;
        atomic_fetch_add(&a->out->tally.slate_us[TRACK_AUDIO], grid_us(missing, AUDIO_TIMESCALE));
}

static void finish(struct audio *a)
{
        decoder_end(a->decoder);
        receive_sound(a);
        if (a->rung_count > 0 && a->pcm.len > 0 && !atomic_load(&a->out->goes_on)) {
                pcm_append(&a->pcm, NULL, AAC_FRAME_SAMPLES - a->pcm.len % AAC_FRAME_SAMPLES);
                encode_all(a, false);
        }
        for (size_t i = 0; i < a->rung_count; i++)
                audio_rung_finish(a->rungs[i]);
}

/* Takes one frame, or makes silence when there is none. True at the end. */
static bool step(struct audio *a)
{
        struct frame f;
        int64_t wait_us = slate_wait_us(&a->slate, end_us(a), job_now_us(&a->job), clock_mono_us());
        int err = intake_take(&a->in, &f, wait_us);
        if (err == ERR_TIMEOUT)
                make_silence(a);
        if (err)
                return false;
        if (!f.bytes) {
                finish(a);
                return true;
        }
        on_frame(a, &f);
        buf_unref(&f.bytes);
        return false;
}

static void *run(void *arg)
{
        struct audio *a = arg;
        pthread_setname_np(pthread_self(), "audio");
        bool ended = false;
        while (!ended && !atomic_load(&a->stop))
                ended = step(a);
        for (size_t i = 0; i < a->rung_count; i++)
                audio_rung_close(&a->rungs[i]);
        if (ended)
                outlet_leave(a->out);
        return NULL;
}

static void free_audio(struct audio *a)
{
        intake_fini(&a->in);
        decoder_free(&a->decoder);
        swr_free(&a->swr);
        av_channel_layout_uninit(&a->in_layout);
        pcm_fini(&a->pcm);
        for (int c = 0; c < PCM_CHANNELS; c++)
                free(a->converted[c]);
        free(a);
}

struct audio *audio_open(const struct job *job, struct outlet *outlet, uint8_t codec, struct buf *config,
                         bool late)
{
        struct audio *a = mem_alloc(sizeof(*a));
        a->job = *job;
        a->job.session = NULL;
        memset(a->job.config, 0, sizeof(a->job.config));
        a->out = outlet;
        a->late = late;
        intake_init(&a->in);
        slate_init(&a->slate, job->slate_after_us, clock_mono_us());
        a->decoder = decoder_new(TRACK_AUDIO, 1);
        if (config && decoder_config(a->decoder, codec, config) != 0)
                count_corrupt(a, "configuration record");
        outlet_join(outlet);
        if (pthread_create(&a->thread, NULL, run, a) == 0)
                return a;
        free_audio(a);
        return NULL;
}

void audio_push(struct audio *a, const struct frame *f)
{
        intake_push(&a->in, f);
}

size_t audio_room(struct audio *a)
{
        return intake_room(&a->in);
}

int64_t audio_late_us(const struct audio *a, int64_t now_us)
{
        return intake_late_us(&a->in, atomic_load(&a->out->tally.placed_us[TRACK_AUDIO]), now_us);
}

void audio_end(struct audio *a)
{
        intake_end(&a->in);
}

void audio_abort(struct audio *a)
{
        atomic_store(&a->stop, true);
        intake_abort(&a->in);
}

void audio_close(struct audio **ap)
{
        struct audio *a = *ap;
        *ap = NULL;
        if (!a)
                return;
        audio_abort(a);
        pthread_join(a->thread, NULL);
        free_audio(a);
}
