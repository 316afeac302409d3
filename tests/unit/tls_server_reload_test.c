/* tls_server: the directory of certificates is read again, whole or not, while connections come. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/daemon/metrics.h"
#include "common/err.h"
#include "tls_server_fixture.h"

static void test_a_new_pair_is_for_new_connections_and_old_ones_go_on(void **state)
{
        struct fixture *f = *state;
        struct wire *w = mem_alloc(sizeof(*w));
        wire_open(w, f->server, "a.example");
        assert_true(handshake(w, 4096));
        tls_write_pair(f->dir, "a", "a.example", 20);
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 20);
        assert_int_equal(SSL_write(w->client, "still", 5), 5);
        pump(w, 4096);
        assert_int_equal(w->heard_len, 5);
        wire_close(w);
        wire_open(w, f->server, "a.example"); /* in the middle of its handshake */
        assert_int_equal(SSL_do_handshake(w->client), -1);
        tls_write_pair(f->dir, "a", "a.example", 21);
        tls_server_reload(f->server);
        assert_true(handshake(w, 4096));
        assert_int_equal(serial_of(w), 21);
        wire_close(w);
        free(w);
}

static void on_alive(uv_timer_t *t)
{
        (void)t;
}

static void test_the_directory_is_watched(void **state)
{
        struct fixture *f = *state;
        uv_timer_init(&f->loop, &f->alive);
        uv_timer_start(&f->alive, on_alive, 20, 20);
        tls_write_pair(f->dir, "a", "a.example", 30);
        while (serial_for(f, "a.example") != 30)
                uv_run(&f->loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&f->alive, NULL);
}

/* Turns the loop until a client that asks for a.example gets this certificate; false: it did not within so long. */
static bool a_becomes(struct fixture *f, long serial, uint64_t ms)
{
        uv_timer_init(&f->loop, &f->alive);
        uv_timer_start(&f->alive, on_alive, 20, 20);
        uint64_t until_ms = uv_now(&f->loop) + ms;
        while (serial_for(f, "a.example") != serial && uv_now(&f->loop) < until_ms)
                uv_run(&f->loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&f->alive, NULL);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        return serial_for(f, "a.example") == serial;
}

/* Sits at the far end of the last key's file, which is a pipe: while that is read it renews a pair that was read before. */
static void *renew_meanwhile(void *arg)
{
        struct fixture *f = arg;
        char pipe_path[128], from[128];
        snprintf(pipe_path, sizeof(pipe_path), "%s/z.key", f->dir);
        snprintf(from, sizeof(from), "%s/z.kept", f->dir);
        FILE *to = fopen(pipe_path, "w"), *key = fopen(from, "r");
        char text[4096];
        size_t len = key ? fread(text, 1, sizeof(text), key) : 0;
        tls_write_pair(f->dir, "a", "a.example", 31);
        rename(from, pipe_path);
        fwrite(text, 1, len, to);
        fclose(to);
        fclose(key);
        return NULL;
}

static void test_a_change_while_the_directory_is_read_is_not_missed(void **state)
{
        struct fixture *f = *state;
        char key[128], kept[128];
        pthread_t thread;
        tls_server_close(&f->server);
        tls_write_pair(f->dir, "z", "z.example", 9);
        snprintf(key, sizeof(key), "%s/z.key", f->dir);
        snprintf(kept, sizeof(kept), "%s/z.kept", f->dir);
        assert_int_equal(rename(key, kept), 0);
        assert_int_equal(mkfifo(key, 0600), 0);
        assert_int_equal(pthread_create(&thread, NULL, renew_meanwhile, f), 0);
        assert_int_equal(tls_server_open(&f->server, &f->loop, &(struct tls_server_config){.directory = f->dir}), 0);
        pthread_join(thread, NULL);
        assert_int_equal(tls_server_pairs(f->server), 4);
        assert_true(a_becomes(f, 31, 5000));
}

static void add_text(void *arg, const char *text, size_t len)
{
        char *all = arg;
        strncat(all, text, len);
}

static int reloads(const char *result)
{
        static char all[32768];
        char name[64];
        *all = '\0';
        metrics_render(add_text, all);
        snprintf(name, sizeof(name), "freshet_tls_reloads_total{result=\"%s\"} ", result);
        const char *at = strstr(all, name);
        assert_non_null(at);
        return atoi(at + strlen(name));
}

static void turn(struct fixture *f, uint64_t ms)
{
        a_becomes(f, -1, ms);
}

/* The log as it is written meanwhile. */
static FILE *begin_log(int *saved)
{
        FILE *said = tmpfile();
        *saved = dup(STDERR_FILENO);
        log_set_level(LOG_ERROR);
        dup2(fileno(said), STDERR_FILENO);
        return said;
}

static int end_log(FILE *said, int saved, const char *what)
{
        char line[1024];
        int count = 0;
        dup2(saved, STDERR_FILENO);
        close(saved);
        log_set_level(LOG_ERROR + 1);
        rewind(said);
        while (fgets(line, sizeof(line), said))
                count += strstr(line, what) != NULL;
        fclose(said);
        return count;
}

/* Nothing about the files changes after the reading that failed: the watch has nothing to tell. */
static void test_a_reading_that_failed_for_want_of_descriptors_is_tried_again(void **state)
{
        struct fixture *f = *state;
        struct rlimit old, none;
        int failed = reloads("failed"), ok = reloads("ok");
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        tls_server_reload(f->server);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(reloads("failed"), failed + 1);
        assert_int_equal(serial_for(f, "a.example"), 2);
        turn(f, 2 * TLS_SERVER_RETRY_MS);
        assert_int_equal(reloads("ok"), ok + 1);
        assert_int_equal(reloads("failed"), failed + 1);
}

