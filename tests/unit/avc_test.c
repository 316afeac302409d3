/* H.264's records and NAL units, as they are sent and as they should not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/avc.h"
#include "common/err.h"

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static const uint8_t whole[] = {1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 4, 0x68, 0xee, 0x3c, 0x80};

/* In memory of just its size, for the sanitizers. */
static int read_exactly(struct avc_record *out, const uint8_t *data, size_t len)
{
        uint8_t *copy = malloc(len + !len);
        memcpy(copy, data, len);
        int err = avc_record_read(out, copy, len);
        free(copy);
        return err;
}

static void test_a_record_tells_its_lengths_and_sets(void **state)
{
        (void)state;
        struct avc_record r;
        assert_int_equal(read_exactly(&r, whole, sizeof(whole)), 0);
        assert_int_equal(r.length_size, 4);
        assert_int_equal(r.sps, 1);
        assert_int_equal(r.pps, 1);
        for (size_t n = 0; n < sizeof(whole); n++)
                assert_int_equal(read_exactly(&r, whole, n), ERR_PROTO);
}

static void test_a_record_without_parameter_sets_is_told_from_nonsense(void **state)
{
        (void)state;
        struct avc_record r;
        assert_int_equal(read_exactly(&r, BYTES("\1\144\0\37\377\340\0")), ERR_NOT_FOUND);
        assert_int_equal(r.length_size, 4);
        assert_int_equal(read_exactly(&r, BYTES("\1\0\0\0\375\340")), ERR_NOT_FOUND); /* ends early */
        assert_int_equal(r.length_size, 2);
        assert_int_equal(read_exactly(&r, BYTES("\1\144\0\37\377\341\0\4\147\144\0\37\0")), ERR_NOT_FOUND); /* no PPS */
        assert_int_equal(read_exactly(&r, BYTES("\1\144\0\37\377\340\1\0\4\150\356\74\200")), ERR_NOT_FOUND); /* no SPS */
        assert_int_equal(read_exactly(&r, BYTES("\0\0\0\0\0\0\0\0")), ERR_PROTO);
        assert_int_equal(read_exactly(&r, BYTES("\1\144\0\37\376\340\0")), ERR_PROTO); /* lengths of 3 bytes */
        assert_int_equal(read_exactly(&r, BYTES("\0\0\0\1\147\144\0\37\0\0\0\1\150\356\74\200")), ERR_PROTO); /* start codes */
}

static void test_only_another_sequence_parameter_set_is_brought(void **state)
{
        (void)state;
        uint8_t zeros[] = {1, 0, 0, 0, 3, 2, 0, 6, 0x67, 0x64, 0, 0x1f, 0, 0, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0x11};
        assert_false(avc_record_brings_sps(whole, sizeof(whole), whole, sizeof(whole)));
        assert_false(avc_record_brings_sps(whole, sizeof(whole), zeros, sizeof(zeros)));
        zeros[19] = 0x20;
        assert_true(avc_record_brings_sps(whole, sizeof(whole), zeros, sizeof(zeros)));
        assert_false(avc_record_brings_sps(zeros, sizeof(zeros), whole, sizeof(whole))); /* one less */
        assert_true(avc_record_brings_sps(BYTES("\1\144\0\37\377\340\0"), whole, sizeof(whole)));
        assert_false(avc_record_brings_sps(whole, sizeof(whole), BYTES("garbage")));
}

struct seen {
        bool picture, idr, intra, recovery, sps, pps, broken;
};

static void check_look(unsigned length_size, const uint8_t *data, size_t len, struct seen want)
{
        uint8_t *copy = malloc(len + !len);
        memcpy(copy, data, len);
        struct avc_look got = avc_look(length_size, copy, len);
        free(copy);
        assert_int_equal(got.picture, want.picture);
        assert_int_equal(got.idr, want.idr);
        assert_int_equal(got.intra, want.intra);
        assert_int_equal(got.recovery, want.recovery);
        assert_int_equal(got.sps, want.sps);
        assert_int_equal(got.pps, want.pps);
        assert_int_equal(got.broken, want.broken);
}

