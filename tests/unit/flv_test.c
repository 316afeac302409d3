#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "common/err.h"
#include "ingestd/flv.h"
#include "tests/unit/rtmp_bytes.h"

/* Parses a copy of exactly its size; what is no frame is freed here. */
static enum flv_verdict parse(struct flv *f, enum track_kind track, const struct bytes *b, uint32_t dts,
                              struct flv_frame *out)
{
        struct buf *block = b->len ? buf_copy(b->p, b->len) : NULL;
        enum flv_verdict v = track == TRACK_VIDEO ? flv_video(f, block, dts, out) : flv_audio(f, block, dts, out);
        if (v != FLV_FRAME)
                buf_unref(&block);
        return v;
}

static enum flv_verdict parse_parts(struct flv *f, enum track_kind track, const void *head, size_t head_len,
                                    const void *body, size_t body_len, struct flv_frame *out)
{
        struct bytes b = {0};
        put(&b, head, head_len);
        put(&b, body, body_len);
        enum flv_verdict v = parse(f, track, &b, 1234, out);
        bytes_free(&b);
        return v;
}

#define PARSE(f, track, head, body, body_len, out) parse_parts(f, track, head, sizeof(head) - 1, body, body_len, out)

/* Checks a frame and gives it back. */
static void assert_frame(struct flv_frame *fr, uint8_t track, uint8_t codec, uint8_t flags, int32_t cts, const void *body,
                         size_t len)
{
        assert_int_equal(fr->track, track);
        assert_int_equal(fr->codec, codec);
        assert_int_equal(fr->flags, flags);
        assert_int_equal(fr->dts_ms, 1234);
        assert_int_equal(fr->cts_ms, cts);
        assert_int_equal(fr->bytes->len, len);
        assert_memory_equal(fr->bytes->data, body, len);
        buf_unref(&fr->bytes);
}

static void configure(struct flv *f)
{
        struct flv_frame fr;
        assert_int_equal(PARSE(f, TRACK_VIDEO, "\x17\0\0\0\0", avcc_body, sizeof(avcc_body), &fr), FLV_FRAME);
        buf_unref(&fr.bytes);
        assert_int_equal(PARSE(f, TRACK_AUDIO, "\xaf\0", asc_body, sizeof(asc_body), &fr), FLV_FRAME);
        buf_unref(&fr.bytes);
}

static void test_legacy_h264_becomes_configuration_key_and_inter_frames(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", avcc_body, sizeof(avcc_body), &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_CONFIG, 0, avcc_body, sizeof(avcc_body));
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\x28", "\0\0\0\1e", 5, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 40, "\0\0\0\1e", 5);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x27\1\xff\xff\xd8", "\0\0\0\1A", 5, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, 0, -40, "\0\0\0\1A", 5);
}

static void test_legacy_aac_becomes_configuration_and_frames(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\0", asc_body, sizeof(asc_body), &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_AUDIO, CODEC_AAC, FRAME_CONFIG, 0, asc_body, sizeof(asc_body));
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\1", "raw", 3, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_AUDIO, CODEC_AAC, FRAME_KEY, 0, "raw", 3);
}

static void test_enhanced_avc1_and_mp4a_are_the_same_codecs(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x90" "avc1", avcc_body, sizeof(avcc_body), &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_CONFIG, 0, avcc_body, sizeof(avcc_body));
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\xa1" "avc1\xff\xff\xff", "N", 1, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, 0, -1, "N", 1);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x93" "avc1", "N", 1, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 0, "N", 1);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x92" "avc1", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\x90mp4a", asc_body, sizeof(asc_body), &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_AUDIO, CODEC_AAC, FRAME_CONFIG, 0, asc_body, sizeof(asc_body));
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\x91mp4a", "R", 1, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_AUDIO, CODEC_AAC, FRAME_KEY, 0, "R", 1);
}

