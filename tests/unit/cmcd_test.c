#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "edged/cmcd.h"

/* What @svta/cml-cmcd 2.3.2, which dash.js 5.2.1 writes its reports with, made of one player's state. */
#define V1                                                                                                             \
        "bl=21300,br=3200,bs,cid=\"cam,\\\"x\\\"\\\\\",com.example-hello=\"a=b\",d=1000,mtp=25400,nor=\"..%2F300kbps%2Ftrack.m4v\"," \
        "ot=v,pr=1.08,sf=d,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\",st=l,su"
#define V2                                                                                                             \
        "bl=(21300),br=(3200),bs,bsd=(350;v 20;a),cid=\"cam,\\\"x\\\"\\\\\",com.example-hello=\"a=b\",d=1000,ec=(\"E1\" \"x,y\"),ltc=1400," \
        "msd=812,mtp=(25400),nor=(\"../300kbps/track.m4v\"),ot=v,pr=1.08,sf=d,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\"," \
        "sn=17,st=l,sta=p,su,v=2"
#define EVENT                                                                                                          \
        "bl=(2100;v 1900;a),e=ps,ltc=1400,sid=\"a\",sta=r,ts=1700000000000,v=2\n"                                      \
        "e=rr,rc=404,sid=\"a\",ts=1700000000100,ttfb=80,url=\"https://a.b/c?d=e\\\"f\",v=2\n"                          \
        "bsd=(350;v 20;a),e=t,sid=\"a\",ts=1700000000200,v=2\n"

/* One field, which is never decoded. */
static enum cmcd_result read_text(const char *text, struct cmcd_report *r)
{
        const char *values[CMCD_FIELDS] = {text};
        return cmcd_fields(values, r);
}

static void test_both_versions_say_what_a_player_meant(void **state)
{
        (void)state;
        struct cmcd_report r;
        assert_int_equal(read_text(V1, &r), CMCD_REPORT);
        assert_int_equal(r.version, 1);
        assert_int_equal(r.says, CMCD_BUFFER | CMCD_THROUGHPUT);
        assert_true(r.starved && r.starting);
        assert_int_equal(r.buffer_ms, 21300);
        assert_int_equal(r.throughput_kbps, 25400);
        assert_int_equal(read_text(V2, &r), CMCD_REPORT);
        assert_int_equal(r.version, 2);
        assert_int_equal(r.says, CMCD_BUFFER | CMCD_THROUGHPUT | CMCD_LATENCY | CMCD_STARTUP | CMCD_STALLED);
        assert_true(r.starved && r.starting);
        assert_int_equal(r.buffer_ms, 21300);
        assert_int_equal(r.throughput_kbps, 25400);
        assert_int_equal(r.latency_ms, 1400);
        assert_int_equal(r.startup_ms, 812);
        assert_int_equal(r.stalled_ms, 350);
        assert_int_equal(r.state, CMCD_PLAYING);
}

/* As encodeURIComponent() writes it, and as those do who encode less; the same in lower case. */
static void test_a_query_is_decoded_and_found_among_others(void **state)
{
        (void)state;
        static const char *const targets[] = {
                "/live/cam/s1/v720/7.m4s?CMCD=bl%3D2300%2Cbs%2Csid%3D%22a%2Cmtp%3D1%22%2Cmtp%3D900",
                "/live/cam/s1/v720/7.m4s?CMCD=bl=2300,bs,sid=%22a,mtp=1%22,mtp=900&x=y",
                "/t/abc/live/cam/s1/v720/7.m4s?xCMCD=bl%3d1&signature=CMCD%3d&CMCD=bl%3d2300%2cbs%2csid%3d%22a%22%2cmtp%3d900#CMCD=bl%3d1"};
        struct cmcd_report r;
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
                assert_int_equal(cmcd_query(targets[i], &r), CMCD_REPORT);
                assert_int_equal(r.buffer_ms, 2300);
                assert_int_equal(r.throughput_kbps, 900);
                assert_true(r.starved);
        }
        assert_int_equal(cmcd_query("/live/cam/s1/v720/7.m4s", &r), CMCD_NOTHING);
        assert_int_equal(cmcd_query("/live/cam/s1/v720/7.m4s?CMCD=", &r), CMCD_NOTHING);
        assert_int_equal(cmcd_query("/CMCD=bl?cmcd=bl%3D1&a", &r), CMCD_NOTHING);
        assert_int_equal(cmcd_query("/x?CMCD=bl%3D2300%2", &r), CMCD_BROKEN);
        assert_int_equal(cmcd_query("/x?CMCD=bl%3D2300%zz", &r), CMCD_BROKEN);
        assert_int_equal(cmcd_query("/x?CMCD=bl%", &r), CMCD_BROKEN);
}

