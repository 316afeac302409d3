#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "ingestd/rtmp_chunk.h"
#include "tests/unit/rtmp_bytes.h"

static const struct rtmp_chunk_limits limits = {.message_bytes = 8u << 20, .partial_bytes = 16u << 20, .streams = 64};

#define GOT_MAX 100
struct got {
        struct rtmp_message m[GOT_MAX];
        size_t count;
        enum rtmp_close_reason bad;
        size_t held_bytes;
};

static void got_free(struct got *g)
{
        for (size_t i = 0; i < g->count; i++)
                buf_unref(&g->m[i].block);
        *g = (struct got){0};
}

/* Feeds `in` in pieces of `piece` bytes after a first one of `first` (0: like the others). Each piece is its own
 * allocation, so that a read beyond it shows under the address sanitizer. */
static struct got read_pieces(const struct bytes *in, size_t first, size_t piece, const struct rtmp_chunk_limits *l)
{
        struct got g = {0};
        struct rtmp_chunk_reader r;
        rtmp_chunk_init(&r, l);
        for (size_t at = 0; at < in->len && !g.bad;) {
                size_t n = at == 0 && first ? first : piece;
                if (n > in->len - at)
                        n = in->len - at;
                uint8_t *copy = malloc(n);
                memcpy(copy, in->p + at, n);
                const uint8_t *p = copy;
                enum rtmp_chunk_result result;
                while ((result = rtmp_chunk_read(&r, &p, copy + n, &g.m[g.count])) == RTMP_CHUNK_MESSAGE) {
                        g.count++;
                        assert_true(g.count < GOT_MAX);
                }
                if (result == RTMP_CHUNK_BAD)
                        g.bad = r.bad;
                else
                        assert_ptr_equal(p, copy + n);
                free(copy);
                at += n;
        }
        g.held_bytes = r.held_bytes;
        rtmp_chunk_fini(&r);
        return g;
}

static struct got read_whole(const struct bytes *in)
{
        return read_pieces(in, 0, in->len, &limits);
}

static void assert_same(const struct got *a, const struct got *b)
{
        assert_int_equal(a->bad, b->bad);
        assert_int_equal(a->count, b->count);
        for (size_t i = 0; i < a->count; i++) {
                assert_int_equal(a->m[i].type, b->m[i].type);
                assert_int_equal(a->m[i].timestamp_ms, b->m[i].timestamp_ms);
                assert_int_equal(a->m[i].stream_id, b->m[i].stream_id);
                assert_int_equal(a->m[i].len, b->m[i].len);
                if (a->m[i].len)
                        assert_memory_equal(a->m[i].data, b->m[i].data, a->m[i].len);
        }
}

/* Reads in one go, then cut in two at every position, then byte by byte: all must give the same. Returns the first. */
static struct got read_all_ways(const struct bytes *in)
{
        struct got whole = read_whole(in);
        for (size_t cut = 1; cut < in->len; cut++) {
                struct got g = read_pieces(in, cut, in->len, &limits);
                assert_same(&whole, &g);
                got_free(&g);
        }
        for (size_t piece = 1; piece <= 5; piece++) {
                struct got g = read_pieces(in, 0, piece, &limits);
                assert_same(&whole, &g);
                got_free(&g);
        }
        return whole;
}

static void pattern(uint8_t *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(i * 7 + i / 128);
}

static void test_a_message_of_many_chunks_comes_out_whole_however_it_is_cut(void **state)
{
        (void)state;
        uint8_t body[300];
        struct bytes b = {0};
        pattern(body, sizeof(body));
        message(&b, 6, 40, RTMP_VIDEO, 1, body, sizeof(body), 128);
        message(&b, 4, 41, RTMP_AUDIO, 1, body, 128, 128);
        message(&b, 3, 0, RTMP_COMMAND_AMF0, 0x01020304, body, 0, 128);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 3);
        assert_int_equal(g.m[0].type, RTMP_VIDEO);
        assert_int_equal(g.m[0].timestamp_ms, 40);
        assert_int_equal(g.m[0].stream_id, 1);
        assert_int_equal(g.m[0].len, 300);
        assert_memory_equal(g.m[0].data, body, 300);
        assert_int_equal(g.m[1].len, 128);
        assert_int_equal(g.m[2].stream_id, 0x01020304);
        assert_null(g.m[2].data);
        got_free(&g);
        bytes_free(&b);
}

