/* The whole pipeline with real codecs: what goes in comes out once, on the grid, whatever the broadcaster does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavformat/avformat.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "tests/unit/coded.h"
#include "tests/unit/fragment.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/pipeline.h"

#define NEVER_SLATE_US (INT64_C(86400) * US_PER_S) /* an epoch so far ahead */
#define NEVER_SHED_US (INT64_C(86400) * US_PER_S)
#define CHUNKS_MAX 4096

struct out_chunk {
        struct chunk c;
        struct fragment f;
        size_t at; /* in its track's file */
};

struct track {
        struct track_info info;
        struct buf *init;
        uint8_t *file; /* init segment and chunks, as a player sees them */
        size_t file_len;
        int samples, width, height;
        uint32_t timescale;
        int64_t first, next; /* of the samples, by their durations */
};

struct rig {
        uv_loop_t loop;
        struct mailbox mb;
        struct pipeline *p;
        struct job o;
        struct track tracks[SESSION_TRACKS_MAX];
        struct out_chunk *chunks;
        int chunk_count, track_count, failed;
        bool drained;
        int64_t end_us;
        char failed_text[160];
};

static void append(struct track *t, const struct buf *b)
{
        t->file = mem_resize(t->file, t->file_len + b->len);
        memcpy(t->file + t->file_len, b->data, b->len);
        t->file_len += b->len;
}

static void on_track(void *arg, const struct track_info *info)
{
        struct rig *r = arg;
        assert_true(info->track < SESSION_TRACKS_MAX);
        struct track *t = &r->tracks[info->track];
        assert_null(t->init);
        t->info = *info;
        t->init = buf_ref(info->init);
        t->timescale = info->kind == TRACK_VIDEO ? VIDEO_TIMESCALE : AUDIO_TIMESCALE;
        t->first = -1;
        append(t, info->init);
        r->track_count++;
}

static void on_chunk(void *arg, const struct chunk *c)
{
        struct rig *r = arg;
        assert_true(r->chunk_count < CHUNKS_MAX);
        assert_non_null(r->tracks[c->track].init);
        assert_true(c->bytes->len <= BODY_MAX);
        struct out_chunk *o = &r->chunks[r->chunk_count++];
        o->f = fragment_read(c->bytes->data, c->bytes->len);
        o->c = *c;
        o->c.bytes = NULL;
        o->at = r->tracks[c->track].file_len;
        append(&r->tracks[c->track], c->bytes);
}

static void on_drained(void *arg, int64_t end_us)
{
        struct rig *r = arg;
        r->drained = true;
        r->end_us = end_us;
}

static void on_failed(void *arg, int err, const char *text)
{
        struct rig *r = arg;
        r->failed = err;
        snprintf(r->failed_text, sizeof(r->failed_text), "%s", text);
}

static struct ladder small_ladder(void)
{
        return (struct ladder){.video = {{"v96", 96, 0, 300000}, {"v64", 64, 0, 150000}},
                               .video_count = 2,
                               .audio = {{"a64", 64000}},
                               .audio_count = 1};
}

static struct rig *rig_new(void)
{
        struct rig *r = mem_alloc(sizeof(*r));
        r->chunks = mem_alloc(CHUNKS_MAX * sizeof(*r->chunks));
        uv_loop_init(&r->loop);
        mailbox_open(&r->mb, &r->loop);
        r->o = (struct job){.session = "test", .epoch_us = clock_wall_us() + NEVER_SLATE_US,
                                         .ladder = small_ladder(), .encoder_threads = 1, .decoder_threads = 1,
                                         .slate_after_us = US_PER_S, .shed_after_us = NEVER_SHED_US};
        return r;
}

static const struct job_events events = {on_track, on_chunk, on_drained, on_failed};

static void rig_open(struct rig *r, const struct coded *video, const struct coded *audio)
{
        if (video) {
                r->o.codecs[TRACK_VIDEO] = CODEC_H264;
                r->o.config[TRACK_VIDEO] = video->config;
        }
        if (audio) {
                r->o.codecs[TRACK_AUDIO] = CODEC_AAC;
                r->o.config[TRACK_AUDIO] = audio->config;
        }
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), 0);
}

static void push(struct rig *r, const struct frame *f)
{
        while (pipeline_room(r->p) == 0)
                uv_run(&r->loop, UV_RUN_NOWAIT);
        pipeline_push(r->p, f);
}

/* Both in the order of their decoding times. */
static void push_all(struct rig *r, const struct coded *video, const struct coded *audio)
{
        int v = 0, a = 0, vn = video ? video->count : 0, an = audio ? audio->count : 0;
        while (v < vn || a < an)
                if (a == an || (v < vn && video->frames[v].dts_us <= audio->frames[a].dts_us))
                        push(r, &video->frames[v++]);
                else
                        push(r, &audio->frames[a++]);
}

static void push_config(struct rig *r, uint8_t kind, const struct coded *c)
{
        struct frame f = {.track = kind, .codec = kind == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC, .flags = FRAME_CONFIG,
                          .dts_us = c->frames[0].dts_us, .bytes = c->config};
        push(r, &f);
}

static void drain(struct rig *r)
{
        pipeline_drain(r->p, false);
        while (!r->drained && !r->failed)
                uv_run(&r->loop, UV_RUN_ONCE);
}

static void rig_free(struct rig *r)
{
        pipeline_close(r->p, NULL);
        mailbox_close(&r->mb);
        uv_run(&r->loop, UV_RUN_DEFAULT);
        uv_loop_close(&r->loop);
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                buf_unref(&r->tracks[i].init);
                free(r->tracks[i].file);
        }
        free(r->chunks);
        free(r);
}

static struct track *track_named(struct rig *r, const char *name)
{
        for (int i = 0; i < SESSION_TRACKS_MAX; i++)
                if (r->tracks[i].init && !strcmp(r->tracks[i].info.name, name))
                        return &r->tracks[i];
        fail_msg("no track %s", name);
        return NULL;
}

/* The next chunk of t after *at; NULL at the end. */
static const struct out_chunk *next_chunk(const struct rig *r, const struct track *t, int *at)
{
        while (*at < r->chunk_count)
                if (r->chunks[(*at)++].c.track == t->info.track)
                        return &r->chunks[*at - 1];
        return NULL;
}

