/* Heads of requests: what is one, what is none and why, and that no cutting of the bytes makes a difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edged/wire/parse.h"

#define GET "GET /a HTTP/1.1\r\nHost: x\r\n"

static ssize_t parse(const char *text, struct parse_head *h)
{
        static char bytes[PARSE_HEAD_MAX];
        memcpy(bytes, text, strlen(text));
        return parse_head(bytes, strlen(text), h);
}

static void accepted(const char *text, struct parse_head *h)
{
        ssize_t n = parse(text, h);
        if (n != (ssize_t)strlen(text))
                fail_msg("%zd for %s", n, text);
}

static void refused(const char *text, enum parse_fault why)
{
        struct parse_head h;
        ssize_t n = parse(text, &h);
        if (n != -(ssize_t)why)
                fail_msg("%zd and not %d for %s", n, -(int)why, text);
}

static void test_a_request_is_taken_apart(void **state)
{
        (void)state;
        struct parse_head h;
        accepted("GET /live/cam?x=1 HTTP/1.1\r\nhost: x:80\r\nRANGE:bytes=0-1\t \r\nX-Forwarded-For: 1\r\nx-forwarded-for: 2\r\n"
                 "If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\nUnknown:\r\n\r\n", &h);
        assert_int_equal(h.method, METHOD_GET);
        assert_string_equal(h.target, "/live/cam?x=1");
        assert_string_equal(h.fields[FIELD_HOST], "x:80");
        assert_string_equal(h.fields[FIELD_RANGE], "bytes=0-1");
        assert_string_equal(h.fields[FIELD_X_FORWARDED_FOR], "2");
        assert_string_equal(h.fields[FIELD_IF_NONE_MATCH], "\"a\"");
        assert_null(h.fields[FIELD_COOKIE]);
        assert_false(h.closes);
        accepted("\r\nOPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", &h);
        assert_int_equal(h.method, METHOD_OPTIONS);
        accepted("GET http://x/a HTTP/1.9\r\nHost: x\r\n\r\n", &h);
        accepted("BREW pot HTTP/1.1\r\nHost: x\r\n\r\n", &h);
        assert_int_equal(h.method, METHOD_OTHER);
        accepted("get / HTTP/1.1\r\nHost: x\r\n\r\n", &h); /* methods have a case */
        assert_int_equal(h.method, METHOD_OTHER);
}

