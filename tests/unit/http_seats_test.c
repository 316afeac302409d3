/* Who may connect when there is no room, and for whom somebody else is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/daemon/descriptors.h"
#include "edged/wire/conn.h"
#include "tests/unit/http_fixture.h"

#define SEATS 8
#define LIMIT 400 /* of descriptors */

static void begin(struct fixture *f, unsigned of_one)
{
        fixture_seats = SEATS;
        fixture_addresses = addresses_open(&(struct addresses_config){.connections = of_one});
        open_fixture(f, PATIENCE_US);
}

static void end(struct fixture *f)
{
        close_fixture(f);
        addresses_close(fixture_addresses);
        fixture_addresses = NULL;
}

static bool is_answered(struct fixture *f, void *arg)
{
        (void)f;
        viewer_read(arg);
        return answer_is_whole(arg, false);
}

static int time_of(struct fixture *f, struct viewer *v)
{
        viewer_ask(v, "GET", "/time", "");
        until(f, is_answered, v);
        return v->status;
}

static bool none_is_silent(struct fixture *f, void *arg)
{
        struct viewer *v = arg;
        (void)f;
        for (unsigned i = 0; i < SEATS; i++)
                viewer_read(&v[i]);
        for (unsigned i = 0; i < SEATS; i++)
                if (v[i].closed)
                        return true;
        return false;
}

static void test_one_of_few_displaces_one_of_many_and_there_are_never_more_than_may_be(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer many[SEATS], few[3];
        int all = SEATS;
        begin(&f, SEATS);
        int64_t before = stats_turned(TURNED_FULL);
        for (unsigned i = 0; i < SEATS; i++) {
                viewer_open_from(&many[i], &f, 2);
                assert_int_equal(time_of(&f, &many[i]), 200);
        }
        for (unsigned i = 0; i < 3; i++) {
                viewer_open_from(&few[i], &f, 10 + i);
                assert_int_equal(time_of(&f, &few[i]), 200);
                until(&f, has_clients, &all);
        }
        until(&f, none_is_silent, many);
        assert_int_equal(stats_turned(TURNED_FULL), before);
        for (unsigned i = 0; i < SEATS; i++)
                viewer_close(&many[i]);
        for (unsigned i = 0; i < 3; i++)
                viewer_close(&few[i]);
        end(&f);
}

static void nobody(struct conn *c)
{
        (void)c;
}

static struct conn *rests_of(struct conn_list *l, atomic_uint *of_address, enum conn_phase phase, int64_t now_us)
{
        struct conn *c = conn_new(l, socket(AF_UNIX, SOCK_STREAM, 0), now_us);
        c->of_address = of_address;
        c->requests = phase == CONN_IDLE;
        conn_enter(c, phase, now_us);
        (*of_address)++;
        return c;
}

/* Whoever holds many has asked for something each time; the other one's latest connection has had no time to ask yet. */
static void test_room_is_made_by_the_address_that_has_most_not_by_one_that_has_a_few(void **state)
{
        (void)state;
        enum { MANY = 9, FEW = 3 };
        struct conn_list l = {0};
        struct conn *all[MANY + FEW];
        atomic_uint many = 0, few = 0;
        conn_list_init(&l);
        for (int i = 0; i < MANY + FEW; i++)
                all[i] = rests_of(&l, i < MANY ? &many : &few, i < MANY + FEW - 1 ? CONN_IDLE : CONN_HEADERS, US_PER_S + i);
        for (int i = 0; i < MANY - FEW; i++, many--)
                assert_ptr_equal(conn_displace(&l, 1, US_PER_S + 100, nobody), all[i]);
        for (int i = 0; i < MANY + FEW; i++) {
                conn_leave(all[i]);
                close(all[i]->fd);
                conn_free(all[i]);
        }
        conn_list_fini(&l);
}

static void test_who_finds_no_room_is_told_and_when_to_come_again(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer busy[SEATS], late;
        int held = SEATS, all = SEATS;
        begin(&f, SEATS);
        for (unsigned i = 0; i < SEATS; i++) {
                viewer_open_from(&busy[i], &f, 2 + i);
                viewer_ask(&busy[i], "GET", SEGMENT, "");
        }
        until(&f, is_held, &held);
        viewer_open_from(&late, &f, 100);
        assert_int_equal(time_of(&f, &late), 503);
        assert_string_equal(header_of(&late, "Retry-After"), "1");
        assert_non_null(strstr(late.body, "as many connections as it may have"));
        until(&f, is_closed, &late);
        until(&f, has_clients, &all);
        viewer_close(&late);
        for (unsigned i = 0; i < SEATS; i++)
                viewer_close(&busy[i]);
        end(&f);
}

static void test_one_address_has_its_share_and_gets_it_back(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer v[3], more, other;
        int two = 2, three = 3;
        begin(&f, 3);
        for (unsigned i = 0; i < 3; i++) {
                viewer_open_from(&v[i], &f, 2);
                assert_int_equal(time_of(&f, &v[i]), 200);
        }
        viewer_open_from(&more, &f, 2);
        assert_int_equal(time_of(&f, &more), 429);
        viewer_open_from(&other, &f, 3);
        assert_int_equal(time_of(&f, &other), 200);
        viewer_close(&other);
        until(&f, has_clients, &three);
        viewer_close(&v[0]);
        until(&f, has_clients, &two);
        viewer_close(&more);
        viewer_open_from(&more, &f, 2);
        assert_int_equal(time_of(&f, &more), 200);
        viewer_close(&more);
        viewer_close(&v[1]);
        viewer_close(&v[2]);
        end(&f);
}