static void check_samples(struct track *t, const struct out_chunk *o, bool first_of_segment)
{
        int64_t at = o->f.tfdt;
        for (int i = 0; i < o->f.count; i++) {
                struct grid_place p = grid_place(at, t->timescale);
                assert_int_equal(p.segment, o->c.segment);
                assert_int_equal(p.chunk, o->c.chunk);
                if (t->info.kind == TRACK_VIDEO)
                        assert_int_equal(o->f.key[i], i == 0 && first_of_segment);
                assert_true(o->f.duration[i] > 0);
                at += o->f.duration[i];
        }
        /* Forecasts may err by the rounding of RTMP's times, not more. */
        if (t->first >= 0)
                assert_in_range(o->f.tfdt - t->next + 1000, 1000 - t->timescale / 500, 1000 + t->timescale / 500);
        if (t->first < 0)
                t->first = o->f.tfdt;
        t->next = at;
        t->samples += o->f.count;
}

/* Every promise about a whole track at once; returns how many samples it has. */
static int check_track(struct rig *r, const char *name)
{
        struct track *t = track_named(r, name);
        const struct out_chunk *o, *before = NULL;
        for (int at = 0; (o = next_chunk(r, t, &at)); before = o) {
                bool first = !before || before->c.segment != o->c.segment;
                assert_string_equal(o->f.boxes, first ? "styp prft moof mdat " : "moof mdat ");
                assert_int_equal(o->c.start_us, grid_us(o->f.tfdt, t->timescale));
                check_samples(t, o, first);
                if (!before)
                        continue;
                int64_t ends_us = before->c.start_us + before->c.duration_us;
                assert_true(o->c.start_us >= ends_us);
                assert_true(o->c.segment - before->c.segment <= 1);
                assert_int_equal(before->c.flags & PUT_LAST, first ? PUT_LAST : 0);
        }
        assert_non_null(before);
        assert_int_equal(before->c.flags & PUT_LAST, PUT_LAST);
        return t->samples;
}

/* Decodes a track's size out of its init segment: tkhd's last eight bytes. */
static void read_size(struct track *t)
{
        const uint8_t *tkhd = memmem(t->init->data, t->init->len, "tkhd", 4);
        uint32_t len = fragment_u32(tkhd - 4);
        t->width = (int)(fragment_u32(tkhd - 4 + len - 8) >> 16);
        t->height = (int)(fragment_u32(tkhd - 4 + len - 4) >> 16);
}

static int read_file(void *opaque, uint8_t *dst, int len)
{
        struct reader *in = opaque;
        size_t n = reader_left(in) < (size_t)len ? reader_left(in) : (size_t)len;
        if (n == 0)
                return AVERROR_EOF;
        memcpy(dst, reader_bytes(in, n), n);
        return (int)n;
}

/* Decodes the track as a player does and counts how often its tone rises through zero in the second from sample `from`.
 * */
static int tone_hz(const struct track *t, int from)
{
        struct reader in;
        AVFormatContext *f = avformat_alloc_context();
        AVFrame *frame = av_frame_alloc();
        AVPacket *pkt = av_packet_alloc();
        int at = 0, rises = 0;
        float before = 0;

        reader_init(&in, t->file, t->file_len);
        f->pb = avio_alloc_context(av_malloc(4096), 4096, 0, &in, read_file, NULL, NULL);
        assert_int_equal(avformat_open_input(&f, "track", av_find_input_format("mp4"), NULL), 0);
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_AAC));
        avcodec_parameters_to_context(c, f->streams[0]->codecpar);
        assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
        for (; av_read_frame(f, pkt) >= 0; av_packet_unref(pkt)) {
                avcodec_send_packet(c, pkt);
                while (avcodec_receive_frame(c, frame) == 0)
                        for (int i = 0; i < frame->nb_samples; i++, at++) {
                                float now = ((float *)(void *)frame->data[0])[i];
                                rises += at >= from && at < from + AUDIO_TIMESCALE && before < 0 && now >= 0;
                                before = now;
                        }
        }
        avcodec_free_context(&c);
        av_frame_free(&frame);
        av_packet_free(&pkt);
        av_freep(&f->pb->buffer);
        avio_context_free(&f->pb);
        avformat_close_input(&f);
        return rises;
}

static void one_rate(int num, int den, int b_frames)
{
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){num, den}, 3 * num / den + 1, b_frames, 300, 12345);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        assert_int_equal(r->failed, 0);
        assert_int_equal(check_track(r, "v96"), video.count);
        assert_int_equal(check_track(r, "v64"), video.count);
        assert_int_equal(track_named(r, "v96")->info.fps_milli, (uint32_t)((int64_t)num * 1000 / den));
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, video.count);
        assert_int_equal(s.encoded, 2 * video.count);
        assert_int_equal(s.late_dropped + s.corrupt + s.shed, 0);
        rig_free(r);
        coded_free(&video);
}

static void test_every_picture_once_at_24_fps(void **state) { (void)state; one_rate(24, 1, 2); }
static void test_every_picture_once_at_25_fps(void **state) { (void)state; one_rate(25, 1, 0); }
static void test_every_picture_once_at_29_97_fps(void **state) { (void)state; one_rate(30000, 1001, 2); }
static void test_every_picture_once_at_30_fps(void **state) { (void)state; one_rate(30, 1, 2); }
static void test_every_picture_once_at_50_fps(void **state) { (void)state; one_rate(50, 1, 2); }
static void test_every_picture_once_at_60_fps(void **state) { (void)state; one_rate(60, 1, 2); }

/* A steady rhythm lets the chunk be cut before its end has come; then a picture comes sooner than it should, once
 * within a segment and once at the end of one. It has its place at the begin of the next chunk. */
static void test_a_picture_sooner_than_foreseen_is_not_lost(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 75, 0, 25, 15000);
        video.frames[10].dts_us = 390000;
        video.frames[25].dts_us = 985000;
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        struct track *t = track_named(r, "v96");
        const struct out_chunk *o;
        int samples = 0, on_the_edge = 0;
        for (int at = 0; (o = next_chunk(r, t, &at)); samples += o->f.count) {
                assert_int_equal(grid_place(o->f.tfdt, VIDEO_TIMESCALE).segment, o->c.segment);
                assert_int_equal(o->f.key[0], o->c.chunk == 0);
                on_the_edge += o->f.tfdt == 400 * 90 || o->f.tfdt == 1000 * 90;
        }
        assert_int_equal(samples, 75);
        assert_int_equal(on_the_edge, 2);
        rig_free(r);
        coded_free(&video);
}

