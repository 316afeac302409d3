#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

#include "common/err.h"
#include "ingestd/amf0.h"
#include "tests/unit/rtmp_bytes.h"

/* In AMF0 the marker of AMF3 is before each value. */
static void avmplus(struct bytes *b)
{
        put_be(b, 0x11, 1);
}

static struct amf0 input_of(const struct bytes *b)
{
        struct amf0 in;
        amf0_init(&in, b->p, b->len);
        return in;
}

struct seen {
        int count;
        char text[256]; /* "key=value ": numbers, strings, or the letter of a type */
};

static void see(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        static const char types[] = {'?', 'n', 'b', 's', '0', 'o', 'a', 'x'};
        struct seen *s = arg;
        char k[24], v[24];
        size_t n = strlen(s->text);
        s->count++;
        amf_value_copy(k, sizeof(k), key);
        amf_value_copy(v, sizeof(v), value);
        if (value->type == AMF_NUMBER || value->type == AMF_BOOLEAN)
                snprintf(v, sizeof(v), "%g", value->number);
        else if (value->type != AMF_STRING)
                snprintf(v, sizeof(v), "%c", types[value->type]);
        snprintf(s->text + n, sizeof(s->text) - n, "%s=%s ", k, v);
}

/* Reads b as one value whose members are `members`, and nothing is left. */
static void assert_members(const struct bytes *b, enum amf_type type, const char *members)
{
        struct amf0 in = input_of(b);
        struct seen s = {0};
        assert_int_equal(amf0_read(&in, see, &s).type, type);
        assert_int_equal(reader_done(&in.r), 0);
        assert_string_equal(s.text, members);
}

static void test_numbers_have_29_bits_and_a_sign(void **state)
{
        (void)state;
        static const struct {
                const char *bytes;
                size_t len;
                double value;
        } cases[] = {
                {"\x04\x00", 2, 0},
                {"\x04\x7f", 2, 127},
                {"\x04\x81\x00", 3, 128},
                {"\x04\xff\x7f", 3, 16383},
                {"\x04\x81\x80\x00", 4, 16384},
                {"\x04\xff\xff\x7f", 4, 2097151},
                {"\x04\x80\xc0\x80\x00", 5, 2097152},
                {"\x04\xbf\xff\xff\xff", 5, 268435455},
                {"\x04\xff\xff\xff\xff", 5, -1},
                {"\x04\xc0\x80\x80\x00", 5, -268435456},
                {"\x05\x3f\xf8\0\0\0\0\0\0", 9, 1.5},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct bytes b = {0};
                avmplus(&b), put(&b, cases[i].bytes, cases[i].len);
                struct amf0 in = input_of(&b);
                struct amf_value v = amf0_read(&in, NULL, NULL);
                assert_int_equal(v.type, AMF_NUMBER);
                assert_true(v.number == cases[i].value);
                assert_int_equal(reader_done(&in.r), 0);
                bytes_free(&b);
        }
}

static void test_scalars_are_amf0s_of_the_same_meaning(void **state)
{
        (void)state;
        struct bytes b = {0};
        static const enum amf_type types[] = {AMF_NULL, AMF_NULL, AMF_BOOLEAN, AMF_BOOLEAN};
        for (int i = 0; i < 4; i++)
                avmplus(&b), put_be(&b, (unsigned)i, 1);
        avmplus(&b), amf3_string(&b, "live");
        avmplus(&b), put_be(&b, 6, 1), amf3_text_again(&b, 0);
        avmplus(&b), amf3_string(&b, "");
        avmplus(&b), put_be(&b, 0x0b, 1), amf3_text(&b, "<x/>");
        amf_number(&b, 7);
        struct amf0 in = input_of(&b);
        for (int i = 0; i < 4; i++) {
                struct amf_value v = amf0_read(&in, NULL, NULL);
                assert_int_equal(v.type, types[i]);
                assert_true(v.number == (i == 3));
        }
        static const char *const texts[] = {"live", "live", "", "<x/>"};
        for (int i = 0; i < 4; i++) {
                struct amf_value v = amf0_read(&in, NULL, NULL);
                assert_true(amf_value_is(&v, texts[i]));
        }
        assert_true(amf0_read(&in, NULL, NULL).number == 7);
        assert_int_equal(reader_done(&in.r), 0);
        bytes_free(&b);
}