static void test_what_stays_wrong_is_told_once_and_counted_each_time(void **state)
{
        struct fixture *f = *state;
        int saved, failed = reloads("failed");
        write_file(f->dir, "wild.crt", "no certificate");
        FILE *said = begin_log(&saved);
        tls_server_reload(f->server);
        turn(f, 3 * TLS_SERVER_RETRY_MS); /* the watch tells of it too, and of that there is a line */
        write_file(f->dir, "a.crt", "none either");
        turn(f, 2 * TLS_SERVER_RETRY_MS);
        assert_int_equal(end_log(said, saved, "/a.crt"), 1);
        assert_in_range(reloads("failed"), failed + 4, failed + 8);
        assert_int_equal(serial_for(f, "a.example"), 2);
        said = begin_log(&saved);
        tls_write_pair(f->dir, "wild", "*.b.example", 5);
        turn(f, 2 * TLS_SERVER_RETRY_MS);
        assert_int_equal(serial_for(f, "x.b.example"), 5);
        assert_int_equal(end_log(said, saved, "/wild.crt"), 0);
}

static void test_more_pairs_than_there_may_be_are_left_out_and_named(void **state)
{
        struct fixture *f = *state;
        char name[32];
        int saved;
        for (int i = 0; i < TLS_SERVER_PAIRS_MAX; i++) {
                snprintf(name, sizeof(name), "pair-%02d", i);
                tls_write_pair(f->dir, name, name, 100 + i);
        }
        FILE *said = begin_log(&saved);
        tls_server_reload(f->server);
        assert_int_equal(end_log(said, saved, "64 pairs are in use already"), 3);
        assert_int_equal(tls_server_pairs(f->server), TLS_SERVER_PAIRS_MAX);
        assert_int_equal(serial_for(f, "a.example"), 2);
}

static void test_a_broken_pair_leaves_the_old_one_in_use(void **state)
{
        struct fixture *f = *state;
        EVP_PKEY *other = EVP_EC_gen("P-256");
        tls_write_key(f->dir, "a", other);
        EVP_PKEY_free(other);
        tls_write_pair(f->dir, "tls", "usual.example", 40);
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 2);
        assert_int_equal(serial_for(f, NULL), 40);
        write_file(f->dir, "wild.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n");
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "x.b.example"), 3);
}

/* The clock may be a little off: what is not valid yet soon is. */
static void test_what_has_expired_takes_no_place_of_what_has_not(void **state)
{
        struct fixture *f = *state;
        tls_write_pair_of(f->dir, "a", "a.example", 41, -7200, -3600, EVP_EC_gen("P-256"));
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 2);
        tls_write_pair_of(f->dir, "a", "a.example", 42, 60, 3600, EVP_EC_gen("P-256"));
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 42);
}

static void test_a_pair_that_is_gone_goes_but_never_the_last(void **state)
{
        struct fixture *f = *state;
        char path[128];
        snprintf(path, sizeof(path), "%s/a.crt", f->dir);
        unlink(path);
        tls_server_reload(f->server);
        assert_int_equal(serial_for(f, "a.example"), 1);
        clear(f->dir);
        tls_server_reload(f->server);
        assert_int_equal(tls_server_pairs(f->server), 2);
        assert_int_equal(serial_for(f, NULL), 1);
}

static void test_a_directory_without_a_usable_pair_is_refused_in_words(void **state)
{
        struct fixture *f = *state;
        struct tls_server *none;
        char why[512], empty[96];
        assert_int_equal(tls_server_check(f->dir, why, sizeof(why)), 0);
        scratch_dir(empty, sizeof(empty));
        assert_int_equal(tls_server_open(&none, &f->loop, &(struct tls_server_config){.directory = empty}), ERR_CONFIG);
        assert_null(none);
        assert_int_equal(tls_server_check(empty, why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "NAME.crt"));
        write_file(empty, "x.crt", "no certificate");
        write_file(empty, "x.key", "no key");
        assert_int_equal(tls_server_check(empty, why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "x.crt"));
        clear(empty);
        tls_write_pair(empty, "x", "x.example", 1); /* an authority's certificate beside it is no fault */
        write_file(empty, "ca.crt", "anything");
        assert_int_equal(tls_server_check(empty, why, sizeof(why)), 0);
        clear(empty);
        rmdir(empty);
        assert_int_equal(tls_server_check("/nonexistent", why, sizeof(why)), ERR_CONFIG);
        assert_non_null(strstr(why, "No such file"));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
int main(void)
{
        tls_server_register_metrics();
        const struct CMUnitTest tests[] = {
                TEST(test_a_new_pair_is_for_new_connections_and_old_ones_go_on),
                TEST(test_the_directory_is_watched),
                TEST(test_a_change_while_the_directory_is_read_is_not_missed),
                TEST(test_a_reading_that_failed_for_want_of_descriptors_is_tried_again),
                TEST(test_what_stays_wrong_is_told_once_and_counted_each_time),
                TEST(test_more_pairs_than_there_may_be_are_left_out_and_named),
                TEST(test_a_broken_pair_leaves_the_old_one_in_use),
                TEST(test_what_has_expired_takes_no_place_of_what_has_not),
                TEST(test_a_pair_that_is_gone_goes_but_never_the_last),
                TEST(test_a_directory_without_a_usable_pair_is_refused_in_words),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
