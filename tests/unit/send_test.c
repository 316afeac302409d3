/* An answer on its way to a viewer who reads slowly: every byte in its place, whatever the kernel takes at a time. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "edged/pages.h"
#include "edged/wire/server.h"
#include "edged/wire/send.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

/* ---- a viewer, who keeps what comes ---------------------------------------------------------------------------------- */

struct way {
        int edge, viewer;
        char *got;
        size_t len, cap;
        unsigned full; /* how often the kernel took no more */
};

static void way_open(struct way *w)
{
        int ends[2], least = 1;
        memset(w, 0, sizeof(*w));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        w->edge = ends[0];
        w->viewer = ends[1];
        setsockopt(w->edge, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)); /* the kernel makes it as small as it can be */
}

static void way_close(struct way *w)
{
        close(w->edge);
        close(w->viewer);
        free(w->got);
}

static bool take(struct way *w, size_t most)
{
        if (w->len + most > w->cap)
                w->got = mem_resize(w->got, w->cap = 2 * (w->len + most));
        ssize_t n = recv(w->viewer, w->got + w->len, most, 0);
        w->len += n > 0 ? (size_t)n : 0;
        return n > 0;
}

/* Sends all there is to send; the viewer reads whenever the kernel is full. */
static void send_all(struct output *o, struct way *w)
{
        enum output_says says;
        while ((says = output_send(o, w->edge, NULL)) == OUTPUT_FULL) {
                w->full++;
                assert_true(take(w, 700));
        }
        assert_int_equal(says, OUTPUT_SENT);
        while (take(w, 1 << 16))
                ;
}

static void expect(struct way *w, const char *text, const struct buf *bytes, const char *end)
{
        size_t len = strlen(text), body = bytes ? bytes->len : 0;
        assert_true(w->len >= len);
        assert_memory_equal(w->got, text, len);
        assert_int_equal(w->len, len + body + strlen(end));
        if (body)
                assert_memory_equal(w->got + len, bytes->data, body);
        assert_memory_equal(w->got + len + body, end, strlen(end));
        w->len = 0;
}

static struct buf *filled(size_t len)
{
        struct buf *b = buf_new(len);
        for (size_t i = 0; i < len; i++)
                b->data[i] = (uint8_t)(i * 7 + i / 251);
        return b;
}

/* ---- what is promised ------------------------------------------------------------------------------------------------- */

static void send_whole(struct buf *body, bool is_in_pages)
{
        struct way w;
        struct output o = {0};
        char text[400];
        assert_int_equal(pages_find(body, NULL, NULL), is_in_pages);
        for (unsigned off = 0; off < 2; off++) { /* a part does not begin where a page does */
                struct buf *want = buf_slice(body, off * 1000, body->len - off * 1000);
                struct answer *a = answer_new(200, body, off * 1000, want->len);
                way_open(&w);
                output_answer(&o, a, &(struct output_how){.date = DATE, .extra = "X: 1\r\n", .closes = true});
                answer_unref(&a);
                send_all(&o, &w);
                snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n" DATE "X: 1\r\nConnection: close\r\n\r\n", want->len);
                expect(&w, text, want, "");
                assert_true(w.full > 10);
                output_fini(&o);
                buf_unref(&want);
                way_close(&w);
        }
}

static void test_a_slow_reader_gets_every_byte_of_what_is_in_ordinary_memory(void **state)
{
        (void)state;
        struct buf *body = filled(300001);
        send_whole(body, false);
        buf_unref(&body);
}

static void test_a_slow_reader_gets_every_byte_of_what_is_in_pages(void **state)
{
        (void)state;
        struct buf *bytes = filled(300001), *body = pages_join(&bytes, 1);
        buf_unref(&bytes);
        send_whole(body, true);
        buf_unref(&body);
        assert_int_equal(pages_bodies(), 0);
}

