#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "common/err.h"
#include "ingestd/amf0.h"
#include "tests/unit/rtmp_bytes.h"

static struct amf0 input_of(const struct bytes *b)
{
        struct amf0 in;
        amf0_init(&in, b->p, b->len);
        return in;
}

static void test_scalars_are_read_in_place(void **state)
{
        (void)state;
        struct bytes b = {0};
        amf_number(&b, -2.5);
        put(&b, "\1\1", 2);
        amf_string(&b, "live");
        put(&b, "\5\6\x0d", 3);
        put(&b, "\x0c\0\0\0\3abc", 8);
        put(&b, "\x0b\0\0\0\0\0\0\0\0\0\0", 11);
        struct amf0 in = input_of(&b);
        struct amf_value v = amf0_read(&in, NULL, NULL);
        assert_int_equal(v.type, AMF_NUMBER);
        assert_true(v.number == -2.5);
        v = amf0_read(&in, NULL, NULL);
        assert_int_equal(v.type, AMF_BOOLEAN);
        assert_true(v.number == 1);
        v = amf0_read(&in, NULL, NULL);
        assert_true(amf_value_is(&v, "live"));
        assert_false(amf_value_is(&v, "liv"));
        for (int i = 0; i < 3; i++)
                assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NULL);
        v = amf0_read(&in, NULL, NULL);
        assert_true(amf_value_is(&v, "abc"));
        assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_OTHER);
        assert_int_equal(reader_done(&in.r), 0);
        assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NOTHING);
        assert_int_equal(in.r.err, 0);
        bytes_free(&b);
}

struct seen {
        int count;
        char keys[128];
        double sum;
};

static void see(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        struct seen *s = arg;
        char k[16];
        s->count++;
        amf_value_copy(k, sizeof(k), key);
        strcat(s->keys, k);
        strcat(s->keys, " ");
        s->sum += value->type == AMF_NUMBER ? value->number : 0;
}

/* {a: 1, in: {a: 100}, list: [7, 7], b: 2}, as an object, an ECMA array with a wrong count, or a typed object */
static void put_nested(struct bytes *b, uint8_t marker)
{
        put_be(b, marker, 1);
        if (marker == 8)
                put_be(b, 99, 4);
        if (marker == 0x10)
                amf_key(b, "Class");
        amf_key(b, "a"), amf_number(b, 1);
        amf_key(b, "in"), put_be(b, 3, 1), amf_key(b, "a"), amf_number(b, 100), amf_end(b);
        amf_key(b, "list"), put_be(b, 10, 1), put_be(b, 2, 4), amf_number(b, 7), amf_number(b, 7);
        amf_key(b, "b"), amf_number(b, 2);
        amf_end(b);
}

static void test_properties_of_the_first_level_are_told_and_deeper_ones_skipped(void **state)
{
        (void)state;
        static const uint8_t markers[] = {3, 8, 0x10};
        for (size_t i = 0; i < 3; i++) {
                struct bytes b = {0};
                struct seen s = {0};
                put_nested(&b, markers[i]);
                struct amf0 in = input_of(&b);
                assert_int_equal(amf0_read(&in, see, &s).type, AMF_OBJECT);
                assert_int_equal(reader_done(&in.r), 0);
                assert_string_equal(s.keys, "a in list b ");
                assert_true(s.sum == 3);
                bytes_free(&b);
        }
}

static void test_every_truncation_is_an_error_and_reads_nothing_beyond(void **state)
{
        (void)state;
        struct bytes b = {0};
        put_nested(&b, 3);
        for (size_t n = 1; n < b.len; n++) {
                uint8_t *exact = malloc(n);
                memcpy(exact, b.p, n);
                struct amf0 in;
                struct seen s = {0};
                amf0_init(&in, exact, n);
                amf0_read(&in, see, &s);
                assert_true(in.r.err == ERR_PROTO || s.count <= 4);
                free(exact);
        }
        bytes_free(&b);
        amf_string(&b, "cut here");
        for (size_t n = 1; n < b.len; n++) {
                struct amf0 in;
                amf0_init(&in, b.p, n);
                assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NOTHING);
                assert_int_equal(in.r.err, ERR_PROTO);
        }
        bytes_free(&b);
}

static void test_an_object_may_end_with_its_message(void **state)
{
        (void)state;
        struct bytes b = {0};
        struct seen s = {0};
        put_be(&b, 8, 1), put_be(&b, 1, 4);
        amf_key(&b, "a"), amf_number(&b, 1);
        struct amf0 in = input_of(&b);
        assert_int_equal(amf0_read(&in, see, &s).type, AMF_OBJECT);
        assert_int_equal(in.r.err, 0);
        assert_int_equal(s.count, 1);
        bytes_free(&b);
}

static void nest(struct bytes *b, uint8_t marker, int depth)
{
        for (int i = 0; i < depth; i++) {
                put_be(b, marker, 1);
                if (marker == 10)
                        put_be(b, 1, 4);
                else
                        amf_key(b, "k");
        }
        amf_null(b);
        for (int i = 0; i < depth && marker == 3; i++)
                amf_end(b);
}

