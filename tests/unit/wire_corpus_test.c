/* The corpus from which messages are fuzzed (tests/fuzz/corpus/wire) is of this version of the protocol: a search that begins with
 * messages that no decoder takes any more gets no further than their first bytes.
 * FRESHET_WRITE_CORPUS=1 writes it anew, after a change of the protocol. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "proto/fetch.h"
#include "proto/hello.h"
#include "proto/media.h"
#include "proto/names.h"
#include "proto/store.h"

#define EPOCH_US INT64_C(1769860800000000)

/* The message is what the file of that name holds. */
static void keep(const char *name, const void *bytes, size_t len)
{
        char path[128];
        uint8_t kept[4096];
        snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", name);
        if (getenv("FRESHET_WRITE_CORPUS")) {
                int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                assert_int_equal(write(fd, bytes, len), (ssize_t)len);
                close(fd);
        }
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fail_msg("%s: there is none", path);
        ssize_t n = read(fd, kept, sizeof(kept));
        close(fd);
        if (n != (ssize_t)len || memcmp(kept, bytes, len) != 0)
                fail_msg("%s: of another version; FRESHET_WRITE_CORPUS=1 writes it anew", path);
}

static void keep_message(const char *name, uint8_t type, message_encode *encode, const void *m)
{
        nng_msg *msg = message_new(type, encode, m);
        keep(name, nng_msg_body(msg), nng_msg_len(msg));
        nng_msg_free(msg);
}

static void test_hello(void **state)
{
        struct hello h = {.version = PROTO_VERSION, .role = ROLE_EDGED, .id = "edge-1", .incarnation_us = EPOCH_US, .load_permille = 250,
                          .draining = 1, .zone = "hall-2", .came_us = EPOCH_US + 5, .sent_us = EPOCH_US + 7, .nonce = {1, 2, 3},
                          .proof = {4, 5}};
        struct challenge c = {.nonce = {1, 2, 3, 4}};
        struct refused r = {.status = ERR_DENIED, .text = "no"};
        struct status_reply s = {.status = ERR_FENCED};
        (void)state;
        keep_message("wire/hello", MSG_HELLO, hello_encode, &h);
        keep_message("wire/challenge", MSG_CHALLENGE, challenge_encode, &c);
        keep_message("wire/refused", MSG_REFUSED, refused_encode, &r);
        keep_message("wire/status", MSG_CLOSE_REPLY, status_reply_encode, &s);
}

static void test_media(void **state)
{
        static const uint8_t avcc[] = {1, 100, 0, 31}, asc[] = {0x11, 0x90};
        struct buf *key = buf_copy("frame", 5), *config = buf_copy(asc, sizeof(asc));
        struct frame frames[] = {{.track = TRACK_VIDEO, .codec = CODEC_H264, .flags = FRAME_KEY | FRAME_BREAK, .dts_us = -40000,
                                  .cts_us = 80000, .bytes = key},
                                 {.track = TRACK_AUDIO, .codec = CODEC_AAC, .flags = FRAME_CONFIG, .dts_us = 5, .bytes = config}};
        struct media m = {.handle = 1, .first_seq = 7, .fresh = 1, .count = 2, .frames = frames}, none = {.handle = 2, .first_seq = 9};
        struct media both[] = {m, none};
        struct media_many many = {.count = 2, .parts = both};
        struct media_reply reply = {.next_seq = 9, .stored_us = 400000, .credit = 5, .takes_many = 1, .generation = 4};
        struct media_many_reply replies = {.count = 2, .parts = {reply, {.status = ERR_NOT_FOUND}}};
        struct open o = {.stream = "cam", .role = OPEN_BACKUP, .generation = 2, .epoch_us = EPOCH_US, .ahead_us = 1000,
                         .publisher = "10.0.0.1", .encoder = "obs", .title = "A title", .codecs = {CODEC_H264, CODEC_AAC},
                         .config = {{avcc, sizeof(avcc)}, {asc, sizeof(asc)}}};
        struct open beside = o;
        struct open_reply answer = {.handle = 1, .session = "s-1", .epoch_us = EPOCH_US, .generation = 2,
                                    .skew_us = 1000, .keeps_time = 1, .standby = 1, .node = "transcoder-1"};
        struct open_reply refused = {.status = ERR_FULL, .text = "at max_sessions"};
        struct close_stream end = {.handle = 1};
        (void)state;
        beside.role = OPEN_PRIMARY;
        beside.when = OPEN_BESIDE;
        beside.lockstep = 1;
        strcpy(beside.session, "s-1");
        strcpy(beside.node, "transcoder-2");
        keep_message("wire/open", MSG_OPEN, open_encode, &o);
        keep_message("wire/open_beside", MSG_OPEN, open_encode, &beside);
        keep_message("wire/open_reply", MSG_OPEN_REPLY, open_reply_encode, &answer);
        keep_message("wire/open_refused", MSG_OPEN_REPLY, open_reply_encode, &refused);
        keep_message("wire/media", MSG_MEDIA, media_encode, &m);
        keep_message("wire/media_empty", MSG_MEDIA, media_encode, &none);
        keep_message("wire/media_reply", MSG_MEDIA_REPLY, media_reply_encode, &reply);
        keep_message("wire/media_many", MSG_MEDIA_MANY, media_many_encode, &many);
        keep_message("wire/media_told", MSG_MEDIA_TOLD, media_many_encode, &many);
        keep_message("wire/media_many_reply", MSG_MEDIA_MANY_REPLY, media_many_reply_encode, &replies);
        keep_message("wire/close", MSG_CLOSE, close_stream_encode, &end);
        buf_unref(&key);
        buf_unref(&config);
}

