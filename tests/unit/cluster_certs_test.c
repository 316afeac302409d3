/* cluster_certs: which certificates a node may have, and what it says of those it may not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "cluster_files.h"
#include "common/cluster/cluster.h"
#include "common/err.h"

static struct authority ours, theirs;
static char why[512];

static int open_all(void **state)
{
        open_files(state);
        make_authority(&ours, "ours");
        make_authority(&theirs, "theirs");
        return 0;
}

static int close_all(void **state)
{
        free_authority(&ours);
        free_authority(&theirs);
        return close_files(state);
}

static void test_a_name_is_a_role_and_a_node_or_an_asterisk(void **state)
{
        static const char *const bad[] = {
                "", "freshet://", "freshet://edged", "freshet://edged/", "freshet://edge/*", "freshet://edged/a b",
                "freshet://edged/**", "freshet://edged/a/b", "freshet://unknown/*", "FRESHET://edged/*", "freshet://origind/*",
                "http://edged/*", "freshet://edged/0123456789012345678901234567890123456789012345678901234567890123"};
        struct cluster_name name;
        (void)state;
        assert_true(cluster_name_parse("freshet://edged/edge-7", &name));
        assert_int_equal(name.role, ROLE_EDGED);
        assert_string_equal(name.id, "edge-7");
        assert_true(cluster_name_fits(&name, ROLE_EDGED, "edge-7"));
        assert_false(cluster_name_fits(&name, ROLE_EDGED, "edge-8"));
        assert_false(cluster_name_fits(&name, ROLE_ORIGIND, "edge-7"));
        assert_true(cluster_name_parse("freshet://originD/*", &name));
        assert_int_equal(name.role, ROLE_ORIGIND);
        assert_string_equal(name.id, "");
        assert_true(cluster_name_fits(&name, ROLE_ORIGIND, "any"));
        assert_false(cluster_name_fits(&name, ROLE_EDGED, "any"));
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_false(cluster_name_parse(bad[i], &name));
                for (int role = ROLE_INGESTD; role <= ROLE_EDGED; role++)
                        assert_false(cluster_name_fits(&name, (enum node_role)role, "any"));
        }
}

static void expect_refused(int err, const char *node, const char *ca, const struct cluster_name *self, const char *said)
{
        struct cluster_certs *certs;
        assert_int_equal(open_node(&certs, node, ca, self, why, sizeof(why)), err);
        assert_null(certs);
        if (!strstr(why, said))
                fail_msg("\"%s\" does not say \"%s\"", why, said);
}

static void expect_bad(const char *node, const char *ca, const struct cluster_name *self, const char *said)
{
        expect_refused(ERR_CONFIG, node, ca, self, said);
}

static void test_a_good_one_says_whom_it_is_for_and_until_when(void **state)
{
        struct cluster_certs *certs;
        struct cluster_name name = {.role = ROLE_EDGED, .id = "edge-7"};
        (void)state;
        make_node(&ours, "good", "URI:freshet://edged/edge-7,DNS:edge,URI:http://example.org/", -DAY_S, 2 * DAY_S);
        assert_int_equal(open_node(&certs, "good", ours.path, &name, why, sizeof(why)), 0);
        cluster_certs_name(certs, &name);
        assert_int_equal(name.role, ROLE_EDGED);
        assert_string_equal(name.id, "edge-7");
        int64_t left_s = cluster_certs_not_after_s(certs) - time(NULL);
        assert_true(left_s > DAY_S && left_s <= 2 * DAY_S);
        cluster_certs_unref(&certs);
        assert_null(certs);
}

static void test_one_for_another_role_or_node_is_refused(void **state)
{
        static const struct cluster_name edge_8 = {.role = ROLE_EDGED, .id = "edge-8"},
                                         origin = {.role = ROLE_ORIGIND, .id = "edge-7"};
        (void)state;
        make_node(&ours, "edge", "URI:freshet://edged/edge-7", -DAY_S, DAY_S);
        expect_bad("edge", ours.path, &edge_8, "which is for edged/edge-7, allowed: one for edged/edge-8");
        expect_bad("edge", ours.path, &origin, "which is for edged/edge-7, allowed: one for originD/edge-7");
}

static void test_one_that_names_no_node_or_two_is_refused(void **state)
{
        (void)state;
        make_node(&ours, "none", NULL, -DAY_S, DAY_S);
        expect_bad("none", ours.path, NULL, "names no node");
        make_node(&ours, "dns", "DNS:edged", -DAY_S, DAY_S);
        expect_bad("dns", ours.path, NULL, "names no node");
        make_node(&ours, "two", "URI:freshet://edged/*,URI:freshet://originD/*", -DAY_S, DAY_S);
        expect_bad("two", ours.path, NULL, "names no node");
        make_node(&ours, "odd", "URI:freshet://edged/*,URI:freshet://nobody", -DAY_S, DAY_S);
        expect_bad("odd", ours.path, NULL, "names no node");
}

static void test_one_the_others_would_refuse_is_refused_at_once(void **state)
{
        (void)state;
        make_node(&theirs, "foreign", "URI:freshet://edged/*", -DAY_S, DAY_S);
        expect_bad("foreign", ours.path, NULL, "the others will refuse it");
}

static void test_one_that_is_not_valid_at_this_time_is_no_bad_configuration(void **state)
{
        (void)state;
        make_node(&ours, "expired", "URI:freshet://edged/*", -2 * DAY_S, -DAY_S);
        expect_refused(ERR_NOT_YET, "expired", ours.path, NULL, "expired");
        make_node(&ours, "early", "URI:freshet://edged/*", DAY_S, 2 * DAY_S);
        expect_refused(ERR_NOT_YET, "early", ours.path, NULL, "not yet valid");
}

static void test_a_file_that_is_not_what_it_should_be_is_named_with_its_key(void **state)
{
        char path[160], missing[160];
        (void)state;
        make_node(&ours, "files", "URI:freshet://edged/*", -DAY_S, DAY_S);
        snprintf(missing, sizeof(missing), "%s/missing.crt", files_dir);
        expect_bad("files", missing, NULL, "cluster_ca: given \"");
        expect_bad("files", missing, NULL, "No such file");
        expect_bad("missing", ours.path, NULL, "cluster_cert: given \"");
        snprintf(path, sizeof(path), "%s/files.key", files_dir);
        write_file(path, NULL, theirs.key);
        expect_bad("files", ours.path, NULL, "cluster_key: given \"");
        write_file(path, NULL, NULL);
        expect_bad("files", ours.path, NULL, "cluster_key: given \"");
        assert_int_equal(remove(path), 0);
        expect_bad("files", ours.path, NULL, "cluster_key: given \"");
}

static void test_a_reload_takes_what_is_good_and_keeps_what_was_otherwise(void **state)
{
        struct cluster_certs *certs;
        struct cluster_name name;
        char path[160];
        (void)state;
        make_node(&ours, "renewed", "URI:freshet://edged/*", -DAY_S, DAY_S);
        assert_int_equal(open_node(&certs, "renewed", ours.path, NULL, why, sizeof(why)), 0);
        int64_t first = cluster_certs_not_after_s(certs);
        make_node(&ours, "renewed", "URI:freshet://edged/edge-7", -DAY_S, 3 * DAY_S);
        assert_int_equal(cluster_certs_reload(certs, why, sizeof(why)), 0);
        assert_true(cluster_certs_not_after_s(certs) > first + DAY_S);
        snprintf(path, sizeof(path), "%s/renewed.key", files_dir);
        write_file(path, NULL, NULL);
        assert_int_equal(cluster_certs_reload(certs, why, sizeof(why)), ERR_CONFIG);
        cluster_certs_name(certs, &name);
        assert_string_equal(name.id, "edge-7");
        SSL *ssl = cluster_certs_ssl(certs);
        assert_non_null(ssl);
        SSL_free(ssl);
        cluster_certs_unref(&certs);
}

/* How one authority is replaced by another without a moment in which nodes refuse each other. */
static void test_the_file_of_authorities_may_hold_several(void **state)
{
        struct cluster_certs *certs;
        char both[160];
        (void)state;
        make_node(&theirs, "moved", "URI:freshet://edged/*", -DAY_S, DAY_S);
        make_node(&ours, "stayed", "URI:freshet://edged/*", -DAY_S, DAY_S);
        snprintf(both, sizeof(both), "%s/both.crt", files_dir);
        FILE *f = fopen(both, "w");
        assert_non_null(f);
        PEM_write_X509(f, ours.certificate);
        PEM_write_X509(f, theirs.certificate);
        fclose(f);
        assert_int_equal(open_node(&certs, "moved", both, NULL, why, sizeof(why)), 0);
        cluster_certs_unref(&certs);
        assert_int_equal(open_node(&certs, "stayed", both, NULL, why, sizeof(why)), 0);
        cluster_certs_unref(&certs);
        expect_bad("moved", ours.path, NULL, "the others will refuse it");
}