static void test_modex_entries_are_skipped_whatever_their_size(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        struct bytes b = {0};
        configure(&f);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x97\2abc\1" "avc1\0\0\1", "N", 1, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 1, "N", 1);
        put(&b, "\x97\xff\1\x00", 4), put_fill(&b, 'm', 257), put(&b, "\7\0x\3" "avc1N", 9);
        assert_int_equal(parse(&f, TRACK_VIDEO, &b, 1234, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 0, "N", 1);
        bytes_free(&b);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x97\xff\xff\xff", "short", 5, &fr), FLV_IGNORED);
}

static void assert_unsupported(enum track_kind track, const char *head, size_t len, const char *what)
{
        struct flv f = {0};
        struct flv_frame fr;
        assert_int_equal(parse_parts(&f, track, head, len, "12345678", 8, &fr), FLV_UNSUPPORTED);
        assert_string_equal(f.what, what);
}

static void test_codecs_we_do_not_take_are_named(void **state)
{
        (void)state;
        assert_unsupported(TRACK_VIDEO, "\x90hvc1", 5, "HEVC video");
        assert_unsupported(TRACK_VIDEO, "\x90" "av01", 5, "AV1 video");
        assert_unsupported(TRACK_VIDEO, "\x91vp09", 5, "VP9 video");
        assert_unsupported(TRACK_VIDEO, "\x91zz\"\n", 5, "zz?? video");
        assert_unsupported(TRACK_VIDEO, "\x96\0", 2, "multitrack video");
        assert_unsupported(TRACK_VIDEO, "\x12", 1, "Sorenson H.263 video");
        assert_unsupported(TRACK_VIDEO, "\x14", 1, "VP6 video");
        assert_unsupported(TRACK_VIDEO, "\x1c", 1, "HEVC video");
        assert_unsupported(TRACK_VIDEO, "\x10", 1, "unknown video");
        assert_unsupported(TRACK_AUDIO, "\x90Opus", 5, "Opus audio");
        assert_unsupported(TRACK_AUDIO, "\x90" "fLaC", 5, "FLAC audio");
        assert_unsupported(TRACK_AUDIO, "\x95\0", 2, "multitrack audio");
        assert_unsupported(TRACK_AUDIO, "\x2f", 1, "MP3 audio");
        assert_unsupported(TRACK_AUDIO, "\xb2", 1, "Speex audio");
        assert_unsupported(TRACK_AUDIO, "\x3f", 1, "PCM audio");
        assert_unsupported(TRACK_AUDIO, "\xaf\0\xb9\x90", 4, "AAC-LD audio");
        assert_unsupported(TRACK_AUDIO, "\xaf\0\xf8\xe8\x50\0", 6, "AAC-ELD audio");
        assert_unsupported(TRACK_AUDIO, "\xaf\0\xf9\x46\x40", 5, "xHE-AAC audio");
}

static void test_what_carries_no_media_is_ignored(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        configure(&f);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\0", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\2\0\0\0", "end", 3, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x57\1", "seek", 4, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x94", "colour", 6, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\xd1", "\0", 1, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x91" "av", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\1", "", 0, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\x94mp4a", "layout", 6, &fr), FLV_IGNORED);
}

static void test_frames_before_their_configuration_are_ignored(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\0", "N", 1, &fr), FLV_IGNORED);
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\1", "R", 1, &fr), FLV_IGNORED);
        configure(&f);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\0", "N", 1, &fr), FLV_FRAME);
        buf_unref(&fr.bytes);
}

static void test_every_truncation_of_an_avcc_is_damaged(void **state)
{
        (void)state;
        for (size_t n = 1; n < sizeof(avcc_body); n++) {
                struct flv f = {0};
                struct flv_frame fr;
                assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", avcc_body, n, &fr), FLV_DAMAGED);
                assert_string_equal(f.what, "the H.264 configuration makes no sense");
                assert_false(f.configured[TRACK_VIDEO]);
        }
}

/* Sent before the encoder knows its parameters, or again without them. */
static void test_a_configuration_without_parameter_sets_leaves_the_one_before_in_force(void **state)
{
        static const char none[] = "\1\144\0\37\375\340\0"; /* and lengths of two bytes */
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", none, 7, &fr), FLV_DAMAGED);
        assert_string_equal(f.what, "the H.264 configuration has no parameter sets");
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\0", "\0\3e\210\200", 5, &fr), FLV_IGNORED);
        configure(&f);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", none, 7, &fr), FLV_DAMAGED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", "garbage", 7, &fr), FLV_DAMAGED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x27\1\0\0\0", "\0\0\0\3e\210\200", 7, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 0, "\0\0\0\3e\210\200", 7);
}