/* One value of each kind that is only read over, with what may be inside. */
static void put_what_is_read_over(struct bytes *b, int kind)
{
        switch (kind) {
        case 0:
                put(b, "\x08\x01\0\0\0\0\0\0\0\0", 10); /* a date */
                break;
        case 1:
                put(b, "\x0c\x07" "abc", 5); /* bytes */
                break;
        case 2:
                put(b, "\x0d\x05\0\1\2\3\4\5\6\7\x08", 11); /* two ints */
                break;
        case 3:
                put(b, "\x0e\x03\1\1\2\3\4", 7); /* one unsigned */
                break;
        case 4:
                put(b, "\x0f\x03\0\0\0\0\0\0\0\0\0", 11); /* one double */
                break;
        case 5:
                put(b, "\x10\x05\0", 3), amf3_text(b, "String"), amf3_string(b, "x"), put_be(b, 1, 1); /* two objects */
                break;
        case 6:
                put(b, "\x11\x03\0", 3), amf3_string(b, "k"), put(b, "\4\5", 2); /* a dictionary of one */
                break;
        case 7:
                put(b, "\x0a\x02", 2); /* the object before */
                break;
        default:
                put(b, "\x09\x05", 2), amf3_text(b, ""), put(b, "\2\3", 2); /* an array of two */
        }
}

static void test_what_amf0_has_no_word_for_is_read_over(void **state)
{
        (void)state;
        for (int kind = 0; kind < 9; kind++) {
                struct bytes b = {0};
                avmplus(&b), put_what_is_read_over(&b, kind), amf_string(&b, "cam");
                struct amf0 in = input_of(&b);
                assert_int_equal(amf0_read(&in, NULL, NULL).type, kind == 5 || kind == 8 ? AMF_ARRAY : AMF_OTHER);
                struct amf_value v = amf0_read(&in, NULL, NULL);
                assert_true(amf_value_is(&v, "cam"));
                assert_int_equal(reader_done(&in.r), 0);
                bytes_free(&b);
        }
}

static void test_members_sealed_and_dynamic_are_told_and_deeper_ones_are_not(void **state)
{
        (void)state;
        struct bytes b = {0};
        avmplus(&b), amf3_object(&b, 2, 1);
        amf3_text(&b, ""), amf3_text(&b, "a"), amf3_text(&b, "list");
        put(&b, "\x04\x01", 2);
        put(&b, "\x09\x03", 2), amf3_text(&b, "deep"), put(&b, "\x04\x09", 2), amf3_text(&b, ""), put_be(&b, 3, 1);
        amf3_text(&b, "b"), put_be(&b, 6, 1), amf3_text_again(&b, 1); /* b: "list" */
        amf3_text(&b, "in"), amf3_object(&b, 0, 1), amf3_text(&b, ""), amf3_text_again(&b, 0), put(&b, "\x04\x08", 2), amf3_text(&b, "");
        amf3_text(&b, "");
        assert_members(&b, AMF_OBJECT, "a=1 list=o b=list in=o ");
        bytes_free(&b);
}

static void test_an_array_with_names_is_an_object(void **state)
{
        (void)state;
        struct bytes b = {0};
        avmplus(&b), put(&b, "\x09\x03", 2), amf3_text(&b, "width"), put(&b, "\x04\x85\x00", 3), amf3_text(&b, "");
        put(&b, "\x04\x07", 2);
        assert_members(&b, AMF_OBJECT, "width=640 ");
        bytes_free(&b);
}

