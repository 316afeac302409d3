/* What players tell an edge of themselves, what it tells them of their connections, and how many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/daemon/metrics.h"
#include "edged/audience.h"
#include "edged/crowd.h"
#include "edged/players.h"
#include "tokens.h"
#include "tests/unit/http_fixture.h"

#define PRIVATE "/live/staff-1/s1/v720/7.m4s"
#define EVENTS                                                                                                         \
        "bl=(2100),bsd=(350;v 20;a),e=ps,ltc=1400,msd=812,sid=\"a\",sta=r,ts=1700000000000,v=2\n"                      \
        "e=rr,rc=404,sid=\"a\",ts=1700000000100,v=2\n"                                                                 \
        "e=e,ec=(\"E1\"),sid=\"a\",ts=1700000000200,v=2\n"

/* ---- metrics, as they are told ---------------------------------------------------------------------------------------- */

static char told[256 << 10];
static size_t told_len;

static void write_told(void *arg, const char *text, size_t len)
{
        (void)arg;
        assert_true(told_len + len < sizeof(told));
        memcpy(told + told_len, text, len);
        told_len += len;
        told[told_len] = '\0';
}

static double value_of(const char *series)
{
        told_len = 0;
        metrics_render(write_told, NULL);
        for (const char *line = told; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                if (strncmp(line, series, strlen(series)) == 0 && line[strlen(series)] == ' ')
                        return strtod(line + strlen(series), NULL);
        }
        fail_msg("no such series: %s", series);
        return 0;
}

struct expected {
        const char *series;
        double value;
};

static bool has_value(struct fixture *f, void *arg)
{
        const struct expected *e = arg;
        (void)f;
        return value_of(e->series) >= e->value;
}

/* It is counted when the answer has gone, which the viewer may see before. */
static void until_value(struct fixture *f, const char *series, double value)
{
        struct expected e = {series, value};
        until(f, has_value, &e);
        assert_true(value_of(series) == value);
}

static void post(struct fixture *f, struct viewer *v, const char *target, const char *headers, const char *body)
{
        char fields[1024];
        snprintf(fields, sizeof(fields), "%sContent-Length: %zu\r\nContent-Type: application/cmcd\r\n", headers, strlen(body));
        viewer_ask(v, "POST", target, fields);
        viewer_send(v, body);
        until(f, has_answer, v);
}

#define BY_QUERY "edged_player_reports_total{via=\"query\",version=\"1\"}"
#define BY_FIELDS "edged_player_reports_total{via=\"headers\",version=\"2\"}"
#define BY_EVENT "edged_player_reports_total{via=\"event\",version=\"2\"}"

/* ---- tests ------------------------------------------------------------------------------------------------------------- */

