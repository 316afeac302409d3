/* cue: what is said comes out of the picture and of the box as it went in, and nonsense is no cue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/cue.h"
#include "common/err.h"

#define TEXT "{\"name\":\"onTextData\",\"data\":{\"text\":\"hello\"}}"

static struct cue said(enum cue_kind kind, const char *body)
{
        return (struct cue){.kind = kind, .duration_ms = 30000, .body = (const uint8_t *)body, .body_len = strlen(body)};
}

/* In memory of just its size, for the sanitizers. */
static int read_exactly(struct cue *out, const uint8_t *data, size_t len, int64_t picture_us)
{
        static uint8_t *copy;
        free(copy);
        copy = malloc(len + !len);
        memcpy(copy, data, len);
        return picture_us < 0 ? cue_box_read(out, copy, len) : cue_message_read(out, copy, len, picture_us);
}

static void test_a_cue_lies_where_its_picture_and_its_offset_say(void **state)
{
        (void)state;
        uint8_t sei[CUE_MESSAGE_MAX];
        struct cue c = said(CUE_AMF, TEXT), out;
        size_t n = cue_message_write(sei, sizeof(sei), &c, -80);
        assert_true(n > 0);
        assert_int_equal(read_exactly(&out, sei, n, 2000400), 0);
        assert_int_equal(out.at_us, 1920000);
        assert_int_equal(out.kind, CUE_AMF);
        assert_int_equal(out.duration_ms, 30000);
        assert_int_equal(out.body_len, strlen(TEXT));
        assert_memory_equal(out.body, TEXT, out.body_len);
        assert_int_equal(read_exactly(&out, sei, n, 40000), 0);
        assert_int_equal(out.at_us, 0); /* nothing is before the broadcast */
        assert_int_equal(cue_message_write(sei, n - 1, &c, 0), 0);
}

/* So that transcoders that encode the same stream make the same box, and players take the copies in all rungs for one. */
static void test_the_same_at_the_same_time_has_the_same_id_and_nothing_else_has(void **state)
{
        (void)state;
        uint8_t sei[CUE_MESSAGE_MAX];
        struct cue c = said(CUE_AMF, TEXT), a, b;
        size_t n = cue_message_write(sei, sizeof(sei), &c, 0);
        assert_int_equal(cue_message_read(&a, sei, n, 1000000), 0);
        assert_int_equal(cue_message_read(&b, sei, n, 1000000), 0);
        assert_int_equal(a.id, b.id);
        assert_int_equal(cue_message_read(&b, sei, n, 2000000), 0);
        assert_int_not_equal(a.id, b.id);
        sei[n - 2] = 'x';
        assert_int_equal(cue_message_read(&b, sei, n, 1000000), 0);
        assert_int_not_equal(a.id, b.id);
}

static void test_a_box_says_what_it_was_made_of(void **state)
{
        (void)state;
        static const uint32_t timescales[] = {90000, 48000, 44100, 1000};
        for (size_t i = 0; i < sizeof(timescales) / sizeof(timescales[0]); i++)
                for (int kind = 0; kind < CUE_KINDS; kind++) {
                        struct cue c = said((enum cue_kind)kind, TEXT), out;
                        c.at_us = INT64_C(86400001000);
                        c.id = 7;
                        c.duration_ms = i ? 1500 : CUE_NO_DURATION;
                        struct buf *b = cue_box(&c, timescales[i]);
                        struct reader r;
                        reader_init(&r, b->data, b->len);
                        assert_int_equal(reader_u32(&r), b->len);
                        assert_memory_equal(r.p, "emsg\1", 5);
                        assert_int_equal(read_exactly(&out, b->data + 8, b->len - 8, -1), 0);
                        assert_int_equal(out.at_us, c.at_us);
                        assert_int_equal(out.duration_ms, c.duration_ms);
                        assert_int_equal(out.id, 7);
                        assert_int_equal(out.kind, kind);
                        assert_int_equal(out.body_len, strlen(TEXT));
                        assert_memory_equal(out.body, TEXT, out.body_len);
                        buf_unref(&b);
                }
}

static void test_what_is_cut_off_or_someone_elses_is_no_cue(void **state)
{
        (void)state;
        uint8_t sei[CUE_MESSAGE_MAX];
        struct cue c = said(CUE_SCTE35, "\xfc"), out;
        size_t n = cue_message_write(sei, sizeof(sei), &c, 0);
        struct buf *b = cue_box(&c, 90000);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(read_exactly(&out, sei, i, 0), i < 16 ? ERR_NOT_FOUND : ERR_PROTO);
        for (size_t i = 0; i < b->len - 8; i++)
                assert_int_equal(read_exactly(&out, b->data + 8, i, -1), ERR_PROTO);
        sei[16] = CUE_KINDS;
        assert_int_equal(read_exactly(&out, sei, n, 0), ERR_PROTO);
        sei[3] ^= 1;
        assert_int_equal(read_exactly(&out, sei, n, 0), ERR_NOT_FOUND);
        b->data[8] = 0;
        assert_int_equal(read_exactly(&out, b->data + 8, b->len - 8, -1), ERR_NOT_FOUND); /* version 0 */
        buf_unref(&b);
        b = cue_box(&c, 90000);
        memcpy(memmem(b->data, b->len, "urn:scte", 8), "urn:some", 8);
        assert_int_equal(read_exactly(&out, b->data + 8, b->len - 8, -1), ERR_NOT_FOUND);
        memset(b->data + 12, 0, 4);
        assert_int_equal(read_exactly(&out, b->data + 8, b->len - 8, -1), ERR_PROTO); /* no time without a timescale */
        buf_unref(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_cue_lies_where_its_picture_and_its_offset_say),
                cmocka_unit_test(test_the_same_at_the_same_time_has_the_same_id_and_nothing_else_has),
                cmocka_unit_test(test_a_box_says_what_it_was_made_of),
                cmocka_unit_test(test_what_is_cut_off_or_someone_elses_is_no_cue),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
