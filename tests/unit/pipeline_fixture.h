/* pipeline_fixture.h - a pipeline with real codecs on a loop of its own, and what comes out of it, as a player sees it. Include
 * after cmocka.h.
 *
 *   rig_new → rig_open → push…, drain → check_track → rig_free */
#ifndef TESTS_PIPELINE_FIXTURE_H
#define TESTS_PIPELINE_FIXTURE_H

#include <libavformat/avformat.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/daemon/log.h"
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
        size_t at, len; /* in its track's file */
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
        int chunk_count, track_count, readies, failed;
        bool drained;
        int64_t end_us;
        char failed_text[160];
};

static inline size_t room_for(size_t len_bytes)
{
        size_t room = 4096;
        while (room < len_bytes)
                room *= 2;
        return room;
}

/* Seldom resized: AddressSanitizer copies all that is there each time. */
static inline void *grown(void *p, size_t old_bytes, size_t new_bytes)
{
        return p && new_bytes <= room_for(old_bytes) ? p : mem_resize(p, room_for(new_bytes));
}

static inline void append(struct track *t, const struct buf *b)
{
        t->file = grown(t->file, t->file_len, t->file_len + b->len);
        memcpy(t->file + t->file_len, b->data, b->len);
        t->file_len += b->len;
}

static inline void on_track(void *arg, const struct track_info *info)
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

static inline void on_chunk(void *arg, const struct chunk *c)
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
        o->len = c->bytes->len;
        append(&r->tracks[c->track], c->bytes);
}

static inline void on_ready(void *arg)
{
        struct rig *r = arg;
        r->readies++;
}

static inline void on_drained(void *arg, int64_t end_us)
{
        struct rig *r = arg;
        r->drained = true;
        r->end_us = end_us;
}

static inline void on_failed(void *arg, int err, const char *text)
{
        struct rig *r = arg;
        r->failed = err;
        snprintf(r->failed_text, sizeof(r->failed_text), "%s", text);
}

static inline struct ladder small_ladder(void)
{
        return (struct ladder){.video = {{"v96", 96, 0, 300000}, {"v64", 64, 0, 150000}},
                               .video_count = 2,
                               .audio = {{"a64", 64000}},
                               .audio_count = 1};
}

static inline struct rig *rig_new(void)
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

static const struct job_events events = {on_track, on_ready, on_chunk, on_drained, on_failed};

static inline void rig_open(struct rig *r, const struct coded *video, const struct coded *audio)
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

static inline void push(struct rig *r, const struct frame *f)
{
        while (pipeline_room(r->p) == 0)
                uv_run(&r->loop, UV_RUN_NOWAIT);
        pipeline_push(r->p, f);
}

/* Both in the order of their decoding times. */
static inline void push_all(struct rig *r, const struct coded *video, const struct coded *audio)
{
        int v = 0, a = 0, vn = video ? video->count : 0, an = audio ? audio->count : 0;
        while (v < vn || a < an)
                if (a == an || (v < vn && video->frames[v].dts_us <= audio->frames[a].dts_us))
                        push(r, &video->frames[v++]);
                else
                        push(r, &audio->frames[a++]);
}

static inline void drain(struct rig *r)
{
        pipeline_drain(r->p, false);
        while (!r->drained && !r->failed)
                uv_run(&r->loop, UV_RUN_ONCE);
}

static inline void rig_free(struct rig *r)
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

static inline struct track *track_named(struct rig *r, const char *name)
{
        for (int i = 0; i < SESSION_TRACKS_MAX; i++)
                if (r->tracks[i].init && !strcmp(r->tracks[i].info.name, name))
                        return &r->tracks[i];
        fail_msg("no track %s", name);
        return NULL;
}

/* The next chunk of t after *at; NULL at the end. */
static inline const struct out_chunk *next_chunk(const struct rig *r, const struct track *t, int *at)
{
        while (*at < r->chunk_count)
                if (r->chunks[(*at)++].c.track == t->info.track)
                        return &r->chunks[*at - 1];
        return NULL;
}