static void test_who_asks_too_often_is_told_and_others_are_answered(void **state)
{
        (void)state;
        struct fixture f;
        struct viewer often, other;
        fixture_seats = SEATS;
        fixture_addresses = addresses_open(&(struct addresses_config){.connections = SEATS, .requests_of_one_s = 1});
        open_fixture(&f, PATIENCE_US);
        int64_t before = stats_spared(SPARED_RATE);
        viewer_open_from(&often, &f, 2);
        viewer_open_from(&other, &f, 3);
        for (unsigned i = 0; i < 1000 && time_of(&f, &often) == 200; i++) /* a busy machine may not come to ask twice in a second */
                ;
        assert_int_equal(often.status, 429);
        assert_string_equal(header_of(&often, "Retry-After"), "1");
        assert_non_null(strstr(often.body, "asks too often"));
        assert_true(stats_spared(SPARED_RATE) > before);
        assert_int_equal(time_of(&f, &other), 200);
        while (time_of(&f, &often) == 429) /* its connection is still there, and it is let in again */
                poll(NULL, 0, 10);
        assert_int_equal(often.status, 200);
        viewer_close(&often);
        viewer_close(&other);
        end(&f);
}

/* Files that are open until none below `number` is free. */
static unsigned open_until(int fds[], int number)
{
        unsigned count = 0;
        while ((fds[count] = open("/dev/null", O_RDONLY)) < number)
                assert_true(++count < LIMIT);
        close(fds[count]);
        return count;
}

static void test_the_last_descriptors_are_no_viewers(void **state)
{
        (void)state;
        struct fixture f;
        struct rlimit before, few = {LIMIT, LIMIT};
        struct viewer in, out;
        int files[LIMIT], reserve = LIMIT - LIMIT / 4;
        begin(&f, SEATS);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        descriptors_raise();
        unsigned count = open_until(files, reserve - 2);
        viewer_open_from(&in, &f, 2); /* both ends are of this process: the edge's is the last that strangers get */
        assert_int_equal(time_of(&f, &in), 200);
        viewer_open_from(&out, &f, 3);
        until(&f, is_closed, &out);
        assert_int_equal(out.in_len, 0);
        assert_int_equal(time_of(&f, &in), 200);
        while (count)
                close(files[--count]);
        viewer_close(&out);
        viewer_open_from(&out, &f, 3);
        assert_int_equal(time_of(&f, &out), 200);
        viewer_close(&out);
        viewer_close(&in);
        setrlimit(RLIMIT_NOFILE, &before);
        descriptors_raise();
        end(&f);
}

/* ---- threads: many come at once, from several addresses, to both of http's threads ------------------------------------ */

struct crowd {
        struct fixture *f;
        uint32_t host;
        pthread_t thread;
};

static void *come_and_go(void *arg)
{
        struct crowd *c = arg;
        struct viewer v;
        char answer[64];
        for (unsigned i = 0; i < 200; i++) {
                viewer_open_from(&v, c->f, c->host);
                if (i % 3)
                        send(v.fd, "GET /time HTTP/1.1\r\nHost: x\r\n\r\n", 31, MSG_NOSIGNAL);
                if (i % 3 == 1) {
                        fcntl(v.fd, F_SETFL, 0);
                        ssize_t n = recv(v.fd, answer, sizeof(answer), 0);
                        (void)n;
                }
                viewer_close(&v);
        }
        return NULL;
}

static void test_a_crowd_leaves_every_seat_free(void **state)
{
        (void)state;
        struct fixture f;
        struct crowd crowd[4];
        struct viewer last;
        int none = 0;
        begin(&f, SEATS);
        for (uint32_t i = 0; i < 4; i++) {
                crowd[i] = (struct crowd){.f = &f, .host = 2 + i / 2};
                assert_int_equal(pthread_create(&crowd[i].thread, NULL, come_and_go, &crowd[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++)
                pthread_join(crowd[i].thread, NULL);
        until(&f, has_clients, &none);
        viewer_open(&last, &f);
        assert_int_equal(time_of(&f, &last), 200);
        viewer_close(&last);
        end(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_of_few_displaces_one_of_many_and_there_are_never_more_than_may_be),
                cmocka_unit_test(test_room_is_made_by_the_address_that_has_most_not_by_one_that_has_a_few),
                cmocka_unit_test(test_who_finds_no_room_is_told_and_when_to_come_again),
                cmocka_unit_test(test_who_asks_too_often_is_told_and_others_are_answered),
                cmocka_unit_test(test_the_last_descriptors_are_no_viewers),
                cmocka_unit_test(test_one_address_has_its_share_and_gets_it_back),
                cmocka_unit_test(test_a_crowd_leaves_every_seat_free),
        };
        log_set_level(LOG_ERROR);
        stats_register();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