static void test_parameter_sets_within_the_first_picture_are_its_configuration(void **state)
{
        static const char first[] = "\0\4\147\144\0\37\0\4\150\356\74\200\0\3e\210\200";
        static const char by_code[] = "\0\0\0\1\147\144\0\37\0\0\0\1\150\356\74\200\0\0\0\1e\210\200";
        (void)state;
        struct flv f = {0}, g = {0};
        struct flv_frame fr;
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", "\1\144\0\37\375\340\0", 7, &fr), FLV_DAMAGED);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\0", first, sizeof(first) - 1, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 0, first, sizeof(first) - 1);
        assert_int_equal(f.record->len, sizeof(avcc_body));
        assert_int_equal(f.record->data[4], 0xfd);
        buf_unref(&f.record);
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\1\0\0\0", first, sizeof(first) - 1, &fr), FLV_FRAME);
        assert_null(f.record); /* once */
        buf_unref(&fr.bytes);
        /* no record at all, and start codes */
        assert_int_equal(PARSE(&g, TRACK_VIDEO, "\x17\1\0\0\0", by_code, sizeof(by_code) - 1, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, FRAME_KEY, 0, by_code, sizeof(by_code) - 1);
        assert_int_equal(g.record->len, sizeof(avcc_body));
        assert_memory_equal(g.record->data, avcc_body, sizeof(avcc_body));
        buf_unref(&g.record);
}

static void assert_key(uint8_t byte, const char *unit, size_t len, bool key)
{
        struct flv f = {0};
        struct flv_frame fr;
        char head[] = "\x17\1\0\0\0";
        configure(&f);
        head[0] = (char)byte;
        assert_int_equal(parse_parts(&f, TRACK_VIDEO, head, 5, unit, len, &fr), FLV_FRAME);
        assert_frame(&fr, TRACK_VIDEO, CODEC_H264, key ? FRAME_KEY : 0, 0, unit, len);
}

/* 0x17: the tag says that it is a keyframe; 0x27: that it is not. */
static void test_keyframes_are_known_by_their_nal_units(void **state)
{
        (void)state;
        assert_key(0x27, "\0\0\0\3e\210\200", 7, true);
        assert_key(0x27, "\0\0\0\2\11\360\0\0\0\4\6\1\0\200\0\0\0\3e\210\200", 21, true);       /* behind others */
        assert_key(0x37, "\0\0\0\3e\210\200", 7, true);                                        /* "disposable" */
        assert_key(0x17, "\0\0\0\3A\210\200", 7, true);                                        /* an open group */
        assert_key(0x27, "\0\0\0\3A\210\200", 7, false);
        assert_key(0x17, "\0\0\0\5\6\6\1\300\200\0\0\0\3A\232\0", 16, true);                    /* refreshed bit by bit */
        assert_key(0x27, "\0\0\0\5\6\6\1\300\200\0\0\0\3A\232\0", 16, false);
        assert_key(0x17, "\0\0\0\3A\232\0", 7, false); /* an encoder that calls everything a keyframe */
        assert_key(0x17, "\377\377\377\377A\232\0", 7, true);
        assert_key(0x27, "\377\377\377\377A\232\0", 7, false);
}

static void assert_avcc(size_t at, uint8_t v, enum flv_verdict want)
{
        uint8_t body[sizeof(avcc_body)];
        struct flv f = {0};
        struct flv_frame fr;
        memcpy(body, avcc_body, sizeof(body));
        body[at] = v;
        assert_int_equal(PARSE(&f, TRACK_VIDEO, "\x17\0\0\0\0", body, sizeof(body), &fr), want);
        if (want == FLV_FRAME)
                buf_unref(&fr.bytes);
}

static void test_configurations_that_make_no_sense_are_damaged(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        assert_avcc(0, 2, FLV_DAMAGED);    /* version */
        assert_avcc(4, 0xfe, FLV_DAMAGED); /* 3-byte lengths do not exist */
        assert_avcc(4, 0xfd, FLV_FRAME);
        assert_avcc(5, 0xe0, FLV_DAMAGED); /* no SPS */
        assert_avcc(7, 0, FLV_DAMAGED);    /* empty SPS */
        assert_avcc(12, 0, FLV_DAMAGED);   /* no PPS */
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\0", "\x12", 1, &fr), FLV_DAMAGED);
        assert_string_equal(f.what, "the AAC configuration makes no sense");
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\0", "\x00\x00", 2, &fr), FLV_DAMAGED); /* object type 0 */
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\0", "\x16\x90", 2, &fr), FLV_DAMAGED); /* rate 13 */
        assert_int_equal(PARSE(&f, TRACK_AUDIO, "\xaf\0", "\x17\x80", 2, &fr), FLV_DAMAGED); /* rate 15: 3 bytes more */
}

static void test_an_oversized_configuration_is_damaged(void **state)
{
        (void)state;
        struct flv f = {0};
        struct flv_frame fr;
        struct bytes b = {0};
        put(&b, "\x17\0\0\0\0", 5), put(&b, avcc_body, sizeof(avcc_body));
        put_fill(&b, 0, CONFIG_RECORD_MAX - sizeof(avcc_body));
        assert_int_equal(parse(&f, TRACK_VIDEO, &b, 0, &fr), FLV_FRAME);
        buf_unref(&fr.bytes);
        put_fill(&b, 0, 1);
        assert_int_equal(parse(&f, TRACK_VIDEO, &b, 0, &fr), FLV_DAMAGED);
        bytes_free(&b);
}

