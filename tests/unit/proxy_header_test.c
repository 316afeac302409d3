#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/networks.h"
#include "ingestd/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Everything at once, and one byte at a time; what follows the header is left alone both ways. */
static enum proxy_header_result read_header(struct proxy_header *h, const char *data, size_t len, size_t *taken)
{
        struct proxy_header slow = {0};
        enum proxy_header_result result, again = PROXY_HEADER_MORE;
        const uint8_t *p = (const uint8_t *)data, *end = p + len;
        *h = (struct proxy_header){0};
        result = proxy_header_read(h, &p, end);
        *taken = (size_t)(p - (const uint8_t *)data);
        for (size_t i = 0; i < len && again == PROXY_HEADER_MORE; i++) {
                p = (const uint8_t *)data + i;
                again = proxy_header_read(&slow, &p, p + 1);
        }
        assert_int_equal(result, again);
        assert_string_equal(h->address, slow.address);
        if (result == PROXY_HEADER_DONE)
                assert_int_equal(p - (const uint8_t *)data, *taken);
        return result;
}

static void check(const char *data, size_t len, size_t header_len, const char *address)
{
        struct proxy_header h;
        size_t taken;
        assert_int_equal(read_header(&h, data, len, &taken), PROXY_HEADER_DONE);
        assert_int_equal(taken, header_len);
        assert_string_equal(h.address, address);
}

static void check_line(const char *line, const char *address)
{
        char text[300];
        int n = snprintf(text, sizeof(text), "%s\r\n\x03next", line);
        check(text, (size_t)n, strlen(line) + 2, address);
}

static void check_bad(const char *data, size_t len)
{
        struct proxy_header h;
        size_t taken;
        assert_int_equal(read_header(&h, data, len, &taken), PROXY_HEADER_BAD);
}

static void test_version_1_names_the_client(void **state)
{
        (void)state;
        check_line("PROXY TCP4 192.0.2.1 198.51.100.2 56324 1935", "192.0.2.1:56324");
        check_line("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535", "[2001:db8::1]:1");
        check_line("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
                   "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
        check_line("PROXY UNKNOWN", "");
        check_line("PROXY UNKNOWN ffff::1 anything at all", "");
}

static void test_version_1_that_is_wrong_is_refused(void **state)
{
        static const char *const wrong[] = {
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 1935 1\r\n",
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 1935\n",
                "PROXY TCP4 192.0.2.1 198.51.100.2 65536 1935\r\n",
                "PROXY TCP4 192.0.2.1 198.51.100.2 -1 1935\r\n",
                "PROXY TCP4 192.0.2.1 198.51.100.2 01 1935\r\n",
                "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
                "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
                "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
                "PROXY UNKNOWNS\r\n",
                "PROXY\r\n",
                "GET / HTTP/1.1\r\n",
                "\x03",
        };
        (void)state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                check_bad(wrong[i], strlen(wrong[i]));
        check_bad("PROXY UNKNOWN \0\r\n", 17);
        char endless[200] = "PROXY UNKNOWN ";
        memset(endless + 14, 'x', sizeof(endless) - 14);
        check_bad(endless, sizeof(endless));
}

static void test_version_2_names_the_client(void **state)
{
        (void)state;
        check(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\x04\7\x8f" "\3", 29, 28, "192.0.2.1:56324");
        check(SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\xff\xff"
                        "\3", 53, 52, "[2001:db8::1]:1");
}

static void test_version_2_that_names_nobody_is_taken(void **state)
{
        struct proxy_header h;
        size_t taken;
        char local[16 + 300 + 1] = SIGNATURE "\x20\0\1\x2c";
        (void)state;
        check(SIGNATURE "\x21\0\0\0\3", 17, 16, "");         /* unspecified */
        check(SIGNATURE "\x21\x12\0\2xx\3", 19, 18, "");     /* UDP */
        assert_int_equal(read_header(&h, local, sizeof(local), &taken), PROXY_HEADER_DONE);
        assert_int_equal(taken, 316);
        assert_true(h.local);
        assert_string_equal(h.address, "");
        char unix_family[16 + 216 + 1] = SIGNATURE "\x21\x31\0\xd8";
        check(unix_family, sizeof(unix_family), 232, "");
}

static void test_what_version_2_brings_besides_is_skipped(void **state)
{
        char header[16 + 12 + 1000 + 1];
        (void)state;
        memset(header, 'T', sizeof(header));
        memcpy(header, SIGNATURE "\x21\x11\3\xf4\xc0\0\2\1\xc6\x33\x64\2\xdc\x04\7\x8f", 28);
        check(header, sizeof(header), 16 + 12 + 1000, "192.0.2.1:56324");
}

static void test_version_2_that_is_wrong_is_refused(void **state)
{
        (void)state;
        check_bad(SIGNATURE "\x31\x11\0\x0c", 16); /* another version */
        check_bad(SIGNATURE "\x22\x11\0\x0c", 16); /* another command */
        check_bad(SIGNATURE "\x21\x11\0\x0b", 16); /* too short for its addresses */
        check_bad(SIGNATURE "\x21\x21\0\x23", 16);
        check_bad(SIGNATURE "\x21\x11\x10\0", 16); /* too long */
        check_bad("\r\n\r\n\0\r\nQUIX", 11);
}

static struct sockaddr_storage peer(const char *text)
{
        struct sockaddr_storage ss = {0};
        if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&ss)->sin_addr) == 1)
                ss.ss_family = AF_INET;
        else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&ss)->sin6_addr) == 1)
                ss.ss_family = AF_INET6;
        return ss;
}

