#include "transcoderd/encode/pipeline.h"

#include <assert.h>
#include <libavutil/log.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/audio.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/intake.h"
#include "transcoderd/encode/outlet.h"
#include "transcoderd/encode/video.h"

#define AHEAD_US (3 * US_PER_S) /* more than clocks that differ, and what is sent at once when a stream begins, usually come to */
#define BACKLOG_US (2 * US_PER_S)

struct pipeline {
        struct reaper_item item; /* first: an item is its pipeline; closing */
        struct job job; /* session and config are not valid */
        struct outlet *out;
        struct video *video;
        struct audio *audio;
        bool draining;
};

/* libav speaks about broken streams at length; what matters of it is counted by those who call it. */
__attribute__((format(printf, 3, 0)))
static void on_av_log(void *avcl, int level, const char *fmt, va_list args)
{
        (void)avcl;
        if (level > AV_LOG_ERROR || !log_enabled(LOG_DEBUG))
                return;
        char text[256], quoted[600];
        vsnprintf(text, sizeof(text), fmt, args);
        text[strcspn(text, "\n")] = 0;
        log_debug("msg=\"libav\" text=%s", log_quote(quoted, sizeof(quoted), text));
}

static void quiet_libav(void)
{
        av_log_set_callback(on_av_log);
}

static int open_kind(struct pipeline *p, uint8_t kind, uint8_t codec, struct buf *config, bool late)
{
        if (kind == TRACK_VIDEO && p->job.ladder.video_count > 0)
                return (p->video = video_open(&p->job, p->out, codec, config, late)) ? 0 : ERR_LIMIT;
        if (kind == TRACK_AUDIO && p->job.ladder.audio_count > 0)
                return (p->audio = audio_open(&p->job, p->out, codec, config, late)) ? 0 : ERR_LIMIT;
        return 0;
}

int pipeline_open(struct pipeline **out, struct mailbox *mb, const struct job *job,
                  const struct job_events *events, void *arg)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, quiet_libav);
        *out = NULL;
        if (!job_supports(job->codecs))
                return ERR_UNSUPPORTED;
        int err = 0;
        struct pipeline *p = mem_alloc(sizeof(*p));
        p->job = *job;
        p->out = outlet_new(mb, events, arg, job->session);
        outlet_join(p->out); /* until pipeline_drain */
        outlet_opening(p->out, 1);
        if (job->resume_count > 0)
                outlet_begins_late(p->out, 0);
        for (int kind = 0; kind < TRACK_KINDS && !err; kind++)
                if (job->codecs[kind] != CODEC_NONE)
                        err = open_kind(p, (uint8_t)kind, job->codecs[kind], job->config[kind], false);
        p->job.session = NULL;
        memset(p->job.config, 0, sizeof(p->job.config));
        if (err) {
                pipeline_close(p, NULL);
                return err;
        }
        outlet_opened(p->out);
        *out = p;
        return 0;
}

/* A track whose kind was unknown when the session began starts with its configuration. */
static void open_late(struct pipeline *p, const struct frame *f)
{
        uint8_t known = f->track == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC;
        bool there = f->track == TRACK_VIDEO ? p->video != NULL : p->audio != NULL;
        if (there || !(f->flags & FRAME_CONFIG) || f->codec != known)
                return;
        int err = open_kind(p, f->track, f->codec, f->bytes, true);
        if (err)
                outlet_failed(p->out, err, "no thread for a track");
}

void pipeline_push(struct pipeline *p, const struct frame *f)
{
        if (p->draining || f->track >= TRACK_KINDS)
                return;
        /* All arithmetic on the grid is safe below this (grid.h); what is beyond is the proxy's mistake. */
        if (f->dts_us < -MEDIA_TIME_MAX_US || f->dts_us > MEDIA_TIME_MAX_US) {
                atomic_fetch_add(&p->out->tally.corrupt, 1);
                return;
        }
        open_late(p, f);
        if (f->track == TRACK_VIDEO && p->video)
                video_push(p->video, f);
        if (f->track == TRACK_AUDIO && p->audio)
                audio_push(p->audio, f);
}