static void put_metadata(struct bytes *b)
{
        put_be(b, 8, 1), put_be(b, 0, 4);
        amf_key(b, "videocodecid"), amf_number(b, 7);
        amf_key(b, "width"), amf_number(b, 1280);
        amf_key(b, "audiocodecid"), amf_string(b, "mp4a");
        amf_key(b, "encoder"), amf_string(b, "obs-output module");
        amf_key(b, "title"), amf_string(b, "Spring");
        amf_end(b);
}

static void test_metadata_is_read_with_and_without_its_wrapper(void **state)
{
        (void)state;
        for (int wrapped = 0; wrapped <= 1; wrapped++) {
                struct bytes b = {0};
                struct flv_metadata m;
                if (wrapped)
                        amf_string(&b, "@setDataFrame");
                amf_string(&b, "onMetaData");
                put_metadata(&b);
                assert_int_equal(flv_script(b.p, b.len, &m), 0);
                assert_int_equal(m.has_video, 1);
                assert_int_equal(m.has_audio, 1);
                assert_string_equal(m.encoder, "obs-output module");
                assert_string_equal(m.title, "Spring");
                bytes_free(&b);
        }
}

static void test_metadata_that_says_little_leaves_the_rest_unsaid(void **state)
{
        (void)state;
        struct bytes b = {0};
        struct flv_metadata m;
        amf_string(&b, "onMetaData");
        put_be(&b, 3, 1);
        amf_key(&b, "hasVideo"), put(&b, "\1\0", 2);
        amf_key(&b, "title"), amf_number(&b, 5); /* not a string */
        amf_end(&b);
        assert_int_equal(flv_script(b.p, b.len, &m), 0);
        assert_int_equal(m.has_video, 0);
        assert_int_equal(m.has_audio, -1);
        assert_string_equal(m.title, "");
        bytes_free(&b);
}

static void test_other_scripts_and_broken_ones_are_told_apart(void **state)
{
        (void)state;
        struct bytes b = {0};
        struct flv_metadata m;
        amf_string(&b, "onTextData"), put_metadata(&b);
        assert_int_equal(flv_script(b.p, b.len, &m), ERR_NOT_FOUND);
        bytes_free(&b);
        amf_string(&b, "onMetaData"), amf_number(&b, 3);
        assert_int_equal(flv_script(b.p, b.len, &m), ERR_NOT_FOUND);
        bytes_free(&b);
        amf_string(&b, "onMetaData"), put_be(&b, 0x11, 1);
        assert_int_equal(flv_script(b.p, b.len, &m), ERR_PROTO);
        bytes_free(&b);
        amf_string(&b, "onMetaData");
        for (int i = 0; i < 40; i++)
                put_be(&b, 3, 1), amf_key(&b, "k");
        assert_int_equal(flv_script(b.p, b.len, &m), ERR_LIMIT);
        bytes_free(&b);
        assert_int_equal(flv_script(NULL, 0, &m), ERR_NOT_FOUND);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_legacy_h264_becomes_configuration_key_and_inter_frames),
                cmocka_unit_test(test_legacy_aac_becomes_configuration_and_frames),
                cmocka_unit_test(test_enhanced_avc1_and_mp4a_are_the_same_codecs),
                cmocka_unit_test(test_modex_entries_are_skipped_whatever_their_size),
                cmocka_unit_test(test_codecs_we_do_not_take_are_named),
                cmocka_unit_test(test_what_carries_no_media_is_ignored),
                cmocka_unit_test(test_frames_before_their_configuration_are_ignored),
                cmocka_unit_test(test_every_truncation_of_an_avcc_is_damaged),
                cmocka_unit_test(test_a_configuration_without_parameter_sets_leaves_the_one_before_in_force),
                cmocka_unit_test(test_parameter_sets_within_the_first_picture_are_its_configuration),
                cmocka_unit_test(test_keyframes_are_known_by_their_nal_units),
                cmocka_unit_test(test_configurations_that_make_no_sense_are_damaged),
                cmocka_unit_test(test_an_oversized_configuration_is_damaged),
                cmocka_unit_test(test_metadata_is_read_with_and_without_its_wrapper),
                cmocka_unit_test(test_metadata_that_says_little_leaves_the_rest_unsaid),
                cmocka_unit_test(test_other_scripts_and_broken_ones_are_told_apart),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
