/* The packager: every chunk on the grid, tfdt the sample's time, nothing shifted, nothing too large for a PUT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/clock.h"
#include "tests/unit/fragment.h"
#include "transcoderd/encode/cues.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/package.h"

#define EPOCH_US INT64_C(1769861696789000)
#define CHUNKS_MAX 64

static struct {
        struct chunk c;
        struct fragment f;
} got[CHUNKS_MAX];
static int got_count;

static void keep(void *arg, struct chunk *c)
{
        (void)arg;
        assert_true(got_count < CHUNKS_MAX);
        got[got_count].f = fragment_read(c->bytes->data, c->bytes->len);
        buf_unref(&c->bytes);
        got[got_count++].c = *c;
}

/* What an opened x264 would say; the samples' content does not matter to the packager. */
static AVCodecContext *fake_encoder(void)
{
        static const uint8_t avcc[] = {1,    100, 0, 31, 255, 225,  0,    4,    0x67, 100,
                                       0,    31,  1, 0,  4,   0x68, 0xee, 0x3c, 0x80};
        AVCodecContext *c = avcodec_alloc_context3(NULL);
        c->codec_type = AVMEDIA_TYPE_VIDEO;
        c->codec_id = AV_CODEC_ID_H264;
        c->width = 640;
        c->height = 360;
        c->time_base = (AVRational){1, VIDEO_TIMESCALE};
        c->extradata = av_mallocz(sizeof(avcc) + AV_INPUT_BUFFER_PADDING_SIZE);
        memcpy(c->extradata, avcc, sizeof(avcc));
        c->extradata_size = sizeof(avcc);
        return c;
}

static struct package *open_package(void)
{
        struct package *p;
        AVCodecContext *c = fake_encoder();
        struct package_options o = {.codec = c, .epoch_us = EPOCH_US, .chunk = keep};
        assert_int_equal(package_open(&p, &o), 0);
        avcodec_free_context(&c);
        got_count = 0;
        return p;
}

static void add_sized(struct package *p, int64_t ticks, bool key, bool slate, int len)
{
        AVPacket *pkt = av_packet_alloc();
        assert_int_equal(av_new_packet(pkt, len), 0);
        memset(pkt->data, 0, (size_t)len);
        pkt->data[2] = (uint8_t)((len - 4) >> 8);
        pkt->data[1] = (uint8_t)((len - 4) >> 16);
        pkt->data[3] = (uint8_t)(len - 4);
        pkt->data[4] = key ? 0x65 : 0x41;
        pkt->flags = key ? AV_PKT_FLAG_KEY : 0;
        package_next(p, ticks);
        package_add(p, pkt, ticks, slate);
        av_packet_free(&pkt);
}

static struct buf *boxes(size_t len)
{
        struct buf *b = buf_new(len);
        memset(b->data, 0, len);
        memcpy(b->data, (const uint8_t[]){0, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, 'e', 'm', 's', 'g'}, 8);
        return b;
}

static void add(struct package *p, int64_t ticks, bool key)
{
        add_sized(p, ticks, key, false, 100);
}

static void test_a_chunk_is_cut_by_the_first_sample_beyond_it(void **state)
{
        (void)state;
        struct package *p = open_package();
        for (int i = 0; i < 61; i++) {
                add(p, 1234 + i * 3000, i % 30 == 0);
                assert_int_equal(got_count, (1234 + i * 3000) / 18000);
        }
        for (int i = 0; i < got_count; i++) {
                assert_int_equal(got[i].c.segment, i / 5);
                assert_int_equal(got[i].c.chunk, i % 5);
                assert_int_equal(got[i].c.flags, i % 5 == 4 ? PUT_LAST : 0);
                assert_int_equal(got[i].f.count, 6);
                assert_int_equal(got[i].f.tfdt, 1234 + i * 18000);
                assert_int_equal(got[i].f.duration[5], 3000);
                assert_int_equal(got[i].f.key[0], i % 5 == 0);
                assert_false(got[i].f.key[1]);
                assert_int_equal(got[i].c.start_us, grid_us(1234 + i * 18000, VIDEO_TIMESCALE));
        }
        package_close(&p);
}

static void test_styp_and_prft_once_a_segment(void **state)
{
        (void)state;
        struct package *p = open_package();
        for (int i = 0; i < 62; i++)
                add(p, 9000 + i * 3000, i % 30 == 27);
        for (int i = 0; i < got_count; i++)
                assert_string_equal(got[i].f.boxes, i % 5 ? "moof mdat " : "styp prft moof mdat ");
        /* The wall clock in prft is that of the capture. */
        int64_t ntp = got[0].f.prft_ntp;
        int64_t wall_us = (int64_t)((uint64_t)ntp >> 32) * US_PER_S - INT64_C(2208988800) * US_PER_S +
                          (int64_t)(((uint64_t)(uint32_t)ntp * US_PER_S) >> 32);
        assert_in_range(wall_us, EPOCH_US + 100000 - 1, EPOCH_US + 100000);
        assert_int_equal(got[0].f.prft_media, 9000);
        package_close(&p);
}

static void test_tfdt_is_exact_after_a_forecast_that_was_wrong(void **state)
{
        (void)state;
        struct package *p = open_package();
        add(p, 0, true);
        add(p, 9000, false);
        package_early(p, 18300); /* but the next one comes sooner: */
        assert_int_equal(got_count, 1);
        assert_int_equal(got[0].f.duration[1], 9300);
        assert_int_equal(got[0].c.duration_us, 200000);
        add(p, 18010, false);
        add(p, 27000, false);
        package_early(p, 36500); /* and here later. */
        add(p, 37000, false);
        package_finish(p, 3000, 3000, false);
        assert_int_equal(got[1].f.tfdt, 18010);
        assert_int_equal(got[2].f.tfdt, 37000);
        assert_int_equal(got[2].c.flags, PUT_LAST);
        package_close(&p);
}

