/* Every message: what is encoded is decoded the same; cut short at any byte or with a byte more it is ERR_PROTO. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/mem.h"
#include "proto/check.h"
#include "proto/fetch.h"
#include "proto/hello.h"
#include "proto/media.h"
#include "proto/store.h"

typedef int decode_any(struct reader *r, void *m);

/* Encodes m, decodes it into out (size bytes), then tries every shorter and one longer message. Returns the message that
 * out points into. */
static nng_msg *round_trip(message_encode *encode, decode_any *decode, const void *m, void *out, size_t size)
{
        nng_msg *msg = message_new(77, encode, m);
        struct reader r;
        void *scratch = mem_alloc(size);
        size_t len = nng_msg_len(msg);

        for (size_t cut = 1; cut < len; cut++) {
                uint8_t *exact = mem_alloc(cut); /* of its own, so that a read beyond the end is seen */
                memcpy(exact, nng_msg_body(msg), cut);
                reader_init(&r, exact, cut);
                reader_u8(&r);
                assert_int_equal(decode(&r, scratch), ERR_PROTO);
                free(exact);
        }
        uint8_t *longer = mem_alloc(len + 1);
        memcpy(longer, nng_msg_body(msg), len);
        reader_init(&r, longer, len + 1);
        reader_u8(&r);
        assert_int_equal(decode(&r, scratch), ERR_PROTO);
        free(longer);
        free(scratch);

        memset(out, 0xa5, size);
        assert_int_equal(message_open(&r, msg), 77);
        assert_int_equal(decode(&r, out), 0);
        return msg;
}

#define ROUND_TRIP(type, m, out) round_trip(type##_encode, (decode_any *)(void (*)(void))type##_decode, m, out, sizeof(*(out)))

static void test_hello_round_trip(void **state)
{
        struct hello m = {.version = PROTO_VERSION, .role = ROLE_EDGED, .id = "edge-1", .incarnation_us = 1234567890123456,
                          .load_permille = 1500, .draining = 1, .zone = "hall-2", .came_us = 77, .sent_us = 1234567890123457, .nonce = {4, 5}, .proof = {1, 2, 3}}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(hello, &m, &out);
        assert_int_equal(out.version, m.version);
        assert_int_equal(out.role, m.role);
        assert_string_equal(out.id, m.id);
        assert_int_equal(out.incarnation_us, m.incarnation_us);
        assert_int_equal(out.load_permille, m.load_permille);
        assert_int_equal(out.draining, 1);
        assert_string_equal(out.zone, m.zone);
        assert_int_equal(out.came_us, 77);
        assert_int_equal(out.sent_us, m.sent_us);
        assert_memory_equal(out.nonce, m.nonce, NONCE_BYTES);
        assert_memory_equal(out.proof, m.proof, PROOF_BYTES);
        nng_msg_free(msg);
}

static void test_challenge_round_trip(void **state)
{
        struct challenge m = {.nonce = {9, 8, 7}}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(challenge, &m, &out);
        assert_memory_equal(out.nonce, m.nonce, NONCE_BYTES);
        nng_msg_free(msg);
}

static void test_refused_round_trip(void **state)
{
        struct refused m = {.status = ERR_DENIED, .text = "no"}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(refused, &m, &out);
        assert_int_equal(out.status, ERR_DENIED);
        assert_string_equal(out.text, "no");
        nng_msg_free(msg);
}