static void test_chunk_stream_ids_of_one_two_and_three_bytes_interleave(void **state)
{
        (void)state;
        static const unsigned csids[] = {2, 63, 64, 319, 320, 65599};
        uint8_t body[6][256];
        struct bytes b = {0};
        for (size_t i = 0; i < 6; i++) {
                memset(body[i], 'a' + (int)i, sizeof(body[i]));
                chunk_header(&b, csids[i], (uint32_t)i, 256, RTMP_VIDEO, 1);
                put(&b, body[i], 128);
        }
        for (size_t i = 6; i-- > 0;) {
                chunk_basic(&b, 3, csids[i]);
                put(&b, body[i] + 128, 128);
        }
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 6);
        for (size_t i = 0; i < 6; i++) {
                assert_int_equal(g.m[i].timestamp_ms, 5 - i);
                assert_memory_equal(g.m[i].data, body[5 - i], 256);
        }
        got_free(&g);
        bytes_free(&b);
}

static void test_deltas_add_up_and_fmt_3_repeats_the_last_one(void **state)
{
        (void)state;
        struct bytes b = {0};
        chunk_header(&b, 4, 1000, 1, RTMP_AUDIO, 1);
        put(&b, "a", 1);
        chunk_basic(&b, 3, 4); /* after fmt 0: its timestamp is the delta */
        put(&b, "b", 1);
        chunk_basic(&b, 1, 4);
        put_be(&b, 23, 3), put_be(&b, 2, 3), put_be(&b, RTMP_VIDEO, 1);
        put(&b, "cc", 2);
        chunk_basic(&b, 2, 4);
        put_be(&b, 10, 3);
        put(&b, "dd", 2);
        chunk_basic(&b, 3, 4);
        put(&b, "ee", 2);
        struct got g = read_all_ways(&b);
        static const uint32_t times[] = {1000, 2000, 2023, 2033, 2043};
        assert_int_equal(g.count, 5);
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(g.m[i].timestamp_ms, times[i]);
        assert_int_equal(g.m[4].type, RTMP_VIDEO);
        assert_int_equal(g.m[4].stream_id, 1);
        got_free(&g);
        bytes_free(&b);
}

static void test_fmt_1_may_open_a_chunk_stream_and_fmt_3_may_not(void **state)
{
        (void)state;
        struct bytes b = {0};
        chunk_basic(&b, 1, 5);
        put_be(&b, 7, 3), put_be(&b, 1, 3), put_be(&b, RTMP_AUDIO, 1);
        put(&b, "x", 1);
        chunk_basic(&b, 2, 7); /* length 0 */
        put_be(&b, 9, 3);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 2);
        assert_int_equal(g.m[0].timestamp_ms, 7);
        got_free(&g);
        chunk_basic(&b, 3, 9);
        g = read_all_ways(&b);
        assert_int_equal(g.bad, RTMP_CLOSE_CHUNK);
        got_free(&g);
        bytes_free(&b);
}

/* One message of `len` bytes at time ts in chunks of 128, whose fmt 3 chunks repeat the timestamp or do not. */
static void extended_message(struct bytes *b, uint32_t ts, const uint8_t *body, size_t len, int repeat)
{
        chunk_header(b, 6, ts, len, RTMP_VIDEO, 1);
        for (size_t at = 0; at < len; at += 128) {
                if (at) {
                        chunk_basic(b, 3, 6);
                        if (repeat)
                                put_be(b, ts, 4);
                }
                put(b, body + at, len - at < 128 ? len - at : 128);
        }
}

static void test_extended_timestamp_is_found_repeated_or_not_on_fmt_3(void **state)
{
        (void)state;
        uint8_t body[260];
        memset(body, 1, sizeof(body)); /* like the first byte of the timestamp */
        for (int repeat = 0; repeat <= 1; repeat++) {
                for (size_t len = 257; len <= 260; len++) { /* 1 to 4 bytes in the last chunk */
                        struct bytes b = {0};
                        extended_message(&b, 0x01020304, body, len, repeat);
                        extended_message(&b, 0x01020404, body, len, repeat);
                        extended_message(&b, 0x01020504, body, 3, repeat);
                        struct got g = read_all_ways(&b);
                        assert_int_equal(g.bad, RTMP_CLOSE_NONE);
                        assert_int_equal(g.count, 3);
                        assert_int_equal(g.m[0].timestamp_ms, 0x01020304);
                        assert_int_equal(g.m[0].len, len);
                        assert_memory_equal(g.m[0].data, body, len);
                        assert_int_equal(g.m[1].timestamp_ms, 0x01020404);
                        assert_memory_equal(g.m[1].data, body, len);
                        assert_int_equal(g.m[2].timestamp_ms, 0x01020504);
                        got_free(&g);
                        bytes_free(&b);
                }
        }
}

