/* A rung's encoder: as many bits as the rung may have, whatever the frame rate is and however it changes; and no picture waits for
 * the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/pipeline_fixture.h"
#include "transcoderd/encode/video_rung.h"

#define WIDTH 160
#define HEIGHT 96
#define TARGET_BPS 200000

struct shot { /* a rung that is shown something */
        struct rig *rig;
        struct outlet *out;
        struct video_rung *rung;
        int64_t next_us, segment; /* of the picture that was put last */
        unsigned pictures;
};

static struct shot begin(uint32_t expected_milli, uint32_t declared_milli, uint32_t lockstep)
{
        struct shot s = {.rig = rig_new(), .segment = -1};
        s.rig->o.epoch_us = NEVER_SLATE_US;
        s.out = outlet_new(&s.rig->mb, &events, s.rig, "test");
        outlet_join(s.out);
        struct video_rung_options o = {
                .rung = {"v96", HEIGHT, 0, TARGET_BPS},
                .width = WIDTH,
                .height = HEIGHT,
                .threads = 1,
                .epoch_us = s.rig->o.epoch_us,
                .lockstep_segments = lockstep,
                .declared_milli = declared_milli,
                .expected_milli = expected_milli,
                .outlet = s.out,
        };
        assert_int_equal(video_rung_open(&s.rung, &o), 0);
        return s;
}

/* Noise that moves by so much a second, not a picture: as hard at every rate, and too hard for the bits there are. */
static AVFrame *noise(int64_t pts_us)
{
        static uint8_t texture[512][512];
        if (!texture[0][0])
                for (unsigned i = 0, random = 1; i < sizeof(texture); i++) {
                        random = random * 1103515245 + 12345;
                        texture[i / 512][i % 512] = (uint8_t)(40 + (random >> 16) % 160);
                }
        AVFrame *f = av_frame_alloc();
        f->width = WIDTH;
        f->height = HEIGHT;
        f->format = AV_PIX_FMT_YUV420P;
        assert_int_equal(av_frame_get_buffer(f, 0), 0);
        int64_t moved = pts_us * 90 / US_PER_S;
        for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++)
                        f->data[0][y * f->linesize[0] + x] = texture[(y + moved / 3) % 512][(x + moved) % 512];
        for (int plane = 1; plane < 3; plane++)
                memset(f->data[plane], 128, (size_t)f->linesize[plane] * HEIGHT / 2);
        return f;
}

static void put(struct shot *s, int64_t pts_us)
{
        struct video_rung_picture p = {.frame = noise(pts_us), .pts_us = pts_us, .idr = grid_segment(pts_us) != s->segment};
        s->segment = grid_segment(pts_us);
        s->pictures++;
        video_rung_put(s->rung, &p);
        uv_run(&s->rig->loop, UV_RUN_NOWAIT);
}

/* A source of so many pictures a second, in RTMP's milliseconds. */
static void show(struct shot *s, int num, int den, int seconds)
{
        int64_t begin_us = s->next_us, at_us = begin_us;
        for (int64_t n = 1; at_us < begin_us + seconds * US_PER_S; n++) {
                put(s, at_us);
                at_us = begin_us + n * 1000 * den / num * 1000;
        }
        s->next_us = begin_us + seconds * US_PER_S;
}

static void end(struct shot *s)
{
        video_rung_finish(s->rung, 20000);
        video_rung_close(&s->rung, true);
        outlet_leave(s->out);
        while (!s->rig->drained && !s->rig->failed)
                uv_run(&s->rig->loop, UV_RUN_ONCE);
        assert_int_equal(s->rig->failed, 0);
        assert_int_equal(check_track(s->rig, "v96"), s->pictures);
        outlet_unref(&s->out);
}

/* kbit/s of the seconds from `from` on. */
static int mean_kbps(const struct shot *s, int64_t from, int64_t seconds)
{
        size_t bytes = 0;
        for (int i = 0; i < s->rig->chunk_count; i++) {
                const struct out_chunk *o = &s->rig->chunks[i];
                size_t after = i + 1 < s->rig->chunk_count ? s->rig->chunks[i + 1].at : s->rig->tracks[0].file_len;
                if (o->c.segment >= from && o->c.segment < from + seconds)
                        bytes += after - o->at;
        }
        return (int)(bytes * 8 / 1000 / (size_t)seconds);
}

#define TARGET (TARGET_BPS / 1000)
/* 1.1 times the target is what players are told to expect, and fMP4's own bytes come to some kbit/s. */
#define assert_on_target(kbps) assert_in_range(kbps, TARGET * 95 / 100, TARGET * 125 / 100)
#define assert_within_buffer(kbps) assert_in_range(kbps, 0, TARGET * 140 / 100) /* one second alone: x264 may save up */