static void test_open_round_trip(void **state)
{
        uint8_t avcc[40] = {1, 0x64}, asc[2] = {0x11, 0x90};
        struct open m = {.stream = "cam_1-A", .role = OPEN_BACKUP_NOW, .when = OPEN_IF_FREE | OPEN_BESIDE | OPEN_GOES_ON,
                         .lockstep = 1, .session = "20260131T123456Z-1a2b3c4d", .node = "transcoder-1", .generation = 6,
                         .epoch_us = 1767225600000000, .ahead_us = -7, .publisher = "192.0.2.1:5000", .encoder = "obs",
                         .title = "Grüße", .codecs = {CODEC_H264, CODEC_AAC},
                         .config = {{avcc, sizeof(avcc)}, {asc, sizeof(asc)}}}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(open, &m, &out);
        assert_string_equal(out.stream, m.stream);
        assert_int_equal(out.role, OPEN_BACKUP_NOW);
        assert_int_equal(out.when, OPEN_IF_FREE | OPEN_BESIDE | OPEN_GOES_ON);
        assert_int_equal(out.lockstep, 1);
        assert_string_equal(out.session, m.session);
        assert_string_equal(out.node, "transcoder-1");
        assert_int_equal(out.generation, 6);
        assert_int_equal(out.epoch_us, m.epoch_us);
        assert_int_equal(out.ahead_us, -7);
        assert_string_equal(out.publisher, m.publisher);
        assert_string_equal(out.encoder, m.encoder);
        assert_string_equal(out.title, m.title);
        assert_memory_equal(out.codecs, m.codecs, sizeof(m.codecs));
        assert_int_equal(out.config[0].len, sizeof(avcc));
        assert_memory_equal(out.config[0].data, avcc, sizeof(avcc));
        assert_int_equal(out.config[1].len, sizeof(asc));
        assert_memory_equal(out.config[1].data, asc, sizeof(asc));
        nng_msg_free(msg);
}

static void test_open_reply_round_trip(void **state)
{
        struct open_reply m = {.handle = UINT64_MAX, .session = "20260131T123456Z-1a2b3c4d", .epoch_us = 5, .generation = 7,
                               .skew_us = -3000, .keeps_time = 1, .standby = 1, .node = "t-2"}, out;
        struct open_reply full = {.status = ERR_FULL, .text = "no room"};
        (void)state;
        nng_msg *msg = ROUND_TRIP(open_reply, &m, &out);
        assert_int_equal(out.status, 0);
        assert_true(out.handle == UINT64_MAX);
        assert_string_equal(out.session, m.session);
        assert_int_equal(out.epoch_us, 5);
        assert_int_equal(out.generation, 7);
        assert_int_equal(out.skew_us, -3000);
        assert_int_equal(out.keeps_time, 1);
        assert_int_equal(out.standby, 1);
        assert_string_equal(out.node, "t-2");
        nng_msg_free(msg);
        msg = ROUND_TRIP(open_reply, &full, &out);
        assert_int_equal(out.status, ERR_FULL);
        assert_string_equal(out.text, "no room");
        nng_msg_free(msg);
}

/* Nodes that say there from where on the session goes on, and nodes that read it, are of the same version. */
static void test_reserved_bytes_of_the_answer_to_open_are_zeros_and_may_be_anything(void **state)
{
        struct open_reply m = {.handle = 1, .session = "s-1", .epoch_us = 5, .generation = 7, .skew_us = -3000, .node = "t-2"}, out;
        struct reader r;
        static const uint8_t zeros[8];
        (void)state;
        nng_msg *msg = message_new(MSG_OPEN_REPLY, open_reply_encode, &m);
        uint8_t *reserved = (uint8_t *)nng_msg_body(msg) + 1 + 1 + 2 + 8 + 2 + strlen(m.session) + 8 + 4;
        assert_memory_equal(reserved, zeros, sizeof(zeros));
        memset(reserved, 0x7f, sizeof(zeros)); /* which is no time */
        assert_int_equal(message_open(&r, msg), MSG_OPEN_REPLY);
        assert_int_equal(open_reply_decode(&r, &out), 0);
        assert_int_equal(out.generation, 7);
        assert_int_equal(out.skew_us, -3000);
        assert_string_equal(out.node, "t-2");
        nng_msg_free(msg);
}

static int decode_media(struct reader *r, struct media *m, struct frame *frames, const uint8_t *data, size_t len)
{
        struct buf *whole = buf_copy(data, len);
        reader_init(r, whole->data, whole->len);
        reader_u8(r);
        int err = media_decode(r, m, frames, whole);
        buf_unref(&whole); /* slices keep it */
        return err;
}