static void test_nesting_is_allowed_to_16_and_a_bomb_is_a_limit_error(void **state)
{
        (void)state;
        static const struct {
                int depth, err;
        } cases[] = {{16, 0}, {17, ERR_LIMIT}, {100000, ERR_LIMIT}};
        for (uint8_t marker = 3; marker <= 10; marker += 7) {
                for (size_t i = 0; i < 3; i++) {
                        struct bytes b = {0};
                        nest(&b, marker, cases[i].depth);
                        struct amf0 in = input_of(&b);
                        amf0_read(&in, NULL, NULL);
                        assert_int_equal(in.r.err, cases[i].err);
                        bytes_free(&b);
                }
        }
}

static void test_an_array_that_claims_billions_of_elements_ends_with_the_input(void **state)
{
        (void)state;
        struct bytes b = {0};
        put_be(&b, 10, 1), put_be(&b, 0xffffffff, 4), amf_null(&b);
        struct amf0 in = input_of(&b);
        assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NOTHING);
        assert_int_equal(in.r.err, ERR_PROTO);
        bytes_free(&b);
}

static void test_copies_are_cut_and_say_so(void **state)
{
        (void)state;
        char dst[5];
        const struct amf_value four = {.type = AMF_STRING, .text = "abcd", .len_bytes = 4};
        const struct amf_value five = {.type = AMF_STRING, .text = "abcde", .len_bytes = 5};
        const struct amf_value nul = {.type = AMF_STRING, .text = "a\0c", .len_bytes = 3};
        const struct amf_value null = {.type = AMF_NULL};
        assert_true(amf_value_copy(dst, sizeof(dst), &four));
        assert_string_equal(dst, "abcd");
        assert_false(amf_value_copy(dst, sizeof(dst), &five));
        assert_string_equal(dst, "abcd");
        assert_false(amf_value_copy(dst, sizeof(dst), &nul));
        assert_string_equal(dst, "a");
        assert_true(amf_value_copy(dst, sizeof(dst), &null));
        assert_string_equal(dst, "");
}

/* Every length of text in front of it, so that each byte of the last character is once the first that has no room. */
static void test_a_text_is_cut_between_two_characters(void **state)
{
        (void)state;
        static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xa5"};
        for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++) {
                size_t n = strlen(characters[i]);
                for (size_t before = 0; before <= 8; before++) {
                        char text[32] = "", dst[8];
                        memset(text, 'a', before);
                        for (int k = 0; k < 4; k++)
                                strcat(text, characters[i]);
                        const struct amf_value v = {.type = AMF_STRING, .text = text, .len_bytes = (uint32_t)strlen(text)};
                        size_t whole = before >= sizeof(dst) - 1 ? sizeof(dst) - 1 : before + (sizeof(dst) - 1 - before) / n * n;
                        bool all = strlen(text) < sizeof(dst);
                        assert_int_equal(amf_value_copy(dst, sizeof(dst), &v), all);
                        assert_int_equal(strlen(dst), all ? strlen(text) : whole);
                        assert_memory_equal(dst, text, strlen(dst));
                }
        }
        char dst[5];
        const struct amf_value latin = {.type = AMF_STRING, .text = "ab\xe9\xe9\xe9\xe9", .len_bytes = 6}, tails = {.type = AMF_STRING, .text = "\x80\x80\x80\x80\x80\x80", .len_bytes = 6};
        assert_false(amf_value_copy(dst, sizeof(dst), &latin)); /* no UTF-8: where it ends is anybody's guess */
        assert_int_equal(strlen(dst), 4);
        assert_false(amf_value_copy(dst, sizeof(dst), &tails));
        assert_int_equal(strlen(dst), 4);
}

static void test_what_is_written_is_read_back(void **state)
{
        (void)state;
        uint8_t out[128];
        struct writer w;
        struct seen s = {0};
        writer_init(&w, out, sizeof(out));
        amf0_write_string(&w, "_result");
        amf0_write_number(&w, 4);
        amf0_write_null(&w);
        amf0_write_object(&w);
        amf0_write_key(&w, "x"), amf0_write_number(&w, 8);
        amf0_write_key(&w, "y"), writer_u8(&w, 1), writer_u8(&w, 1); /* true */
        amf0_write_end(&w);
        assert_true(writer_ok(&w));
        struct amf0 in;
        amf0_init(&in, out, w.len);
        struct amf_value name = amf0_read(&in, NULL, NULL);
        assert_true(amf_value_is(&name, "_result"));
        assert_true(amf0_read(&in, NULL, NULL).number == 4);
        assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NULL);
        assert_int_equal(amf0_read(&in, see, &s).type, AMF_OBJECT);
        assert_string_equal(s.keys, "x y ");
        assert_int_equal(reader_done(&in.r), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scalars_are_read_in_place),
                cmocka_unit_test(test_properties_of_the_first_level_are_told_and_deeper_ones_skipped),
                cmocka_unit_test(test_every_truncation_is_an_error_and_reads_nothing_beyond),
                cmocka_unit_test(test_an_object_may_end_with_its_message),
                cmocka_unit_test(test_nesting_is_allowed_to_16_and_a_bomb_is_a_limit_error),
                cmocka_unit_test(test_an_array_that_claims_billions_of_elements_ends_with_the_input),
                cmocka_unit_test(test_copies_are_cut_and_say_so),
                cmocka_unit_test(test_a_text_is_cut_between_two_characters),
                cmocka_unit_test(test_what_is_written_is_read_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
