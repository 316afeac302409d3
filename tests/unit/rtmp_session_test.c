#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "ingestd/amf0.h"
#include "ingestd/rtmp_chunk.h"
#include "ingestd/rtmp_handshake.h"
#include "ingestd/rtmp_session.h"
#include "tests/unit/rtmp_bytes.h"

#define SECOND INT64_C(1000000)

/* A session with its client: what the session writes is read back into commands, what it does with its publication is
 * written down. */
struct publication {
        int unused;
};

struct client {
        struct rtmp_session *s;
        struct rtmp_limits limits;
        struct log_few strangers;
        int64_t now_us;
        struct bytes out; /* to the session, sent by push() */
        size_t chunk_size;
        struct bytes in; /* from the session, after the handshake */
        size_t handshake_bytes;
        struct rtmp_chunk_reader reader;

        int closes;
        enum rtmp_close closed;
        bool linger;

        struct publication publication;
        const struct publication_events *events;
        void *events_arg;
        struct publish_request request;
        int begins, ends, frames, metadatas;
        int begin_err;
        enum close_reason end_why;
        struct flv_frame last; /* bytes not to be looked at */
        size_t last_len;
        struct flv_metadata metadata;
        bool refuse_on_frame;

        enum admission_verdict verdict;
        const struct admission_events *admission_events;
        void *admission_arg;
        int admits, dismissals;
        bool paused;
};

static struct client *now_testing; /* publication functions have no argument of their own */

static void client_write(void *arg, const void *data, size_t len)
{
        struct client *c = arg;
        size_t skip = RTMP_HANDSHAKE_ANSWER - c->handshake_bytes;
        if (skip > len)
                skip = len;
        c->handshake_bytes += skip;
        put(&c->in, (const uint8_t *)data + skip, len - skip);
}

static void client_close(void *arg, enum rtmp_close reason, bool linger)
{
        struct client *c = arg;
        c->closes++;
        c->closed = reason;
        c->linger = linger;
}

static void client_pause(void *arg, bool paused)
{
        struct client *c = arg;
        assert_true(c->paused != paused);
        c->paused = paused;
}

static enum admission_verdict fake_admit(struct admission_case **out, struct admission *a, const struct publish_request *request,
                                         const struct admission_events *events, void *arg, char *text, size_t text_cap)
{
        struct client *c = now_testing;
        (void)a;
        c->admits++;
        c->request = *request;
        c->admission_events = events;
        c->admission_arg = arg;
        *out = c->verdict == ADMISSION_REFUSED ? NULL : (struct admission_case *)&c->admits;
        snprintf(text, text_cap, "the key is wrong");
        return c->verdict;
}

static void fake_dismiss(struct admission_case **out)
{
        if (*out)
                now_testing->dismissals++;
        *out = NULL;
}

static int fake_begin(struct publication **out, struct ingest *in, const struct publish_request *request,
                      const struct publication_events *events, void *arg, char *text, size_t text_cap)
{
        struct client *c = now_testing;
        (void)in;
        *out = NULL;
        c->begins++;
        c->request = *request;
        c->events = events;
        c->events_arg = arg;
        snprintf(text, text_cap, "no room");
        if (c->begin_err == 0)
                *out = &c->publication;
        return c->begin_err;
}

