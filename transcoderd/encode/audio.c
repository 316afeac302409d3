#include "transcoderd/encode/audio.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/daemon/told.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/encode/decode.h"
#include "transcoderd/encode/intake.h"
#include "transcoderd/encode/job.h"
#include "transcoderd/encode/sound.h"

struct audio {
        struct job job; /* session and config are not valid */
        struct outlet *out;
        struct intake in;
        pthread_t thread;

        struct buf *config; /* of `codec`, until the decoder is opened by it; NULL: it comes with the frames */
        uint8_t codec;
        struct decoder *decoder;
        struct sound sound;
        struct told told_corrupt;
};

static void count_corrupt(struct audio *a, const char *what)
{
        uint64_t n = atomic_fetch_add(&a->out->tally.corrupt, 1) + 1;
        sound_loosen(&a->sound);
        if (!told_may(&a->told_corrupt, 10 * US_PER_S, clock_mono_us(), NULL))
                return;
        log_warn("session=%s msg=\"damaged audio: %s\" count=%llu", a->out->session, what, (unsigned long long)n);
}

static void receive_sound(struct audio *a)
{
        AVFrame *f;
        int err;
        while (!atomic_load(&a->sound.stop) && (err = decoder_receive(a->decoder, &f)) != ERR_NOT_YET) {
                if (err) {
                        count_corrupt(a, "frame does not decode");
                        continue;
                }
                err = sound_add(&a->sound, f, clock_mono_us());
                if (err)
                        count_corrupt(a, err == ERR_UNSUPPORTED ? "sample format without conversion" : "sound does not convert");
        }
}

static void interrupt(struct audio *a)
{
        decoder_end(a->decoder);
        receive_sound(a);
        decoder_break(a->decoder);
        sound_loosen(&a->sound);
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
        sound_say(&a->sound, f);
}

/* Takes one frame, or makes silence when there is none. True at the end. */
static bool step(struct audio *a)
{
        struct frame f;
        int err = intake_take(&a->in, &f, sound_wait_us(&a->sound, job_now_us(&a->job), clock_mono_us()));
        if (err == ERR_TIMEOUT)
                sound_fill(&a->sound, job_now_us(&a->job), clock_mono_us());
        if (err)
                return false;
        if (!f.bytes) {
                decoder_end(a->decoder);
                receive_sound(a);
                sound_finish(&a->sound);
                return true;
        }
        on_frame(a, &f);
        buf_unref(&f.bytes);
        return false;
}

/* Not for the loop: what a codec does meanwhile is its own. */
static void open_decoder(struct audio *a)
{
        if (a->config && decoder_config(a->decoder, a->codec, a->config) != 0)
                count_corrupt(a, "configuration record");
        buf_unref(&a->config);
}

static void *run(void *arg)
{
        struct audio *a = arg;
        pthread_setname_np(pthread_self(), "audio");
        bool ended = false;
        open_decoder(a);
        while (!ended && !atomic_load(&a->sound.stop))
                ended = step(a);
        sound_fini(&a->sound);
        if (ended)
                outlet_leave(a->out);
        return NULL;
}

static void free_audio(struct audio *a)
{
        intake_fini(&a->in);
        buf_unref(&a->config);
        decoder_free(&a->decoder);
        sound_fini(&a->sound);
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
        intake_init(&a->in);
        sound_init(&a->sound, &a->job, outlet, late, clock_mono_us());
        a->decoder = decoder_new(TRACK_AUDIO, 1);
        a->config = config ? buf_ref(config) : NULL;
        a->codec = codec;
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

int64_t audio_newest_us(const struct audio *a)
{
        return atomic_load(&a->in.newest_us);
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
        atomic_store(&a->sound.stop, true);
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