static void test_to_a_head_no_byte_of_the_body_goes(void **state)
{
        (void)state;
        struct way w;
        struct output o = {0};
        struct buf *bytes = filled(50000), *body = pages_join(&bytes, 1);
        struct answer *a = answer_new(200, body, 0, body->len);
        way_open(&w);
        output_answer(&o, a, &(struct output_how){.date = DATE, .without_body = true, .http_1_0 = true});
        send_all(&o, &w);
        expect(&w, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n" DATE "Connection: Keep-Alive\r\n\r\n", NULL, "");
        output_fini(&o);
        answer_unref(&a);
        buf_unref(&bytes);
        buf_unref(&body);
        way_close(&w);
}

/* The pieces of an answer that grows, each in ordinary memory or in pages; the last one says that it is, or the end comes alone. */
static void send_growing(bool http_1_0, bool in_pages, bool end_alone)
{
        static const size_t sizes[] = {1, 20000, 70000};
        struct way w;
        struct output o = {0};
        struct answer *a = answer_growing(200);
        char size[300];
        way_open(&w);
        output_answer(&o, a, &(struct output_how){.date = DATE, .http_1_0 = http_1_0, .closes = http_1_0});
        answer_unref(&a);
        for (unsigned i = 0; i < 3; i++) {
                bool last = i == 2 && !end_alone;
                struct buf *bytes = filled(sizes[i]), *piece = in_pages ? pages_join(&bytes, 1) : buf_ref(bytes);
                output_piece(&o, piece, 0, piece->len, last);
                send_all(&o, &w);
                int at = i ? 0 : snprintf(size, sizeof(size), "HTTP/1.1 200 OK\r\n" DATE "%s\r\n",
                                          http_1_0 ? "Connection: close\r\n" : "Transfer-Encoding: chunked\r\n");
                snprintf(size + at, sizeof(size) - (size_t)at, "%zx\r\n", sizes[i]);
                if (http_1_0)
                        size[at] = '\0';
                expect(&w, size, bytes, http_1_0 ? "" : last ? "\r\n0\r\n\r\n" : "\r\n");
                buf_unref(&bytes);
        }
        if (end_alone) {
                output_last(&o);
                send_all(&o, &w);
                expect(&w, http_1_0 ? "" : "0\r\n\r\n", NULL, "");
        }
        output_fini(&o);
        way_close(&w);
        assert_int_equal(pages_bodies(), 0);
}

static void test_what_grows_comes_in_chunks_and_to_http_1_0_without(void **state)
{
        (void)state;
        for (unsigned i = 0; i < 8; i++)
                send_growing(i & 1, i & 2, i & 4);
}

/* A connection as viewers of this machine have them: a segment is as long as what sendfile() hands over at a time. */
static void way_open_by_tcp(struct way *w)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int port = listen_open("127.0.0.1", 0, false), room = 4 << 20;
        assert_true(port >= 0);
        at.sin_port = htons((uint16_t)listen_port(port));
        memset(w, 0, sizeof(*w));
        w->viewer = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(w->viewer, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
        assert_int_equal(connect(w->viewer, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(poll(&(struct pollfd){.fd = port, .events = POLLIN}, 1, -1), 1);
        w->edge = accept4(port, NULL, NULL, SOCK_NONBLOCK);
        assert_true(w->edge >= 0);
        close(port);
}

/* The kernel would keep for 200 ms what it was told that more follows of, and take no more meanwhile. */
static void test_nothing_of_a_last_piece_waits_in_the_kernel_for_what_it_does_not_take(void **state)
{
        (void)state;
        enum { BEGINS_AT = 2274, LEN = 116539 }; /* 63262 bytes are the first that sendfile() hands over, less than a segment */
        struct way w;
        struct output o = {0};
        struct answer *a = answer_growing(200);
        struct buf *bytes = filled(BEGINS_AT + LEN), *body = pages_join(&bytes, 1);
        enum output_says says;
        int kept;
        way_open_by_tcp(&w);
        output_answer(&o, a, &(struct output_how){.date = DATE});
        answer_unref(&a);
        output_piece(&o, body, BEGINS_AT, LEN, true);
        while ((says = output_send(&o, w.edge, NULL)) == OUTPUT_FULL) {
                w.full++;
                assert_int_equal(ioctl(w.edge, SIOCOUTQNSD, &kept), 0);
                assert_int_equal(kept, 0);
        }
        assert_int_equal(says, OUTPUT_SENT);
        assert_true(w.full > 0);
        output_fini(&o);
        buf_unref(&bytes);
        way_close(&w);
}

static void test_a_viewer_who_has_gone_ends_it_and_nothing_is_kept(void **state)
{
        (void)state;
        struct way w;
        struct buf *bytes = filled(300000), *body = pages_join(&bytes, 1);
        buf_unref(&bytes);
        for (unsigned begun = 0; begun < 2; begun++) {
                struct output o = {0};
                struct answer *a = answer_new(200, body, 0, body->len);
                way_open(&w);
                output_answer(&o, a, &(struct output_how){.date = DATE});
                answer_unref(&a);
                if (begun)
                        assert_int_equal(output_send(&o, w.edge, NULL), OUTPUT_FULL);
                close(w.viewer);
                assert_int_equal(output_send(&o, w.edge, NULL), OUTPUT_BROKEN);
                output_fini(&o);
                close(w.edge);
                free(w.got);
        }
        buf_unref(&body);
        assert_int_equal(pages_bodies(), 0);
}

static void test_what_was_kept_says_for_how_long(void **state)
{
        (void)state;
        static const struct {
                uint64_t age_s;
                const char *field;
        } rows[] = {{0, "Age: 0\r\n"}, {9, "Age: 9\r\n"}, {10, "Age: 10\r\n"}, {1234567890, "Age: 1234567890\r\n"},
                    {UINT64_MAX, "Age: 18446744073709551615\r\n"}};
        for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct way w;
                struct output o = {0};
                struct answer *a = answer_new(304, NULL, 0, 0);
                char text[200];
                way_open(&w);
                output_answer(&o, a, &(struct output_how){.date = DATE, .was_kept = true, .age_s = rows[i].age_s});
                answer_unref(&a);
                send_all(&o, &w);
                snprintf(text, sizeof(text), "HTTP/1.1 304 Not Modified\r\n" DATE "%s\r\n", rows[i].field);
                expect(&w, text, NULL, "");
                output_fini(&o);
                way_close(&w);
        }
}

static void test_a_date_is_as_http_wants_it(void **state)
{
        (void)state;
        char field[DATE_FIELD_MAX];
        date_field(field, 784111777);
        assert_string_equal(field, DATE);
        date_field(field, 0);
        assert_string_equal(field, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_slow_reader_gets_every_byte_of_what_is_in_ordinary_memory),
                cmocka_unit_test(test_a_slow_reader_gets_every_byte_of_what_is_in_pages),
                cmocka_unit_test(test_to_a_head_no_byte_of_the_body_goes),
                cmocka_unit_test(test_what_grows_comes_in_chunks_and_to_http_1_0_without),
                cmocka_unit_test(test_nothing_of_a_last_piece_waits_in_the_kernel_for_what_it_does_not_take),
                cmocka_unit_test(test_a_viewer_who_has_gone_ends_it_and_nothing_is_kept),
                cmocka_unit_test(test_what_was_kept_says_for_how_long),
                cmocka_unit_test(test_a_date_is_as_http_wants_it),
        };
        signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