static void test_a_limited_rung_has_half_the_pictures(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){60, 1}, 180, 0, 60, 20000);
        struct rig *r = rig_new();
        r->o.ladder.video[1].fps_max = 30;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        assert_int_equal(check_track(r, "v96"), 180);
        assert_in_range(check_track(r, "v64"), 90, 92);
        assert_int_equal(track_named(r, "v64")->info.fps_milli, 30000);
        rig_free(r);
        coded_free(&video);
}

static void test_sound_and_picture_end_together(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 75, 0, 25, 40000);
        coded_audio(&audio, 48000, 2, 143, 40000);
        struct rig *r = rig_new();
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        check_track(r, "v96");
        int frames = check_track(r, "a64");
        struct track *a = track_named(r, "a64");
        assert_int_equal(a->first % AAC_FRAME_SAMPLES, 0);
        assert_int_equal(a->next - a->first, frames * AAC_FRAME_SAMPLES);
        assert_in_range(grid_us(a->next, AUDIO_TIMESCALE), 3040000 - 45000, 3040000 + 45000);
        assert_in_range(r->end_us, 3039000, 3100000);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

static void test_sound_alone_needs_no_picture(void **state)
{
        (void)state;
        struct coded audio;
        coded_audio(&audio, 44100, 1, 130, 0);
        struct rig *r = rig_new();
        rig_open(r, NULL, &audio);
        push_all(r, NULL, &audio);
        drain(r);
        assert_int_equal(r->track_count, 1);
        assert_in_range(check_track(r, "a64"), 138, 144);
        assert_in_range(tone_hz(track_named(r, "a64"), 48000), 439, 441);
        rig_free(r);
        coded_free(&audio);
}

static void test_init_segments_do_not_depend_on_the_source(void **state)
{
        (void)state;
        struct coded a, b;
        struct buf *init[2];
        coded_video(&a, 176, 96, (AVRational){25, 1}, 30, 0, 25, 0);
        coded_video(&b, 352, 192, (AVRational){60, 1}, 60, 2, 60, 7000);
        for (int i = 0; i < 2; i++) {
                struct rig *r = rig_new();
                r->o.encoder_threads = 1 + 3 * i;
                rig_open(r, i ? &b : &a, NULL);
                push_all(r, i ? &b : &a, NULL);
                drain(r);
                init[i] = buf_ref(track_named(r, "v64")->init);
                rig_free(r);
        }
        assert_int_equal(init[0]->len, init[1]->len);
        assert_memory_equal(init[0]->data, init[1]->data, init[0]->len);
        buf_unref(&init[0]);
        buf_unref(&init[1]);
        coded_free(&a);
        coded_free(&b);
}

static int level_of(int fps, int fps_max)
{
        struct coded video;
        coded_video(&video, 1280, 720, (AVRational){fps, 1}, fps / 4, 0, fps, 0);
        struct rig *r = rig_new();
        r->o.ladder = (struct ladder){.video = {{"v720", 720, fps_max, 2500000}}, .video_count = 1};
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        const struct buf *init = track_named(r, "v720")->init;
        const uint8_t *avcc = memmem(init->data, init->len, "avcC", 4); /* then version, profile, constraints, level */
        int level = avcc[7];
        rig_free(r);
        coded_free(&video);
        return level;
}

static void test_the_level_counts_the_frame_rate_that_the_rung_has(void **state)
{
        (void)state;
        assert_int_equal(level_of(120, 0), 42);
        assert_int_equal(level_of(60, 0), 32);
        assert_int_equal(level_of(25, 0), 32); /* as for 60: the broadcaster may come back with another camera */
        assert_int_equal(level_of(120, 30), 31);
}

static void test_a_source_that_changes_size_and_rate_goes_on_in_the_same_tracks(void **state)
{
        (void)state;
        struct coded wide, tall, audio, mono;
        coded_video(&wide, 176, 96, (AVRational){25, 1}, 40, 2, 25, 100000);
        coded_video(&tall, 128, 160, (AVRational){50, 1}, 80, 0, 50, 1700000);
        coded_audio(&audio, 48000, 2, 76, 100000);
        coded_audio(&mono, 22050, 1, 36, 1722000);
        struct rig *r = rig_new();
        rig_open(r, &wide, &audio);
        push_all(r, &wide, &audio);
        push_config(r, TRACK_VIDEO, &tall);
        push_config(r, TRACK_AUDIO, &mono);
        push_all(r, &tall, &mono);
        drain(r);
        assert_int_equal(r->failed, 0);
        assert_int_equal(r->track_count, 3);
        assert_int_equal(check_track(r, "v96"), 120);
        assert_int_equal(check_track(r, "v64"), 120);
        check_track(r, "a64");
        struct track *t = track_named(r, "v96");
        read_size(t);
        assert_int_equal(t->width, 176);
        assert_int_equal(t->height, 96);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.corrupt, 0);
        rig_free(r);
        coded_free(&wide);
        coded_free(&tall);
        coded_free(&audio);
        coded_free(&mono);
}

static void test_garbage_is_counted_and_survived(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 100, 0, 25, 0);
        coded_audio(&audio, 48000, 2, 188, 0);
        /* A second's worth of pictures and sound is noise of random length. */
        srand(7);
        for (int i = 30; i < 50; i++) {
                struct frame *f = &video.frames[i];
                buf_unref(&f->bytes);
                f->bytes = buf_new((size_t)(rand() % 2000 + 1));
                for (size_t n = 0; n < f->bytes->len; n++)
                        f->bytes->data[n] = (uint8_t)rand();
        }
        for (int i = 60; i < 80; i++)
                memset(audio.frames[i].bytes->data, 0xff, audio.frames[i].bytes->len);
        struct rig *r = rig_new();
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        struct buf *bad = buf_copy("\1\144\0\37\377\341\377\377zzz", 11);
        struct frame config = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .bytes = bad};
        push(r, &config);
        drain(r);
        assert_int_equal(r->failed, 0);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_true(s.corrupt > 0);
        /* The hole is filled: no segment is missing, and the end is where it would have been. */
        assert_true(check_track(r, "v96") >= 80);
        check_track(r, "a64");
        assert_in_range(r->end_us, 3950000, 4100000);
        buf_unref(&bad);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

