/* pipeline_file - runs a media file through transcoderd's pipeline and writes what comes out, one file a track.
 *
 *   pipeline_file [options] INPUT DIR
 *     --realtime          push at the file's pace, against the wall clock (slate works); else as fast as it goes
 *     --ladder JSON       as the configuration key; else the default ladder
 *     --ms                round times to milliseconds, as RTMP does
 *     --seconds N         stop after so much of the file
 *     --offset-us N       media time of the file's first picture (or sound)
 *     --resume TRACK=US   the track is stored up to there (repeat)
 *     --lockstep N        encoders begin anew every N segments
 *     --threads N         encoder threads
 *     --no-audio, --no-video
 * Writes DIR/<track>.mp4 (init segment and chunks) and DIR/chunks.txt: track segment chunk flags start_us duration_us
 * bytes made_wall_us - epoch_us. INPUT is MP4 or FLV with H.264 and AAC. */
#include <libavformat/avformat.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "transcoderd/encode/pipeline.h"

#define FAR_US (INT64_C(86400) * US_PER_S) /* as fast as it goes: an epoch so far ahead that slate is never due */

struct run {
        AVFormatContext *in;
        int kind_of[16];
        int64_t zero_us, offset_us, seconds;
        bool realtime, ms, without[TRACK_KINDS];
        const char *dir;
        FILE *tracks[SESSION_TRACKS_MAX], *list;
        char names[SESSION_TRACKS_MAX][TRACK_NAME_MAX + 1];
        struct job o;
        struct pipeline *pipeline;
        uv_loop_t loop;
        bool done;
        int status;
};

static void die(const char *what)
{
        fprintf(stderr, "pipeline_file: %s\n", what);
        exit(2);
}

static FILE *create(struct run *r, const char *name, const char *suffix)
{
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s%s", r->dir, name, suffix);
        FILE *f = fopen(path, "wb");
        if (!f)
                die("cannot write into DIR");
        return f;
}

static void on_track(void *arg, const struct track_info *t)
{
        struct run *r = arg;
        if (t->track >= SESSION_TRACKS_MAX)
                die("too many tracks");
        r->tracks[t->track] = create(r, t->name, ".mp4");
        snprintf(r->names[t->track], sizeof(r->names[0]), "%s", t->name);
        fwrite(t->init->data, 1, t->init->len, r->tracks[t->track]);
        printf("track %u %s bandwidth=%u fps_milli=%u start_us=%lld init_bytes=%zu\n", t->track, t->name, t->bandwidth,
               t->fps_milli, (long long)t->start_us, t->init->len);
}

static void on_ready(void *arg)
{
        (void)arg;
}

static void on_chunk(void *arg, const struct chunk *c)
{
        struct run *r = arg;
        fwrite(c->bytes->data, 1, c->bytes->len, r->tracks[c->track]);
        fprintf(r->list, "%s %u %u %u %lld %lld %zu %lld\n", r->names[c->track], c->segment, c->chunk, c->flags,
                (long long)c->start_us, (long long)c->duration_us, c->bytes->len,
                (long long)(c->made_wall_us - r->o.epoch_us));
}

static void on_drained(void *arg, int64_t end_us)
{
        struct run *r = arg;
        printf("drained end_us=%lld\n", (long long)end_us);
        r->done = true;
}

static void on_failed(void *arg, int err, const char *text)
{
        struct run *r = arg;
        printf("failed %s: %s\n", err_text(err), text);
        r->status = 1;
        r->done = true;
}

static void open_input(struct run *r, const char *path)
{
        if (avformat_open_input(&r->in, path, NULL, NULL) < 0 || avformat_find_stream_info(r->in, NULL) < 0)
                die("cannot read INPUT");
        for (unsigned i = 0; i < r->in->nb_streams && i < 16; i++) {
                AVCodecParameters *par = r->in->streams[i]->codecpar;
                int kind = par->codec_id == AV_CODEC_ID_H264  ? TRACK_VIDEO
                           : par->codec_id == AV_CODEC_ID_AAC ? TRACK_AUDIO
                                                              : -1;
                if (kind >= 0 && (r->without[kind] || r->o.codecs[kind] || par->extradata_size == 0))
                        kind = -1;
                r->kind_of[i] = kind;
                if (kind < 0)
                        continue;
                r->o.codecs[kind] = kind == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC;
                r->o.config[kind] = buf_copy(par->extradata, (size_t)par->extradata_size);
        }
        r->zero_us = INT64_MIN;
}

static int64_t to_us(const struct run *r, int64_t t, AVRational base)
{
        if (r->ms)
                return av_rescale_q(t, base, (AVRational){1, 1000}) * 1000;
        return av_rescale_q(t, base, (AVRational){1, 1000000});
}

static void pace(struct run *r, int64_t media_us)
{
        for (;;) {
                uv_run(&r->loop, UV_RUN_NOWAIT);
                int64_t ahead_us = r->realtime ? media_us - (clock_wall_us() - r->o.epoch_us) : 0;
                if (r->done || (ahead_us <= 0 && pipeline_room(r->pipeline) > 0))
                        return;
                usleep(ahead_us > 1000 && ahead_us < 5000 ? (useconds_t)ahead_us : 1000);
        }
}

