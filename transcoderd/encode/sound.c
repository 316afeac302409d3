#include "transcoderd/encode/sound.h"

#include <math.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "transcoderd/encode/cues.h"
#include "transcoderd/encode/grid.h"

#define SILENCE_PIECE 8192 /* samples put in at a time, so that a long hole does not need the memory of a long hole */
#define HOLE_MAX (INT64_C(600) * AUDIO_TIMESCALE) /* as video.c: a gap beyond any grace time is left open */
#define APART_AFTER_LOSS 240 /* 5 ms: after a loss */
#define LOUDEST 16.0f /* times full scale; beyond, it is no sound */

void sound_init(struct sound *s, const struct job *job, struct outlet *out, bool late, int64_t mono_us)
{
        *s = (struct sound){.job = job, .out = out, .late = late};
        atomic_init(&s->stop, false);
        slate_init(&s->slate, job->slate_after_us, mono_us);
}

/* --- where the tracks begin --- */

static bool any_resumes(const struct sound *s)
{
        for (size_t i = 0; i < s->job->ladder.audio_count; i++)
                if (job_resume_of(s->job, s->job->ladder.audio[i].name))
                        return true;
        return false;
}

/* first_us: of the first sound, ≥ 0. A session that goes on keeps the tracks it has. */
static void begin(struct sound *s, int64_t first_us)
{
        bool resumes = any_resumes(s);
        bool late = outlet_begins_late(s->out, first_us) || s->late || s->job->resume_count > 0;
        int64_t earliest = INT64_MAX;

        s->begun = true;
        s->apart = 0;
        for (size_t i = 0; i < s->job->ladder.audio_count && !s->failed; i++) {
                const struct job_resume *r = job_resume_of(s->job, s->job->ladder.audio[i].name);
                if (resumes && !r && !job_is_young(s->job))
                        continue;
                struct audio_rung_options o = {
                        .rung = s->job->ladder.audio[i],
                        .lockstep_segments = s->job->lockstep_segments,
                        .epoch_us = s->job->epoch_us,
                        .chunk_ms = s->job->chunk_ms,
                        .start_us = late && !r ? grid_next_second_us(first_us) : 0,
                        .outlet = s->out,
                };
                if (r)
                        o.first_frame = grid_aac_frame_from(r->end_us);
                else if (late)
                        o.first_frame = grid_aac_frame_from(o.start_us);
                else
                        o.first_frame = grid_ticks(first_us, AUDIO_TIMESCALE) / AAC_FRAME_SAMPLES;
                int err = audio_rung_open(&s->rungs[s->rung_count], &o);
                if (err) {
                        outlet_failed(s->out, err, "no encoder for rung %s", o.rung.name);
                        s->failed = true;
                        break;
                }
                s->rung_count++;
                earliest = o.first_frame < earliest ? o.first_frame : earliest;
        }
        if (s->rung_count > 0)
                pcm_init(&s->pcm, (earliest - AUDIO_PREROLL) * AAC_FRAME_SAMPLES);
        s->wanted = s->pcm.first;
}

/* --- onto the grid --- */

static void encode_one(struct sound *s, bool silence)
{
        AVFrame *f = av_frame_alloc();
        f->format = AV_SAMPLE_FMT_FLTP;
        f->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        f->sample_rate = AUDIO_TIMESCALE;
        f->nb_samples = AAC_FRAME_SAMPLES;
        f->pts = s->pcm.first;
        if (av_frame_get_buffer(f, 0) == 0) {
                float *const planes[PCM_CHANNELS] = {(void *)f->data[0], (void *)f->data[1]};
                pcm_take(&s->pcm, planes, AAC_FRAME_SAMPLES);
                for (size_t i = 0; i < s->rung_count; i++)
                        audio_rung_encode(s->rungs[i], f, silence);
        }
        av_frame_free(&f);
}

static void encode_all(struct sound *s, bool silence)
{
        while (s->pcm.len >= AAC_FRAME_SAMPLES && !atomic_load(&s->stop))
                encode_one(s, silence);
        atomic_store(&s->out->tally.placed_us[TRACK_AUDIO], grid_us(s->pcm.first, AUDIO_TIMESCALE));
}