static void test_media_round_trip_and_frames_outlive_the_message(void **state)
{
        struct frame in[3] = {
                {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_CONFIG, .dts_us = 0, .bytes = buf_copy("avcc", 4)},
                {.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_KEY | FRAME_BREAK, .dts_us = -33333, .cts_us = -1,
                 .bytes = buf_copy("key frame", 9)},
                {.track = TRACK_AUDIO, .codec = CODEC_AAC, .dts_us = INT64_C(1) << 40, .bytes = buf_copy("", 0)},
        };
        struct media m = {.handle = 42, .first_seq = INT64_MAX, .fresh = 1, .count = 3, .frames = in}, out;
        struct frame frames[BATCH_FRAMES_MAX];
        struct reader r;
        (void)state;
        nng_msg *msg = message_new(MSG_MEDIA, media_encode, &m);
        const uint8_t *data = nng_msg_body(msg);
        size_t len = nng_msg_len(msg);
        for (size_t cut = 1; cut < len; cut++)
                assert_int_equal(decode_media(&r, &out, frames, data, cut), ERR_PROTO);
        uint8_t longer[256] = {0};
        memcpy(longer, data, len);
        assert_int_equal(decode_media(&r, &out, frames, longer, len + 1), ERR_PROTO);

        assert_int_equal(decode_media(&r, &out, frames, data, len), 0);
        nng_msg_free(msg);
        assert_int_equal(out.handle, 42);
        assert_int_equal(out.first_seq, INT64_MAX);
        assert_int_equal(out.fresh, 1);
        assert_int_equal(out.shadow, 0);
        assert_int_equal(out.count, 3);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(frames[i].track, in[i].track);
                assert_int_equal(frames[i].codec, in[i].codec);
                assert_int_equal(frames[i].flags, in[i].flags);
                assert_int_equal(frames[i].dts_us, in[i].dts_us);
                assert_int_equal(frames[i].cts_us, in[i].cts_us);
                assert_int_equal(frames[i].bytes->len, in[i].bytes->len);
                assert_memory_equal(frames[i].bytes->data, in[i].bytes->data, in[i].bytes->len);
                buf_unref(&frames[i].bytes);
                buf_unref(&in[i].bytes);
        }
}

static void test_media_reply_round_trip(void **state)
{
        struct media_reply m = {.status = ERR_ORDER, .next_seq = 10, .stored_us = 20, .credit = 30, .generation = 9, .draining = 1,
                                .standby = 1}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(media_reply, &m, &out);
        assert_int_equal(out.status, ERR_ORDER);
        assert_int_equal(out.next_seq, 10);
        assert_int_equal(out.stored_us, 20);
        assert_int_equal(out.credit, 30);
        assert_int_equal(out.generation, 9);
        assert_int_equal(out.draining, 1);
        assert_int_equal(out.takes_many, 0);
        assert_int_equal(out.standby, 1);
        nng_msg_free(msg);
}

/* The parts' readers point into the message; each is a MEDIA of its own. */
static int decode_many(struct media *out, struct frame frames[][BATCH_FRAMES_MAX], uint16_t *count, struct buf *whole)
{
        struct reader r, parts[MEDIA_MANY_MAX];
        reader_init(&r, whole->data, whole->len);
        reader_u8(&r);
        if (media_many_decode(&r, parts, count) != 0)
                return ERR_PROTO;
        for (uint16_t i = 0; i < *count; i++) {
                if (media_decode(&parts[i], &out[i], frames[i], whole) == 0)
                        continue;
                for (uint16_t j = 0; j < i; j++)
                        for (uint16_t k = 0; k < out[j].count; k++)
                                buf_unref(&frames[j][k].bytes);
                return ERR_PROTO;
        }
        return 0;
}