static void test_extended_delta_may_step_back_and_wraps_at_32_bits(void **state)
{
        (void)state;
        struct bytes b = {0};
        chunk_header(&b, 6, 0xfffffff0, 1, RTMP_VIDEO, 1);
        put(&b, "a", 1);
        chunk_basic(&b, 1, 6);
        put_be(&b, 0x20, 3), put_be(&b, 1, 3), put_be(&b, RTMP_VIDEO, 1);
        put(&b, "b", 1);
        chunk_basic(&b, 1, 6);
        put_be(&b, 0xffffff, 3), put_be(&b, 1, 3), put_be(&b, RTMP_VIDEO, 1), put_be(&b, 0xfffffffe, 4);
        put(&b, "c", 1);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 3);
        assert_int_equal(g.m[0].timestamp_ms, 0xfffffff0);
        assert_int_equal(g.m[1].timestamp_ms, 0x10);
        assert_int_equal(g.m[2].timestamp_ms, 0x0e);
        got_free(&g);
        bytes_free(&b);
}

static void test_set_chunk_size_is_obeyed_at_once(void **state)
{
        (void)state;
        uint8_t body[5000];
        struct bytes b = {0};
        pattern(body, sizeof(body));
        message(&b, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\0\x10\0", 4, 128);
        message(&b, 6, 0, RTMP_VIDEO, 1, body, sizeof(body), 4096);
        message(&b, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\0\0\1", 4, 4096);
        message(&b, 6, 0, RTMP_VIDEO, 1, body, 40, 1);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 2);
        assert_memory_equal(g.m[0].data, body, sizeof(body));
        assert_memory_equal(g.m[1].data, body, 40);
        got_free(&g);
        bytes_free(&b);
}

static void test_chunk_size_of_nothing_is_malformed(void **state)
{
        (void)state;
        static const struct {
                const char *body;
                size_t len;
        } bad[] = {{"\0\0\0\0", 4}, {"\x80\0\0\0", 4}, {"\0\0\1", 3}, {"", 0}};
        for (size_t i = 0; i < 4; i++) {
                struct bytes b = {0};
                message(&b, 2, 0, RTMP_SET_CHUNK_SIZE, 0, bad[i].body, bad[i].len, 128);
                struct got g = read_all_ways(&b);
                assert_int_equal(g.bad, RTMP_CLOSE_CHUNK);
                got_free(&g);
                bytes_free(&b);
        }
}

static void test_abort_drops_what_there_is_of_a_message(void **state)
{
        (void)state;
        uint8_t body[200];
        struct bytes b = {0};
        memset(body, 'x', sizeof(body));
        chunk_header(&b, 6, 0, 200, RTMP_VIDEO, 1);
        put(&b, body, 128);
        message(&b, 2, 0, RTMP_ABORT, 0, "\0\0\0\6", 4, 128);
        message(&b, 2, 0, RTMP_ABORT, 0, "\0\0\0\x20", 4, 128); /* never heard of */
        message(&b, 6, 5, RTMP_VIDEO, 1, "new", 3, 128);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 1);
        assert_memory_equal(g.m[0].data, "new", 3);
        assert_int_equal(g.held_bytes, 0);
        got_free(&g);
        bytes_free(&b);
}

static void test_a_new_header_inside_a_message_begins_it_again(void **state)
{
        (void)state;
        uint8_t body[200];
        struct bytes b = {0};
        memset(body, 'x', sizeof(body));
        chunk_header(&b, 6, 0, 200, RTMP_VIDEO, 1);
        put(&b, body, 128);
        message(&b, 6, 5, RTMP_VIDEO, 1, "new", 3, 128);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.count, 1);
        assert_int_equal(g.m[0].len, 3);
        assert_int_equal(g.m[0].timestamp_ms, 5);
        assert_int_equal(g.held_bytes, 0);
        got_free(&g);
        bytes_free(&b);
}

static void test_a_message_over_its_limit_is_refused_by_its_header_alone(void **state)
{
        (void)state;
        struct bytes b = {0};
        chunk_header(&b, 6, 0, 0xffffff, RTMP_VIDEO, 1);
        struct got g = read_all_ways(&b);
        assert_int_equal(g.bad, RTMP_CLOSE_MESSAGE_SIZE);
        assert_int_equal(g.held_bytes, 0);
        bytes_free(&b);
        chunk_header(&b, 6, 0, 8u << 20, RTMP_VIDEO, 1);
        g = read_all_ways(&b);
        assert_int_equal(g.bad, RTMP_CLOSE_NONE);
        bytes_free(&b);
}