static void test_a_rung_spends_what_it_may_at_every_frame_rate(void **state)
{
        (void)state;
        static const int rates[][2] = {{25, 2}, {24000, 1001}, {24, 1}, {25, 1},         {30000, 1001},
                                       {30, 1}, {50, 1},       {60, 1}, {60000, 1001}, {120, 1}};
        for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
                uint32_t milli = (uint32_t)((int64_t)rates[i][0] * 1000 / rates[i][1]);
                struct shot told = begin(milli, milli, 0), untold = begin(30000, 0, 0);
                show(&told, rates[i][0], rates[i][1], 4);
                show(&untold, rates[i][0], rates[i][1], 6);
                end(&told);
                end(&untold);
                assert_on_target(mean_kbps(&told, 0, 4));
                assert_on_target(mean_kbps(&untold, 4, 2)); /* which counts pictures */
                for (int second = 1; second < 4; second++) {
                        assert_within_buffer(mean_kbps(&told, second, 1));
                        assert_within_buffer(mean_kbps(&untold, second, 1));
                }
                rig_free(told.rig);
                rig_free(untold.rig);
        }
}

static void test_a_rate_that_changes_in_mid_broadcast_changes_what_a_picture_may_cost(void **state)
{
        (void)state;
        struct shot s = begin(30000, 30000, 0);
        show(&s, 30, 1, 3);
        show(&s, 60, 1, 3);
        show(&s, 24, 1, 7);
        end(&s);
        assert_on_target(mean_kbps(&s, 0, 3));
        assert_on_target(mean_kbps(&s, 4, 2));  /* more of them, from the next second on */
        assert_on_target(mean_kbps(&s, 10, 3)); /* fewer, four seconds later */
        rig_free(s.rig);
}

/* A screen's pictures come when something moves. */
static void test_a_source_without_a_steady_rate_stays_within_its_bits(void **state)
{
        (void)state;
        static const int rates[] = {20, 60, 8, 45, 12, 60, 30, 5, 60, 15};
        struct shot s = begin(60000, 60000, 0);
        for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
                show(&s, rates[i], 1, 1);
        end(&s);
        for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
                assert_within_buffer(mean_kbps(&s, (int64_t)i, 1));
        rig_free(s.rig);
}

/* A rung whose encoder looks ahead by a picture has all its chunks a picture late. */
static void test_each_picture_is_encoded_before_the_next_one_comes(void **state)
{
        (void)state;
        struct shot s = begin(30000, 30000, 0);
        int64_t until_us = clock_mono_us() + 20 * US_PER_S;
        for (int n = 0; n < 90; n++) {
                put(&s, n < 45 ? n * 33000 : n * 17000 + 45 * 16000);
                while (atomic_load(&s.out->tally.encoded) < s.pictures)
                        assert_true(clock_mono_us() < until_us);
        }
        end(&s);
        rig_free(s.rig);
}

struct bits {
        const uint8_t *data;
        size_t len, at; /* bits */
};

static uint32_t bits_get(struct bits *b, int n)
{
        uint32_t v = 0;
        while (n--) {
                assert_true(b->at < b->len * 8);
                v = v << 1 | (b->data[b->at / 8] >> (7 - b->at % 8) & 1);
                b->at++;
        }
        return v;
}

static uint32_t bits_ue(struct bits *b)
{
        int zeros = 0;
        while (!bits_get(b, 1))
                zeros++;
        return (uint32_t)((1u << zeros) - 1 + bits_get(b, zeros));
}

/* H.264, 7.3.2.1.1 and E.1.1, as far as timing, for the sets that x264 makes here. */
static void read_timing(const struct buf *init, uint32_t *tick, uint32_t *scale, bool *fixed)
{
        const uint8_t *avcc = memmem(init->data, init->len, "avcC", 4);
        size_t len = (size_t)avcc[10] << 8 | avcc[11], n = 0;
        uint8_t sps[64];
        for (size_t i = 0; i < len && n < sizeof(sps); i++) /* without emulation prevention */
                if (i < 2 || avcc[12 + i] != 3 || avcc[11 + i] || avcc[10 + i])
                        sps[n++] = avcc[12 + i];
        struct bits b = {.data = sps, .len = n, .at = 32};
        for (int i = 0; i < 4; i++)
                bits_ue(&b); /* id, chroma format, bit depths */
        assert_int_equal(bits_get(&b, 2), 0);
        bits_ue(&b);
        assert_int_equal(bits_ue(&b), 2); /* picture order is decoding order: nothing is held back */
        bits_ue(&b);
        bits_get(&b, 1);
        bits_ue(&b);
        bits_ue(&b);
        bits_get(&b, 2);
        if (bits_get(&b, 1))
                for (int i = 0; i < 4; i++)
                        bits_ue(&b);
        assert_int_equal(bits_get(&b, 1), 1); /* VUI */
        if (bits_get(&b, 1) && bits_get(&b, 8) == 255)
                bits_get(&b, 32);
        if (bits_get(&b, 1))
                bits_get(&b, 1);
        if (bits_get(&b, 1)) {
                bits_get(&b, 4);
                if (bits_get(&b, 1))
                        bits_get(&b, 24);
        }
        if (bits_get(&b, 1)) {
                bits_ue(&b);
                bits_ue(&b);
        }
        assert_int_equal(bits_get(&b, 1), 1);
        *tick = bits_get(&b, 32);
        *scale = bits_get(&b, 32);
        *fixed = bits_get(&b, 1);
}