static void test_store(void **state)
{
        struct claim c = {.stream = "cam", .session = "s-1", .epoch_us = EPOCH_US, .node = "t-1", .title = "x", .grace_ms = 30000,
                          .flags = CLAIM_JOIN, .generation = 4};
        struct claim_reply cr = {.session = "s-1", .epoch_us = EPOCH_US, .generation = 3, .written_generation = 2, .track_count = 2,
                                 .tracks = {{"v720", 4, 1, 4200000}, {"a128", 4, 0, 4000000}}};
        struct put chunk = {.session = "s-1", .generation = 1, .track = "v720", .flags = PUT_LAST, .segment = 2, .chunk = 4,
                            .start_us = 2800000, .duration_us = 200000, .previous = UINT64_C(0x1122334455667788), .after_us = 2800000,
                            .bytes = (const uint8_t *)"moof", .len = 4};
        struct put init = {.session = "s-1", .generation = 1, .track = "v720", .flags = PUT_INIT, .segment = 2, .start_us = 2000000,
                           .bandwidth = 3000000, .fps_milli = 30000, .bytes = (const uint8_t *)"ftyp", .len = 4};
        struct put_reply pr = {.status = ERR_ORDER, .next_segment = 2, .next_chunk = 3, .end_us = 2600000};
        struct end e = {.session = "s-1", .generation = 3, .end_us = 5000000};
        (void)state;
        keep_message("wire/claim", MSG_CLAIM, claim_encode, &c);
        keep_message("wire/claim_reply", MSG_CLAIM_REPLY, claim_reply_encode, &cr);
        keep_message("wire/put", MSG_PUT, put_encode, &chunk);
        keep_message("wire/put_init", MSG_PUT, put_encode, &init);
        keep_message("wire/put_reply", MSG_PUT_REPLY, put_reply_encode, &pr);
        keep_message("wire/end", MSG_END, end_encode, &e);
}

static void test_fetch(void **state)
{
        struct fetch f = {.key = "/live/cam/s-1/v720/2.m4s", .offset = 5, .wait_ms = 5000, .hops = 1};
        struct fetch_reply r = {.flags = FETCH_IMMUTABLE, .ttl_ms = 5, .offset = 5, .content_type = "video/mp4",
                                .bytes = (const uint8_t *)"moof", .len = 4};
        (void)state;
        keep_message("wire/fetch", MSG_FETCH, fetch_encode, &f);
        keep_message("wire/fetch_reply", MSG_FETCH_REPLY, fetch_reply_encode, &r);
}

static void test_names(void **state)
{
        struct names_page page = {.instance = 17, .next = 4, .anew = true};
        struct names_row live = {.session = names_session("cam", "s-1"), .stream = names_stream("cam"), .live = true, .first = 3,
                                 .last = 9, .track_count = 2, .tracks = {names_track("v720"), names_track("a128")}};
        struct names_row gone = {.session = names_session("cam", "s-0"), .gone = true};
        uint8_t bytes[NAMES_HEAD_BYTES + 2 * NAMES_ROW_MAX_BYTES];
        struct writer w;
        (void)state;
        writer_init(&w, bytes, sizeof(bytes));
        names_write_page(&w, &page);
        names_write_row(&w, &live);
        names_write_row(&w, &gone);
        assert_true(writer_ok(&w));
        keep("names/page", bytes, w.len);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hello), cmocka_unit_test(test_media), cmocka_unit_test(test_store),
                cmocka_unit_test(test_fetch), cmocka_unit_test(test_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