/* Some cameras send no usable record, or begin in the middle of a group of pictures. */
static void test_frames_that_are_of_no_use_are_counted(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 50, 0, 25, 0);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        for (int i = 5; i < 25; i++)
                push(r, &video.frames[i]);
        struct buf *empty = buf_copy("", 0);
        struct frame config = {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .bytes = empty};
        push(r, &config);
        for (int i = 25; i < 50; i++)
                push(r, &video.frames[i]);
        drain(r);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 0);
        assert_int_equal(s.skipped, 20);
        assert_int_equal(s.corrupt, 1 + 25); /* the record, and each that would need one */
        buf_unref(&empty);
        rig_free(r);
        coded_free(&video);
}

static void test_a_session_that_goes_on_continues_with_the_very_next_frame(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 100, 0, 50, 0);
        coded_audio(&audio, 48000, 2, 188, 0);
        struct rig *r = rig_new();
        r->o.resume_count = 3;
        r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = 2400000};
        r->o.resume[1] = (struct job_resume){.track = "v64", .end_us = 2600000};
        r->o.resume[2] = (struct job_resume){.track = "a64", .end_us = grid_us(113 * AAC_FRAME_SAMPLES, AUDIO_TIMESCALE)};
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        assert_int_equal(check_track(r, "v96"), 40);
        assert_int_equal(check_track(r, "v64"), 35);
        check_track(r, "a64");
        assert_int_equal(track_named(r, "v96")->first, 2400000 / 100 * 9);
        assert_int_equal(track_named(r, "v64")->first, 2600000 / 100 * 9);
        assert_int_equal(track_named(r, "a64")->first, 113 * AAC_FRAME_SAMPLES);
        assert_in_range(tone_hz(track_named(r, "a64"), 2000), 439, 441);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

static const struct out_chunk *last_chunk(struct rig *r, const char *name)
{
        const struct out_chunk *o, *last = NULL;
        for (int at = 0; (o = next_chunk(r, track_named(r, name), &at));)
                last = o;
        assert_non_null(last);
        return last;
}

static int64_t end_of(struct rig *r, const char *name)
{
        const struct out_chunk *o = last_chunk(r, name);
        return o->c.start_us + o->c.duration_us;
}

/* Both get the same; the second one ends in the middle of a segment and of a frame of sound. */
static void test_one_that_leaves_makes_nothing_that_the_next_one_would_make_otherwise(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 60, 0, 50, 0);
        coded_audio(&audio, 44100, 2, 100, 0);
        struct rig *whole = rig_new(), *left = rig_new();
        for (int i = 0; i < 2; i++) {
                struct rig *r = i ? left : whole;
                rig_open(r, &video, &audio);
                push_all(r, &video, &audio);
                pipeline_drain(r->p, r == left);
                while (!r->drained)
                        uv_run(&r->loop, UV_RUN_ONCE);
        }
        assert_true(end_of(left, "a64") < end_of(whole, "a64"));
        assert_int_equal(last_chunk(left, "v96")->c.start_us, last_chunk(whole, "v96")->c.start_us);
        assert_int_equal(last_chunk(left, "v96")->f.count, last_chunk(whole, "v96")->f.count);
        assert_int_equal(last_chunk(left, "v96")->c.flags & PUT_LAST, 0);
        assert_int_equal(last_chunk(left, "a64")->c.flags & PUT_LAST, 0);
        rig_free(whole);
        rig_free(left);
        coded_free(&video);
        coded_free(&audio);
}

/* What an origin answers to a CLAIM after this chunk (originD/log/index.h): where it ends by its boxes. How long its last sample
 * lasts was a guess if the writer said another end, sooner; the next one may then come that much sooner, or half a sample. What
 * is before the place on the grid may be complete. */
static struct job_resume answer_after(const struct track *t, const struct out_chunk *o)
{
        struct job_resume r = {.end_us = 0};
        int64_t ends = o->f.tfdt, slack = 1;
        for (int i = 0; i < o->f.count; i++)
                ends += o->f.duration[i];
        int64_t said = grid_ticks(o->c.start_us + o->c.duration_us + 1, t->timescale);
        if (said + 1 < ends) {
                int64_t half = (ends - o->f.tfdt) / o->f.count / 2;
                slack = ends - said > half ? ends - said : half;
        }
        struct grid_place next = grid_place(ends, t->timescale);
        memcpy(r.track, t->info.name, sizeof(r.track));
        r.end_us = grid_us(ends - slack, t->timescale);
        r.from_us = next.segment * SEGMENT_US + next.chunk * CHUNK_US;
        if (o->c.flags & PUT_LAST && r.from_us < (o->c.segment + 1) * SEGMENT_US)
                r.from_us = (o->c.segment + 1) * SEGMENT_US;
        return r;
}

#define VFR_PICTURES 100

/* Whole milliseconds, as RTMP has them; two of the gaps meet a segment's end within a few of them. */
static void coded_vfr(struct coded *video)
{
        static const int gaps_ms[] = {33, 8, 50, 12, 90, 20, 5, 60, 40, 11};
        int64_t at_us = 0;
        coded_video(video, 176, 96, (AVRational){30, 1}, VFR_PICTURES, 0, VFR_PICTURES, 0);
        assert_int_equal(video->count, VFR_PICTURES);
        for (int i = 0; i < VFR_PICTURES; i++) {
                video->frames[i].dts_us = at_us;
                at_us += gaps_ms[i % 10] * US_PER_MS;
                if (at_us > 995 * US_PER_MS && at_us < 1010 * US_PER_MS)
                        at_us = 996 * US_PER_MS;
        }
}

/* The pictures of a rung from the first chunk on, up to and with chunk last (NULL: all). */
static int times_of(struct rig *r, const char *name, const struct out_chunk *last, int64_t *times, int n)
{
        const struct track *t = track_named(r, name);
        const struct out_chunk *o;
        for (int at = 0; (o = next_chunk(r, t, &at));) {
                int64_t ticks = o->f.tfdt;
                for (int i = 0; i < o->f.count; ticks += o->f.duration[i++])
                        times[n++] = ticks;
                if (o == last)
                        break;
        }
        return n;
}