static void fake_frame(struct publication *p, const struct flv_frame *f)
{
        struct client *c = now_testing;
        assert_ptr_equal(p, &c->publication);
        c->frames++;
        c->last = *f;
        c->last_len = f->bytes->len;
        if (c->refuse_on_frame)
                c->events->refuse(c->events_arg, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", "no room");
}

static void fake_metadata(struct publication *p, const struct flv_metadata *m)
{
        assert_ptr_equal(p, &now_testing->publication);
        now_testing->metadatas++;
        now_testing->metadata = *m;
}

static void fake_end(struct publication *p, enum close_reason why)
{
        assert_ptr_equal(p, &now_testing->publication);
        now_testing->ends++;
        now_testing->end_why = why;
}

static const struct rtmp_session_ops ops = {client_write, client_close, client_pause, fake_admit,    fake_dismiss,
                                            fake_begin,   fake_frame,   fake_metadata, fake_end};

static void client_init(struct client *c)
{
        static const struct rtmp_chunk_limits any = {1u << 20, 1u << 20, 64};
        *c = (struct client){.limits = RTMP_LIMITS_DEFAULT, .chunk_size = 128, .now_us = 100 * SECOND};
        rtmp_chunk_init(&c->reader, &any);
        now_testing = c;
        c->s = rtmp_session_new(&(struct rtmp_session_setup){.ops = &ops, .arg = c, .limits = &c->limits,
                                                             .strangers = &c->strangers, .id = 1, .address = "127.0.0.1:5", .now_us = c->now_us});
}

static void client_fini(struct client *c)
{
        rtmp_session_close(c->s, RTMP_CLOSE_PEER);
        assert_int_equal(c->closes, 1);
        rtmp_session_end(c->s);
        rtmp_session_end(c->s);
        assert_true(c->ends <= c->begins);
        rtmp_session_free(&c->s);
        assert_null(c->s);
        rtmp_chunk_fini(&c->reader);
        bytes_free(&c->in);
        bytes_free(&c->out);
}

static void push(struct client *c)
{
        struct bytes b = c->out;
        c->out = (struct bytes){0};
        rtmp_session_feed(c->s, b.p, b.len, c->now_us);
        bytes_free(&b);
}

static void handshake(struct client *c)
{
        put_be(&c->out, 3, 1);
        put_fill(&c->out, 0, 2 * RTMP_HANDSHAKE_PART);
        push(c);
        assert_int_equal(c->handshake_bytes, RTMP_HANDSHAKE_ANSWER);
}

/* A command whose first argument is `text` (NULL: none). */
static void command(struct client *c, uint32_t sid, const char *name, double transaction, const char *text)
{
        struct bytes b = {0};
        amf_string(&b, name), amf_number(&b, transaction), amf_null(&b);
        if (text)
                amf_string(&b, text), amf_string(&b, "live");
        message(&c->out, 3, 0, RTMP_COMMAND_AMF0, sid, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static void connect_command(struct client *c, const char *app, double caps_ex)
{
        struct bytes b = {0};
        amf_string(&b, "connect"), amf_number(&b, 1);
        put_be(&b, 3, 1);
        amf_key(&b, "app"), amf_string(&b, app);
        amf_key(&b, "flashVer"), amf_string(&b, "FMLE/3.0 \"x\"");
        if (caps_ex >= 0)
                amf_key(&b, "capsEx"), amf_number(&b, caps_ex);
        amf_end(&b);
        message(&c->out, 3, 0, RTMP_COMMAND_AMF0, 0, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static void media(struct client *c, uint8_t type, uint32_t ts, const void *head, size_t head_len, const void *body,
                  size_t len)
{
        struct bytes b = {0};
        put(&b, head, head_len), put(&b, body, len);
        message(&c->out, type == RTMP_VIDEO ? 6 : 4, ts, type, 1, b.p, b.len, c->chunk_size);
        bytes_free(&b);
}

static void configuration(struct client *c)
{
        media(c, RTMP_VIDEO, 0, "\x17\0\0\0\0", 5, avcc_body, sizeof(avcc_body));
        media(c, RTMP_AUDIO, 0, "\xaf\0", 2, asc_body, sizeof(asc_body));
}

static void publish(struct client *c, const char *name)
{
        handshake(c);
        connect_command(c, "live", -1);
        command(c, 0, "createStream", 2, NULL);
        command(c, 1, "publish", 3, name);
        push(c);
}

/* Next message from the session; false when there is none. Data is the caller's. */
static bool next_message(struct client *c, struct rtmp_message *m)
{
        const uint8_t *p = c->in.p, *end = p + c->in.len;
        if (c->in.len == 0 || rtmp_chunk_read(&c->reader, &p, end, m) != RTMP_CHUNK_MESSAGE)
                return false;
        c->in.len = (size_t)(end - p);
        memmove(c->in.p, p, c->in.len);
        return true;
}

static void find_code(void *arg, const struct amf0_value *key, const struct amf0_value *value)
{
        if (amf0_equals(key, "code"))
                amf0_copy(arg, 80, value);
}

/* The next command from the session: its name, transaction, number or code. Other messages are passed over. */
struct heard {
        char name[32], code[80];
        double transaction, number;
        uint32_t stream_id;
};

static bool hear(struct client *c, struct heard *h)
{
        struct rtmp_message m;
        *h = (struct heard){0};
        while (next_message(c, &m)) {
                if (m.type != RTMP_COMMAND_AMF0) {
                        free(m.data);
                        continue;
                }
                struct reader r;
                reader_init(&r, m.data, m.len);
                struct amf0_value name = amf0_read(&r, NULL, NULL);
                amf0_copy(h->name, sizeof(h->name), &name);
                h->transaction = amf0_read(&r, NULL, NULL).number;
                amf0_read(&r, find_code, h->code);
                h->number = amf0_read(&r, find_code, h->code).number;
                h->stream_id = m.stream_id;
                assert_int_equal(reader_done(&r), 0);
                free(m.data);
                return true;
        }
        return false;
}

static void assert_heard(struct client *c, const char *name, double transaction, const char *code)
{
        struct heard h;
        assert_true(hear(c, &h));
        assert_string_equal(h.name, name);
        assert_true(h.transaction == transaction);
        assert_string_equal(h.code, code);
}

static void assert_refused(struct client *c, enum rtmp_close reason, const char *code)
{
        struct heard h;
        bool found = false;
        while (hear(c, &h))
                found = strcmp(h.name, "onStatus") == 0 && strcmp(h.code, code) == 0;
        assert_true(found); /* and it was the last thing said */
        assert_int_equal(c->closes, 1);
        assert_int_equal(c->closed, reason);
        assert_true(c->linger);
}

static void assert_closed(struct client *c, enum rtmp_close reason)
{
        assert_int_equal(c->closes, 1);
        assert_int_equal(c->closed, reason);
        assert_false(c->linger);
}

/* ---- the flow that encoders follow */

static void test_the_usual_flow_is_answered_with_the_right_transactions(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 0, "releaseStream", 2, "cam");
        command(&c, 0, "FCPublish", 3, "cam");
        command(&c, 0, "createStream", 4, NULL);
        command(&c, 0, "_checkbw", 5, NULL);
        command(&c, 1, "publish", 6, "cam?key=k");
        push(&c);

        struct rtmp_message m;
        static const uint8_t expected[] = {RTMP_WINDOW_ACK_SIZE, RTMP_SET_PEER_BANDWIDTH};
        for (size_t i = 0; i < 2; i++) {
                assert_true(next_message(&c, &m));
                assert_int_equal(m.type, expected[i]);
                free(m.data);
        }
        assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
        assert_heard(&c, "_result", 2, "");
        assert_heard(&c, "_result", 3, "");
        assert_heard(&c, "onFCPublish", 0, "NetStream.Publish.Start");
        assert_true(hear(&c, &h));
        assert_string_equal(h.name, "_result");
        assert_true(h.transaction == 4 && h.number == 1);
        assert_heard(&c, "_result", 5, "");
        assert_true(hear(&c, &h));
        assert_string_equal(h.code, "NetStream.Publish.Start");
        assert_int_equal(h.stream_id, 1);
        assert_false(hear(&c, &h));
        assert_string_equal(c.request.stream, "cam");
        assert_string_equal(c.request.key, "k");
        assert_string_equal(c.request.address, "127.0.0.1:5");
        assert_string_equal(c.request.encoder, "FMLE/3.0 \"x\"");
        assert_true(rtmp_session_live(c.s));
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

static void test_transaction_0_is_not_answered(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 0, "releaseStream", 0, "cam");
        command(&c, 0, "whatever", 0, "cam");
        command(&c, 0, "whatever", 9, "cam");
        push(&c);
        assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
        assert_heard(&c, "_error", 9, "NetConnection.Call.Failed");
        assert_false(hear(&c, &h));
        client_fini(&c);
}

static void test_frames_and_metadata_reach_the_publication_byte_by_byte_too(void **state)
{
        (void)state;
        struct client c;
        struct bytes meta = {0}, all;
        client_init(&c);
        publish(&c, "cam");
        amf_string(&meta, "@setDataFrame"), amf_string(&meta, "onMetaData"), put_be(&meta, 3, 1);
        amf_key(&meta, "title"), amf_string(&meta, "T"), amf_end(&meta);
        message(&c.out, 4, 0, RTMP_DATA_AMF0, 1, meta.p, meta.len, 128);
        configuration(&c);
        media(&c, RTMP_VIDEO, 77, "\x17\1\0\0\0", 5, "\0\0\0\1e", 5);
        all = c.out;
        c.out = (struct bytes){0};
        for (size_t i = 0; i < all.len; i++)
                rtmp_session_feed(c.s, all.p + i, 1, c.now_us);
        assert_int_equal(c.metadatas, 1);
        assert_string_equal(c.metadata.title, "T");
        assert_int_equal(c.frames, 3);
        assert_int_equal(c.last.flags, FRAME_KEY);
        assert_int_equal(c.last.dts_ms, 77);
        assert_int_equal(c.last_len, 5);
        assert_int_equal(c.closes, 0);
        bytes_free(&all);
        bytes_free(&meta);
        client_fini(&c);
}

static void test_amf3_wrapped_commands_and_data_are_understood(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        put_be(&b, 0, 1), amf_string(&b, "publish"), amf_number(&b, 2), amf_null(&b), amf_string(&b, "cam");
        message(&c.out, 3, 0, RTMP_COMMAND_AMF3, 1, b.p, b.len, 128);
        bytes_free(&b);
        put_be(&b, 0, 1), amf_string(&b, "onMetaData"), put_be(&b, 3, 1), amf_end(&b);
        message(&c.out, 3, 0, RTMP_DATA_AMF3, 1, b.p, b.len, 128);
        bytes_free(&b);
        push(&c);
        assert_int_equal(c.begins, 1);
        assert_int_equal(c.metadatas, 1);
        client_fini(&c);
}

static void test_aggregates_are_taken_apart_with_their_own_times(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        for (int i = 0; i < 2; i++) {
                put_be(&b, RTMP_VIDEO, 1), put_be(&b, 7, 3), put_be(&b, 500 + 40 * (unsigned)i, 3), put_be(&b, 0, 4);
                put(&b, "\x27\1\0\0\0NN", 7), put_be(&b, 18, 4);
        }
        put_be(&b, RTMP_VIDEO, 1), put_be(&b, 0xffffff, 3), put_be(&b, 0, 7); /* cut short */
        message(&c.out, 6, 9000, RTMP_AGGREGATE, 1, b.p, b.len, 128);
        push(&c);
        assert_int_equal(c.frames, 4);
        assert_int_equal(c.last.dts_ms, 9040);
        assert_int_equal(c.last_len, 2);
        assert_int_equal(c.closes, 0);
        bytes_free(&b);
        client_fini(&c);
}

static void test_acknowledgements_come_unprompted_every_window(void **state)
{
        (void)state;
        struct client c;
        struct rtmp_message m;
        struct heard h;
        client_init(&c);
        publish(&c, "cam");
        while (hear(&c, &h))
                ;
        message(&c.out, 2, 0, RTMP_WINDOW_ACK_SIZE, 0, "\0\1\0\0", 4, 128);
        message(&c.out, 2, 0, RTMP_SET_CHUNK_SIZE, 0, "\0\1\0\0", 4, 128);
        push(&c);
        c.chunk_size = 65536;
        uint8_t *body = calloc(1, 20000);
        int acks = 0;
        uint32_t last = 0;
        for (int i = 0; i < 40; i++) {
                media(&c, RTMP_VIDEO, 0, "\x17\2\0\0\0", 5, body, 20000);
                push(&c);
                while (next_message(&c, &m)) {
                        assert_int_equal(m.type, RTMP_ACK);
                        uint32_t v = (uint32_t)m.data[0] << 24 | (uint32_t)m.data[1] << 16 | (uint32_t)m.data[2] << 8 | m.data[3];
                        assert_true(v - last >= 65536);
                        last = v;
                        acks++;
                        free(m.data);
                }
        }
        assert_int_equal(acks, 40 / 4); /* four messages fill a window of 64 kB */
        free(body);
        client_fini(&c);
}

static void test_a_ping_is_answered_with_its_own_time(void **state)
{
        (void)state;
        struct client c;
        struct rtmp_message m;
        struct heard h;
        client_init(&c);
        publish(&c, "cam");
        while (hear(&c, &h))
                ;
        message(&c.out, 2, 0, RTMP_USER_CONTROL, 0, "\0\6wxyz", 6, 128);
        message(&c.out, 2, 0, RTMP_USER_CONTROL, 0, "\0\6w", 3, 128);
        push(&c);
        assert_true(next_message(&c, &m));
        assert_int_equal(m.type, RTMP_USER_CONTROL);
        assert_memory_equal(m.data, "\0\7wxyz", 6);
        free(m.data);
        assert_false(next_message(&c, &m));
        client_fini(&c);
}

static void test_a_reconnect_is_only_asked_of_those_who_understand(void **state)
{
        (void)state;
        for (int caps = 0; caps <= 1; caps++) {
                struct client c;
                struct heard h;
                client_init(&c);
                handshake(&c);
                connect_command(&c, "live", caps);
                push(&c);
                assert_heard(&c, "_result", 1, "NetConnection.Connect.Success");
                assert_int_equal(rtmp_session_ask_reconnect(c.s), caps);
                assert_int_equal(hear(&c, &h), caps);
                if (caps)
                        assert_string_equal(h.code, "NetConnection.Connect.ReconnectRequest");
                assert_int_equal(c.closes, 0);
                client_fini(&c);
        }
}

static void test_who_leaves_because_it_was_asked_to_has_not_ended_its_broadcast(void **state)
{
        (void)state;
        for (unsigned caps = 0; caps <= 1; caps++) {
                struct client c;
                client_init(&c);
                handshake(&c);
                connect_command(&c, "live", (int)caps);
                command(&c, 0, "createStream", 2, NULL);
                command(&c, 1, "publish", 3, "cam");
                push(&c);
                rtmp_session_ask_reconnect(c.s);
                command(&c, 1, "FCUnpublish", 0, "cam");
                push(&c);
                assert_int_equal(c.ends, 1);
                assert_int_equal(c.end_why, caps ? CLOSE_LOST : CLOSE_STOPPED);
                client_fini(&c);
        }
}

/* ---- ends */

static void check_stop(const char *how)
{
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        command(&c, 1, how, 0, "cam");
        push(&c);
        assert_int_equal(c.ends, 1);
        assert_int_equal(c.end_why, CLOSE_STOPPED);
        assert_int_equal(c.closes, 0);
        media(&c, RTMP_VIDEO, 0, "\x12", 1, "late", 4); /* would be refused while live */
        push(&c);
        assert_int_equal(c.closes, 0);
        rtmp_session_close(c.s, RTMP_CLOSE_PEER);
        assert_closed(&c, RTMP_CLOSE_STOPPED);
        client_fini(&c);
        assert_int_equal(c.ends, 1);
}

static void test_unpublish_delete_and_close_stream_end_the_stream(void **state)
{
        (void)state;
        check_stop("FCUnpublish");
        check_stop("deleteStream");
        check_stop("closeStream");
}

static void test_a_stream_may_follow_another_on_the_same_connection(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "one");
        command(&c, 1, "FCUnpublish", 0, "one");
        command(&c, 1, "deleteStream", 0, NULL);
        command(&c, 0, "createStream", 7, NULL);
        command(&c, 2, "publish", 8, "two");
        push(&c);
        assert_int_equal(c.begins, 2);
        assert_string_equal(c.request.stream, "two");
        rtmp_session_close(c.s, RTMP_CLOSE_PEER);
        assert_closed(&c, RTMP_CLOSE_PEER);
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

static void test_handshake_and_publish_have_ten_seconds(void **state)
{
        (void)state;
        for (int step = 0; step < 3; step++) {
                struct client c;
                client_init(&c);
                if (step >= 1)
                        handshake(&c);
                if (step >= 2) {
                        connect_command(&c, "live", -1);
                        push(&c);
                }
                rtmp_session_tick(c.s, c.now_us + 9 * SECOND);
                assert_int_equal(c.closes, 0);
                rtmp_session_tick(c.s, c.now_us + 10 * SECOND);
                assert_closed(&c, RTMP_CLOSE_PUBLISH_TIMEOUT);
                client_fini(&c);
        }
}

static void test_a_publisher_without_media_is_lost_after_twenty_seconds(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        c.now_us += 15 * SECOND;
        configuration(&c);
        push(&c);
        c.now_us += 15 * SECOND;
        message(&c.out, 2, 0, RTMP_USER_CONTROL, 0, "\0\6wxyz", 6, 128); /* no media */
        media(&c, RTMP_VIDEO, 0, "\x17\1\0\0\0", 5, "", 0);             /* nor this */
        push(&c);
        rtmp_session_tick(c.s, c.now_us);
        assert_int_equal(c.closes, 0);
        rtmp_session_tick(c.s, c.now_us + 5 * SECOND);
        assert_closed(&c, RTMP_CLOSE_MEDIA_TIMEOUT);
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

/* ---- refusals */

static void test_a_bad_name_is_refused_before_publish_start(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "live/..");
        assert_int_equal(c.begins, 0);
        assert_refused(&c, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName");
        client_fini(&c);
}

static void test_a_name_that_had_to_be_cut_is_refused(void **state)
{
        (void)state;
        char name[2700];
        struct client c;
        memset(name, '/', sizeof(name));
        memcpy(name, "cam", 3);
        name[sizeof(name) - 1] = '\0';
        client_init(&c);
        publish(&c, name);
        assert_refused(&c, RTMP_CLOSE_BAD_NAME, "NetStream.Publish.BadName");
        client_fini(&c);
}

static void test_a_publication_that_does_not_begin_is_refused_with_its_words(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.begin_err = ERR_FULL;
        publish(&c, "cam");
        assert_non_null(memmem(c.in.p, c.in.len, "no room", 7));
        assert_refused(&c, RTMP_CLOSE_PUBLISHERS, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.ends, 0);
        assert_int_equal(c.dismissals, 1);
}

/* ---- who may publish */

static void test_who_may_not_publish_is_told_before_anything_begins(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_REFUSED;
        publish(&c, "cam?key=k&a=1");
        assert_non_null(memmem(c.in.p, c.in.len, "the key is wrong", 16));
        assert_null(memmem(c.in.p, c.in.len, "Publish.Start", 13));
        assert_refused(&c, RTMP_CLOSE_DENIED, "NetStream.Publish.Denied");
        assert_int_equal(c.begins, 0);
        assert_string_equal(c.request.key, "k");
        assert_string_equal(c.request.query, "a=1");
        assert_string_equal(c.request.app, "live");
        client_fini(&c);
}

static void test_what_comes_while_it_is_being_decided_is_kept_and_looked_at_after(void **state)
{
        (void)state;
        struct client c;
        struct heard h;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 1, "publish", 3, "cam");
        configuration(&c); /* in the same bytes */
        push(&c);
        assert_true(c.paused);
        while (hear(&c, &h))
                assert_string_not_equal(h.name, "onStatus");
        media(&c, RTMP_VIDEO, 77, "\x17\1\0\0\0", 5, "\0\0\0\1e", 5);
        for (size_t i = 0; i < c.out.len; i++) /* its socket had that already */
                rtmp_session_feed(c.s, c.out.p + i, 1, c.now_us);
        bytes_free(&c.out);
        assert_int_equal(c.begins, 0);
        assert_int_equal(c.frames, 0);
        assert_false(rtmp_session_live(c.s));
        c.admission_events->allowed(c.admission_arg);
        assert_false(c.paused);
        assert_heard(&c, "onStatus", 0, "NetStream.Publish.Start");
        assert_int_equal(c.begins, 1);
        assert_int_equal(c.frames, 3);
        assert_int_equal(c.last.dts_ms, 77);
        media(&c, RTMP_VIDEO, 90, "\x27\1\0\0\0", 5, "\0\0\0\1e", 5);
        push(&c);
        assert_int_equal(c.frames, 4);
        client_fini(&c);
        assert_int_equal(c.dismissals, 1);
}

static void test_a_late_no_is_told_as_one_at_once(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        c.admission_events->refused(c.admission_arg, "not on Sundays");
        assert_false(c.paused);
        assert_non_null(memmem(c.in.p, c.in.len, "not on Sundays", 14));
        assert_refused(&c, RTMP_CLOSE_DENIED, "NetStream.Publish.Denied");
        c.admission_events->allowed(c.admission_arg);
        assert_int_equal(c.begins, 0);
        client_fini(&c);
        assert_int_equal(c.dismissals, 1);
}

static void test_who_leaves_while_it_is_being_decided_never_begins(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        publish(&c, "cam");
        rtmp_session_tick(c.s, c.now_us + 10 * SECOND);
        assert_closed(&c, RTMP_CLOSE_PUBLISH_TIMEOUT);
        client_fini(&c);
        assert_int_equal(c.dismissals, 1);
        assert_int_equal(c.begins, 0);
}

static void test_too_much_before_the_decision_is_a_reason_to_close(void **state)
{
        (void)state;
        struct client c;
        static const uint8_t much[1000];
        client_init(&c);
        c.verdict = ADMISSION_PENDING;
        publish(&c, "cam");
        for (size_t n = 0; n + sizeof(much) <= RTMP_EARLY_MAX; n += sizeof(much))
                rtmp_session_feed(c.s, much, sizeof(much), c.now_us);
        assert_int_equal(c.closes, 0);
        rtmp_session_feed(c.s, much, sizeof(much), c.now_us);
        assert_closed(&c, RTMP_CLOSE_EARLY);
        client_fini(&c);
}

static void test_who_may_not_go_on_is_told_and_its_session_waits(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        c.admission_events->refused(c.admission_arg, "the key is no longer valid");
        assert_non_null(memmem(c.in.p, c.in.len, "the key is no longer valid", 26));
        assert_refused(&c, RTMP_CLOSE_REVOKED, "NetStream.Publish.Denied");
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

static void test_each_stream_of_a_connection_is_asked_for(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "one");
        command(&c, 1, "deleteStream", 4, NULL);
        push(&c);
        assert_int_equal(c.dismissals, 1);
        command(&c, 1, "publish", 5, "two");
        push(&c);
        assert_int_equal(c.admits, 2);
        assert_string_equal(c.request.stream, "two");
        assert_true(rtmp_session_live(c.s));
        client_fini(&c);
        assert_int_equal(c.dismissals, 2);
}

static void test_an_unsupported_codec_is_refused_and_named(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        media(&c, RTMP_VIDEO, 0, "\x90hvc1", 5, "config", 6);
        media(&c, RTMP_VIDEO, 0, "\x90hvc1", 5, "config", 6);
        push(&c);
        assert_non_null(memmem(c.in.p, c.in.len, "HEVC video is not supported; send H.264 video and AAC audio", 59));
        assert_refused(&c, RTMP_CLOSE_CODEC, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_REFUSED);
}

static void test_a_damaged_configuration_is_refused(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        media(&c, RTMP_VIDEO, 0, "\x17\0\0\0\0", 5, "garbage", 7);
        push(&c);
        assert_refused(&c, RTMP_CLOSE_BAD_MEDIA, "NetStream.Publish.Rejected");
        client_fini(&c);
}

static void test_players_are_turned_away(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        connect_command(&c, "live", -1);
        command(&c, 1, "play", 4, "cam");
        push(&c);
        assert_refused(&c, RTMP_CLOSE_PLAY, "NetStream.Play.Failed");
        client_fini(&c);
}

static void test_publishing_twice_at_once_is_refused(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        command(&c, 1, "publish", 9, "other");
        push(&c);
        assert_refused(&c, RTMP_CLOSE_COMMAND, "NetStream.Publish.BadName");
        assert_int_equal(c.begins, 1);
        client_fini(&c);
        assert_int_equal(c.ends, 1);
}

static void test_a_publication_may_refuse_from_inside_a_frame(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        c.refuse_on_frame = true;
        configuration(&c);
        configuration(&c);
        push(&c);
        assert_int_equal(c.frames, 1);
        assert_int_equal(c.ends, 0); /* not from inside the publication's own call */
        assert_refused(&c, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected");
        client_fini(&c);
        assert_int_equal(c.ends, 1);
}

static void test_a_taken_over_connection_is_told_and_fed_no_more(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        publish(&c, "cam");
        configuration(&c);
        push(&c);
        int frames = c.frames;
        c.events->refuse(c.events_arg, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName", "taken over");
        c.events->refuse(c.events_arg, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", "again");
        assert_refused(&c, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName");
        configuration(&c);
        push(&c);
        rtmp_session_tick(c.s, c.now_us + 100 * SECOND);
        assert_int_equal(c.frames, frames);
        assert_int_equal(c.closes, 1);
        client_fini(&c);
        assert_int_equal(c.end_why, CLOSE_LOST);
}

/* ---- bad input */

static void test_what_is_not_rtmp_is_closed_at_its_first_byte(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        put(&c.out, "GET / HTTP/1.1\r\n", 16);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_HANDSHAKE);
        assert_int_equal(c.handshake_bytes, 0);
        client_fini(&c);
}

static void test_commands_before_connect_are_out_of_order(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        command(&c, 1, "publish", 1, "cam");
        push(&c);
        assert_closed(&c, RTMP_CLOSE_COMMAND);
        client_fini(&c);
}

static void check_bad_command(const struct bytes *body, enum rtmp_close reason)
{
        struct client c;
        client_init(&c);
        handshake(&c);
        message(&c.out, 3, 0, RTMP_COMMAND_AMF0, 0, body->p, body->len, 128);
        push(&c);
        assert_closed(&c, reason);
        client_fini(&c);
}

static void test_malformed_and_nested_commands_have_their_own_reasons(void **state)
{
        (void)state;
        struct bytes b = {0};
        check_bad_command(&b, RTMP_CLOSE_AMF); /* empty */
        amf_number(&b, 5);
        check_bad_command(&b, RTMP_CLOSE_AMF);
        bytes_free(&b);
        amf_string(&b, "connect"), amf_number(&b, 1);
        for (int i = 0; i < 5000; i++)
                put_be(&b, 3, 1), amf_key(&b, "k");
        check_bad_command(&b, RTMP_CLOSE_AMF_DEPTH);
        bytes_free(&b);
}

static void test_broken_metadata_is_ignored_and_a_nesting_bomb_is_not(void **state)
{
        (void)state;
        struct client c;
        struct bytes b = {0};
        client_init(&c);
        publish(&c, "cam");
        message(&c.out, 4, 0, RTMP_DATA_AMF0, 1, "\2\0\x0aonMet", 8, 128);
        push(&c);
        assert_int_equal(c.closes, 0);
        assert_int_equal(rtmp_session_ignored(c.s), 1);
        amf_string(&b, "onMetaData");
        for (int i = 0; i < 17; i++)
                put_be(&b, 10, 1), put_be(&b, 1, 4);
        message(&c.out, 4, 0, RTMP_DATA_AMF0, 1, b.p, b.len, 128);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_AMF_DEPTH);
        bytes_free(&b);
        client_fini(&c);
}

static void test_long_messages_are_for_publishers_only(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        chunk_header(&c.out, 6, 0, 100000, RTMP_VIDEO, 1);
        push(&c);
        assert_closed(&c, RTMP_CLOSE_MESSAGE_SIZE);
        client_fini(&c);
        client_init(&c);
        publish(&c, "cam");
        chunk_header(&c.out, 6, 0, 8u << 20, RTMP_VIDEO, 1);
        push(&c);
        assert_int_equal(c.closes, 0);
        chunk_header(&c.out, 7, 0, (8u << 20) + 1, RTMP_VIDEO, 1);
        struct bytes rest = {0}; /* the first chunk of the first message comes before */
        put_fill(&rest, 0, 128);
        put(&rest, c.out.p, c.out.len);
        bytes_free(&c.out);
        c.out = rest;
        push(&c);
        assert_closed(&c, RTMP_CLOSE_MESSAGE_SIZE);
        client_fini(&c);
}

/* Begins `count` messages of 60000 bytes, each in a chunk stream of its own, and leaves the end of each out. */
static void leave_unfinished(struct client *c, unsigned count)
{
        static const uint8_t chunk_size[4] = {0, 0, 50000 >> 8, 50000 & 0xff};
        message(&c->out, 2, 0, RTMP_SET_CHUNK_SIZE, 0, chunk_size, sizeof(chunk_size), 128);
        for (unsigned i = 0; i < count; i++) {
                chunk_header(&c->out, 6 + i, 0, 60000, RTMP_VIDEO, 1);
                put_fill(&c->out, 0, 50000);
        }
        push(c);
}

static void test_what_a_stranger_leaves_unfinished_takes_little_memory(void **state)
{
        (void)state;
        struct client c;
        client_init(&c);
        handshake(&c);
        leave_unfinished(&c, 1);
        assert_int_equal(c.closes, 0);
        leave_unfinished(&c, 2);
        assert_closed(&c, RTMP_CLOSE_PARTIAL_BYTES);
        client_fini(&c);
        client_init(&c);
        publish(&c, "cam");
        leave_unfinished(&c, 20);
        assert_int_equal(c.closes, 0);
        client_fini(&c);
}

static int quiet(void **state)
{
        (void)state;
        log_set_level(LOG_ERROR);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_usual_flow_is_answered_with_the_right_transactions),
                cmocka_unit_test(test_transaction_0_is_not_answered),
                cmocka_unit_test(test_frames_and_metadata_reach_the_publication_byte_by_byte_too),
                cmocka_unit_test(test_amf3_wrapped_commands_and_data_are_understood),
                cmocka_unit_test(test_aggregates_are_taken_apart_with_their_own_times),
                cmocka_unit_test(test_acknowledgements_come_unprompted_every_window),
                cmocka_unit_test(test_a_ping_is_answered_with_its_own_time),
                cmocka_unit_test(test_a_reconnect_is_only_asked_of_those_who_understand),
                cmocka_unit_test(test_who_leaves_because_it_was_asked_to_has_not_ended_its_broadcast),
                cmocka_unit_test(test_unpublish_delete_and_close_stream_end_the_stream),
                cmocka_unit_test(test_a_stream_may_follow_another_on_the_same_connection),
                cmocka_unit_test(test_handshake_and_publish_have_ten_seconds),
                cmocka_unit_test(test_a_publisher_without_media_is_lost_after_twenty_seconds),
                cmocka_unit_test(test_a_bad_name_is_refused_before_publish_start),
                cmocka_unit_test(test_a_name_that_had_to_be_cut_is_refused),
                cmocka_unit_test(test_a_publication_that_does_not_begin_is_refused_with_its_words),
                cmocka_unit_test(test_who_may_not_publish_is_told_before_anything_begins),
                cmocka_unit_test(test_what_comes_while_it_is_being_decided_is_kept_and_looked_at_after),
                cmocka_unit_test(test_a_late_no_is_told_as_one_at_once),
                cmocka_unit_test(test_who_leaves_while_it_is_being_decided_never_begins),
                cmocka_unit_test(test_too_much_before_the_decision_is_a_reason_to_close),
                cmocka_unit_test(test_who_may_not_go_on_is_told_and_its_session_waits),
                cmocka_unit_test(test_each_stream_of_a_connection_is_asked_for),
                cmocka_unit_test(test_an_unsupported_codec_is_refused_and_named),
                cmocka_unit_test(test_a_damaged_configuration_is_refused),
                cmocka_unit_test(test_players_are_turned_away),
                cmocka_unit_test(test_publishing_twice_at_once_is_refused),
                cmocka_unit_test(test_a_publication_may_refuse_from_inside_a_frame),
                cmocka_unit_test(test_a_taken_over_connection_is_told_and_fed_no_more),
                cmocka_unit_test(test_what_is_not_rtmp_is_closed_at_its_first_byte),
                cmocka_unit_test(test_commands_before_connect_are_out_of_order),
                cmocka_unit_test(test_malformed_and_nested_commands_have_their_own_reasons),
                cmocka_unit_test(test_broken_metadata_is_ignored_and_a_nesting_bomb_is_not),
                cmocka_unit_test(test_long_messages_are_for_publishers_only),
                cmocka_unit_test(test_what_a_stranger_leaves_unfinished_takes_little_memory),
        };
        return cmocka_run_group_tests(tests, quiet, NULL);
}