static bool has(const char *list, const char *address)
{
        struct sockaddr_storage ss = peer(address);
        return networks_have(list, (struct sockaddr *)&ss);
}

static void test_only_the_addresses_named_are_balancers(void **state)
{
        (void)state;
        const char *list = "192.0.2.7, 10.0.0.0/8 ,172.16.0.0/12,2001:db8::/33,::1";
        assert_true(has(list, "192.0.2.7"));
        assert_false(has(list, "192.0.2.8"));
        assert_true(has(list, "10.255.1.1"));
        assert_false(has(list, "11.0.0.1"));
        assert_true(has(list, "172.31.255.255"));
        assert_false(has(list, "172.32.0.0"));
        assert_true(has(list, "2001:db8:7fff::1"));
        assert_false(has(list, "2001:db8:8000::1"));
        assert_true(has(list, "::1"));
        assert_false(has(list, "::2"));
        assert_true(has(list, "::ffff:10.1.2.3"));
        assert_false(has("", "192.0.2.7"));
        assert_true(has("0.0.0.0/0", "192.0.2.7"));
        assert_false(has("0.0.0.0/0", "2001:db8::1"));
        assert_true(has("::/0", "2001:db8::1"));
        assert_false(has("0.0.0.0/0", "no address"));
}

static void test_what_is_no_address_is_refused_and_named(void **state)
{
        static const char *const wrong[] = {"10.0.0.0/33", "10.0.0/8", "host", "::1/129", "10.0.0.0/", "10.0.0.0/8x",
                                            "1.2.3.4,,5.6.7.8", "10.0.0.0/8/8"};
        char why[256];
        (void)state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                assert_int_equal(networks_check(&wrong[i], why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "\"10.0.0.0/8/8\""));
        const char *right[] = {"", "10.0.0.0/8", "::1,10.0.0.1"};
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(networks_check(&right[i], why, sizeof(why)), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_version_1_names_the_client),
                cmocka_unit_test(test_version_1_that_is_wrong_is_refused),
                cmocka_unit_test(test_version_2_names_the_client),
                cmocka_unit_test(test_version_2_that_names_nobody_is_taken),
                cmocka_unit_test(test_what_version_2_brings_besides_is_skipped),
                cmocka_unit_test(test_version_2_that_is_wrong_is_refused),
                cmocka_unit_test(test_only_the_addresses_named_are_balancers),
                cmocka_unit_test(test_what_is_no_address_is_refused_and_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
