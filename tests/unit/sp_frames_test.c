/* sp_frames: whatever the pieces that it comes in, each message's length is known with its last byte, and nothing else is taken for one.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cluster/sp_frames.h"

/* A beginning, messages of 5, 0 and 300 bytes (whose content looks like lengths), and one that was announced only. */
static size_t make(uint8_t out[512])
{
        static const uint8_t begins[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
        static const uint64_t lengths[] = {5, 0, 300, UINT64_C(1) << 40};
        size_t at = 8;
        memset(out, 0xff, 512);
        memcpy(out, begins, 8);
        for (size_t i = 0; i < 4; i++) {
                for (int k = 0; k < 8; k++)
                        out[at++] = (uint8_t)(lengths[i] >> (56 - 8 * k));
                at += i < 3 ? lengths[i] : 0;
        }
        return at;
}

static void test_lengths_are_seen_in_pieces_of_any_size(void **state)
{
        static const uint64_t expected[] = {5, 0, 300, UINT64_C(1) << 40};
        uint8_t bytes[512];
        size_t total = make(bytes);
        (void)state;
        for (size_t piece = 1; piece <= total; piece++) {
                struct sp_frames f = {0};
                size_t seen = 0;
                for (size_t at = 0; at < total;) {
                        enum sp_event event;
                        uint64_t len = 77;
                        size_t n = total - at < piece ? total - at : piece;
                        at += sp_frames_feed(&f, bytes + at, n, &event, &len);
                        if (event == SP_MESSAGE)
                                assert_int_equal(len, expected[seen++]);
                        else
                                assert_int_equal(event, SP_NOTHING);
                }
                assert_int_equal(seen, 4);
                assert_int_equal(f.left, expected[3]);
        }
}

static void test_between_messages_is_known(void **state)
{
        uint8_t bytes[512];
        enum sp_event event;
        uint64_t len;
        struct sp_frames f = {0};
        (void)state;
        make(bytes);
        assert_false(sp_frames_between(&f));
        sp_frames_feed(&f, bytes, 8, &event, &len);
        assert_true(sp_frames_between(&f));
        sp_frames_feed(&f, bytes + 8, 3, &event, &len);
        assert_false(sp_frames_between(&f));
        sp_frames_feed(&f, bytes + 11, 5, &event, &len);
        assert_false(sp_frames_between(&f));
        sp_frames_feed(&f, bytes + 16, 5, &event, &len);
        assert_true(sp_frames_between(&f));
}

static void test_another_protocol_is_garbage(void **state)
{
        (void)state;
        for (int i = 0; i < 8; i++) {
                uint8_t bytes[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
                struct sp_frames f = {0};
                enum sp_event event;
                uint64_t len;
                bytes[i] ^= 1;
                sp_frames_feed(&f, bytes, 8, &event, &len);
                assert_int_equal(event, i == 4 || i == 5 ? SP_NOTHING : SP_GARBAGE); /* which protocol is nng's to judge */
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lengths_are_seen_in_pieces_of_any_size),
                cmocka_unit_test(test_between_messages_is_known),
                cmocka_unit_test(test_another_protocol_is_garbage),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