static void test_headers_name_no_frame_rate_and_are_the_same_at_each(void **state)
{
        (void)state;
        static const int rates[] = {24, 30, 60};
        struct buf *first = NULL;
        for (int i = 0; i < 3; i++) {
                struct shot s = begin((uint32_t)rates[i] * 1000, (uint32_t)rates[i] * 1000, 0);
                show(&s, rates[i], 1, 1);
                end(&s);
                struct buf *init = track_named(s.rig, "v96")->init;
                uint32_t tick, scale;
                bool fixed;
                read_timing(init, &tick, &scale, &fixed);
                assert_false(fixed);
                assert_int_equal(scale / tick / 2, VIDEO_TIMESCALE);
                if (!first)
                        first = buf_ref(init);
                assert_int_equal(init->len, first->len);
                assert_memory_equal(init->data, first->data, init->len);
                rig_free(s.rig);
        }
        buf_unref(&first);
}

static struct reader bytes_from(const struct shot *s, uint32_t segment)
{
        struct reader out;
        int i = 0;
        while (s->rig->chunks[i].c.segment < segment)
                i++;
        reader_init(&out, s->rig->tracks[0].file + s->rig->chunks[i].at, s->rig->tracks[0].file_len - s->rig->chunks[i].at);
        return out;
}

static void assert_same_from(const struct shot *x, const struct shot *y, uint32_t segment)
{
        struct reader a = bytes_from(x, segment), b = bytes_from(y, segment);
        size_t len = reader_left(&a);
        assert_int_equal(reader_left(&b), len);
        assert_memory_equal(reader_bytes(&a, len), reader_bytes(&b, len), len);
}

/* One has counted 29.97, the other one takes 30 for granted. */
static void test_in_lockstep_a_transcoder_that_has_hardly_begun_makes_the_same(void **state)
{
        (void)state;
        struct shot whole = begin(30000, 0, 4), later = begin(30000, 0, 4);
        while (whole.next_us < 8 * US_PER_S) {
                put(&whole, whole.next_us);
                if (whole.next_us > 3700 * US_PER_MS)
                        put(&later, whole.next_us);
                whole.next_us = whole.pictures * INT64_C(100000) / 2985 * 1000;
        }
        end(&whole);
        end(&later);
        assert_same_from(&whole, &later, 4);
        rig_free(whole.rig);
        rig_free(later.rig);
}

/* What a source says of itself is wrong here, so it is the counted rate that both have to open the encoder for. */
static void test_in_lockstep_the_counted_rate_is_the_same_wherever_one_began(void **state)
{
        (void)state;
        struct shot whole = begin(30000, 0, 4), later = begin(30000, 0, 4);
        show(&whole, 24, 1, 3);
        later.next_us = whole.next_us;
        show(&whole, 50, 1, 3);
        show(&later, 50, 1, 3);
        show(&whole, 120, 1, 3); /* and changes within the four segments */
        show(&later, 120, 1, 3);
        end(&whole);
        end(&later);
        assert_same_from(&whole, &later, 4);
        assert_on_target(mean_kbps(&whole, 4, 2));
        assert_on_target(mean_kbps(&whole, 7, 2));
        rig_free(whole.rig);
        rig_free(later.rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_rung_spends_what_it_may_at_every_frame_rate),
                cmocka_unit_test(test_a_rate_that_changes_in_mid_broadcast_changes_what_a_picture_may_cost),
                cmocka_unit_test(test_a_source_without_a_steady_rate_stays_within_its_bits),
                cmocka_unit_test(test_each_picture_is_encoded_before_the_next_one_comes),
                cmocka_unit_test(test_headers_name_no_frame_rate_and_are_the_same_at_each),
                cmocka_unit_test(test_in_lockstep_a_transcoder_that_has_hardly_begun_makes_the_same),
                cmocka_unit_test(test_in_lockstep_the_counted_rate_is_the_same_wherever_one_began),
        };
        log_init("test", LOG_ERROR);
        av_log_set_level(AV_LOG_QUIET);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
