/* captions (originD): what is said in a chunk's pictures is seen, what says nothing is not, and nonsense is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "originD/captions.h"

static uint8_t chunk[1024];

struct nal {
        const uint8_t *bytes;
        size_t len;
};

/* A fragment of these NAL units. */
static size_t chunk_of(const struct nal *nals, size_t count)
{
        struct writer w;
        uint32_t len = 8;
        for (size_t i = 0; i < count; i++)
                len += 4 + (uint32_t)nals[i].len;
        writer_init(&w, chunk, sizeof(chunk));
        writer_u32(&w, 16);
        writer_bytes(&w, "moof", 4);
        writer_u64(&w, 0);
        writer_u32(&w, len);
        writer_bytes(&w, "mdat", 4);
        for (size_t i = 0; i < count; i++) {
                writer_u32(&w, (uint32_t)nals[i].len);
                writer_bytes(&w, nals[i].bytes, nals[i].len);
        }
        assert_true(writer_ok(&w));
        return w.len;
}

static const uint8_t slice[] = {0x65, 0x88, 0x84, 0x00, 0x10};
/* x264's own message before it, then two triplets: "He" in field 1, an empty pair in field 2. */
static const uint8_t said[] = {6, 5, 3, 1, 2, 3, 4, 17, 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0xc2, 0xff, 0xfc, 0xc8, 0xe5, 0xfd, 0x80, 0x80, 0xff, 0x80};
static const uint8_t padding[] = {6, 4, 17, 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0xc2, 0xff, 0xfc, 0x80, 0x80, 0xfa, 0, 0, 3, 0, 0x80};
static const uint8_t field_2[] = {6, 4, 17, 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0xc2, 0xff, 0xfd, 0xc8, 0xe5, 0xf8, 0xc8, 0xe5, 0xff, 0x80};
/* 0 0 would begin a start code: 3 stands between, before what is said. */
static const uint8_t escaped[] = {6, 4, 17, 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0xc2, 0xff, 0xfa, 0, 0, 3, 0xfc, 0xc8, 0xe5, 0xff, 0x80};
static const uint8_t other[] = {6, 4, 8, 0xb5, 0, 0x31, 'D', 'T', 'G', '1', 3, 0x80};

#define NAL(a) {a, sizeof(a)}

static void test_what_is_said_is_seen_in_any_picture_of_the_chunk(void **state)
{
        (void)state;
        const struct nal first[] = {NAL(said), NAL(slice)}, third[] = {NAL(slice), NAL(other), NAL(slice), NAL(said), NAL(slice)};
        const struct nal hidden[] = {NAL(escaped), NAL(slice)};
        assert_true(captions_in_chunk(chunk, chunk_of(first, 2)));
        assert_true(captions_in_chunk(chunk, chunk_of(third, 5)));
        assert_true(captions_in_chunk(chunk, chunk_of(hidden, 2)));
}

static void test_empty_pairs_and_padding_are_no_captions(void **state)
{
        (void)state;
        const struct nal none[] = {NAL(slice)}, empty[] = {NAL(padding), NAL(slice)}, second[] = {NAL(field_2), NAL(slice)};
        assert_false(captions_in_chunk(chunk, chunk_of(none, 1)));
        assert_false(captions_in_chunk(chunk, chunk_of(empty, 2)));
        assert_false(captions_in_chunk(chunk, chunk_of(second, 2)));
        assert_false(captions_in_chunk(chunk, 0));
}

/* Cut off anywhere, and with any byte changed: the sanitizers look on. */
static void test_nonsense_is_no_captions(void **state)
{
        (void)state;
        const struct nal nals[] = {NAL(other), NAL(said), NAL(slice)};
        size_t len = chunk_of(nals, 3);
        for (size_t n = 0; n < len; n++)
                assert_false(captions_in_chunk(chunk, n));
        for (size_t n = 0; n < len; n++)
                for (int v = 0; v < 256; v += 5) {
                        uint8_t was = chunk[n];
                        chunk[n] = (uint8_t)v;
                        (void)captions_in_chunk(chunk, len);
                        chunk[n] = was;
                }
        assert_true(captions_in_chunk(chunk, len));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_said_is_seen_in_any_picture_of_the_chunk),
                cmocka_unit_test(test_empty_pairs_and_padding_are_no_captions),
                cmocka_unit_test(test_nonsense_is_no_captions),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