/* A second writer goes on after this chunk of the first one, which made no more that was stored. */
static void goes_on_after(struct rig *first, const struct out_chunk *o, const struct coded *video)
{
        int64_t times[2 * VFR_PICTURES];
        const struct track *t = track_named(first, "v96");
        struct rig *second = rig_new();
        second->o.ladder.video_count = 1;
        second->o.resume_count = 1;
        second->o.resume[0] = answer_after(t, o);
        rig_open(second, video, NULL);
        push_all(second, video, NULL);
        drain(second);
        int n = times_of(first, "v96", o, times, 0);
        n = times_of(second, "v96", NULL, times, n);
        assert_int_equal(n, video->count);
        for (int i = 0; i < n; i++) {
                int64_t due = grid_ticks(video->frames[i].dts_us, VIDEO_TIMESCALE);
                assert_in_range(times[i], due, due + VIDEO_TIMESCALE / 20); /* later: at the end of what was complete */
                assert_true(i == 0 || times[i] > times[i - 1]);
        }
        for (int i = 0; i < second->chunk_count; i++)
                assert_true(second->chunks[i].c.segment >= o->c.segment + !!(o->c.flags & PUT_LAST));
        rig_free(second);
}

static void test_every_picture_once_of_a_changing_rate_after_whichever_chunk_a_writer_is_lost(void **state)
{
        (void)state;
        struct coded video;
        const struct out_chunk *o;
        struct rig *first = rig_new();
        coded_vfr(&video);
        first->o.ladder.video_count = 1;
        rig_open(first, &video, NULL);
        push_all(first, &video, NULL);
        drain(first);
        const struct track *t = track_named(first, "v96");
        int64_t all_us = last_chunk(first, "v96")->c.start_us;
        for (int at = 0; (o = next_chunk(first, t, &at)) && o->c.start_us < all_us;)
                goes_on_after(first, o, &video);
        rig_free(first);
        coded_free(&video);
}

static void test_every_picture_once_of_a_changing_rate_whenever_a_writer_leaves(void **state)
{
        (void)state;
        struct coded video;
        coded_vfr(&video);
        for (int n = 20; n < 60; n++) {
                struct rig *first = rig_new();
                first->o.ladder.video_count = 1;
                rig_open(first, &video, NULL);
                for (int i = 0; i < n; i++)
                        push(first, &video.frames[i]);
                pipeline_drain(first->p, true);
                while (!first->drained)
                        uv_run(&first->loop, UV_RUN_ONCE);
                goes_on_after(first, last_chunk(first, "v96"), &video);
                rig_free(first);
        }
        coded_free(&video);
}

/* The writer before cut the segment because the rhythm said that no picture comes in it any more. Then one does. */
static void test_a_picture_sooner_than_the_writer_before_foresaw_begins_the_next_segment(void **state)
{
        (void)state;
        struct coded video;
        struct rig *first = rig_new();
        coded_video(&video, 176, 96, (AVRational){30, 1}, 60, 0, 60, 10000);
        first->o.ladder.video_count = 1;
        rig_open(first, &video, NULL);
        for (int i = 0; i < 30; i++)
                push(first, &video.frames[i]); /* the last one is due at 976 ms, the next one at 1010 */
        while (first->chunk_count < 5)
                uv_run(&first->loop, UV_RUN_ONCE);
        assert_int_equal(first->chunks[4].c.flags & PUT_LAST, PUT_LAST);
        video.frames[30].dts_us = 994000;
        goes_on_after(first, &first->chunks[4], &video);
        rig_free(first);
        coded_free(&video);
}

static void test_what_is_sent_a_second_time_is_there_once(void **state)
{
        (void)state;
        for (int b_frames = 0; b_frames <= 2; b_frames += 2) {
                struct coded video;
                coded_video(&video, 176, 96, (AVRational){25, 1}, 100, b_frames, 100, 0);
                struct rig *r = rig_new();
                rig_open(r, &video, NULL);
                for (int i = 0; i < 60; i++)
                        push(r, &video.frames[i]);
                video.frames[0].flags |= FRAME_BREAK;
                push_all(r, &video, NULL); /* by a proxy that opened the stream again */
                drain(r);
                assert_int_equal(check_track(r, "v96"), 100);
                assert_int_equal(check_track(r, "v64"), 100);
                rig_free(r);
                coded_free(&video);
        }
}

static struct rig *in_lockstep(const struct coded *video, const struct coded *audio, int64_t epoch_us, int64_t resume_us)
{
        struct rig *r = rig_new();
        r->o.epoch_us = epoch_us;
        r->o.lockstep_segments = 2;
        if (resume_us) {
                r->o.resume_count = 3;
                r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = resume_us};
                r->o.resume[1] = (struct job_resume){.track = "v64", .end_us = resume_us};
                r->o.resume[2] = (struct job_resume){.track = "a64", .end_us = resume_us};
        }
        rig_open(r, video, audio);
        push_all(r, video, audio);
        drain(r);
        return r;
}

static struct reader bytes_from(struct rig *r, const char *track, uint32_t segment)
{
        struct track *t = track_named(r, track);
        struct reader out;
        const struct out_chunk *o;
        for (int at = 0; (o = next_chunk(r, t, &at)) && o->c.segment < segment;)
                ;
        assert_non_null(o);
        reader_init(&out, t->file + o->at, t->file_len - o->at);
        return out;
}

static bool same_from(struct rig *a, struct rig *b, const char *track, uint32_t segment)
{
        struct reader x = bytes_from(a, track, segment), y = bytes_from(b, track, segment);
        size_t len = reader_left(&x);
        return reader_left(&y) == len && memcmp(reader_bytes(&x, len), reader_bytes(&y, len), len) == 0;
}

static void test_two_transcoders_in_lockstep_make_the_same_bytes_whenever_they_began(void **state)
{
        (void)state;
        struct coded video, audio;
        int64_t epoch_us = clock_wall_us() + NEVER_SLATE_US;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 150, 2, 50, 0);
        coded_audio(&audio, 48000, 2, 281, 0);
        struct rig *first = in_lockstep(&video, &audio, epoch_us, 0), *again = in_lockstep(&video, &audio, epoch_us, 0);
        struct rig *later = in_lockstep(&video, &audio, epoch_us, 2400000);
        for (int i = 0; i < 3; i++) {
                const char *name = i == 2 ? "a64" : i ? "v64" : "v96";
                assert_true(same_from(first, again, name, 0));
                assert_true(same_from(first, later, name, 4));
        }
        assert_false(same_from(first, later, "v96", 3)); /* not before: its rate control began in the middle */
        assert_false(same_from(first, later, "a64", 3));
        assert_int_equal(check_track(first, "v96"), 150);
        struct rig *alone = rig_new();
        rig_open(alone, &video, &audio);
        push_all(alone, &video, &audio);
        drain(alone);
        assert_int_equal(check_track(first, "a64"), check_track(alone, "a64")); /* no frame is lost on the way */
        rig_free(alone);
        assert_in_range(tone_hz(track_named(first, "a64"), AUDIO_TIMESCALE * 7 / 2), 439, 441); /* over a new encoder's begin */
        rig_free(first);
        rig_free(again);
        rig_free(later);
        coded_free(&video);
        coded_free(&audio);
}

