/* gzip: who takes it, and that what is made is what it was made of. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "edged/gzip.h"

static void test_who_names_gzip_or_anything_and_not_with_q_0_takes_it(void **state)
{
        (void)state;
        static const char *const yes[] = {"gzip", "GZIP", "x-gzip", "gzip, deflate, br", "br,gzip", "deflate , gzip ;q=0.5", "gzip;q=1",
                                          "gzip;q=0.001", "*", "br;q=0, *;q=0.1", "gzip; q=1.000", "identity;q=0, gzip"};
        static const char *const no[] = {"", "br", "gzipped", "notgzip", "gzip;q=0", "gzip; q=0.000", "gzip;Q=0.", "*;q=0", "identity",
                                         "*, gzip;q=0", "gzip;q=0, *", ",", ";q=1", "deflate;gzip", "br;gzip=1"};
        assert_false(gzip_is_accepted(NULL));
        for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
                if (!gzip_is_accepted(yes[i]))
                        fail_msg("\"%s\" takes it", yes[i]);
        }
        for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
                if (gzip_is_accepted(no[i]))
                        fail_msg("\"%s\" does not", no[i]);
        }
}

static void test_what_is_made_is_what_it_was_made_of(void **state)
{
        (void)state;
        static char text[400000], back[sizeof(text)];
        size_t len = 0, made_len;
        for (int i = 0; len < 300000; i++)
                len += (size_t)snprintf(text + len, sizeof(text) - len, "#EXTINF:1.00000,\n%d.m4s\n", i);
        for (enum gzip_effort effort = GZIP_QUICK; effort <= GZIP_BEST; effort++) {
                void *made = gzip_make(text, len, effort, &made_len);
                assert_non_null(made);
                assert_true(made_len < len / 5);
                assert_true(malloc_usable_size(made) < made_len + 4096); /* what is counted is what it takes */
                z_stream z = {.next_in = made, .avail_in = (uInt)made_len, .next_out = (Bytef *)back, .avail_out = sizeof(back)};
                assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
                assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
                assert_int_equal(z.total_out, len);
                assert_memory_equal(back, text, len);
                inflateEnd(&z);
                free(made);
        }
}

static void test_what_would_not_be_smaller_is_not_made(void **state)
{
        (void)state;
        size_t len = 0;
        assert_null(gzip_make("#EXTM3U", 7, GZIP_QUICK, &len));
        assert_int_equal(len, 0);
        assert_null(gzip_make("", 0, GZIP_BEST, &len));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_names_gzip_or_anything_and_not_with_q_0_takes_it),
                cmocka_unit_test(test_what_is_made_is_what_it_was_made_of),
                cmocka_unit_test(test_what_would_not_be_smaller_is_not_made),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