/* By the session's clock; 0: nothing was pushed yet. */
static int64_t newest_age_us(const struct pipeline *p)
{
        int64_t newest_us = p->video ? video_newest_us(p->video) : p->audio ? audio_newest_us(p->audio) : INT64_MIN;
        return newest_us == INT64_MIN ? 0 : job_now_us(&p->job) - newest_us;
}

bool pipeline_is_ahead(const struct pipeline *p)
{
        return newest_age_us(p) < -AHEAD_US;
}

bool pipeline_has_backlog(const struct pipeline *p)
{
        return newest_age_us(p) > BACKLOG_US;
}

size_t pipeline_room(const struct pipeline *p)
{
        size_t video = p->video ? video_room(p->video) : INTAKE_FRAMES;
        size_t audio = p->audio ? audio_room(p->audio) : INTAKE_FRAMES;
        bool far = pipeline_is_ahead(p) || pipeline_has_backlog(p);
        size_t room = video < audio ? video : audio, unused = far ? INTAKE_FRAMES - PIPELINE_FAR_FRAMES : 0;
        return room > unused ? room - unused : 0;
}

void pipeline_drain(struct pipeline *p, bool goes_on)
{
        if (p->draining)
                return;
        p->draining = true;
        atomic_store(&p->out->goes_on, goes_on);
        if (p->video)
                video_end(p->video);
        if (p->audio)
                audio_end(p->audio);
        outlet_leave(p->out);
}

static void wait_for_threads(struct reaper_item *item)
{
        struct pipeline *p = (struct pipeline *)item;
        video_close(&p->video);
        audio_close(&p->audio);
        outlet_unref(&p->out); /* its events may still be in the mailbox, and hold references */
}

static void free_pipeline(struct reaper_item *item)
{
        free(item);
}

void pipeline_close(struct pipeline *p, struct reaper *reaper)
{
        if (!p)
                return;
        /* From here on no event reaches the owner, which may be gone, or have another pipeline for the same session. */
        outlet_shut(p->out);
        if (p->video)
                video_abort(p->video);
        if (p->audio)
                audio_abort(p->audio);
        p->item.wait = wait_for_threads;
        p->item.gone = free_pipeline;
        if (reaper) {
                reaper_take(reaper, &p->item);
                return;
        }
        wait_for_threads(&p->item);
        free_pipeline(&p->item);
}

void pipeline_stats(const struct pipeline *p, struct pipeline_stats *out)
{
        struct tally *t = &p->out->tally;
        enum track_kind kind = p->video ? TRACK_VIDEO : TRACK_AUDIO;
        int64_t now_us = job_now_us(&p->job);
        int64_t video_us = p->video ? video_late_us(p->video, now_us) : 0;
        int64_t audio_us = p->audio ? audio_late_us(p->audio, now_us) : 0;

        *out = (struct pipeline_stats){
                .behind_us = video_us > audio_us ? video_us : audio_us,
                .gains = video_us >= audio_us && atomic_load(&t->gains),
                .slate_us = atomic_load(&t->slate_us[kind]),
                .decoded = atomic_load(&t->decoded),
                .encoded = atomic_load(&t->encoded),
                .late_dropped = atomic_load(&t->late_dropped),
                .corrupt = atomic_load(&t->corrupt),
                .shed = atomic_load(&t->shed),
                .skipped = atomic_load(&t->skipped),
                .captions_lost = atomic_load(&t->captions_lost),
                .cues_lost = atomic_load(&t->cues_lost),
                .pixels = atomic_load(&t->pixels),
                .cost = atomic_load(&t->cost),
        };
        static_assert(sizeof(out->pictures) / sizeof(out->pictures[0]) == PICTURE_ENDS, "of each kind");
        for (int i = 0; i < PICTURE_ENDS; i++)
                out->pictures[i] = atomic_load(&t->pictures[i]);
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                int64_t busy_us = atomic_load(&t->busy_us[i]);
                out->busy_us = busy_us > out->busy_us ? busy_us : out->busy_us;
        }
}