static void test_a_forecast_within_the_chunk_cuts_nothing(void **state)
{
        (void)state;
        struct package *p = open_package();
        add(p, 0, true);
        package_early(p, 17999);
        assert_int_equal(got_count, 0);
        package_early(p, 18000);
        assert_int_equal(got_count, 1);
        package_early(p, 40000);
        assert_int_equal(got_count, 1);
        package_close(&p);
}

static void test_a_gap_leaves_chunks_out_and_closes_the_segment(void **state)
{
        (void)state;
        struct package *p = open_package();
        add(p, 3000, true);
        add(p, 90000 * 7 + 40000, true);
        package_finish(p, 3000, 3000, false);
        assert_int_equal(got[0].c.flags, PUT_LAST);
        assert_int_equal(got[1].c.segment, 7);
        assert_int_equal(got[1].c.chunk, 2);
        assert_int_equal(got[1].f.tfdt, 90000 * 7 + 40000);
        package_close(&p);
}

/* The next writer has the picture that ends the last one here, and takes all that come after where this is said to end. */
static void test_a_writer_that_leaves_says_only_when_the_next_sample_may_come(void **state)
{
        (void)state;
        struct package *p = open_package();
        add(p, 0, true);
        add(p, 3000, false);
        assert_int_equal(package_finish(p, 3000, 90, true), 3090);
        assert_int_equal(got_count, 1);
        assert_int_equal(got[0].c.duration_us, grid_us(3090, VIDEO_TIMESCALE));
        assert_int_equal(got[0].f.duration[1], 3000); /* the guess is what a player shows it for */
        assert_int_equal(got[0].c.flags & PUT_LAST, 0);
        package_close(&p);
}

static void test_a_track_may_begin_after_years(void **state)
{
        (void)state;
        struct package *p = open_package();
        int64_t far = INT64_C(90000) * 86400 * 1000;
        add(p, far + 17, true);
        package_finish(p, 3000, 3000, false);
        assert_int_equal(got[0].f.tfdt, far + 17);
        assert_int_equal(got[0].c.segment, 86400 * 1000);
        package_close(&p);
}

static void test_slate_is_marked(void **state)
{
        (void)state;
        struct package *p = open_package();
        add_sized(p, 0, true, false, 50);
        add_sized(p, 9000, false, true, 50);
        add_sized(p, 18000, false, false, 50);
        package_finish(p, 3000, 3000, false);
        assert_int_equal(got[0].c.flags, PUT_SLATE);
        assert_int_equal(got[1].c.flags, PUT_LAST);
        package_close(&p);
}

static void test_init_segments_are_the_same_bytes(void **state)
{
        (void)state;
        struct package *a = open_package(), *b = open_package();
        struct buf *x = package_init_segment(a), *y = package_init_segment(b);
        assert_int_equal(x->len, y->len);
        assert_memory_equal(x->data, y->data, x->len);
        assert_memory_equal(x->data + 4, "ftyp", 4);
        assert_null(memmem(x->data, x->len, "edts", 4));
        buf_unref(&x);
        buf_unref(&y);
        package_close(&a);
        package_close(&b);
}

static void test_a_chunk_too_large_for_a_put_is_left_out(void **state)
{
        (void)state;
        struct package *p = open_package();
        add_sized(p, 0, true, false, BODY_MAX + 1);
        add(p, 18000, true);
        assert_int_equal(got_count, 0);
        assert_int_equal(package_oversized(p), 1);
        package_finish(p, 3000, 3000, false);
        assert_int_equal(got_count, 1);
        assert_int_equal(got[0].f.tfdt, 18000);
        package_close(&p);
}

static void test_a_chunk_says_no_more_than_it_has_room_for(void **state)
{
        (void)state;
        struct package *p = open_package();
        package_next(p, 0);
        assert_true(package_say(p, NULL));
        assert_true(package_say(p, boxes(CUES_BYTES_WAIT - 100)));
        assert_false(package_say(p, boxes(101)));
        assert_true(package_say(p, boxes(100)));
        add(p, 0, true);
        add(p, 18000, true);
        assert_string_equal(got[0].f.boxes, "styp prft emsg emsg moof mdat ");
        assert_true(package_say(p, boxes(CUES_BYTES_WAIT)));
        package_finish(p, 3000, 3000, false);
        assert_string_equal(got[1].f.boxes, "emsg moof mdat ");
        package_close(&p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_chunk_is_cut_by_the_first_sample_beyond_it),
                cmocka_unit_test(test_styp_and_prft_once_a_segment),
                cmocka_unit_test(test_tfdt_is_exact_after_a_forecast_that_was_wrong),
                cmocka_unit_test(test_a_forecast_within_the_chunk_cuts_nothing),
                cmocka_unit_test(test_a_gap_leaves_chunks_out_and_closes_the_segment),
                cmocka_unit_test(test_a_writer_that_leaves_says_only_when_the_next_sample_may_come),
                cmocka_unit_test(test_a_track_may_begin_after_years),
                cmocka_unit_test(test_slate_is_marked),
                cmocka_unit_test(test_init_segments_are_the_same_bytes),
                cmocka_unit_test(test_a_chunk_too_large_for_a_put_is_left_out),
                cmocka_unit_test(test_a_chunk_says_no_more_than_it_has_room_for),
        };
        av_log_set_level(AV_LOG_QUIET);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