static void test_media_of_many_sessions_in_one_message(void **state)
{
        static struct frame frames[3][BATCH_FRAMES_MAX];
        struct frame in[2] = {{.track = TRACK_VIDEO, .codec = CODEC_H264, .dts_us = 1, .bytes = buf_copy("one", 3)},
                              {.track = TRACK_AUDIO, .codec = CODEC_AAC, .dts_us = 2, .bytes = buf_copy("other", 5)}};
        struct media parts[3] = {{.handle = 1, .first_seq = 10, .count = 1, .frames = &in[0]},
                                 {.handle = 2, .first_seq = 20, .fresh = 1, .shadow = 1},
                                 {.handle = 3, .first_seq = 30, .count = 1, .frames = &in[1]}}, out[3];
        struct media_many m = {.count = 3, .parts = parts};
        uint16_t count;
        (void)state;
        nng_msg *msg = message_new(MSG_MEDIA_MANY, media_many_encode, &m);
        const uint8_t *data = nng_msg_body(msg);
        for (size_t cut = 1; cut < nng_msg_len(msg); cut++) {
                struct buf *shorter = buf_copy(data, cut);
                assert_int_equal(decode_many(out, frames, &count, shorter), ERR_PROTO);
                buf_unref(&shorter);
        }
        struct buf *whole = buf_copy(data, nng_msg_len(msg));
        nng_msg_free(msg);
        assert_int_equal(decode_many(out, frames, &count, whole), 0);
        buf_unref(&whole);
        assert_int_equal(count, 3);
        assert_int_equal(out[0].handle, 1);
        assert_memory_equal(frames[0][0].bytes->data, "one", 3);
        assert_int_equal(out[1].first_seq, 20);
        assert_int_equal(out[1].fresh, 1);
        assert_int_equal(out[1].shadow, 1);
        assert_int_equal(out[1].count, 0);
        assert_int_equal(out[2].handle, 3);
        assert_memory_equal(frames[2][0].bytes->data, "other", 5);
        buf_unref(&frames[0][0].bytes);
        buf_unref(&frames[2][0].bytes);
        buf_unref(&in[0].bytes);
        buf_unref(&in[1].bytes);
}

static void test_media_many_answers_in_order(void **state)
{
        struct media_many_reply m = {.count = 2, .parts = {{.status = ERR_FENCED}, {.next_seq = 7, .takes_many = 1}}}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(media_many_reply, &m, &out);
        assert_int_equal(out.count, 2);
        assert_int_equal(out.parts[0].status, ERR_FENCED);
        assert_int_equal(out.parts[1].next_seq, 7);
        assert_int_equal(out.parts[1].takes_many, 1);
        nng_msg_free(msg);
}

static void test_close_and_status_round_trip(void **state)
{
        struct close_stream m = {.handle = 3, .reason = CLOSE_LOST}, out;
        struct status_reply s = {.status = ERR_FENCED}, s_out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(close_stream, &m, &out);
        assert_int_equal(out.handle, 3);
        assert_int_equal(out.reason, CLOSE_LOST);
        nng_msg_free(msg);
        msg = ROUND_TRIP(status_reply, &s, &s_out);
        assert_int_equal(s_out.status, ERR_FENCED);
        nng_msg_free(msg);
}

static void test_claim_round_trip(void **state)
{
        struct claim m = {.stream = "cam", .session = "20260131T123456Z-1a2b3c4d", .epoch_us = 77, .node = "transcoder-1",
                          .title = "t", .grace_ms = 30000, .flags = CLAIM_JOIN, .generation = 12}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(claim, &m, &out);
        assert_string_equal(out.stream, m.stream);
        assert_string_equal(out.session, m.session);
        assert_int_equal(out.epoch_us, 77);
        assert_string_equal(out.node, m.node);
        assert_string_equal(out.title, "t");
        assert_int_equal(out.grace_ms, 30000);
        assert_int_equal(out.flags, CLAIM_JOIN);
        assert_int_equal(out.generation, 12);
        nng_msg_free(msg);
}

static void test_claim_reply_round_trip_with_all_tracks(void **state)
{
        struct claim_reply m = {.session = "s", .epoch_us = 1, .generation = 2, .written_generation = 1,
                                .track_count = SESSION_TRACKS_MAX}, out;
        (void)state;
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                struct claim_track *t = &m.tracks[i];
                *t = (struct claim_track){.next_segment = 100 + (uint32_t)i, .next_chunk = (uint8_t)(i % 5), .end_us = i};
                snprintf(t->name, sizeof(t->name), "v%d", i);
        }
        nng_msg *msg = ROUND_TRIP(claim_reply, &m, &out);
        assert_int_equal(out.generation, 2);
        assert_int_equal(out.written_generation, 1);
        assert_int_equal(out.track_count, SESSION_TRACKS_MAX);
        for (int i = 0; i < SESSION_TRACKS_MAX; i++) {
                assert_string_equal(out.tracks[i].name, m.tracks[i].name);
                assert_int_equal(out.tracks[i].next_segment, m.tracks[i].next_segment);
                assert_int_equal(out.tracks[i].next_chunk, m.tracks[i].next_chunk);
                assert_int_equal(out.tracks[i].end_us, m.tracks[i].end_us);
        }
        nng_msg_free(msg);
}

