/* Viewers who go, are held or hold others up, and an edge that leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "edged/cache_impl.h"
#include "tests/unit/http_fixture.h"

/* There is something of an answer, which stays unread. */
static bool has_begun(struct fixture *f, void *arg)
{
        char byte;
        (void)f;
        return recv(((struct viewer *)arg)->fd, &byte, 1, MSG_PEEK) == 1;
}

static bool has_bytes(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return ((struct viewer *)arg)->in_len > 0;
}

static void test_a_viewer_who_only_ends_his_own_side_while_he_waits_has_his_answer(void **state)
{
        (void)state;
        static const char still[] = "HTTP/1.1 100 Continue\r\n\r\n";
        struct fixture f;
        struct viewer v, old;
        int two = 2, one = 1, none = 0;
        open_fixture(&f, 3600 * US_PER_S);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        viewer_open(&old, &f);
        viewer_send(&old, "GET " SEGMENT " HTTP/1.0\r\n\r\n"); /* which knows no 100 */
        until(&f, is_held, &two);
        shutdown(old.fd, SHUT_WR);
        until(&f, is_closed, &old);
        assert_int_equal(old.in_len, 0);
        shutdown(v.fd, SHUT_WR);
        until(&f, has_bytes, &v);
        assert_int_equal(v.in_len, strlen(still));
        assert_memory_equal(v.in, still, strlen(still));
        until(&f, is_held, &one); /* still */
        v.in_len = 0;
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
        struct want want = {&v, 3};
        until(&f, have_body, &want);
        until(&f, is_held, &one); /* for the next piece */
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 200);
        assert_memory_equal(v.body, "abcdef", 6);
        until(&f, is_closed, &v);
        assert_false(v.reset);
        until(&f, has_clients, &none);
        viewer_close(&v);
        viewer_close(&old);
        close_fixture(&f);
}

static void test_a_viewer_who_goes_while_he_waits_gives_his_seat_back_at_once(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer goes[2], stays;
        int all = 3, one = 1;
        open_fixture(&f, 3600 * US_PER_S); /* nobody is woken by his deadline */
        for (unsigned i = 0; i < 2; i++) {
                viewer_open(&goes[i], &f);
                viewer_ask(&goes[i], "GET", SEGMENT, "");
        }
        viewer_open(&stays, &f);
        viewer_ask(&stays, "GET", SEGMENT, "");
        until(&f, is_held, &all);
        until(&f, is_asked, NULL);
        struct linger at_once = {.l_onoff = 1};
        setsockopt(goes[1].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        for (unsigned i = 0; i < 2; i++)
                viewer_close(&goes[i]);
        until(&f, is_held, &one);
        until(&f, has_clients, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        struct want want = {&stays, 3};
        until(&f, have_body, &want);
        until(&f, is_held, &one); /* for what comes next */
        viewer_close(&stays);
        all = one = 0;
        until(&f, has_clients, &all);
        close_fixture(&f);
}

static void test_a_viewer_who_leaves_stops_nobody(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer leaves, stays, watches;
        int two = 2;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&leaves, &f);
        viewer_open(&stays, &f);
        viewer_open(&watches, &f);
        viewer_ask(&leaves, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        viewer_ask(&stays, "GET", SEGMENT, "");
        until(&f, is_held, &two);
        viewer_close(&leaves);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE, 0, "video/mp4");
        viewer_ask(&watches, "GET", SEGMENT, ""); /* joins in the middle */
        answer_asked(&f, "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE);
        until(&f, has_answer, &stays);
        until(&f, has_answer, &watches);
        assert_memory_equal(stays.body, "abcdef", 6);
        assert_memory_equal(watches.body, "abcdef", 6);
        assert_int_equal(f.e.upstream->count, 2);
        viewer_close(&stays);
        viewer_close(&watches);
        int nobody = 0;
        until(&f, has_clients, &nobody);
        close_fixture(&f);
}

/* All input of a thread goes through one buffer. */
static void test_what_a_held_request_asked_for_is_not_what_others_ask_meanwhile(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v, other;
        int one = 1;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "Range: bytes=1-\r\n");
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE);
        until(&f, is_held, &one);
        for (int i = 0; i < 16; i++) { /* each thread has some of them */
                viewer_open(&other, &f);
                ask(&f, &other, "GET", "/time", "Range: bytes=2-2, 4-4, 5-5\r\nRange-Not: bytes=0-9999999999999999999999999\r\n");
                assert_int_equal(other.status, 200);
                viewer_close(&other);
        }
        fake_answer_bytes(fake_open(f.e.upstream), "def", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 206);
        assert_string_equal(header_of(&v, "Content-Range"), "bytes 1-5/6");
        viewer_close(&v);
        close_fixture(&f);
}

