/* may: the whole table of who may ask what of whom, written down a second time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "proto/fetch.h"
#include "proto/may.h"
#include "proto/message.h"

#define KEY_PUBLIC "/live/cam/manifest.mpd"

static bool asks(enum node_role who, enum node_role whom, uint8_t type, const char *key)
{
        uint8_t bytes[512];
        struct fetch m = {.wait_ms = 10};
        struct writer w;
        struct reader r;
        snprintf(m.key, sizeof(m.key), "%s", key);
        writer_init(&w, bytes, sizeof(bytes));
        fetch_encode(&w, &m);
        reader_init(&r, bytes, w.len);
        return may_ask(who, whom, type, &r);
}

/* who → whom: its messages. */
static const char *allowed(enum node_role who, enum node_role whom)
{
        if (who == ROLE_INGESTD && whom == ROLE_TRANSCODERD)
                return "OPEN MEDIA MEDIA_MANY MEDIA_TOLD CLOSE";
        if (who == ROLE_TRANSCODERD && whom == ROLE_ORIGIND)
                return "CLAIM PUT END";
        if (who == ROLE_ORIGIND && whom == ROLE_ORIGIND)
                return "FETCH PEER";
        if (who == ROLE_EDGED && whom == ROLE_ORIGIND)
                return "FETCH";
        if (who == ROLE_EDGED && whom == ROLE_EDGED)
                return "FETCH FETCH_OWNED";
        return "";
}

static bool has_word(const char *list, const char *word)
{
        size_t len = strlen(word);
        for (const char *p = list; (p = strstr(p, word)); p += len) {
                if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
                        return true;
        }
        return false;
}

static void test_each_role_may_ask_what_is_its_own_and_nothing_else(void **state)
{
        (void)state;
        for (int who = 0; who <= ROLE_EDGED + 1; who++) {
                for (int whom = 0; whom <= ROLE_EDGED + 1; whom++) {
                        const char *list = allowed((enum node_role)who, (enum node_role)whom);
                        assert_int_equal(may_connect((enum node_role)who, (enum node_role)whom), *list != '\0');
                        for (int type = 0; type < 256; type++) {
                                bool may = has_word(list, may_message_name((uint8_t)type));
                                assert_int_equal(asks((enum node_role)who, (enum node_role)whom, (uint8_t)type, KEY_PUBLIC), may);
                        }
                }
        }
}

static void test_what_origins_keep_for_each_other_is_for_origins_only(void **state)
{
        static const char *const keys[] = {"/peer/ended/17", "/peer/live/0", "/peer/session/20260131T123456Z-1a2b3c4d", "/peer/"};
        (void)state;
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                assert_true(asks(ROLE_ORIGIND, ROLE_ORIGIND, MSG_FETCH, keys[i]));
                assert_false(asks(ROLE_EDGED, ROLE_ORIGIND, MSG_FETCH, keys[i]));
                assert_false(asks(ROLE_TRANSCODERD, ROLE_ORIGIND, MSG_FETCH, keys[i]));
                assert_false(asks(ROLE_INGESTD, ROLE_ORIGIND, MSG_FETCH, keys[i]));
        }
        assert_true(asks(ROLE_EDGED, ROLE_ORIGIND, MSG_FETCH, "/peers"));
}

static void test_a_fetch_that_does_not_decode_is_an_ordinary_one(void **state)
{
        static const uint8_t longer_than_it_is[] = {0, 200, '/', 'p', 'e', 'e', 'r', '/'};
        struct reader r;
        (void)state;
        reader_init(&r, longer_than_it_is, sizeof(longer_than_it_is));
        assert_true(may_ask(ROLE_EDGED, ROLE_ORIGIND, MSG_FETCH, &r)); /* the handler drops it */
        assert_false(may_ask(ROLE_INGESTD, ROLE_ORIGIND, MSG_FETCH, &r));
        assert_int_equal(r.p - longer_than_it_is, 0); /* nothing was consumed */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_role_may_ask_what_is_its_own_and_nothing_else),
                cmocka_unit_test(test_what_origins_keep_for_each_other_is_for_origins_only),
                cmocka_unit_test(test_a_fetch_that_does_not_decode_is_an_ordinary_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