/* What does not say it is the very message of versions that do not know it. */
static void test_only_another_grid_than_the_usual_one_is_said(void **state)
{
        static const uint8_t usual[] = {0, CHUNK_MS};
        struct claim m = {.stream = "cam", .session = "s", .node = "t"}, out;
        struct claim_reply reply = {.session = "s", .track_count = 1, .tracks = {{.name = "v720", .next_chunk = 4}}}, said;
        size_t lens[2] = {0}, reply_lens[2] = {0};
        (void)state;
        for (size_t i = 0; i < 2; i++) {
                m.chunk_ms = reply.chunk_ms = usual[i];
                nng_msg *msg = ROUND_TRIP(claim, &m, &out), *answer = ROUND_TRIP(claim_reply, &reply, &said);
                assert_int_equal(chunk_us(out.chunk_ms), 200000);
                assert_int_equal(chunk_us(said.chunk_ms), 200000);
                lens[i] = nng_msg_len(msg);
                reply_lens[i] = nng_msg_len(answer);
                nng_msg_free(msg);
                nng_msg_free(answer);
        }
        assert_int_equal(lens[0], lens[1]);
        assert_int_equal(reply_lens[0], reply_lens[1]);
        m.chunk_ms = reply.chunk_ms = CHUNK_MS_SHORT;
        reply.tracks[0].next_chunk = 9;
        nng_msg *msg = message_new(77, claim_encode, &m), *answer = message_new(77, claim_reply_encode, &reply);
        struct reader r;
        message_open(&r, msg);
        assert_int_equal(claim_decode(&r, &out), 0);
        message_open(&r, answer);
        assert_int_equal(claim_reply_decode(&r, &said), 0);
        assert_int_equal(out.chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(said.chunk_ms, CHUNK_MS_SHORT);
        assert_int_equal(said.tracks[0].next_chunk, 9);
        assert_int_equal(nng_msg_len(msg), lens[0] + 1);
        assert_int_equal(nng_msg_len(answer), reply_lens[0] + 1);
        nng_msg_free(msg);
        nng_msg_free(answer);
}

static void test_put_round_trip(void **state)
{
        static uint8_t bytes[300] = {9, 8, 7};
        struct put m = {.session = "s-1", .generation = 4, .track = "v720", .flags = PUT_INIT | PUT_LAST | PUT_SLATE,
                        .segment = 17, .chunk = 4, .start_us = 17800000, .duration_us = 200000, .bandwidth = 2500000,
                        .fps_milli = 29970, .bytes = bytes, .len = sizeof(bytes)}, out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(put, &m, &out);
        assert_string_equal(out.session, "s-1");
        assert_int_equal(out.generation, 4);
        assert_string_equal(out.track, "v720");
        assert_int_equal(out.flags, 7);
        assert_int_equal(out.segment, 17);
        assert_int_equal(out.chunk, 4);
        assert_int_equal(out.start_us, 17800000);
        assert_int_equal(out.duration_us, 200000);
        assert_int_equal(out.bandwidth, 2500000);
        assert_int_equal(out.fps_milli, 29970);
        assert_true(out.previous == 0);
        m.flags = PUT_SHADOW;
        m.previous = UINT64_MAX - 1;
        m.after_us = INT64_C(1) << 40;
        nng_msg_free(msg);
        msg = ROUND_TRIP(put, &m, &out);
        assert_int_equal(out.flags, PUT_SHADOW);
        assert_true(out.previous == UINT64_MAX - 1);
        assert_true(out.after_us == INT64_C(1) << 40);
        assert_int_equal(out.len, sizeof(bytes));
        assert_memory_equal(out.bytes, bytes, sizeof(bytes));
        nng_msg_free(msg);
}

static void test_put_reply_and_end_round_trip(void **state)
{
        struct put_reply m = {.status = ERR_ORDER, .next_segment = 3, .next_chunk = 2, .end_us = 3400000}, out;
        struct end e = {.session = "s", .generation = 1, .end_us = 5}, e_out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(put_reply, &m, &out);
        assert_int_equal(out.status, ERR_ORDER);
        assert_int_equal(out.next_segment, 3);
        assert_int_equal(out.next_chunk, 2);
        assert_int_equal(out.end_us, 3400000);
        nng_msg_free(msg);
        msg = ROUND_TRIP(end, &e, &e_out);
        assert_string_equal(e_out.session, "s");
        assert_int_equal(e_out.generation, 1);
        assert_int_equal(e_out.end_us, 5);
        nng_msg_free(msg);
}

static void test_fetch_round_trip(void **state)
{
        struct fetch m = {.key = "/live/cam/s/v720/17.m4s", .offset = 1000, .wait_ms = FETCH_WAIT_MAX_MS, .hops = 2}, out;
        struct fetch_reply p = {.flags = FETCH_COMPLETE | FETCH_IMMUTABLE, .ttl_ms = 1000, .offset = 1000,
                                .content_type = "video/mp4", .bytes = (const uint8_t *)"moof", .len = 4}, p_out;
        (void)state;
        nng_msg *msg = ROUND_TRIP(fetch, &m, &out);
        assert_string_equal(out.key, m.key);
        assert_int_equal(out.offset, 1000);
        assert_int_equal(out.wait_ms, FETCH_WAIT_MAX_MS);
        assert_int_equal(out.hops, 2);
        nng_msg_free(msg);
        msg = ROUND_TRIP(fetch_reply, &p, &p_out);
        assert_int_equal(p_out.status, 0);
        assert_int_equal(p_out.flags, 3);
        assert_int_equal(p_out.ttl_ms, 1000);
        assert_int_equal(p_out.offset, 1000);
        assert_string_equal(p_out.content_type, "video/mp4");
        assert_int_equal(p_out.len, 4);
        assert_memory_equal(p_out.bytes, "moof", 4);
        nng_msg_free(msg);
}

static int fetch_reply_of(uint32_t len, uint64_t offset, uint8_t flags)
{
        static const uint8_t bytes[FETCH_WHOLE_MAX + 1];
        struct fetch_reply p = {.offset = offset, .flags = FETCH_COMPLETE, .bytes = bytes, .len = len}, out;
        nng_msg *msg = message_new(MSG_FETCH_REPLY, fetch_reply_encode, &p);
        struct reader r;
        ((uint8_t *)nng_msg_body(msg))[2] = flags;
        assert_int_equal(message_open(&r, msg), MSG_FETCH_REPLY);
        int err = fetch_reply_decode(&r, &out);
        nng_msg_free(msg);
        return err;
}

static void test_only_what_changes_and_is_whole_may_be_longer_than_a_piece(void **state)
{
        (void)state;
        assert_int_equal(fetch_reply_of(FETCH_WHOLE_MAX, 0, FETCH_COMPLETE), 0);
        assert_int_equal(fetch_reply_of(BODY_MAX + 1, 0, FETCH_COMPLETE), 0);
        assert_int_equal(fetch_reply_of(BODY_MAX + 1, 0, FETCH_COMPLETE | FETCH_IMMUTABLE), ERR_PROTO);
        assert_int_equal(fetch_reply_of(BODY_MAX + 1, 0, 0), ERR_PROTO);
        assert_int_equal(fetch_reply_of(BODY_MAX, 0, FETCH_COMPLETE | FETCH_IMMUTABLE), 0);
        assert_int_equal(fetch_reply_of(BODY_MAX, 7, 0), 0);
}

static int take(int err, nng_msg *msg, uint64_t offset, struct fetch_reply *m, const char *bytes)
{
        struct buf *got;
        int rv = fetch_reply_take(err, msg, offset, m, &got);
        assert_int_equal(got != NULL, bytes != NULL);
        if (bytes)
                assert_memory_equal(got->data, bytes, got->len);
        buf_unref(&got);
        return rv;
}

static void test_an_answer_to_fetch_is_for_the_offset_that_was_asked(void **state)
{
        struct fetch_reply sent = {.offset = 1000, .bytes = (const uint8_t *)"moof", .len = 4}, m;
        struct fetch_reply none = {.status = ERR_NOT_YET};
        (void)state;
        assert_int_equal(take(0, message_new(MSG_FETCH_REPLY, fetch_reply_encode, &sent), 1000, &m, "moof"), 0);
        assert_int_equal(take(0, message_new(MSG_FETCH_REPLY, fetch_reply_encode, &sent), 0, &m, NULL), ERR_PROTO);
        assert_int_equal(take(0, message_new(MSG_FETCH, fetch_reply_encode, &sent), 1000, &m, NULL), ERR_PROTO);
        assert_int_equal(take(0, message_new(MSG_FETCH_REPLY, fetch_reply_encode, &none), 1000, &m, NULL), 0);
        assert_int_equal(m.status, ERR_NOT_YET);
        assert_int_equal(take(ERR_TIMEOUT, NULL, 1000, &m, NULL), ERR_TIMEOUT);
        assert_int_equal(m.status, 0);
}

/* Encodes m as it is and expects the receiver to refuse it. */
static void refuses(message_encode *encode, decode_any *decode, const void *m)
{
        static union {
                struct put put;
                struct claim_reply claim_reply;
                struct open open;
                struct fetch fetch;
                struct claim claim;
        } out;
        struct reader r;
        nng_msg *msg = message_new(1, encode, m);
        message_open(&r, msg);
        assert_int_equal(decode(&r, &out), ERR_PROTO);
        nng_msg_free(msg);
}
#define REFUSES(type, m) refuses(type##_encode, (decode_any *)(void (*)(void))type##_decode, m)

static void test_values_that_cannot_be_are_refused(void **state)
{
        struct put put = {.session = "s", .track = "v720"};
        struct fetch fetch = {.key = "/live/x"};
        struct open open = {.stream = "cam"};
        struct status_reply status = {.status = 1};
        struct close_stream close = {.reason = 9};
        struct hello hello = {.version = PROTO_VERSION, .role = 9, .id = "x"};
        struct media_reply taken = {.stored_us = TIME_MAX_US + 1};
        struct media_many_reply many = {.count = 2, .parts = {{0}, {.stored_us = INT64_MIN}}};
        (void)state;
        REFUSES(media_reply, &taken);
        taken.stored_us = INT64_MIN;
        REFUSES(media_reply, &taken);
        REFUSES(media_many_reply, &many);
        struct claim claim = {.stream = "cam", .session = "s", .node = "t", .chunk_ms = 150};
        REFUSES(claim, &claim);
        struct claim_reply reply = {.session = "s", .track_count = 1, .tracks = {{.name = "v720", .next_chunk = 5}}};
        REFUSES(claim_reply, &reply); /* there is none on the usual grid */
        put.chunk = CHUNKS_MOST;
        REFUSES(put, &put);
        put.chunk = 0;
        put.flags = 0x80;
        REFUSES(put, &put);
        put.flags = PUT_INIT;
        put.previous = 1;
        REFUSES(put, &put);
        put.previous = 0;
        put.after_us = 1;
        REFUSES(put, &put);
        put.after_us = 0;
        put.flags = 0;
        put.start_us = TIME_MAX_US + 1;
        REFUSES(put, &put);
        put.start_us = 0;
        put.duration_us = -1;
        REFUSES(put, &put);
        put.duration_us = 0;
        strcpy(put.track, "../x");
        REFUSES(put, &put);
        strcpy(put.track, "v720");
        strcpy(put.session, "");
        REFUSES(put, &put);
        strcpy(fetch.key, "live/x");
        REFUSES(fetch, &fetch);
        strcpy(fetch.key, "/live/x?token=1");
        REFUSES(fetch, &fetch);
        strcpy(fetch.key, "/live/x\n");
        REFUSES(fetch, &fetch);
        strcpy(fetch.key, "/live/x");
        fetch.wait_ms = FETCH_WAIT_MAX_MS + 1;
        REFUSES(fetch, &fetch);
        fetch.wait_ms = 0;
        fetch.hops = FETCH_HOPS_MAX + 1;
        REFUSES(fetch, &fetch);
        strcpy(open.stream, "a/b");
        REFUSES(open, &open);
        strcpy(open.stream, "cam");
        open.role = OPEN_ROLES;
        REFUSES(open, &open);
        open.role = OPEN_NOW;
        open.config[0].data = mem_alloc(CONFIG_RECORD_MAX + 1);
        open.config[0].len = CONFIG_RECORD_MAX + 1;
        REFUSES(open, &open);
        free((void *)(uintptr_t)open.config[0].data);
        REFUSES(status_reply, &status);
        REFUSES(close_stream, &close);
        REFUSES(hello, &hello);
        hello.role = ROLE_EDGED;
        strcpy(hello.id, "a b");
        REFUSES(hello, &hello);
        strcpy(hello.id, "a");
        strcpy(hello.zone, "a/b");
        REFUSES(hello, &hello);
}

static void test_lengths_beyond_the_bounds_are_refused_before_they_are_believed(void **state)
{
        struct put put = {.session = "s", .track = "v720"}, out;
        struct reader r;
        (void)state;
        nng_msg *msg = message_new(MSG_PUT, put_encode, &put);
        uint8_t *len = (uint8_t *)nng_msg_body(msg) + nng_msg_len(msg) - 4;
        memset(len, 0xff, 4);
        message_open(&r, msg);
        assert_int_equal(put_decode(&r, &out), ERR_PROTO);
        nng_msg_free(msg);
}

static void test_names(void **state)
{
        char id[SESSION_ID_MAX + 1], other[SESSION_ID_MAX + 1], longest[SESSION_ID_MAX + 2];
        (void)state;
        assert_true(stream_id_valid("cam_1-A"));
        assert_false(stream_id_valid(""));
        assert_false(stream_id_valid("a.b"));
        assert_false(stream_id_valid("caf\xc3\xa9"));
        assert_true(track_name_valid("v720"));
        assert_false(track_name_valid("v"));
        assert_false(track_name_valid("7v"));
        assert_false(track_name_valid("V720"));
        memset(longest, 'a', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        assert_false(session_id_valid(longest));
        longest[SESSION_ID_MAX] = '\0';
        assert_true(session_id_valid(longest));
        session_id_make(id, INT64_C(1769862896000000));
        assert_memory_equal(id, "20260131T123456Z-", 17);
        assert_int_equal(strlen(id), 25);
        assert_true(session_id_valid(id));
        session_id_make(other, INT64_C(1769862896000000));
        assert_string_not_equal(id, other);
}

static void test_empty_message_has_no_type(void **state)
{
        nng_msg *msg;
        struct reader r;
        (void)state;
        assert_int_equal(nng_msg_alloc(&msg, 0), 0);
        assert_int_equal(message_open(&r, msg), 0);
        nng_msg_free(msg);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hello_round_trip),
                cmocka_unit_test(test_challenge_round_trip),
                cmocka_unit_test(test_refused_round_trip),
                cmocka_unit_test(test_open_round_trip),
                cmocka_unit_test(test_open_reply_round_trip),
                cmocka_unit_test(test_reserved_bytes_of_the_answer_to_open_are_zeros_and_may_be_anything),
                cmocka_unit_test(test_media_round_trip_and_frames_outlive_the_message),
                cmocka_unit_test(test_media_reply_round_trip),
                cmocka_unit_test(test_media_of_many_sessions_in_one_message),
                cmocka_unit_test(test_media_many_answers_in_order),
                cmocka_unit_test(test_close_and_status_round_trip),
                cmocka_unit_test(test_claim_round_trip),
                cmocka_unit_test(test_claim_reply_round_trip_with_all_tracks),
                cmocka_unit_test(test_only_another_grid_than_the_usual_one_is_said),
                cmocka_unit_test(test_put_round_trip),
                cmocka_unit_test(test_put_reply_and_end_round_trip),
                cmocka_unit_test(test_fetch_round_trip),
                cmocka_unit_test(test_only_what_changes_and_is_whole_may_be_longer_than_a_piece),
                cmocka_unit_test(test_an_answer_to_fetch_is_for_the_offset_that_was_asked),
                cmocka_unit_test(test_values_that_cannot_be_are_refused),
                cmocka_unit_test(test_lengths_beyond_the_bounds_are_refused_before_they_are_believed),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_empty_message_has_no_type),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