static void test_what_comes_with_a_request_is_counted_and_is_no_part_of_the_objects_name(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        warm(&f, SEGMENT, "abc", 3);
        double query = value_of(BY_QUERY), fields = value_of(BY_FIELDS), starved = value_of("edged_player_starved_total");
        double buffers = value_of("edged_player_buffer_seconds_count"), mbits = value_of("edged_player_throughput_mbits_sum");
        double broken = value_of("edged_player_reports_total{via=\"query\",version=\"broken\"}");
        viewer_open(&v, &f);
        ask(&f, &v, "GET", SEGMENT "?CMCD=bl%3D1200%2Cbs%2Cmtp%3D25400%2Csid%3D%22a%22", "");
        assert_int_equal(v.status, 200);
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        until_value(&f, BY_QUERY, query + 1);
        until_value(&f, "edged_player_throughput_mbits_sum", mbits + 25.4);
        ask(&f, &v, "GET", SEGMENT, "CMCD-Request: bl=(1300),su\r\nCMCD-Session: sid=\"a\",v=2\r\nCMCD-Status: bs\r\n");
        assert_string_equal(header_of(&v, "X-Cache"), "hit");
        until_value(&f, BY_FIELDS, fields + 1);
        until_value(&f, "edged_player_starved_total", starved + 2);
        until_value(&f, "edged_player_buffer_seconds_count", buffers + 1); /* who begins has nothing in hand, and that says nothing */
        ask(&f, &v, "GET", SEGMENT, "CMCD-Request: mtp=400\r\nCMCD-Object: ot=a\r\nCMCD-Session: v=2\r\n"); /* sound measures nothing */
        until_value(&f, BY_FIELDS, fields + 2);
        assert_true(value_of("edged_player_throughput_mbits_sum") == mbits + 25.4);
        ask(&f, &v, "GET", "/live/cam/s1/v720/x.m4s?CMCD=bl%3D1200", "");
        assert_int_equal(v.status, 404);
        ask(&f, &v, "GET", SEGMENT "?CMCD=bl%3D(", "");
        until_value(&f, "edged_player_reports_total{via=\"query\",version=\"broken\"}", broken + 1);
        assert_true(value_of(BY_QUERY) == query + 1); /* who is not answered has not reported */
        assert_int_equal(f.e.upstream->count, 1);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_events_are_taken_by_post_and_the_connection_goes_on(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        double events = value_of(BY_EVENT), stalled = value_of("edged_player_stalled_seconds_total");
        double rebuffering = value_of("edged_player_states_total{state=\"rebuffering\"}");
        double failed = value_of("edged_player_errors_total{kind=\"response\"}"), wrong = value_of("edged_player_errors_total{kind=\"player\"}");
        viewer_open(&v, &f);
        post(&f, &v, "/cmcd/cam", "", EVENTS);
        assert_int_equal(v.status, 204);
        assert_string_equal(header_of(&v, "Access-Control-Allow-Origin"), "*");
        assert_true(value_of(BY_EVENT) == events + 3);
        assert_true(value_of("edged_player_stalled_seconds_total") > stalled + 0.3499);
        assert_true(value_of("edged_player_states_total{state=\"rebuffering\"}") == rebuffering + 1);
        assert_true(value_of("edged_player_errors_total{kind=\"response\"}") == failed + 1);
        assert_true(value_of("edged_player_errors_total{kind=\"player\"}") == wrong + 1);
        assert_true(value_of("edged_player_startup_seconds_count") >= 1 && value_of("edged_player_latency_seconds_count") >= 1);
        post(&f, &v, "/cmcd/cam", "", "e=t,v=2");
        assert_int_equal(v.status, 204);
        assert_true(value_of(BY_EVENT) == events + 4);
        ask(&f, &v, "GET", "/cmcd/cam", "");
        assert_int_equal(v.status, 404);
        post(&f, &v, "/time", "", "e=t,v=2");
        assert_int_equal(v.status, 405);
        post(&f, &v, "/cmcd/a%2Fb", "", "e=t,v=2");
        assert_int_equal(v.status, 405);
        ask(&f, &v, "POST", "/cmcd/cam", "Content-Length: 65537\r\n"); /* none of it is waited for */
        assert_int_equal(v.status, 413);
        until(&f, is_closed, &v);
        assert_true(value_of(BY_EVENT) == events + 4);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_a_body_of_64_kb_in_pieces_counts_so_many_reports(void **state)
{
        (void)state;
        static char body[65536 + 1];
        struct fixture f;
        struct viewer v;
        open_fixture(&f, PATIENCE_US);
        double events = value_of("edged_player_reports_total{via=\"event\",version=\"1\"}");
        for (size_t i = 0; i < 65536; i += 8)
                memcpy(body + i, "bl=1200\n", 8);
        viewer_open(&v, &f);
        viewer_ask(&v, "POST", "/cmcd/cam", "Content-Length: 65536\r\n");
        for (size_t at = 0; at < 65536;) {
                ssize_t n = send(v.fd, body + at, 65536 - at < 1000 ? 65536 - at : 1000, MSG_NOSIGNAL);
                at += n > 0 ? (size_t)n : 0;
                uv_run(&f.e.loop, UV_RUN_NOWAIT);
        }
        until(&f, has_answer, &v);
        assert_int_equal(v.status, 204);
        assert_true(value_of("edged_player_reports_total{via=\"event\",version=\"1\"}") == events + CMCD_LINES_MAX);
        viewer_close(&v);
        close_fixture(&f);
}

static void test_of_private_streams_only_their_viewers_report(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        struct jwt_keys *keys = NULL;
        char why[200];
        const char *set = SET(OCT("a", SECRET_A));
        json_t *list = json_pack("[s]", "staff-*");
        char *claims = mem_printf("{\"sub\":\"view\",\"path\":\"staff-*\",\"exp\":%lld}", (long long)(clock_real_us() / US_PER_S + 1000));
        char *token = hs256("{\"alg\":\"HS256\",\"kid\":\"a\"}", claims, TOKEN_SECRET_A, 32);
        char *target = mem_printf("/t/%s/cmcd/staff-1", token), *segment = mem_printf("/t/%s" PRIVATE "?CMCD=bl%%3D1200", token);
        open_fixture(&f, PATIENCE_US);
        warm(&f, PRIVATE, "abc", 3);
        assert_int_equal(jwt_keys_parse(&keys, set, strlen(set), why, sizeof(why)), 0);
        access_set(f.access, list, keys);
        double events = value_of(BY_EVENT), query = value_of(BY_QUERY);
        viewer_open(&v, &f);
        post(&f, &v, "/cmcd/staff-1", "", EVENTS);
        assert_int_equal(v.status, 401);
        assert_true(value_of(BY_EVENT) == events);
        post(&f, &v, target, "", EVENTS);
        assert_int_equal(v.status, 204);
        assert_true(value_of(BY_EVENT) == events + 3);
        ask(&f, &v, "GET", PRIVATE "?CMCD=bl%3D1200", "");
        assert_int_equal(v.status, 401);
        ask(&f, &v, "GET", segment, "");
        assert_int_equal(v.status, 200);
        until_value(&f, BY_QUERY, query + 1);
        viewer_close(&v);
        close_fixture(&f);
        jwt_keys_unref(&keys);
        json_decref(list);
        free(claims);
        free(token);
        free(target);
        free(segment);
}

static void test_a_report_of_who_asks_too_often_does_not_count(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        bool refused = false;
        fixture_addresses = addresses_open(&(struct addresses_config){.connections = 10, .requests_of_one_s = 1});
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        while (!refused) { /* two within a second */
                double events = value_of(BY_EVENT);
                post(&f, &v, "/cmcd/cam", "", EVENTS);
                refused = v.status == 429;
                assert_true(value_of(BY_EVENT) == events + (refused ? 0 : 3));
        }
        viewer_close(&v);
        close_fixture(&f);
        addresses_close(fixture_addresses);
        fixture_addresses = NULL;
}

static bool is_grown(struct fixture *f, void *arg)
{
        (void)arg;
        return fake_open(f->e.upstream) != NULL;
}

static void test_a_player_is_told_how_long_it_was_held(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        int one = 1;
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        viewer_ask(&v, "GET", SEGMENT, "");
        until(&f, is_grown, NULL);
        until(&f, is_held, &one);
        int64_t since_us = clock_mono_us();
        while (clock_mono_us() - since_us < 30 * US_PER_MS)
                poll(NULL, 0, 5);
        fake_answer_bytes(fake_open(f.e.upstream), "abc", 3, FETCH_COMPLETE | FETCH_IMMUTABLE, 0, "video/mp4");
        until(&f, has_answer, &v);
        assert_non_null(header_of(&v, "CMSD-Static"));
        assert_memory_equal(header_of(&v, "CMSD-Static"), "ht=", 3);
        assert_true(atoi(header_of(&v, "CMSD-Static") + 3) >= 30);
        assert_non_null(strstr(header_of(&v, "CMSD-Dynamic"), ";rd="));
        ask(&f, &v, "GET", SEGMENT, ""); /* nobody waits now */
        assert_null(header_of(&v, "CMSD-Static"));
        assert_null(strstr(header_of(&v, "CMSD-Dynamic"), ";rd="));
        viewer_close(&v);
        close_fixture(&f);
}

static uint32_t tenths_now(int64_t now_us)
{
        static struct audience_row rows[AUDIENCE_STREAMS + 1];
        audience_look(fixture_audience, now_us);
        return audience_rows(fixture_audience, rows) ? rows[0].tenths[AUDIENCE_PICTURE] : 0;
}

static bool has_ten(struct fixture *f, void *arg)
{
        (void)f;
        return tenths_now(clock_mono_us()) == *(uint32_t *)arg;
}

/* What is counted of a viewer's requests, by the clock of this machine: of segments whose ten is over. */
static void test_who_watches_is_counted_once_a_second_however_he_asks(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        char target[80];
        uint32_t twice_ten = 20;
        fixture_audience = audience_open(2);
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        for (int n = 100; n < 119; n++) {
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", n);
                warm(&f, target, "0123456789", 10);
                ask(&f, &v, "GET", target, "Range: bytes=0-4\r\n"); /* in two parts: one more who has seen it */
                ask(&f, &v, "GET", target, "Range: bytes=5-\r\n");
                ask(&f, &v, "HEAD", target, "");
                ask(&f, &v, "GET", target, "If-None-Match: *\r\n");
        }
        until(&f, has_ten, &twice_ten);
        viewer_close(&v);
        close_fixture(&f);
        audience_close(fixture_audience);
        fixture_audience = NULL;
}

static bool has_nobody(struct fixture *f, void *arg)
{
        (void)f;
        (void)arg;
        return metric_get(&stats_clients) == 0;
}

/* Who gives up in the middle asks again for what he did not get, of a smaller picture most likely. */
static void test_who_gives_up_in_the_middle_has_not_seen_it(void **state)
{
        (void)state;
        static char second[1000];
        struct fixture f;
        struct viewer v;
        char target[80];
        fixture_audience = audience_open(2);
        open_fixture(&f, PATIENCE_US);
        for (int n = 100; n < 119; n++) {
                viewer_open(&v, &f);
                snprintf(target, sizeof(target), "/live/cam/s1/v720/%d.m4s", n);
                viewer_ask(&v, "GET", target, "");
                answer_asked(&f, second, sizeof(second), FETCH_IMMUTABLE);
                until(&f, has_head, &v);
                viewer_close(&v);
                until(&f, has_nobody, NULL);
                answer_asked(&f, second, 1, FETCH_IMMUTABLE | FETCH_COMPLETE);
        }
        assert_int_equal(tenths_now(clock_mono_us()), 0);
        close_fixture(&f);
        audience_close(fixture_audience);
        fixture_audience = NULL;
}

/* Another edge may say what it likes: of a stream that has more viewers than can be counted is not said that it has none. */
static void test_the_most_viewers_that_can_be_told_are_told(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v;
        uint8_t said[64];
        struct writer w;
        struct audience *nobody = audience_open(2);
        fixture_crowd = crowd_open(nobody, NULL);
        writer_init(&w, said, sizeof(said));
        writer_str(&w, "cam");
        for (int of = 0; of < AUDIENCE_KINDS; of++)
                writer_u32(&w, UINT32_C(1) << 30);
        for (uint64_t edge = 1; edge <= 4; edge++)
                assert_int_equal(crowd_heard(fixture_crowd, edge, said, w.len, clock_mono_us()), 0);
        crowd_look(fixture_crowd, clock_mono_us());
        open_fixture(&f, PATIENCE_US);
        viewer_open(&v, &f);
        ask(&f, &v, "GET", "/api/viewers", "");
        assert_int_equal(v.status, 200);
        v.body[v.body_len] = '\0';
        assert_string_equal(v.body, "{\"viewers\":[{\"id\":\"cam\",\"count\":429496730}]}\n");
        viewer_close(&v);
        close_fixture(&f);
        crowd_close(fixture_crowd);
        fixture_crowd = NULL;
        audience_close(nobody);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_report_of_who_asks_too_often_does_not_count),
                cmocka_unit_test(test_what_comes_with_a_request_is_counted_and_is_no_part_of_the_objects_name),
                cmocka_unit_test(test_events_are_taken_by_post_and_the_connection_goes_on),
                cmocka_unit_test(test_a_body_of_64_kb_in_pieces_counts_so_many_reports),
                cmocka_unit_test(test_of_private_streams_only_their_viewers_report),
                cmocka_unit_test(test_a_player_is_told_how_long_it_was_held),
                cmocka_unit_test(test_who_gives_up_in_the_middle_has_not_seen_it),
                cmocka_unit_test(test_the_most_viewers_that_can_be_told_are_told),
                cmocka_unit_test(test_who_watches_is_counted_once_a_second_however_he_asks),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        players_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