static void test_header_fields_are_one_report(void **state)
{
        (void)state;
        static const char *const values[CMCD_FIELDS] = {"br=3200,d=1000,ot=v", "bl=21300, mtp=25400 ", NULL, "bs"};
        static const char *const none[CMCD_FIELDS] = {NULL, NULL, "", NULL};
        static const char *const torn[CMCD_FIELDS] = {"bl=100", "sid=\"a", "mtp=3", NULL}; /* what is a string here must not hide the next field */
        struct cmcd_report r;
        assert_int_equal(cmcd_fields(values, &r), CMCD_REPORT);
        assert_int_equal(r.says, CMCD_BUFFER);
        assert_int_equal(r.buffer_ms, 21300);
        assert_true(r.starved);
        assert_int_equal(cmcd_fields(none, &r), CMCD_NOTHING);
        assert_int_equal(cmcd_fields(torn, &r), CMCD_BROKEN);
}

struct taken {
        unsigned reports, broken;
        struct cmcd_report last[4];
};

static void take(void *arg, enum cmcd_result result, const struct cmcd_report *r)
{
        struct taken *t = arg;
        if (result == CMCD_BROKEN)
                t->broken++;
        else
                t->last[t->reports++ % 4] = *r;
}

static void test_a_body_may_come_in_any_pieces(void **state)
{
        (void)state;
        for (size_t step = 1; step <= strlen(EVENT); step++) {
                struct cmcd_lines l = {0};
                struct taken t = {0};
                for (size_t at = 0; at < strlen(EVENT); at += step) {
                        size_t left = strlen(EVENT) - at;
                        cmcd_lines(&l, &EVENT[at], left < step ? left : step, take, &t);
                }
                cmcd_lines_end(&l, take, &t);
                assert_int_equal(t.reports, 3);
                assert_int_equal(t.broken, 0);
                assert_int_equal(t.last[0].event, CMCD_PLAY_STATE);
                assert_int_equal(t.last[0].state, CMCD_REBUFFERING);
                assert_int_equal(t.last[0].buffer_ms, 1900); /* the sound ends first */
                assert_int_equal(t.last[1].event, CMCD_RESPONSE_RECEIVED);
                assert_int_equal(t.last[1].response, 404);
                assert_int_equal(t.last[2].event, CMCD_OTHER_EVENT);
                assert_int_equal(t.last[2].stalled_ms, 350);
                assert_int_equal(t.last[2].says, CMCD_STALLED);
        }
}

static void test_a_broken_line_spoils_no_other_and_a_body_has_so_many(void **state)
{
        (void)state;
        static const char text[] = "bl=1\r\nsid=\"a\r\n\n=3\nbl=(1 2\nbl=2";
        struct cmcd_lines l = {0};
        struct taken t = {0};
        cmcd_lines(&l, text, strlen(text), take, &t);
        cmcd_lines_end(&l, take, &t);
        assert_int_equal(t.broken, 3);
        assert_int_equal(t.reports, 2);
        assert_int_equal(t.last[1].buffer_ms, 2);
        l = (struct cmcd_lines){0};
        t = (struct taken){0};
        for (int i = 0; i < 2 * CMCD_LINES_MAX; i++)
                cmcd_lines(&l, "su\n", 3, take, &t);
        cmcd_lines_end(&l, take, &t);
        assert_int_equal(t.reports, CMCD_LINES_MAX);
}

static void test_what_is_no_report_is_broken(void **state)
{
        (void)state;
        static const char *const texts[] = {"bl=", "bl=,bs", "=", ",", "sid=\"", "sid=\"a\\", "bl=(", "bl=(1", "nor=(\"a)", "a b", "\"a\"", "bl=1\"2\"",
                                            "bl=(1\"\")", "(", "\x01", "bl\xff=3", "bs;v=\"", "bl=;"};
        struct cmcd_report r;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                if (read_text(texts[i], &r) != CMCD_BROKEN)
                        fail_msg("taken: %s", texts[i]);
        }
}

static void test_a_number_that_is_none_or_not_plausible_is_as_if_it_were_not_there(void **state)
{
        (void)state;
        static const char *const texts[] = {"bl=-5",  "bl=1e3",    "bl=0x10", "bl=999999999", "bl=1234567890123456789012345678901234567890",
                                            "bl=\"3\"", "bl=(\"3\")", "bl=",   "bl=1.2.3",     "bl=.5",
                                            "bl",     "bl=()",     "buffer-length=3", "blblblblblbl=3"};
        struct cmcd_report r;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                read_text(texts[i], &r);
                if (r.says & CMCD_BUFFER)
                        fail_msg("taken: %s", texts[i]);
        }
        assert_int_equal(read_text("bl=1200.75,rc=0,nor=\"x\";r=\"0-9\",bs=?0,su=?1,sta=zz,", &r), CMCD_REPORT);
        assert_int_equal(r.buffer_ms, 1200);
        assert_int_equal(r.says, CMCD_BUFFER | CMCD_RESPONSE);
        assert_true(!r.starved && r.starting);
        assert_int_equal(r.state, CMCD_NO_STATE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_versions_say_what_a_player_meant),
                cmocka_unit_test(test_a_query_is_decoded_and_found_among_others),
                cmocka_unit_test(test_header_fields_are_one_report),
                cmocka_unit_test(test_a_body_may_come_in_any_pieces),
                cmocka_unit_test(test_a_broken_line_spoils_no_other_and_a_body_has_so_many),
                cmocka_unit_test(test_what_is_no_report_is_broken),
                cmocka_unit_test(test_a_number_that_is_none_or_not_plausible_is_as_if_it_were_not_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