static void put_silence(struct sound *s, int64_t count)
{
        /* What real sound is held (less than a frame) goes into the first frame of it. */
        while (count > 0 && !atomic_load(&s->stop)) {
                size_t n = count < SILENCE_PIECE ? (size_t)count : SILENCE_PIECE;
                pcm_append(&s->pcm, NULL, n);
                encode_all(s, true);
                count -= (int64_t)n;
        }
}

/* Sound that ends late_us before where the track does: whether silence waits for it to come up. */
static bool comes_up(struct sound *s, int64_t late_us, bool wanted, int64_t mono_us)
{
        if (!s->coming_up.until_mono_us && mono_us >= s->coming_up.again_mono_us) {
                bool waits = late_us <= SOUND_LATE_MAX_US;
                s->coming_up.until_mono_us = waits ? mono_us + late_us + US_PER_S : mono_us;
                if (wanted)
                        log_info("session=%s late_ms=%lld msg=\"sound is late: it is left out %s\"", s->out->session,
                                 (long long)(late_us / US_PER_MS), waits ? "until it has come up" : "where there is silence already");
        }
        if (s->coming_up.until_mono_us && mono_us >= s->coming_up.until_mono_us) {
                s->coming_up.until_mono_us = 0;
                s->coming_up.again_mono_us = mono_us + SOUND_LATE_AGAIN_US;
        }
        return s->coming_up.until_mono_us != 0;
}

/* count samples for whose place the track has got too far. */
static void leave_out(struct sound *s, int64_t count, int64_t target, int64_t mono_us)
{
        /* Not wanted: a replay brings what is stored, or the track begins at the next second. */
        bool wanted = target + count > s->wanted;
        if (wanted)
                atomic_fetch_add(&s->out->tally.late_dropped, 1);
        if (comes_up(s, grid_us(pcm_end(&s->pcm) - target - count, AUDIO_TIMESCALE), wanted, mono_us))
                slate_fed(&s->slate, mono_us);
}

/* The count samples in s->stereo, which belong at target. */
static void place(struct sound *s, int64_t count, int64_t target, int64_t mono_us)
{
        struct pcm_fit fit = pcm_fit(pcm_end(&s->pcm), target, s->apart);
        if (fit.skip >= count) {
                leave_out(s, count, target, mono_us);
                return;
        }
        s->coming_up.until_mono_us = 0;
        s->apart = PCM_APART_SAMPLES;
        s->placed = true;
        if (fit.insert > HOLE_MAX) {
                pcm_init(&s->pcm, target / AAC_FRAME_SAMPLES * AAC_FRAME_SAMPLES);
                fit.insert = target - s->pcm.first;
        }
        if (fit.insert > 0)
                put_silence(s, fit.insert);
        if (fit.insert || fit.skip)
                drift_moved(&s->stereo.drift);
        const float *const data[PCM_CHANNELS] = {s->stereo.samples[0] + fit.skip, s->stereo.samples[1] + fit.skip};
        pcm_append(&s->pcm, data, (size_t)(count - fit.skip));
        encode_all(s, false);
        slate_fed(&s->slate, mono_us);
}

/* A distance beyond PCM_APART_SAMPLES is for silence or leaving out. */
static void follow(struct sound *s, const AVFrame *f, int64_t error)
{
        bool near = error <= PCM_APART_SAMPLES && error >= -PCM_APART_SAMPLES;
        if (s->placed && near && stereo_follow(&s->stereo, f, error) != 0)
                s->apart = APART_AFTER_LOSS;
}

/* The encoder refuses a frame with such a sample in it, and the track would lack that frame. False: there were some. */
static bool silence_nonsense(struct sound *s, int count)
{
        bool sane = true;
        for (int c = 0; c < PCM_CHANNELS; c++) {
                float *samples = s->stereo.samples[c];
                for (int i = 0; i < count; i++) {
                        if (fabsf(samples[i]) <= LOUDEST) /* not so what is no number */
                                continue;
                        samples[i] = 0;
                        sane = false;
                }
        }
        return sane;
}