static void test_members_named_once_belong_to_later_objects_of_the_message_too(void **state)
{
        (void)state;
        struct bytes b = {0};
        struct seen s = {0};
        avmplus(&b), amf3_object(&b, 2, 0), amf3_text(&b, "Size"), amf3_text(&b, "w"), amf3_text(&b, "h");
        put(&b, "\x04\x10\x04\x09", 4);
        amf_null(&b);
        avmplus(&b), put(&b, "\x0a\x01", 2), put(&b, "\x04\x04\x06\x04", 4); /* h is "h" again */
        struct amf0 in = input_of(&b);
        for (int i = 0; i < 3; i++)
                amf0_read(&in, see, &s);
        assert_int_equal(reader_done(&in.r), 0);
        assert_string_equal(s.text, "w=16 h=9 w=4 h=h ");
        bytes_free(&b);
}

static void test_flex_wrappers_are_what_they_hold_and_other_classes_that_write_themselves_are_not_guessed(void **state)
{
        (void)state;
        struct bytes b = {0};
        avmplus(&b), put(&b, "\x0a\x07", 2), amf3_text(&b, "flex.messaging.io.ObjectProxy");
        amf3_object(&b, 0, 1), amf3_text(&b, ""), amf3_text(&b, "title"), amf3_string(&b, "T"), amf3_text(&b, "");
        assert_members(&b, AMF_OBJECT, "title=T ");
        bytes_free(&b);

        avmplus(&b), put(&b, "\x0a\x07\x43", 3), put_fill(&b, 'f', 10); /* a name as long as a wrapper's, cut short */
        struct amf0 cut = input_of(&b);
        assert_int_equal(amf0_read(&cut, NULL, NULL).type, AMF_NOTHING);
        bytes_free(&b);

        avmplus(&b), put(&b, "\x0a\x07", 2), amf3_text(&b, "com.example.Private"), put(&b, "\1\2\3", 3);
        struct amf0 in = input_of(&b);
        assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NOTHING);
        assert_int_equal(in.r.err, ERR_PROTO);
        bytes_free(&b);
}

static void test_every_truncation_is_an_error_and_reads_nothing_beyond(void **state)
{
        (void)state;
        struct bytes b = {0};
        avmplus(&b), amf3_object(&b, 2, 1), amf3_text(&b, "Class"), amf3_text(&b, "a"), amf3_text(&b, "b");
        put(&b, "\x05\x3f\xf8\0\0\0\0\0\0", 9), amf3_string(&b, "text");
        for (int kind = 0; kind < 9; kind++)
                amf3_text(&b, "more"), put_what_is_read_over(&b, kind);
        amf3_text(&b, "");
        for (size_t n = 1; n <= b.len; n++) {
                uint8_t *exact = malloc(n);
                memcpy(exact, b.p, n);
                struct amf0 in;
                struct seen s = {0};
                amf0_init(&in, exact, n);
                amf0_read(&in, see, &s);
                assert_int_equal(in.r.err, n < b.len ? ERR_PROTO : 0);
                free(exact);
        }
        bytes_free(&b);
}

static void test_references_to_what_was_not_there_are_errors(void **state)
{
        (void)state;
        static const char *const values[] = {"\x06\x00", "\x06\x02", "\x0a\x01", "\x0a\x05"};
        for (size_t i = 0; i < 4; i++) {
                struct bytes b = {0};
                avmplus(&b), put(&b, values[i], 2);
                struct amf0 in = input_of(&b);
                amf0_read(&in, NULL, NULL);
                assert_int_equal(in.r.err, ERR_PROTO);
                bytes_free(&b);
        }
}

static void test_nesting_is_counted_through_both_formats(void **state)
{
        (void)state;
        static const struct {
                int outer, inner, err;
        } cases[] = {{0, 16, 0}, {0, 17, ERR_LIMIT}, {8, 8, 0}, {8, 9, ERR_LIMIT}, {0, 50000, ERR_LIMIT}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct bytes b = {0};
                for (int n = 0; n < cases[i].outer; n++)
                        put_be(&b, 10, 1), put_be(&b, 1, 4);
                avmplus(&b);
                for (int n = 0; n < cases[i].inner; n++)
                        put(&b, "\x09\x03\x01", 3); /* an array of one */
                put_be(&b, 1, 1);
                struct amf0 in = input_of(&b);
                amf0_read(&in, NULL, NULL);
                assert_int_equal(in.r.err, cases[i].err);
                bytes_free(&b);
        }
}