/* Sits at the far end of the key's file, which is a pipe and is read last: the certificate is renewed when it was read already. */
static void *renew_meanwhile(void *arg)
{
        char kept[160], text[4096];
        const char *path = arg;
        FILE *to = fopen(path, "w");
        snprintf(kept, sizeof(kept), "%s.kept", path);
        FILE *key = fopen(kept, "r");
        size_t len = fread(text, 1, sizeof(text), key);
        fclose(key);
        make_node(&ours, "edge", "URI:freshet://edged/*", -DAY_S, 4 * DAY_S);
        fwrite(text, 1, len, to);
        fclose(to);
        return NULL;
}

static void on_turn(uv_timer_t *timer)
{
        (void)timer;
}

static void test_files_that_are_renewed_while_a_node_starts_are_read_again(void **state)
{
        char cert[160], key[160], kept[170];
        struct node_identity self = {.id = "edge-7", .role = ROLE_EDGED};
        struct config_common config = {.cluster_cert = cert, .cluster_key = key, .cluster_ca = ours.path, .cluster_token = (char[]){""},
                                       .zone = (char[]){""}};
        pthread_t thread;
        uv_loop_t loop;
        uv_timer_t turn;
        (void)state;
        make_node(&ours, "edge", "URI:freshet://edged/*", -DAY_S, DAY_S);
        snprintf(cert, sizeof(cert), "%s/edge.crt", files_dir);
        snprintf(key, sizeof(key), "%s/edge.key", files_dir);
        snprintf(kept, sizeof(kept), "%s.kept", key);
        assert_int_equal(rename(key, kept), 0);
        assert_int_equal(mkfifo(key, 0600), 0);
        assert_int_equal(uv_loop_init(&loop), 0);
        assert_int_equal(pthread_create(&thread, NULL, renew_meanwhile, key), 0);
        struct cluster *cluster = cluster_open(&loop, &config, &self);
        pthread_join(thread, NULL);
        uv_timer_init(&loop, &turn);
        uv_timer_start(&turn, on_turn, 20, 20);
        uint64_t until_ms = uv_now(&loop) + 5000;
        while (cluster_certs_not_after_s(self.certs) < time(NULL) + 2 * DAY_S && uv_now(&loop) < until_ms)
                uv_run(&loop, UV_RUN_ONCE);
        assert_true(cluster_certs_not_after_s(self.certs) > time(NULL) + 2 * DAY_S);
        uv_close((uv_handle_t *)&turn, NULL);
        cluster_close(cluster);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_name_is_a_role_and_a_node_or_an_asterisk),
                cmocka_unit_test(test_a_good_one_says_whom_it_is_for_and_until_when),
                cmocka_unit_test(test_one_for_another_role_or_node_is_refused),
                cmocka_unit_test(test_one_that_names_no_node_or_two_is_refused),
                cmocka_unit_test(test_one_the_others_would_refuse_is_refused_at_once),
                cmocka_unit_test(test_one_that_is_not_valid_at_this_time_is_no_bad_configuration),
                cmocka_unit_test(test_a_file_that_is_not_what_it_should_be_is_named_with_its_key),
                cmocka_unit_test(test_the_file_of_authorities_may_hold_several),
                cmocka_unit_test(test_a_reload_takes_what_is_good_and_keeps_what_was_otherwise),
                cmocka_unit_test(test_files_that_are_renewed_while_a_node_starts_are_read_again),
        };
        return cmocka_run_group_tests(tests, open_all, close_all);
}