/* Slice headers: first_mb_in_slice 0, then slice_type: 7 is 0001000, 5 is 00110, 2 is 011, 0 is 1. */
static void test_pictures_are_known_by_their_nal_units(void **state)
{
        (void)state;
        check_look(4, BYTES("\0\0\0\3\145\210\200"), (struct seen){.picture = true, .idr = true, .intra = true});
        check_look(2, BYTES("\0\3\145\210\200"), (struct seen){.picture = true, .idr = true, .intra = true});
        check_look(1, BYTES("\3\145\210\200"), (struct seen){.picture = true, .idr = true, .intra = true});
        check_look(4, BYTES("\0\0\0\3\101\232\0"), (struct seen){.picture = true}); /* P, 5 */
        check_look(4, BYTES("\0\0\0\2\101\340"), (struct seen){.picture = true});   /* P, 0 */
        check_look(4, BYTES("\0\0\0\3\101\210\200"), (struct seen){.picture = true, .intra = true}); /* I, 7 */
        check_look(4, BYTES("\0\0\0\2\101\260"), (struct seen){.picture = true, .intra = true});     /* I, 2 */
        check_look(4, BYTES("\0\0\0\2\101\260\0\0\0\2\101\340"), (struct seen){.picture = true});    /* one of each */
        check_look(4, BYTES("\0\0\0\2\11\360\0\0\0\6\6\5\1\3\6\200\0\0\0\5\147\144\0\37\1"
                            "\0\0\0\4\150\356\74\200\0\0\0\3\145\210\200"),
                   (struct seen){.picture = true, .idr = true, .intra = true, .sps = true, .pps = true}); /* all before it */
        check_look(4, BYTES("\0\0\0\2\14\200\0\0\0\0"), (struct seen){0}); /* filler, and an empty one */
}

static void test_a_recovery_point_is_found_behind_other_messages(void **state)
{
        (void)state;
        check_look(4, BYTES("\0\0\0\5\6\6\1\300\200\0\0\0\3\101\232\0"), (struct seen){.picture = true, .recovery = true});
        /* a message of 4 bytes with one that keeps a start code away; then the recovery point */
        check_look(4, BYTES("\0\0\0\14\6\5\4\0\0\3\1\1\6\1\300\200"), (struct seen){.recovery = true});
        /* what is within another message is none */
        check_look(4, BYTES("\0\0\0\10\6\5\4\6\1\300\1\200"), (struct seen){0});
}

static void test_start_codes_instead_of_lengths_are_understood(void **state)
{
        (void)state;
        check_look(4, BYTES("\0\0\0\1\11\360\0\0\1\147\144\0\37\0\0\0\1\150\356\74\200\0\0\1\145\210\200"),
                   (struct seen){.picture = true, .idr = true, .intra = true, .sps = true, .pps = true});
        /* a NAL unit of one byte, and one behind it */
        check_look(4, BYTES("\0\0\0\1\13\0\0\0\3\145\210\200"), (struct seen){.picture = true, .idr = true, .intra = true});
}

static void test_lengths_that_do_not_fit_are_told(void **state)
{
        (void)state;
        check_look(4, BYTES(""), (struct seen){.broken = true});
        check_look(4, BYTES("\0\0\0"), (struct seen){.broken = true});
        check_look(4, BYTES("\0\0\0\0\0\0\0\0"), (struct seen){.broken = true});
        check_look(4, BYTES("\377\377\377\377\145"), (struct seen){.broken = true});
        check_look(4, BYTES("\0\0\0\3\145\210\200\0\0\0\4\145"),
                   (struct seen){.picture = true, .idr = true, .intra = true, .broken = true});
}

static void test_a_record_is_made_of_the_sets_in_an_access_unit(void **state)
{
        (void)state;
        uint8_t made[64];
        static const char by_length[] = "\0\0\0\2\11\360\0\0\0\4\147\144\0\37\0\0\0\4\150\356\74\200\0\0\0\3\145\210\200";
        static const char by_code[] = "\0\0\0\1\11\360\0\0\0\1\147\144\0\37\0\0\0\1\150\356\74\200\0\0\0\1\145\210\200";
        assert_int_equal(avc_record_make(made, sizeof(made), 4, BYTES(by_length)), sizeof(whole));
        assert_memory_equal(made, whole, sizeof(whole));
        assert_int_equal(avc_record_make(made, sizeof(made), 4, BYTES(by_code)), sizeof(whole));
        assert_memory_equal(made, whole, sizeof(whole));
        assert_int_equal(avc_record_make(made, sizeof(whole) - 1, 4, BYTES(by_length)), 0);
        assert_int_equal(avc_record_make(made, sizeof(made), 4, BYTES("\0\0\0\4\147\144\0\37\0\0\0\3\145\210\200")), 0);
        assert_int_equal(avc_record_make(made, sizeof(made), 4, BYTES("\0\0\0\4\150\356\74\200\0\0\0\3\145\210\200")), 0);
}

static void test_noise_is_read_within_its_bounds(void **state)
{
        (void)state;
        srand(3);
        for (int n = 0; n < 20000; n++) {
                size_t len = (size_t)rand() % 60;
                uint8_t *p = malloc(len + !len), made[256];
                struct avc_record r;
                for (size_t i = 0; i < len; i++)
                        p[i] = (uint8_t)(rand() % 3 ? rand() % 10 : rand());
                avc_record_read(&r, p, len);
                avc_record_brings_sps(p, len, p, len / 2);
                for (unsigned size = 1; size <= 4; size++) {
                        avc_look(size, p, len);
                        size_t m = avc_record_make(made, sizeof(made), size, p, len);
                        assert_true(m == 0 || size == 3 || avc_record_read(&r, made, m) == 0);
                }
                free(p);
        }
}