static void test_a_long_message_takes_memory_only_as_it_comes(void **state)
{
        (void)state;
        uint8_t body[128] = {0};
        struct bytes b = {0};
        for (unsigned csid = 3; csid < 60; csid++) {
                chunk_header(&b, csid, 0, 8u << 20, RTMP_VIDEO, 1);
                put(&b, body, 128);
        }
        struct got g = read_whole(&b);
        assert_int_equal(g.bad, RTMP_CLOSE_NONE);
        assert_true(g.held_bytes <= 57 * (64u << 10));
        bytes_free(&b);
}

/* Each begins a message of 200000 bytes with one chunk of 131072. */
static void begin_long(struct bytes *b, unsigned csid)
{
        static const uint8_t body[131072];
        chunk_header(b, csid, 0, 200000, RTMP_VIDEO, 1);
        put(b, body, sizeof(body));
}

static void test_partial_messages_together_have_a_limit(void **state)
{
        (void)state;
        const struct rtmp_chunk_limits tight = {.message_bytes = 1u << 20, .partial_bytes = 300000, .streams = 64};
        struct bytes b = {0};
        message(&b, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\2\0\0", 4, 128);
        for (unsigned csid = 3; csid < 10; csid++) { /* those before were aborted and count no more */
                begin_long(&b, csid);
                message(&b, 2, 0, RTMP_ABORT, 0, (uint8_t[]){0, 0, 0, (uint8_t)csid}, 4, 131072);
        }
        begin_long(&b, 20);
        begin_long(&b, 21);
        struct got g = read_pieces(&b, 0, b.len, &tight);
        assert_int_equal(g.bad, RTMP_CLOSE_NONE);
        begin_long(&b, 22);
        g = read_pieces(&b, 0, b.len, &tight);
        assert_int_equal(g.bad, RTMP_CLOSE_PARTIAL_BYTES);
        bytes_free(&b);
}

static void test_chunk_streams_have_a_limit(void **state)
{
        (void)state;
        struct bytes b = {0};
        struct got g;
        for (unsigned csid = 3; csid < 68; csid++) {
                chunk_header(&b, csid, 0, 10, RTMP_AUDIO, 1);
                put(&b, "0123456789", 10);
                if (csid < 60)
                        continue;
                g = read_pieces(&b, 0, b.len, &limits);
                assert_int_equal(g.bad, csid < 67 ? RTMP_CLOSE_NONE : RTMP_CLOSE_CHUNK_STREAMS);
                got_free(&g);
        }
        bytes_free(&b);
}

static void test_what_is_written_is_read_back(void **state)
{
        (void)state;
        uint8_t body[1000], wire[2048];
        pattern(body, sizeof(body));
        for (size_t len = 0; len <= sizeof(body); len += 50) {
                struct writer w;
                writer_init(&w, wire, sizeof(wire));
                rtmp_chunk_write(&w, 5, RTMP_COMMAND_AMF0, 7, body, len, 128);
                assert_true(writer_ok(&w));
                struct bytes b = {.p = wire, .len = w.len, .cap = sizeof(wire)};
                struct got g = read_whole(&b);
                assert_int_equal(g.count, 1);
                assert_int_equal(g.m[0].stream_id, 7);
                assert_int_equal(g.m[0].len, len);
                if (len)
                        assert_memory_equal(g.m[0].data, body, len);
                got_free(&g);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_message_of_many_chunks_comes_out_whole_however_it_is_cut),
                cmocka_unit_test(test_chunk_stream_ids_of_one_two_and_three_bytes_interleave),
                cmocka_unit_test(test_deltas_add_up_and_fmt_3_repeats_the_last_one),
                cmocka_unit_test(test_fmt_1_may_open_a_chunk_stream_and_fmt_3_may_not),
                cmocka_unit_test(test_extended_timestamp_is_found_repeated_or_not_on_fmt_3),
                cmocka_unit_test(test_extended_delta_may_step_back_and_wraps_at_32_bits),
                cmocka_unit_test(test_set_chunk_size_is_obeyed_at_once),
                cmocka_unit_test(test_chunk_size_of_nothing_is_malformed),
                cmocka_unit_test(test_abort_drops_what_there_is_of_a_message),
                cmocka_unit_test(test_a_new_header_inside_a_message_begins_it_again),
                cmocka_unit_test(test_a_message_over_its_limit_is_refused_by_its_header_alone),
                cmocka_unit_test(test_a_long_message_takes_memory_only_as_it_comes),
                cmocka_unit_test(test_partial_messages_together_have_a_limit),
                cmocka_unit_test(test_chunk_streams_have_a_limit),
                cmocka_unit_test(test_what_is_written_is_read_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