static void test_lengths_that_claim_millions_end_with_the_input(void **state)
{
        (void)state;
        static const uint8_t markers[] = {6, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11};
        for (size_t i = 0; i < sizeof(markers); i++) {
                struct bytes b = {0};
                avmplus(&b), put(&b, &markers[i], 1), put(&b, "\xff\xff\xff\xfb", 4), put_fill(&b, 1, 50);
                struct amf0 in = input_of(&b);
                assert_int_equal(amf0_read(&in, NULL, NULL).type, AMF_NOTHING);
                assert_int_equal(in.r.err, ERR_PROTO);
                bytes_free(&b);
        }
}

/* A dynamic object of `count` members "m0", "m1", …, and one more, whose name is that of number `again`. */
static void put_many_names(struct bytes *b, unsigned count, uint32_t again)
{
        char name[16];
        avmplus(b), amf3_object(b, 0, 1), amf3_text(b, "");
        for (unsigned i = 0; i < count; i++) {
                snprintf(name, sizeof(name), "m%u", i);
                amf3_text(b, name), put_be(b, 1, 1);
        }
        amf3_text_again(b, again), put(b, "\x04\x05", 2), amf3_text(b, "");
}

static void test_names_beyond_those_that_are_remembered_are_passed_over(void **state)
{
        (void)state;
        for (uint32_t again = AMF3_TEXTS - 1; again <= AMF3_TEXTS; again++) {
                struct bytes b = {0};
                struct seen s = {0};
                put_many_names(&b, AMF3_TEXTS + 10, again);
                s.count = 0;
                struct amf0 in = input_of(&b);
                assert_int_equal(amf0_read(&in, see, &s).type, AMF_OBJECT);
                assert_int_equal(reader_done(&in.r), 0);
                assert_int_equal(s.count, AMF3_TEXTS + 11);
                bytes_free(&b);
        }
}

static void test_members_beyond_those_that_are_remembered_cannot_be_read(void **state)
{
        (void)state;
        for (uint32_t again = AMF3_TRAITS - 1; again <= AMF3_TRAITS; again++) {
                struct bytes b = {0};
                avmplus(&b), put_be(&b, 9, 1), amf3_u29(&b, (AMF3_TRAITS + 2) << 1 | 1), amf3_text(&b, "");
                for (unsigned i = 0; i <= AMF3_TRAITS; i++)
                        amf3_object(&b, 1, 0), amf3_text(&b, ""), amf3_text(&b, "m"), put_be(&b, 1, 1);
                put_be(&b, 0x0a, 1), amf3_u29(&b, again << 2 | 1), put_be(&b, 1, 1);
                struct amf0 in = input_of(&b);
                amf0_read(&in, NULL, NULL);
                assert_int_equal(in.r.err, again < AMF3_TRAITS ? 0 : ERR_PROTO);
                bytes_free(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_have_29_bits_and_a_sign),
                cmocka_unit_test(test_scalars_are_amf0s_of_the_same_meaning),
                cmocka_unit_test(test_what_amf0_has_no_word_for_is_read_over),
                cmocka_unit_test(test_members_sealed_and_dynamic_are_told_and_deeper_ones_are_not),
                cmocka_unit_test(test_an_array_with_names_is_an_object),
                cmocka_unit_test(test_members_named_once_belong_to_later_objects_of_the_message_too),
                cmocka_unit_test(test_flex_wrappers_are_what_they_hold_and_other_classes_that_write_themselves_are_not_guessed),
                cmocka_unit_test(test_every_truncation_is_an_error_and_reads_nothing_beyond),
                cmocka_unit_test(test_references_to_what_was_not_there_are_errors),
                cmocka_unit_test(test_nesting_is_counted_through_both_formats),
                cmocka_unit_test(test_lengths_that_claim_millions_end_with_the_input),
                cmocka_unit_test(test_names_beyond_those_that_are_remembered_are_passed_over),
                cmocka_unit_test(test_members_beyond_those_that_are_remembered_cannot_be_read),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