static bool has_seven(const uint8_t *payload, size_t len_bytes)
{
        return memchr(payload, 7, len_bytes);
}

static void test_messages_of_a_type_are_asked_without_what_keeps_start_codes_away(void **state)
{
        (void)state;
        /* a slice; SEI: type 5 of one byte, type 4 of {0, 0, 1, 7}, escaped; one of type 4 that is cut off */
        static const uint8_t units[] = {0, 0, 0, 2, 0x65, 0x88, 0, 0, 0, 12, 6, 5, 1, 9, 4, 4, 0, 0, 3, 1, 7, 0x80};
        static const uint8_t cut[] = {0, 0, 0, 6, 6, 4, 9, 1, 7, 7};
        static uint8_t longer[AVC_SEI_BYTES_MAX + 40] = {0, 0, 2, 24, 6, 4, 255, 255, 8};
        assert_true(avc_has_sei(AVC_LENGTH_SIZE, units, sizeof(units), 4, has_seven));
        assert_false(avc_has_sei(AVC_LENGTH_SIZE, units, sizeof(units), 5, has_seven));
        assert_false(avc_has_sei(AVC_LENGTH_SIZE, cut, sizeof(cut), 4, has_seven));
        longer[sizeof(longer) - 1] = 7;
        assert_false(avc_has_sei(AVC_LENGTH_SIZE, longer, sizeof(longer), 4, has_seven));
}

static size_t seen_len;
static uint8_t seen[AVC_SEI_BYTES_MAX];

static bool note(const uint8_t *payload, size_t len)
{
        seen_len = len;
        memcpy(seen, payload, len);
        return true;
}

static void assert_added(unsigned length_size, const uint8_t *unit, size_t len, size_t at, const uint8_t *payload, size_t payload_len)
{
        struct buf *b = avc_add_sei(length_size, unit, len, AVC_SEI_UNREGISTERED, payload, payload_len);
        assert_non_null(b);
        size_t more = b->len - len;
        assert_memory_equal(b->data, unit, at);
        assert_memory_equal(b->data + at + more, unit + at, len - at);
        assert_true(avc_has_sei(length_size, b->data, b->len, AVC_SEI_UNREGISTERED, note));
        assert_int_equal(seen_len, payload_len);
        assert_memory_equal(seen, payload, payload_len);
        assert_true(avc_look(length_size, b->data, b->len).idr);
        for (size_t i = at + length_size; i + 2 < at + more; i++) /* no start code, nor what looks like one, in the message */
                assert_false(b->data[i] == 0 && b->data[i + 1] == 0 && b->data[i + 2] < 3);
        buf_unref(&b);
}

static void test_a_message_is_added_before_the_picture_and_behind_its_delimiter(void **state)
{
        (void)state;
        static const uint8_t bare[] = {0, 0, 0, 2, 0x65, 0x88}, delimited[] = {0, 0, 0, 2, 9, 0x10, 0, 0, 0, 2, 0x65, 0x88};
        static const uint8_t shorter[] = {0, 2, 0x65, 0x88}, codes[] = {0, 0, 0, 1, 0x65, 0x88, 0x80, 0, 0, 1, 0x41, 0x9a};
        static const uint8_t said[] = {0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 7};
        static uint8_t zeros[300];
        assert_added(4, bare, sizeof(bare), 0, said, sizeof(said));
        assert_added(4, bare, sizeof(bare), 0, zeros, sizeof(zeros));
        assert_added(4, delimited, sizeof(delimited), 6, said, sizeof(said));
        assert_added(2, shorter, sizeof(shorter), 0, said, sizeof(said));
        assert_added(4, codes, sizeof(codes), 0, said, sizeof(said));
        static const uint8_t tiny[] = {2, 0x65, 0x88};
        assert_added(1, tiny, sizeof(tiny), 0, said, sizeof(said));
        assert_null(avc_add_sei(1, tiny, sizeof(tiny), AVC_SEI_UNREGISTERED, zeros, sizeof(zeros)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_record_tells_its_lengths_and_sets),
                cmocka_unit_test(test_a_record_without_parameter_sets_is_told_from_nonsense),
                cmocka_unit_test(test_only_another_sequence_parameter_set_is_brought),
                cmocka_unit_test(test_pictures_are_known_by_their_nal_units),
                cmocka_unit_test(test_a_recovery_point_is_found_behind_other_messages),
                cmocka_unit_test(test_messages_of_a_type_are_asked_without_what_keeps_start_codes_away),
                cmocka_unit_test(test_a_message_is_added_before_the_picture_and_behind_its_delimiter),
                cmocka_unit_test(test_start_codes_instead_of_lengths_are_understood),
                cmocka_unit_test(test_lengths_that_do_not_fit_are_told),
                cmocka_unit_test(test_a_record_is_made_of_the_sets_in_an_access_unit),
                cmocka_unit_test(test_noise_is_read_within_its_bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