/* The cache still has the one that waits when its viewer is gone. */
static void test_a_viewer_who_is_gone_while_it_is_held_costs_nothing_when_it_is_woken(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer gone[20], stays;
        int all = 21, none = 0;
        struct linger at_once = {.l_onoff = 1};
        open_fixture(&f, PATIENCE_US);
        viewer_open(&stays, &f);
        viewer_ask(&stays, "GET", SEGMENT, "");
        for (int i = 0; i < 20; i++) {
                viewer_open(&gone[i], &f);
                viewer_ask(&gone[i], "GET", SEGMENT, "");
        }
        until(&f, is_held, &all);
        for (int i = 0; i < 20; i++) { /* half of them by a reset */
                if (i % 2)
                        setsockopt(gone[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
                viewer_close(&gone[i]);
        }
        answer_asked(&f, "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE);
        until(&f, has_answer, &stays);
        assert_memory_equal(stays.body, "abc", 3);
        viewer_close(&stays);
        until(&f, has_clients, &none);
        close_fixture(&f);
}

static void test_those_who_hold_us_up_are_closed_and_others_are_not(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer silent, slow, idle, held;
        char *mb = mem_alloc(8 << 20);
        int small = 4096, four = 4, one = 1;
        open_fixture(&f, PATIENCE_US);
        int64_t now_us = clock_mono_us(); /* nobody has been here for longer, however slow this machine is */
        viewer_open(&silent, &f);
        viewer_send(&silent, "GET / HT"); /* and never a whole header */
        viewer_open(&idle, &f);
        viewer_ask(&idle, "HEAD", "/live/cam/s1/v720/1.m4s", "");
        for (int i = 0; i < 7; i++) { /* more than a socket takes */
                until(&f, is_asked, NULL);
                fake_answer_bytes(fake_open(f.e.upstream), mb, 1 << 20, FETCH_IMMUTABLE | (i == 6 ? FETCH_COMPLETE : 0), 0,
                                  "video/mp4");
        }
        until(&f, has_head, &idle);
        viewer_open(&slow, &f);
        setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        viewer_ask(&slow, "GET", "/live/cam/s1/v720/1.m4s", "");
        until(&f, has_begun, &slow); /* and reads none of it */
        viewer_open(&held, &f);
        viewer_ask(&held, "GET", SEGMENT, "");
        until(&f, is_asked, NULL);
        until(&f, is_held, &one);
        until(&f, has_clients, &four);
        for (int i = 1; i <= 9; i++)
                http_sweep(f.http, now_us + i * US_PER_S);
        assert_int_equal(metric_get(&stats_clients), 4);
        for (int i = 10; i <= 20; i++) /* beyond the deadline for headers, and a window of reading nothing */
                http_sweep(f.http, now_us + i * US_PER_S);
        until(&f, is_closed, &silent);
        int two = 2;
        until(&f, has_clients, &two); /* silent and slow are gone, idle and held are not */
        viewer_read(&idle);
        assert_false(idle.closed);
        http_sweep(f.http, clock_mono_us() + 40 * US_PER_S);
        until(&f, is_closed, &idle);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_IMMUTABLE | FETCH_COMPLETE, 0, "video/mp4");
        until(&f, has_answer, &held);
        assert_int_equal(held.status, 200);
        viewer_close(&silent);
        viewer_close(&slow);
        viewer_close(&idle);
        viewer_close(&held);
        close_fixture(&f);
        free(mb);
}

static void test_stopping_wakes_who_waits_and_cuts_nothing_that_flows(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer held[50], idle;
        int all = 50;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&idle, &f);
        ask(&f, &idle, "GET", "/time", "");
        for (int i = 0; i < all; i++) {
                viewer_open(&held[i], &f);
                viewer_ask(&held[i], "GET", SEGMENT, "");
        }
        until(&f, is_held, &all);
        http_quiesce(f.http);
        cache_stop_waiting(f.e.cache);
        until(&f, is_idle, NULL);
        for (int i = 0; i < all; i++) {
                until(&f, has_answer, &held[i]);
                assert_int_equal(held[i].status, 503);
                viewer_close(&held[i]);
        }
        viewer_close(&idle);
        close_fixture(&f);
}

static void test_who_asks_an_edge_that_leaves_is_answered_and_told_to_connect_anew(void **state)
{
        (void)state;
        static const char *const targets[] = {SEGMENT, "/live/cam/s1/v720/8.m4s", "/time", "/", "/live/none/manifest.mpd/x"};
        struct fixture f;
        struct viewer v[5], held, fresh;
        int one = 1;
        open_fixture(&f, PATIENCE_US);
        warm(&f, SEGMENT, "abc", 3);
        for (int i = 0; i < 5; i++) { /* connections that were kept */
                viewer_open(&v[i], &f);
                ask(&f, &v[i], "GET", SEGMENT, "");
                assert_null(header_of(&v[i], "Connection"));
        }
        http_drain(f.http);
        for (int i = 0; i < 5; i++) {
                viewer_ask(&v[i], "GET", targets[i], "");
                if (i == 1) {
                        answer_asked(&f, "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE);
                }
                until(&f, has_answer, &v[i]);
                assert_string_equal(header_of(&v[i], "Connection"), "close"); /* one that had to wait too */
                until(&f, is_closed, &v[i]);
                viewer_close(&v[i]);
        }
        viewer_open(&fresh, &f); /* load balancers have not seen it yet */
        ask(&f, &fresh, "GET", SEGMENT, "");
        assert_int_equal(fresh.status, 200);
        assert_string_equal(header_of(&fresh, "Connection"), "close");
        viewer_close(&fresh);
        viewer_open(&held, &f);
        viewer_ask(&held, "GET", "/live/cam/s1/v720/9.m4s", "");
        until(&f, is_asked, NULL);
        until(&f, is_held, &one);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, has_answer, &held);
        assert_int_equal(held.status, 200);
        assert_int_equal(held.body_len, 3);
        viewer_close(&held);
        close_fixture(&f);
}

static bool is_cut_off(struct fixture *f, void *arg)
{
        (void)f;
        return metric_get(&stats_clients) == *(int *)arg;
}

/* Who does not read keeps an object when everybody else has forgotten it: with more than a share of the cache he loses it, and only he.
 * */
static void test_who_keeps_more_of_what_was_evicted_than_a_share_is_closed(void **state)
{
        (void)state;
        enum { SLOW = 4, BIG = 7 << 20 }; /* of a cache of 32 MiB; more than what the kernel takes of an answer */
        struct fixture f;
        struct viewer slow[SLOW], good;
        char target[64], *bytes = mem_alloc(BIG);
        int little = 4096;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&good, &f);
        for (int i = 0; i < SLOW; i++) {
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", 100 + i);
                viewer_open(&slow[i], &f);
                setsockopt(slow[i].fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
                viewer_ask(&slow[i], "GET", target, "");
                answer_asked(&f, bytes, BIG, FETCH_COMPLETE | FETCH_IMMUTABLE);
        }
        for (int i = 0; i < 120; i++) {
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", 200 + i);
                viewer_ask(&good, "GET", target, "");
                answer_asked(&f, bytes, INPUT_MAX / 2, FETCH_COMPLETE | FETCH_IMMUTABLE);
                until(&f, has_answer, &good);
                assert_int_equal(good.status, 200);
                assert_true(cache_bytes(f.e.cache) <= (32 << 20) + (32 << 20) / CACHE_PINNED_PART);
        }
        int left = 2; /* one slow reader is within the share */
        until(&f, is_cut_off, &left);
        assert_true(cache_pinned(f.e.cache) <= (32 << 20) / CACHE_PINNED_PART);
        viewer_close(&good);
        for (int i = 0; i < SLOW; i++)
                viewer_close(&slow[i]);
        free(bytes);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_viewer_who_only_ends_his_own_side_while_he_waits_has_his_answer),
                cmocka_unit_test(test_a_viewer_who_goes_while_he_waits_gives_his_seat_back_at_once),
                cmocka_unit_test(test_a_viewer_who_leaves_stops_nobody),
                cmocka_unit_test(test_what_a_held_request_asked_for_is_not_what_others_ask_meanwhile),
                cmocka_unit_test(test_a_viewer_who_is_gone_while_it_is_held_costs_nothing_when_it_is_woken),
                cmocka_unit_test(test_those_who_hold_us_up_are_closed_and_others_are_not),
                cmocka_unit_test(test_stopping_wakes_who_waits_and_cuts_nothing_that_flows),
                cmocka_unit_test(test_who_asks_an_edge_that_leaves_is_answered_and_told_to_connect_anew),
                cmocka_unit_test(test_who_keeps_more_of_what_was_evicted_than_a_share_is_closed),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
