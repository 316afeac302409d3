/* aac_data: bytes of others go into a frame of AAC and out again, decoders hear nothing of them, and nonsense harms nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/aac_data.h"

static uint8_t said[8][AAC_DATA_MESSAGE_MAX];
static size_t lengths[8], count;

static void hear(void *arg, const uint8_t *message, size_t len)
{
        (void)arg;
        assert_true(count < 8);
        memcpy(said[count], message, len);
        lengths[count++] = len;
}

/* In memory of just its size, for the sanitizers. */
static void read_exactly(const uint8_t *frame, size_t len)
{
        uint8_t *copy = malloc(len + !len);
        memcpy(copy, frame, len);
        count = 0;
        aac_data_each(copy, len, hear, NULL);
        free(copy);
}

static const uint8_t sound[] = {0x21, 0x10, 0x04, 0x60}; /* a pair of channels */

static void test_messages_of_every_length_come_out_as_they_went_in(void **state)
{
        (void)state;
        static const size_t sizes[] = {1, 254, 255, 256, 509, 510, 511, 1019, 1020, 1021, 2075, AAC_DATA_MESSAGE_MAX};
        static uint8_t message[AAC_DATA_MESSAGE_MAX];
        for (size_t i = 0; i < sizeof(message); i++)
                message[i] = (uint8_t)(i * 7);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                struct buf *b = aac_data_add(sound, sizeof(sound), message, sizes[i]);
                read_exactly(b->data, b->len);
                assert_int_equal(count, 1);
                assert_int_equal(lengths[0], sizes[i]);
                assert_memory_equal(said[0], message, sizes[i]);
                assert_memory_equal(b->data + b->len - sizeof(sound), sound, sizeof(sound));
                buf_unref(&b);
        }
}

static void test_several_are_told_in_their_order_and_those_of_an_encoder_are_not(void **state)
{
        (void)state;
        static const uint8_t own[] = {0x80, 2, 'm', 'e', 0x21, 0x10}; /* its tag is 0 */
        struct buf *b = aac_data_add(own, sizeof(own), (const uint8_t *)"second", 6);
        struct buf *both = aac_data_add(b->data, b->len, (const uint8_t *)"first", 5);
        read_exactly(both->data, both->len);
        assert_int_equal(count, 2);
        assert_memory_equal(said[0], "first", 5);
        assert_memory_equal(said[1], "second", 6);
        buf_unref(&both);
        buf_unref(&b);
        read_exactly(own, sizeof(own));
        assert_int_equal(count, 0);
}

static void test_what_is_cut_off_or_too_long_is_not_told(void **state)
{
        (void)state;
        static uint8_t message[AAC_DATA_MESSAGE_MAX + 1];
        struct buf *b = aac_data_add(sound, sizeof(sound), message, 600);
        for (size_t n = 0; n < b->len - sizeof(sound); n++) {
                read_exactly(b->data, n);
                assert_int_equal(count, 0);
        }
        buf_unref(&b);
        b = aac_data_add(sound, sizeof(sound), message, sizeof(message));
        read_exactly(b->data, b->len);
        assert_int_equal(count, 0);
        buf_unref(&b);
        read_exactly(sound, sizeof(sound));
        assert_int_equal(count, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_messages_of_every_length_come_out_as_they_went_in),
                cmocka_unit_test(test_several_are_told_in_their_order_and_those_of_an_encoder_are_not),
                cmocka_unit_test(test_what_is_cut_off_or_too_long_is_not_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