static void test_a_session_that_goes_on_keeps_its_rungs_though_the_source_is_smaller(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 88, 48, (AVRational){25, 1}, 50, 0, 25, 7000000);
        struct rig *r = rig_new();
        r->o.resume_count = 1;
        r->o.resume[0] = (struct job_resume){.track = "v96", .end_us = 7000000};
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        assert_int_equal(r->track_count, 1);
        assert_int_equal(check_track(r, "v96"), 50);
        read_size(track_named(r, "v96"));
        assert_int_equal(track_named(r, "v96")->height, 96);
        rig_free(r);
        coded_free(&video);
}

/* The writer before died when only the small rung had a chunk stored. */
static void test_tracks_that_had_no_chunk_yet_are_not_lost_for_ever(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 75, 0, 25, 0);
        coded_audio(&audio, 48000, 2, 141, 0);
        struct rig *r = rig_new();
        r->o.resume_count = 1;
        r->o.resume[0] = (struct job_resume){.track = "v64", .end_us = 200000};
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        drain(r);
        assert_int_equal(check_track(r, "v64"), 70);
        assert_int_equal(check_track(r, "v96"), 50);
        check_track(r, "a64");
        assert_int_equal(track_named(r, "v96")->info.start_us, 1000000);
        assert_int_equal(track_named(r, "a64")->info.start_us, 1000000);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

static void test_a_late_track_begins_at_a_whole_second(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 125, 0, 25, 0);
        coded_audio(&audio, 48000, 2, 94, 2300000);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        struct coded head = {.count = 60};
        memcpy(head.frames, video.frames, 60 * sizeof(struct frame));
        push_all(r, &head, NULL);
        push_config(r, TRACK_AUDIO, &audio);
        struct coded tail = {.count = 65};
        memcpy(tail.frames, video.frames + 60, 65 * sizeof(struct frame));
        push_all(r, &tail, &audio);
        drain(r);
        check_track(r, "v96");
        check_track(r, "a64");
        struct track *a = track_named(r, "a64");
        assert_int_equal(a->info.start_us, 3000000);
        assert_int_equal(a->first, grid_aac_frame_from(3000000) * AAC_FRAME_SAMPLES);
        assert_int_equal(track_named(r, "v96")->info.start_us, 0);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

static bool has_slate_until(const struct rig *r, const char *name, int64_t us)
{
        for (int i = 0; i < r->chunk_count; i++) {
                const struct track *t = &r->tracks[r->chunks[i].c.track];
                const struct chunk *c = &r->chunks[i].c;
                if (!strcmp(t->info.name, name) && c->flags & PUT_SLATE && c->start_us + c->duration_us >= us)
                        return true;
        }
        return false;
}

/* The broadcaster falls silent after 1 s; the wall clock is 3 s in by then, so 1.8 s of slate are due at once. When it
 * returns, at its own time, what lies between is slate and nothing is missing. */
static void test_slate_fills_the_time_without_a_broadcaster(void **state)
{
        (void)state;
        struct coded video, audio, again, sound;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 25, 0, 25, 0);
        coded_audio(&audio, 48000, 2, 47, 0);
        coded_video(&again, 176, 96, (AVRational){25, 1}, 25, 0, 25, 60 * US_PER_S);
        coded_audio(&sound, 48000, 2, 47, 60 * US_PER_S);
        struct rig *r = rig_new();
        r->o.slate_after_us = 200000;
        r->o.epoch_us = clock_wall_us() - 3 * US_PER_S;
        rig_open(r, &video, &audio);
        push_all(r, &video, &audio);
        while (!has_slate_until(r, "v96", 2500000) || !has_slate_until(r, "v64", 2500000) ||
               !has_slate_until(r, "a64", 2500000))
                uv_run(&r->loop, UV_RUN_ONCE);
        again.frames[0].flags |= FRAME_BREAK;
        sound.frames[0].flags |= FRAME_BREAK;
        push_all(r, &again, &sound);
        /* Old frames come too late for their places. */
        push(r, &video.frames[0]);
        push(r, &audio.frames[3]);
        drain(r);
        assert_true(check_track(r, "v96") >= 61 * 25 - 1);
        check_track(r, "v64");
        check_track(r, "a64");
        assert_in_range(r->end_us, 60950000, 61100000);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_true(s.slate_us > 58 * US_PER_S && s.slate_us < 60 * US_PER_S);
        assert_true(s.late_dropped >= 2);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
        coded_free(&again);
        coded_free(&sound);
}

static bool has_chunk(struct rig *r, uint32_t segment, uint8_t chunk)
{
        for (int i = 0; i < r->chunk_count; i++)
                if (r->chunks[i].c.segment == segment && r->chunks[i].c.chunk == chunk)
                        return true;
        return false;
}

/* All chunks of [from, until) are there, none of them slate, and each begins on the grid. */
static void check_chunks(struct rig *r, int from, int until)
{
        int at = 0, n = from;
        for (const struct out_chunk *o; n < until && (o = next_chunk(r, track_named(r, "v96"), &at));) {
                int64_t number = o->c.segment * CHUNKS_PER_SEGMENT + o->c.chunk;
                if (number < from)
                        continue;
                assert_int_equal(number, n++);
                assert_int_equal(o->c.start_us, number * CHUNK_US);
                assert_int_equal(o->c.flags & PUT_SLATE, 0);
        }
        assert_int_equal(n, until);
}

static void test_one_picture_a_second_makes_every_chunk(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){1, 1}, 6, 0, 6, 0);
        struct rig *r = rig_new();
        r->o.ladder.video_count = 1;
        r->o.ladder.video[0].fps_max = 15;
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        drain(r);
        check_chunks(r, 0, 25);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.encoded, 26);
        assert_int_equal(s.slate_us, 0);
        rig_free(r);
        coded_free(&video);
}

