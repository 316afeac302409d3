/* Against what AWS publishes: its suite of test vectors, and the worked examples of the documentation of S3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/err.h"
#include "originD/archive/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void signature_is(const struct sigv4_request *r, const struct sigv4_keys *k, const char *date, const char *want)
{
        char got[SIGV4_AUTHORIZATION_MAX], end[96];
        assert_int_equal(sigv4_authorization(got, r, k, date), 0);
        snprintf(end, sizeof(end), ", Signature=%s", want);
        const char *at = strstr(got, ", Signature=");
        assert_non_null(at);
        assert_string_equal(at, end);
}

static const struct sigv4_keys suite = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service"};
#define SUITE_DATE "20150830T123600Z"

static void test_the_suites_vanilla_request(void **state)
{
        (void)state;
        struct sigv4_pair headers[] = {{"x-amz-date", SUITE_DATE}, {"host", "example.amazonaws.com"}};
        struct sigv4_request r = {.method = "GET", .path = "/", .headers = headers, .header_count = 2, .payload_sha256 = EMPTY};
        char got[SIGV4_AUTHORIZATION_MAX];
        assert_int_equal(sigv4_authorization(got, &r, &suite, SUITE_DATE), 0);
        assert_string_equal(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                                 "SignedHeaders=host;x-amz-date, "
                                 "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void test_the_suites_query_is_sorted(void **state)
{
        (void)state;
        struct sigv4_pair headers[] = {{"host", "example.amazonaws.com"}, {"x-amz-date", SUITE_DATE}};
        struct sigv4_pair query[] = {{"Param2", "value2"}, {"Param1", "value1"}};
        struct sigv4_request r = {.method = "GET", .path = "/", .query = query, .query_count = 2, .headers = headers,
                                  .header_count = 2, .payload_sha256 = EMPTY};
        signature_is(&r, &suite, SUITE_DATE, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

/* The examples of "Authenticating Requests: Using the Authorization Header". */
static const struct sigv4_keys s3 = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"};
#define S3_DATE "20130524T000000Z"
#define S3_HOST "examplebucket.s3.amazonaws.com"

static void test_s3_get_of_a_range(void **state)
{
        (void)state;
        struct sigv4_pair headers[] = {{"host", S3_HOST}, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY},
                                       {"x-amz-date", S3_DATE}};
        struct sigv4_request r = {.method = "GET", .path = "/test.txt", .headers = headers, .header_count = 4,
                                  .payload_sha256 = EMPTY};
        signature_is(&r, &s3, S3_DATE, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void test_s3_put_of_an_object(void **state)
{
        (void)state;
        char hash[SIGV4_SHA256_MAX], path[64];
        static const char body[] = "Welcome to Amazon S3.";
        sigv4_sha256(hash, body, strlen(body));
        assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
        assert_int_equal(sigv4_encode(path, sizeof(path), 0, "/test$file.text", 1), strlen("/test%24file.text"));
        struct sigv4_pair headers[] = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"x-amz-date", S3_DATE}, {"host", S3_HOST},
                                       {"x-amz-content-sha256", hash}, {"date", "Fri, 24 May 2013 00:00:00 GMT"}};
        struct sigv4_request r = {.method = "PUT", .path = path, .headers = headers, .header_count = 5, .payload_sha256 = hash};
        signature_is(&r, &s3, S3_DATE, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void test_s3_list_of_objects(void **state)
{
        (void)state;
        struct sigv4_pair headers[] = {{"host", S3_HOST}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", S3_DATE}};
        struct sigv4_pair query[] = {{"prefix", "J"}, {"max-keys", "2"}};
        struct sigv4_request r = {.method = "GET", .path = "/", .query = query, .query_count = 2, .headers = headers,
                                  .header_count = 3, .payload_sha256 = EMPTY};
        signature_is(&r, &s3, S3_DATE, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void test_blanks_in_a_header_count_once(void **state)
{
        (void)state;
        struct sigv4_pair plain[] = {{"host", "h"}, {"x-amz-date", S3_DATE}, {"x-amz-meta-a", "b c"}};
        struct sigv4_pair wide[] = {{"host", " h "}, {"x-amz-date", S3_DATE}, {"x-amz-meta-a", "\tb   c "}};
        char one[SIGV4_AUTHORIZATION_MAX], two[SIGV4_AUTHORIZATION_MAX];
        struct sigv4_request r = {.method = "GET", .path = "/", .headers = plain, .header_count = 3, .payload_sha256 = EMPTY};
        assert_int_equal(sigv4_authorization(one, &r, &s3, S3_DATE), 0);
        r.headers = wide;
        assert_int_equal(sigv4_authorization(two, &r, &s3, S3_DATE), 0);
        assert_string_equal(one, two);
}

static void test_what_does_not_fit_is_refused(void **state)
{
        (void)state;
        char got[SIGV4_AUTHORIZATION_MAX], longer[SIGV4_CANONICAL_MAX + 1], small[8];
        struct sigv4_pair headers[SIGV4_PAIRS_MAX + 1] = {{"host", "h"}};
        struct sigv4_request r = {.method = "GET", .path = "/", .headers = headers, .header_count = 1, .payload_sha256 = EMPTY};
        memset(longer, 'a', sizeof(longer));
        longer[sizeof(longer) - 1] = '\0';
        assert_int_equal(sigv4_authorization(got, &r, &s3, S3_DATE), 0);
        assert_int_equal(sigv4_authorization(got, &r, &s3, "20130524"), ERR_LIMIT);
        struct sigv4_keys k = s3;
        k.secret_key = longer;
        assert_int_equal(sigv4_authorization(got, &r, &k, S3_DATE), ERR_LIMIT);
        r.path = longer;
        assert_int_equal(sigv4_authorization(got, &r, &s3, S3_DATE), ERR_LIMIT);
        r.path = "/";
        r.header_count = SIGV4_PAIRS_MAX + 1;
        assert_int_equal(sigv4_authorization(got, &r, &s3, S3_DATE), ERR_LIMIT);
        assert_int_equal(sigv4_encode(small, sizeof(small), 0, "a/b?cdefgh", 1), sizeof(small));
}

static void test_the_date_is_utc(void **state)
{
        (void)state;
        char date[SIGV4_DATE_MAX];
        sigv4_date(date, INT64_C(1440938160) * US_PER_S);
        assert_string_equal(date, SUITE_DATE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_suites_vanilla_request),
                cmocka_unit_test(test_the_suites_query_is_sorted),
                cmocka_unit_test(test_s3_get_of_a_range),
                cmocka_unit_test(test_s3_put_of_an_object),
                cmocka_unit_test(test_s3_list_of_objects),
                cmocka_unit_test(test_blanks_in_a_header_count_once),
                cmocka_unit_test(test_what_does_not_fit_is_refused),
                cmocka_unit_test(test_the_date_is_utc),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