static inline void check_samples(const struct rig *r, struct track *t, const struct out_chunk *o, bool first_of_segment)
{
        int64_t at = o->f.tfdt;
        for (int i = 0; i < o->f.count; i++) {
                struct grid_place p = grid_place(at, t->timescale, r->o.chunk_ms);
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
static inline int check_track(struct rig *r, const char *name)
{
        struct track *t = track_named(r, name);
        const struct out_chunk *o, *before = NULL;
        for (int at = 0; (o = next_chunk(r, t, &at)); before = o) {
                bool first = !before || before->c.segment != o->c.segment;
                char boxes[sizeof(o->f.boxes)];
                strcpy(boxes, o->f.boxes);
                for (char *said; (said = strstr(boxes, "emsg "));)
                        memmove(said, said + 5, strlen(said + 5) + 1);
                assert_string_equal(boxes, first ? "styp prft moof mdat " : "moof mdat ");
                assert_int_equal(o->c.start_us, grid_us(o->f.tfdt, t->timescale));
                check_samples(r, t, o, first);
                if (!before)
                        continue;
                int64_t ends_us = before->c.start_us + before->c.duration_us;
                assert_true(o->c.start_us >= ends_us);
                assert_true(o->c.segment - before->c.segment <= 1);
                assert_int_equal(before->c.flags & PUT_LAST, first ? PUT_LAST : 0);
        }
        assert_non_null(before);
        /* One that was cut as soon as its own last picture was there had said that others come. */
        bool early = before->c.start_us + before->c.duration_us == grid_chunk_end_us(before->c.start_us, r->o.chunk_ms);
        assert_true(before->c.flags & PUT_LAST || early);
        return t->samples;
}

/* Decodes a track's size out of its init segment: tkhd's last eight bytes. */
static inline void read_size(struct track *t)
{
        const uint8_t *tkhd = memmem(t->init->data, t->init->len, "tkhd", 4);
        uint32_t len = fragment_u32(tkhd - 4);
        t->width = (int)(fragment_u32(tkhd - 4 + len - 8) >> 16);
        t->height = (int)(fragment_u32(tkhd - 4 + len - 4) >> 16);
}

static inline int read_file(void *opaque, uint8_t *dst, int len)
{
        struct reader *in = opaque;
        size_t n = reader_left(in) < (size_t)len ? reader_left(in) : (size_t)len;
        if (n == 0)
                return AVERROR_EOF;
        memcpy(dst, reader_bytes(in, n), n);
        return (int)n;
}

/* Decodes a track of sound as a player does. (*left)[n] is sample number t->first + n of the left side; the caller frees both.
 * Returns how many. */
static inline int decode_sound(const struct track *t, float **left, float **right)
{
        struct reader in;
        AVFormatContext *f = avformat_alloc_context();
        AVFrame *frame = av_frame_alloc();
        AVPacket *pkt = av_packet_alloc();
        int count = 0;

        *left = *right = NULL;
        reader_init(&in, t->file, t->file_len);
        f->pb = avio_alloc_context(av_malloc(4096), 4096, 0, &in, read_file, NULL, NULL);
        assert_int_equal(avformat_open_input(&f, "track", av_find_input_format("mp4"), NULL), 0);
        AVCodecContext *c = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_AAC));
        avcodec_parameters_to_context(c, f->streams[0]->codecpar);
        assert_int_equal(avcodec_open2(c, NULL, NULL), 0);
        for (; av_read_frame(f, pkt) >= 0; av_packet_unref(pkt)) {
                avcodec_send_packet(c, pkt);
                for (; avcodec_receive_frame(c, frame) == 0; count += frame->nb_samples) {
                        size_t bytes = (size_t)frame->nb_samples * sizeof(float), before = (size_t)count * sizeof(float);
                        *left = grown(*left, before, before + bytes);
                        *right = grown(*right, before, before + bytes);
                        memcpy(*left + count, frame->data[0], bytes);
                        memcpy(*right + count, frame->data[1], bytes);
                }
        }
        avcodec_free_context(&c);
        av_frame_free(&frame);
        av_packet_free(&pkt);
        av_freep(&f->pb->buffer);
        avio_context_free(&f->pb);
        avformat_close_input(&f);
        return count;
}

/* How often the track's tone rises through zero in the second from sample `from`. */
static inline int tone_hz(const struct track *t, int from)
{
        float *left, *right;
        int count = decode_sound(t, &left, &right), rises = 0;
        for (int at = from; at < count && at < from + AUDIO_TIMESCALE; at++)
                rises += at > 0 && left[at - 1] < 0 && left[at] >= 0;
        free(left);
        free(right);
        return rises;
}

#endif