/* Slate would come a minute later: it is the clock that says that the chunks are due. */
static void test_a_slow_sources_chunks_do_not_wait_for_its_next_picture(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 176, 96, (AVRational){2, 1}, 5, 0, 5, 0);
        struct rig *r = rig_new();
        r->o.ladder.video_count = 1;
        r->o.slate_after_us = 60 * US_PER_S;
        r->o.epoch_us = clock_wall_us() - US_PER_S;
        rig_open(r, &video, NULL);
        for (int i = 0; i < 3; i++)
                push(r, &video.frames[i]);
        while (!has_chunk(r, 1, 2))
                uv_run(&r->loop, UV_RUN_ONCE);
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 3);
        push(r, &video.frames[3]); /* of 1.5 s: late, for the one before stands at 1.6 s by now */
        push(r, &video.frames[4]);
        drain(r);
        pipeline_stats(r->p, &s);
        assert_int_equal(s.decoded, 5);
        assert_int_equal(s.late_dropped, 0);
        assert_int_equal(s.slate_us, 0);
        check_chunks(r, 0, 11);
        assert_in_range(check_track(r, "v96"), 13, 14); /* eleven chunks, 0.5 s and 1.5 s are within one each */
        rig_free(r);
        coded_free(&video);
}

static void test_no_event_after_close(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 60, 2, 25, 0);
        coded_audio(&audio, 48000, 2, 100, 0);
        for (int n = 0; n < 60; n += 7) {
                struct rig *r = rig_new();
                rig_open(r, &video, &audio);
                struct coded part = {.count = n};
                memcpy(part.frames, video.frames, (size_t)n * sizeof(struct frame));
                push_all(r, &part, &audio);
                if (n % 2)
                        pipeline_drain(r->p, false);
                pipeline_close(r->p, NULL);
                r->p = NULL;
                int chunks = r->chunk_count, tracks = r->track_count;
                rig_free(r); /* runs the loop to its end; an event would touch the freed rig or count below */
                assert_true(chunks >= 0 && tracks >= 0);
        }
        coded_free(&video);
        coded_free(&audio);
}

/* ---- closing: what threads still do does not stop the loop ---------------------------------------------------------- */

#define CLOSED_AT_ONCE 8
#define GUARD_US (20 * US_PER_S)

/* Holds the pipelines' own threads: the bytes of a frame that they let go are this, and that waits for the test. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int held;
        bool open, guard_fired;
} hold = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void wait_in_hold(void *owner)
{
        (void)owner;
        pthread_mutex_lock(&hold.lock);
        hold.held++;
        while (!hold.open)
                pthread_cond_wait(&hold.changed, &hold.lock);
        pthread_mutex_unlock(&hold.lock);
}

static void open_hold(bool by_guard)
{
        pthread_mutex_lock(&hold.lock);
        hold.guard_fired = by_guard && !hold.open;
        hold.open = true;
        pthread_cond_broadcast(&hold.changed);
        pthread_mutex_unlock(&hold.lock);
}

/* A loop that waits for a thread that is held would never end: that is a failure, not a test that hangs. */
static void *guard(void *arg)
{
        int64_t until_us = clock_mono_us() + GUARD_US;
        (void)arg;
        for (bool open = false; !open && clock_mono_us() < until_us;) {
                struct timespec ts = {.tv_nsec = 10000000};
                nanosleep(&ts, NULL);
                pthread_mutex_lock(&hold.lock);
                open = hold.open;
                pthread_mutex_unlock(&hold.lock);
        }
        open_hold(true);
        return NULL;
}

static int held_now(void)
{
        pthread_mutex_lock(&hold.lock);
        int n = hold.held;
        pthread_mutex_unlock(&hold.lock);
        return n;
}

static void count_up(void *arg)
{
        ++*(int *)arg;
}

static void on_tick(uv_timer_t *timer)
{
        ++*(int *)timer->data;
}

/* The pipelines of one loop, as in the daemon. */
static struct pipeline *open_on(struct rig *loop, struct rig *heard_by, const struct coded *audio)
{
        struct pipeline *p;
        loop->o.codecs[TRACK_AUDIO] = CODEC_AAC;
        loop->o.config[TRACK_AUDIO] = audio->config;
        assert_int_equal(pipeline_open(&p, &loop->mb, &loop->o, &events, heard_by), 0);
        return p;
}

static void test_the_loop_goes_on_while_eight_pipelines_close(void **state)
{
        (void)state;
        static uint8_t noise[16];
        struct coded audio;
        struct rig *r = rig_new(), *old[CLOSED_AT_ONCE];
        struct pipeline *p[CLOSED_AT_ONCE];
        struct reaper reaper;
        uv_timer_t timer;
        pthread_t guard_thread;
        int ticks = 0, reaped = 0;

        coded_audio(&audio, 48000, 2, 50, 0);
        assert_int_equal(reaper_open(&reaper, CLOSED_AT_ONCE, &r->mb, count_up, &reaped), 0);
        assert_int_equal(pthread_create(&guard_thread, NULL, guard, NULL), 0);
        for (int i = 0; i < CLOSED_AT_ONCE; i++) {
                struct frame f = {.track = TRACK_AUDIO, .codec = CODEC_AAC,
                                  .bytes = buf_wrap(noise, sizeof(noise), wait_in_hold, NULL)};
                old[i] = rig_new();
                p[i] = open_on(r, old[i], &audio);
                for (int k = 0; k < audio.count; k++)
                        pipeline_push(p[i], &audio.frames[k]);
                pipeline_push(p[i], &f);
                buf_unref(&f.bytes);
        }
        while (held_now() < CLOSED_AT_ONCE)
                uv_run(&r->loop, UV_RUN_NOWAIT);
        uv_timer_init(&r->loop, &timer);
        timer.data = &ticks;
        uv_timer_start(&timer, on_tick, 1, 1);
        int heard = 0;
        for (int i = 0; i < CLOSED_AT_ONCE; i++) {
                pipeline_close(p[i], &reaper);
                heard += old[i]->chunk_count;
        }

        /* None of them can end, and the loop turns. So does the session that one of them had, in a new pipeline. */
        r->p = open_on(r, r, &audio);
        push_all(r, NULL, &audio);
        drain(r);
        while (ticks < 50)
                uv_run(&r->loop, UV_RUN_ONCE);
        assert_false(hold.guard_fired);
        assert_int_equal(reaper.closing, CLOSED_AT_ONCE);
        assert_int_equal(reaped, 0);
        assert_int_equal(r->failed, 0);
        check_track(r, "a64");

        open_hold(false);
        while (reaped < CLOSED_AT_ONCE)
                uv_run(&r->loop, UV_RUN_ONCE);
        assert_int_equal(reaper.closing, 0);
        for (int i = 0; i < CLOSED_AT_ONCE; i++) { /* what they still made is nobody's */
                heard -= old[i]->chunk_count;
                rig_free(old[i]);
        }
        assert_int_equal(heard, 0);
        pthread_join(guard_thread, NULL);
        reaper_close(&reaper);
        uv_close((uv_handle_t *)&timer, NULL);
        rig_free(r);
        coded_free(&audio);
}