int sound_add(struct sound *s, const AVFrame *f, int64_t mono_us)
{
        if (s->failed || f->nb_samples <= 0 || f->sample_rate <= 0)
                return 0;
        if (f->pts < 0 || f->pts > MEDIA_TIME_MAX_US) {
                atomic_fetch_add(&s->out->tally.late_dropped, 1);
                return 0;
        }
        if (!s->begun)
                begin(s, f->pts);
        if (s->rung_count == 0)
                return 0;
        int err = stereo_fit(&s->stereo, f);
        if (err)
                return err;
        int64_t target = grid_ticks(f->pts, AUDIO_TIMESCALE) - stereo_held(&s->stereo);
        follow(s, f, target - pcm_end(&s->pcm));
        int count = stereo_convert(&s->stereo, f);
        if (count < 0)
                return count;
        bool sane = silence_nonsense(s, count);
        if (count > 0)
                place(s, count, target, mono_us);
        return sane ? 0 : ERR_CORRUPT;
}

/* --- what is said with it --- */

/* Where it belongs hangs on the frame's time alone, so that each transcoder has it in the same chunk, and who goes on knows what the one
 * before has said. */
void sound_say(struct sound *s, const struct frame *f)
{
        struct cues cues = {0};
        size_t lost = cues_hear(&cues, f, AUDIO_TIMESCALE);
        struct buf *boxes = cues_give(&cues);
        int64_t at_us = f->dts_us + f->cts_us, frame = grid_ticks(at_us > 0 ? at_us : 0, AUDIO_TIMESCALE) / AAC_FRAME_SAMPLES;
        lost += boxes && s->rung_count == 0;
        for (size_t i = 0; boxes && i < s->rung_count; i++)
                lost += !audio_rung_say(s->rungs[i], frame, buf_ref(boxes));
        atomic_fetch_add(&s->out->tally.cues_lost, lost);
        buf_unref(&boxes);
}

/* --- without sound --- */

static int64_t end_us(const struct sound *s)
{
        return s->begun ? grid_us(pcm_end(&s->pcm), AUDIO_TIMESCALE) : 0;
}

int64_t sound_wait_us(struct sound *s, int64_t now_us, int64_t mono_us)
{
        return slate_wait_us(&s->slate, end_us(s), now_us, mono_us);
}

/* A session that goes on is silent until its sound comes; a new one has no sound before that. */
void sound_fill(struct sound *s, int64_t now_us, int64_t mono_us)
{
        if (!s->begun && any_resumes(s))
                begin(s, 0);
        if (!s->begun || s->rung_count == 0)
                return;
        int64_t until_us = slate_due(&s->slate, end_us(s), now_us, mono_us);
        if (until_us == SLATE_NOT_DUE)
                return;
        int64_t missing = grid_ticks(until_us, AUDIO_TIMESCALE) - pcm_end(&s->pcm);
        missing = missing / AAC_FRAME_SAMPLES * AAC_FRAME_SAMPLES;
        if (missing <= 0 || missing > HOLE_MAX)
                return;
        put_silence(s, missing);
        s->apart = APART_AFTER_LOSS;
        atomic_fetch_add(&s->out->tally.slate_us[TRACK_AUDIO], grid_us(missing, AUDIO_TIMESCALE));
}

void sound_loosen(struct sound *s)
{
        s->apart = APART_AFTER_LOSS;
}

void sound_finish(struct sound *s)
{
        if (s->rung_count > 0 && s->pcm.len > 0 && !atomic_load(&s->out->goes_on)) {
                pcm_append(&s->pcm, NULL, AAC_FRAME_SAMPLES - s->pcm.len % AAC_FRAME_SAMPLES);
                encode_all(s, false);
        }
        for (size_t i = 0; i < s->rung_count; i++) {
                audio_rung_finish(s->rungs[i]);
                if (!atomic_load(&s->out->goes_on)) /* else the next transcoder has those frames */
                        atomic_fetch_add(&s->out->tally.cues_lost, audio_rung_unsaid(s->rungs[i]));
        }
}

void sound_fini(struct sound *s)
{
        while (s->rung_count > 0)
                audio_rung_close(&s->rungs[--s->rung_count]);
        pcm_fini(&s->pcm);
        stereo_fini(&s->stereo);
}