/* False at the end. */
static bool push_packet(struct run *r, AVPacket *pkt)
{
        int kind = pkt->stream_index < 16 ? r->kind_of[pkt->stream_index] : -1;
        if (kind < 0)
                return true;
        AVRational base = r->in->streams[pkt->stream_index]->time_base;
        int64_t dts_us = to_us(r, pkt->dts, base), pts_us = to_us(r, pkt->pts, base);
        if (r->zero_us == INT64_MIN)
                r->zero_us = pts_us;
        struct frame f = {
                .track = (uint8_t)kind,
                .codec = r->o.codecs[kind],
                .flags = kind == TRACK_AUDIO || (pkt->flags & AV_PKT_FLAG_KEY) ? FRAME_KEY : 0,
                .dts_us = dts_us - r->zero_us + r->offset_us,
                .cts_us = (int32_t)(pts_us - dts_us),
                .bytes = buf_copy(pkt->data, (size_t)pkt->size),
        };
        bool on = r->seconds == 0 || f.dts_us - r->offset_us < r->seconds * US_PER_S;
        if (on) {
                pace(r, f.dts_us);
                if (!r->done)
                        pipeline_push(r->pipeline, &f);
        }
        buf_unref(&f.bytes);
        return on;
}

static void push_all(struct run *r)
{
        AVPacket *pkt = av_packet_alloc();
        bool on = true;
        while (on && !r->done && av_read_frame(r->in, pkt) >= 0) {
                on = push_packet(r, pkt);
                av_packet_unref(pkt);
        }
        av_packet_free(&pkt);
        if (!r->done)
                pipeline_drain(r->pipeline, false);
        while (!r->done)
                uv_run(&r->loop, UV_RUN_ONCE);
}

static void print_stats(const struct run *r)
{
        struct pipeline_stats s;
        pipeline_stats(r->pipeline, &s);
        printf("decoded=%llu encoded=%llu late=%llu corrupt=%llu shed=%llu slate_us=%lld\n",
               (unsigned long long)s.decoded, (unsigned long long)s.encoded, (unsigned long long)s.late_dropped,
               (unsigned long long)s.corrupt, (unsigned long long)s.shed, (long long)s.slate_us);
}

static void add_resume(struct run *r, const char *arg)
{
        const char *eq = strchr(arg, '=');
        if (!eq || r->o.resume_count == SESSION_TRACKS_MAX)
                die("--resume wants TRACK=US");
        struct job_resume *p = &r->o.resume[r->o.resume_count++];
        snprintf(p->track, sizeof(p->track), "%.*s", (int)(eq - arg), arg);
        p->end_us = atoll(eq + 1);
}

static void set_ladder(struct run *r, const char *text)
{
        char why[256];
        json_t *json = text ? json_loads(text, 0, NULL) : NULL;
        if (text && !json)
                die("--ladder is not JSON");
        if (ladder_check(&json, why, sizeof(why)) != 0)
                die(why);
        ladder_for_stream(&r->o.ladder, json, "file");
        json_decref(json);
}

static const char *value(int *i, int argc, char **argv)
{
        if (*i + 1 >= argc)
                die("an option wants a value");
        return argv[++*i];
}

static const char *parse(struct run *r, int argc, char **argv)
{
        const char *ladder = NULL, *input = NULL;
        for (int i = 1; i < argc; i++) {
                if (!strcmp(argv[i], "--realtime"))
                        r->realtime = true;
                else if (!strcmp(argv[i], "--ms"))
                        r->ms = true;
                else if (!strcmp(argv[i], "--no-audio"))
                        r->without[TRACK_AUDIO] = true;
                else if (!strcmp(argv[i], "--no-video"))
                        r->without[TRACK_VIDEO] = true;
                else if (!strcmp(argv[i], "--ladder"))
                        ladder = value(&i, argc, argv);
                else if (!strcmp(argv[i], "--seconds"))
                        r->seconds = atoll(value(&i, argc, argv));
                else if (!strcmp(argv[i], "--offset-us"))
                        r->offset_us = atoll(value(&i, argc, argv));
                else if (!strcmp(argv[i], "--resume"))
                        add_resume(r, value(&i, argc, argv));
                else if (!strcmp(argv[i], "--lockstep"))
                        r->o.lockstep_segments = (uint32_t)atoi(value(&i, argc, argv));
                else if (!strcmp(argv[i], "--threads"))
                        r->o.encoder_threads = atoi(value(&i, argc, argv));
                else if (!input)
                        input = argv[i];
                else
                        r->dir = argv[i];
        }
        if (!input || !r->dir)
                die("usage: pipeline_file [options] INPUT DIR");
        set_ladder(r, ladder);
        return input;
}

int main(int argc, char **argv)
{
        static struct run r = {.o = {.session = "file", .encoder_threads = 1, .decoder_threads = 1,
                                     .slate_after_us = US_PER_S,
                                     .shed_after_us = US_PER_S}};
        static const struct job_events events = {on_track, on_ready, on_chunk, on_drained, on_failed};
        struct mailbox mb;

        log_init("file", LOG_INFO);
        const char *input = parse(&r, argc, argv);
        open_input(&r, input);
        r.list = create(&r, "chunks", ".txt");
        uv_loop_init(&r.loop);
        mailbox_open(&mb, &r.loop);
        r.o.epoch_us = clock_wall_us() / 1000 * 1000 + (r.realtime ? -r.offset_us : FAR_US);
        int err = pipeline_open(&r.pipeline, &mb, &r.o, &events, &r);
        if (err)
                die(err_text(err));
        push_all(&r);
        print_stats(&r);
        pipeline_close(r.pipeline, NULL);
        mailbox_close(&mb);
        uv_run(&r.loop, UV_RUN_DEFAULT);
        uv_loop_close(&r.loop);
        for (int i = 0; i < SESSION_TRACKS_MAX; i++)
                if (r.tracks[i])
                        fclose(r.tracks[i]);
        fclose(r.list);
        for (int i = 0; i < TRACK_KINDS; i++)
                buf_unref(&r.o.config[i]);
        avformat_close_input(&r.in);
        return r.status;
}