/* At the end of the process: what is closing is waited for, and nothing of it is left. */
static void test_the_reaper_ends_with_all_that_it_has_taken(void **state)
{
        (void)state;
        struct coded video;
        struct rig *r = rig_new();
        struct reaper reaper;
        int reaped = 0;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 30, 2, 25, 0);
        assert_int_equal(reaper_open(&reaper, CLOSED_AT_ONCE, &r->mb, count_up, &reaped), 0);
        for (int i = 0; i < 3; i++) {
                rig_open(r, &video, NULL);
                push_all(r, &video, NULL);
                pipeline_close(r->p, &reaper);
        }
        r->p = NULL;
        reaper_close(&reaper);
        rig_free(r); /* the mailbox tells of what was reaped before it closes */
        assert_int_equal(reaped, 3);
        assert_int_equal(reaper.closing, 0);
        coded_free(&video);
}

static void test_codecs_that_are_not_known_are_refused(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), ERR_UNSUPPORTED);
        r->o.codecs[TRACK_VIDEO] = 77;
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), ERR_UNSUPPORTED);
        r->o.codecs[TRACK_VIDEO] = CODEC_AAC;
        assert_int_equal(pipeline_open(&r->p, &r->mb, &r->o, &events, r), ERR_UNSUPPORTED);
        assert_null(r->p);
        rig_free(r);
}

static void test_video_without_a_size_fails_the_session(void **state)
{
        (void)state;
        struct coded video;
        coded_video(&video, 8, 8, (AVRational){25, 1}, 5, 0, 25, 0);
        struct rig *r = rig_new();
        rig_open(r, &video, NULL);
        push_all(r, &video, NULL);
        while (!r->failed)
                uv_run(&r->loop, UV_RUN_ONCE);
        assert_int_equal(r->failed, ERR_UNSUPPORTED);
        assert_non_null(strstr(r->failed_text, "8x8"));
        rig_free(r);
        coded_free(&video);
}

static void test_times_that_cannot_be_are_dropped(void **state)
{
        (void)state;
        struct coded video, audio;
        coded_video(&video, 176, 96, (AVRational){25, 1}, 25, 0, 5, 0);
        coded_audio(&audio, 48000, 2, 47, 0);
        video.frames[5].dts_us = INT64_MAX;
        video.frames[10].dts_us = INT64_MIN;
        video.frames[15].cts_us = INT32_MIN;
        audio.frames[7].dts_us = INT64_MAX - 5;
        audio.frames[9].dts_us = -1;
        struct rig *r = rig_new();
        rig_open(r, &video, &audio);
        for (int i = 0; i < 25; i++)
                push(r, &video.frames[i]);
        for (int i = 0; i < audio.count; i++)
                push(r, &audio.frames[i]);
        drain(r);
        assert_int_equal(r->failed, 0);
        check_track(r, "a64");
        struct pipeline_stats s;
        pipeline_stats(r->p, &s);
        assert_true(s.late_dropped + s.corrupt >= 4);
        rig_free(r);
        coded_free(&video);
        coded_free(&audio);
}

int main(void)
{
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET); /* until the pipeline takes libav's log over */
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_picture_once_at_24_fps),
                cmocka_unit_test(test_every_picture_once_at_25_fps),
                cmocka_unit_test(test_every_picture_once_at_29_97_fps),
                cmocka_unit_test(test_every_picture_once_at_30_fps),
                cmocka_unit_test(test_every_picture_once_at_50_fps),
                cmocka_unit_test(test_every_picture_once_at_60_fps),
                cmocka_unit_test(test_a_picture_sooner_than_foreseen_is_not_lost),
                cmocka_unit_test(test_a_limited_rung_has_half_the_pictures),
                cmocka_unit_test(test_sound_and_picture_end_together),
                cmocka_unit_test(test_sound_alone_needs_no_picture),
                cmocka_unit_test(test_init_segments_do_not_depend_on_the_source),
                cmocka_unit_test(test_the_level_counts_the_frame_rate_that_the_rung_has),
                cmocka_unit_test(test_a_source_that_changes_size_and_rate_goes_on_in_the_same_tracks),
                cmocka_unit_test(test_garbage_is_counted_and_survived),
                cmocka_unit_test(test_frames_that_are_of_no_use_are_counted),
                cmocka_unit_test(test_a_session_that_goes_on_continues_with_the_very_next_frame),
                cmocka_unit_test(test_one_that_leaves_makes_nothing_that_the_next_one_would_make_otherwise),
                cmocka_unit_test(test_every_picture_once_of_a_changing_rate_after_whichever_chunk_a_writer_is_lost),
                cmocka_unit_test(test_every_picture_once_of_a_changing_rate_whenever_a_writer_leaves),
                cmocka_unit_test(test_a_picture_sooner_than_the_writer_before_foresaw_begins_the_next_segment),
                cmocka_unit_test(test_what_is_sent_a_second_time_is_there_once),
                cmocka_unit_test(test_two_transcoders_in_lockstep_make_the_same_bytes_whenever_they_began),
                cmocka_unit_test(test_a_session_that_goes_on_keeps_its_rungs_though_the_source_is_smaller),
                cmocka_unit_test(test_tracks_that_had_no_chunk_yet_are_not_lost_for_ever),
                cmocka_unit_test(test_a_late_track_begins_at_a_whole_second),
                cmocka_unit_test(test_slate_fills_the_time_without_a_broadcaster),
                cmocka_unit_test(test_one_picture_a_second_makes_every_chunk),
                cmocka_unit_test(test_a_slow_sources_chunks_do_not_wait_for_its_next_picture),
                cmocka_unit_test(test_no_event_after_close),
                cmocka_unit_test(test_the_loop_goes_on_while_eight_pipelines_close),
                cmocka_unit_test(test_the_reaper_ends_with_all_that_it_has_taken),
                cmocka_unit_test(test_codecs_that_are_not_known_are_refused),
                cmocka_unit_test(test_video_without_a_size_fails_the_session),
                cmocka_unit_test(test_times_that_cannot_be_are_dropped),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