static void test_the_connection_ends_when_the_viewer_says_so_or_is_of_old(void **state)
{
        (void)state;
        struct parse_head h;
        accepted(GET "Connection: foo , CLOSE\r\n\r\n", &h);
        assert_true(h.closes);
        accepted(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n", &h);
        assert_true(h.closes);
        accepted(GET "Connection: closed\r\n\r\n", &h);
        assert_false(h.closes);
        accepted("GET / HTTP/1.0\r\n\r\n", &h);
        assert_true(h.closes && h.http_1_0);
        accepted("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h);
        assert_false(h.closes);
}

static void test_a_body_has_one_length_that_is_a_number(void **state)
{
        (void)state;
        struct parse_head h;
        accepted(GET "Content-Length: 65536\r\n\r\n", &h);
        assert_int_equal(h.body_bytes, PARSE_BODY_MAX);
        accepted(GET "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", &h);
        assert_true(h.closes && h.body_bytes == 0);
        accepted("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", &h);
        assert_true(h.closes);
        refused(GET "Content-Length: 65537\r\n\r\n", PARSE_BODY);
        refused(GET "Content-Length: 184467440737095516160\r\n\r\n", PARSE_BODY);
        refused(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", PARSE_FRAMING);
        refused(GET "Content-Length: 5, 5\r\n\r\n", PARSE_LENGTH);
        refused(GET "Content-Length: +5\r\n\r\n", PARSE_LENGTH);
        refused(GET "Content-Length:\r\n\r\n", PARSE_LENGTH);
        refused(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", PARSE_FRAMING);
        refused(GET "Transfer-Encoding: chunked\r\n\r\n", PARSE_NO_LENGTH);
        refused(GET "Transfer-Encoding: gzip, chunked\r\n\r\n", PARSE_CODING);
        refused("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", PARSE_FRAMING);
        refused(GET "Expect: tea\r\n\r\n", PARSE_EXPECT);
}

static void test_what_could_be_read_in_two_ways_is_refused(void **state)
{
        (void)state;
        refused("GET /a HTTP/1.1\nHost: x\r\n\r\n", PARSE_LINE);
        refused("GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", PARSE_LINE);
        refused("GET /a\tHTTP/1.1\r\nHost: x\r\n\r\n", PARSE_LINE);
        refused("GET a HTTP/1.1\r\nHost: x\r\n\r\n", PARSE_LINE);
        refused("GET /a\r\n", PARSE_LINE);
        refused("GET /a HTTP/2.0\r\n", PARSE_VERSION);
        refused("GET /\x80 HTTP/1.1\r\n", PARSE_LINE);
        refused("\r\n\r\nGET / HTTP/1.1\r\n", PARSE_LINE);
        refused(GET "A : b\r\n\r\n", PARSE_FIELD);
        refused(GET " folded: b\r\n\r\n", PARSE_FIELD);
        refused(GET "A: b\r\n c\r\n\r\n", PARSE_FIELD);
        refused(GET "A: b\rc\r\n\r\n", PARSE_FIELD);
        refused(GET "A: b\nC: d\r\n\r\n", PARSE_FIELD);
        refused(GET "A: \x01\r\n\r\n", PARSE_FIELD);
        refused(GET ": b\r\n\r\n", PARSE_FIELD);
        refused(GET "Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", PARSE_FIELD);
        refused(GET "Host: x\r\n\r\n", PARSE_HOST);
        refused("GET / HTTP/1.1\r\n\r\n", PARSE_HOST);
        refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", PARSE_HOST);
        refused("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", PARSE_HOST);
}

static void test_nothing_is_larger_than_its_bound(void **state)
{
        (void)state;
        static char bytes[PARSE_HEAD_MAX + 1];
        struct parse_head h;
        memset(bytes, 'a', PARSE_HEAD_MAX);
        assert_int_equal(parse_head(bytes, 32, &h), 0);
        assert_int_equal(parse_head(bytes, 33, &h), -PARSE_LINE); /* no method is so long */
        memcpy(bytes, "GET /", 5);
        assert_int_equal(parse_head(bytes, 4 + PARSE_TARGET_MAX, &h), 0);
        assert_int_equal(parse_head(bytes, 5 + PARSE_TARGET_MAX, &h), -PARSE_TARGET);
        memcpy(bytes, GET "X: ", strlen(GET "X: "));
        assert_int_equal(parse_head(bytes, PARSE_HEAD_MAX - 1, &h), 0);
        assert_int_equal(parse_head(bytes, PARSE_HEAD_MAX, &h), -PARSE_LARGE);
        size_t at = strlen(GET);
        for (int i = 1; i < PARSE_FIELDS_MAX; i++, at += 6) /* Host is one */
                memcpy(bytes + at, "X: y\r\n", 6);
        memcpy(bytes + at, "\r\n", 2);
        assert_int_equal(parse_head(bytes, at + 2, &h), at + 2);
        memcpy(bytes, GET, strlen(GET)); /* NULs were written there */
        for (size_t i = strlen(GET); i < at; i += 6)
                memcpy(bytes + i, "X: y\r\n", 6);
        memcpy(bytes + at, "X: y\r\n\r\n", 8);
        assert_int_equal(parse_head(bytes, at + 8, &h), -PARSE_LARGE);
}

/* Of every beginning more is wanted, and the bytes stay as they came. */
static void test_it_makes_no_difference_in_what_pieces_a_head_comes(void **state)
{
        (void)state;
        static const char text[] = "\r\nHEAD /a HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\nConnection: close\r\n\r\nrest";
        char bytes[sizeof(text)];
        struct parse_head h;
        size_t head = sizeof(text) - 1 - 4;
        for (size_t len = 0; len < head; len++) {
                memcpy(bytes, text, sizeof(text));
                assert_int_equal(parse_head(bytes, len, &h), 0);
                assert_memory_equal(bytes, text, sizeof(text));
        }
        assert_int_equal(parse_head(bytes, sizeof(text) - 1, &h), head);
        assert_string_equal(h.fields[FIELD_RANGE], "bytes=1-");
        char moved[sizeof(text)];
        memcpy(moved, bytes, head);
        parse_move(&h, bytes, moved);
        memset(bytes, 'z', sizeof(bytes));
        assert_string_equal(h.target, "/a");
        assert_string_equal(h.fields[FIELD_RANGE], "bytes=1-");
        assert_null(h.fields[FIELD_COOKIE]);
}

/* A TLS hello, say: who sends it need not wait for the deadline of headers. */
static void test_what_cannot_become_a_request_is_refused_with_its_first_wrong_byte(void **state)
{
        (void)state;
        refused("\x16\x03\x01", PARSE_LINE);
        refused("GET \x01", PARSE_LINE);
        refused("GET / HTTQ", PARSE_LINE);
        refused(GET "a b", PARSE_FIELD);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_request_is_taken_apart),
                cmocka_unit_test(test_the_connection_ends_when_the_viewer_says_so_or_is_of_old),
                cmocka_unit_test(test_a_body_has_one_length_that_is_a_number),
                cmocka_unit_test(test_what_could_be_read_in_two_ways_is_refused),
                cmocka_unit_test(test_nothing_is_larger_than_its_bound),
                cmocka_unit_test(test_it_makes_no_difference_in_what_pieces_a_head_comes),
                cmocka_unit_test(test_what_cannot_become_a_request_is_refused_with_its_first_wrong_byte),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
