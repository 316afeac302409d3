/* The port that other CDNs pull from, under clients that mean no good: what is sent of a recording is right, or cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "originD/http.h"
#include "originD/stats.h"
#include "tests/unit/cors_said.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/reserve.h"
#include "tests/unit/until.h"

#define SECONDS 12
#define CHUNK_SAMPLE_BYTES 60000 /* 1.5 MB a second: more than kernels keep for a client who does not read */
#define RECORDING "/live/cam/S1/recording.mp4"

static struct serve sv;
static struct http *http;
static int port;
static struct buf *whole; /* the recording, as it is to be */

/* ---- a client, on a thread of its own ------------------------------------------------------------------------------- */

struct answer {
        const char *method, *path, *range, *headers; /* what is asked */
        atomic_int *hold; /* not NULL: reads nothing behind the headers until it is 0 */
        int status;
        char head[2048];
        struct buf *body;
        uint64_t length;  /* as it was announced */
        pthread_t thread;
        atomic_int begun, done;
};

static int connect_from(uint32_t address)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 16384;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

static int write_request(char *dst, size_t cap, const struct answer *a)
{
        return snprintf(dst, cap, "%s %s HTTP/1.1\r\nHost: x\r\n%s%s%s%sConnection: close\r\n\r\n", a->method ? a->method : "GET", a->path,
                        a->range ? "Range: bytes=" : "", a->range ? a->range : "", a->range ? "\r\n" : "", a->headers ? a->headers : "");
}

static void take_head(struct answer *a, const char *end)
{
        const char *length = strcasestr(a->head, "content-length: ");
        a->status = atoi(a->head + strlen("HTTP/1.1 "));
        a->length = length && length < end ? strtoull(length + strlen("content-length: "), NULL, 10) : 0;
}

static void *client(void *arg)
{
        struct answer *a = arg;
        char text[512], *end = NULL;
        size_t got = 0, cap = 64u << 20, len = 0;
        int fd = connect_from(INADDR_LOOPBACK);
        uint8_t *body = mem_alloc(cap);
        ssize_t n = write(fd, text, (size_t)write_request(text, sizeof(text), a));
        while (!end && n > 0 && got < sizeof(a->head) - 1 && (n = read(fd, a->head + got, sizeof(a->head) - 1 - got)) > 0) {
                got += (size_t)n;
                a->head[got] = '\0';
                end = strstr(a->head, "\r\n\r\n");
        }
        if (end) {
                take_head(a, end);
                len = got - (size_t)(end + 4 - a->head);
                memcpy(body, end + 4, len);
                end[2] = '\0';
        }
        a->begun = 1;
        while (a->hold && *a->hold)
                usleep(1000);
        while (end && (n = read(fd, body + len, cap - len)) > 0)
                len += (size_t)n;
        close(fd);
        a->body = buf_copy(body, len);
        free(body);
        a->done = 1;
        return NULL;
}

static void start(struct answer *a)
{
        assert_int_equal(pthread_create(&a->thread, NULL, client, a), 0);
}

static void finish(struct answer *a)
{
        UNTIL(&loop, a->done);
        pthread_join(a->thread, NULL);
}

static struct answer get_with(const char *method, const char *path, const char *range, const char *headers)
{
        static struct answer a; /* its thread writes to it */
        a = (struct answer){.method = method, .path = path, .range = range, .headers = headers};
        start(&a);
        finish(&a);
        return a;
}

static struct answer get(const char *path, const char *range)
{
        return get_with("GET", path, range, NULL);
}

static bool says(const struct answer *a, const char *header)
{
        return strcasestr(a->head, header);
}

static bool body_has(const struct answer *a, const char *words)
{
        return memmem(a->body->data, a->body->len, words, strlen(words));
}

static void fine(struct answer *a, unsigned status, uint64_t from, uint64_t len)
{
        assert_int_equal(a->status, status);
        assert_int_equal(a->length, len);
        assert_int_equal(a->body->len, len);
        assert_memory_equal(a->body->data, whole->data + from, len);
        buf_unref(&a->body);
}

/* Of what was promised only the beginning came, and that is right. */
static void cut_off(struct answer *a)
{
        assert_int_equal(a->status, 200);
        assert_int_equal(a->length, whole->len);
        assert_true(a->body->len < whole->len);
        assert_memory_equal(a->body->data, whole->data, a->body->len);
        buf_unref(&a->body);
}

static void refused_for_now(struct answer *a)
{
        assert_int_equal(a->status, 503);
        assert_true(says(a, "retry-after: "));
        buf_unref(&a->body);
}

/* ---- the origin ------------------------------------------------------------------------------------------------------ */

static void changed(struct session *s)
{
        serve_changed(&sv, s);
}

/* flip: the last byte of each picture's chunk is another one. */
static struct session *record(const char *id, int64_t epoch_us, uint8_t flip)
{
        int err;
        store.options.volume_segments = 4;
        struct session *s = claim("cam", id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        for (unsigned n = 0; n < SECONDS; n++) {
                for (unsigned k = 0; k < 5; k++) {
                        struct buf *b = fmp4_video_chunk(n, k, CHUNK_SAMPLE_BYTES);
                        b->data[b->len - 1] ^= flip;
                        assert_int_equal(put_bytes(s, "v720", b, n, k, n * INT64_C(1000000) + k * INT64_C(200000)), 0);
                }
                assert_int_equal(put_audio(s, "a128", n), 0);
        }
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !session_busy(s) && s->saved_version == s->version);
        return s;
}

static const struct manifest_options manifest = {.latency_bound_ms = 300, .target_latency_ms = 800, .time_shift_s = 60, .update_s = 2, .public_url = ""};

static int setup(void **state)
{
        setup_store(state);
        serve_open(&sv, &loop, &store, &manifest, 4096);
        on_changed = changed;
        port = reserve_port();
        assert_int_equal(http_open(&http, &loop, "127.0.0.1", port, &sv), 0);
        record("S1", 0, 0);
        struct answer a = get(RECORDING, NULL);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.length, a.body->len);
        whole = a.body;
        return 0;
}

static void http_stopped(void *arg)
{
        *(int *)arg = 1;
}

static int teardown(void **state)
{
        int stopped = 0;
        buf_unref(&whole);
        serve_stop(&sv);
        http_stop(http, http_stopped, &stopped);
        UNTIL(&loop, stopped);
        UNTIL(&loop, !sv.askers.count);
        serve_close(&sv);
        on_changed = NULL;
        int rc = teardown_store(state);
        http_free(&http);
        return rc;
}

/* ---- the promises ---------------------------------------------------------------------------------------------------- */

static void test_every_range_is_answered_with_its_bytes(void **state)
{
        (void)state;
        uint64_t size = whole->len;
        const uint64_t ends[][2] = {{0, 0}, {0, size - 1}, {17, 5000}, {size / 2, size / 2 + 3000000}, {size - 1, size - 1}, {1, size - 2}};
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
                char range[64], said[128];
                snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)ends[i][0], (unsigned long long)ends[i][1]);
                snprintf(said, sizeof(said), "content-range: bytes %s/%llu", range, (unsigned long long)size);
                struct answer a = get(RECORDING, range);
                assert_true(says(&a, said));
                fine(&a, 206, ends[i][0], ends[i][1] - ends[i][0] + 1);
        }
        struct answer last = get(RECORDING, "-7");
        fine(&last, 206, size - 7, 7);
}

static void test_a_range_beyond_the_end_is_told_the_size(void **state)
{
        char range[64], said[64];
        (void)state;
        snprintf(range, sizeof(range), "%llu-", (unsigned long long)whole->len);
        snprintf(said, sizeof(said), "content-range: bytes */%llu", (unsigned long long)whole->len);
        struct answer a = get(RECORDING, range);
        assert_int_equal(a.status, 416);
        assert_true(says(&a, said));
        assert_int_equal(a.body->len, 0);
        buf_unref(&a.body);
        a = get(RECORDING, "18446744073709551615-");
        assert_int_equal(a.status, 416);
        buf_unref(&a.body);
}

static void test_head_says_what_get_would_and_reads_nothing(void **state)
{
        (void)state;
        const char *ranges[] = {NULL, "0-0", "10000000-10000099"};
        for (size_t i = 0; i < 3; i++) {
                int64_t reads = stat_get(STAT_DISK_READS);
                struct answer head = get_with("HEAD", RECORDING, ranges[i], NULL);
                assert_int_equal(stat_get(STAT_DISK_READS), reads);
                assert_int_equal(head.body->len, 0);
                struct answer same = get(RECORDING, ranges[i]);
                assert_int_equal(head.status, same.status);
                assert_int_equal(head.length, same.length);
                const char *tag = strcasestr(head.head, "etag: ");
                assert_non_null(tag);
                assert_memory_equal(tag, strcasestr(same.head, "etag: "), 24);
                buf_unref(&head.body);
                buf_unref(&same.body);
        }
}

/* It has no length yet. What comes next on the connection would be taken for the rest of the answer, were there any of it. */
static void test_head_of_a_growing_segment_sends_nothing_behind_the_headers(void **state)
{
        int err;
        (void)state;
        struct session *s = claim("grow", "G1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(put_bytes(s, "v720", fmp4_video_chunk(0, 0, 1000), 0, 0, 0), 0);
        struct answer a = get_with("HEAD", "/live/grow/G1/v720/0.m4s", NULL, NULL);
        assert_int_equal(a.status, 200);
        assert_true(says(&a, "content-type: video/mp4"));
        assert_int_equal(a.body->len, 0);
        buf_unref(&a.body);
        assert_int_equal(end_session(s), 0);
}

/* As an edge gives them, so that a CDN may stand before an origin. */
static void test_a_part_is_cut_out_of_its_segment_and_held_until_it_is_whole(void **state)
{
        int err;
        (void)state;
        struct session *s = claim("grow", "G1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned k = 0; k < 4; k++)
                assert_int_equal(put_bytes(s, "v720", fmp4_video_chunk(0, k, 1000), 0, k, k * INT64_C(200000)), 0);
        struct answer whole_one, one, pair, held = {.path = "/live/grow/G1/v720/0.4.m4s"};
        start(&held);
        UNTIL(&loop, sv.held_count == 1);
        one = get("/live/grow/G1/v720/0.1.m4s", NULL);
        pair = get("/live/grow/G1/v720/0.1x2.m4s", NULL);
        assert_int_equal(put_bytes(s, "v720", fmp4_video_chunk(0, 4, 1000), 0, 4, 800000), 0);
        finish(&held);
        whole_one = get("/live/grow/G1/v720/0.m4s", NULL);
        size_t chunk = one.body->len;
        assert_true(one.status == 200 && one.length == chunk && pair.status == 200 && held.status == 200);
        assert_true(whole_one.body->len == 5 * chunk && pair.body->len == 2 * chunk && held.body->len == chunk);
        assert_memory_equal(one.body->data, whole_one.body->data + chunk, chunk);
        assert_memory_equal(pair.body->data, whole_one.body->data + 2 * chunk, 2 * chunk);
        assert_memory_equal(held.body->data, whole_one.body->data + 4 * chunk, chunk);
        assert_memory_not_equal(strcasestr(one.head, "etag: "), strcasestr(pair.head, "etag: "), 24);
        buf_unref(&whole_one.body);
        buf_unref(&one.body);
        buf_unref(&pair.body);
        buf_unref(&held.body);
        struct answer none = get("/live/grow/G1/v720/0.3x2.m4s", NULL), old = get("/live/cam/S1/v720/0.1.m4s", NULL);
        struct answer joined = get("/live/cam/S1/v720/0x4.1.m4s", NULL);
        assert_true(none.status == 404 && old.status == 404); /* it has no such part; of a recording none is told, */
        assert_int_equal(joined.status, 404);                 /* and of joined seconds neither */
        buf_unref(&joined.body);
        buf_unref(&none.body);
        buf_unref(&old.body);
        assert_int_equal(end_session(s), 0);
}

static void test_a_version_of_a_playlist_is_held_until_it_is_there(void **state)
{
        int err;
        (void)state;
        struct session *s = claim("grow", "G1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        s->tracks[0]->fps_milli = 25000;
        s->first_chunk_mono_us = 1;
        for (unsigned k = 0; k < 6; k++)
                assert_int_equal(put_bytes(s, "v720", fmp4_video_chunk(k / 5, k % 5, 1000), k / 5, k % 5, k * INT64_C(200000)), 0);
        struct answer held = {.path = "/live/grow/G1/v720/media.m3u8?_HLS_msn=1&_HLS_part=1"};
        start(&held);
        UNTIL(&loop, sv.held_count == 1);
        assert_int_equal(put_bytes(s, "v720", fmp4_video_chunk(1, 1, 1000), 1, 1, 1200000), 0);
        finish(&held);
        assert_int_equal(held.status, 200);
        assert_true(body_has(&held, "URI=\"1.1.m4s\"") && body_has(&held, "TYPE=PART,URI=\"1.2.m4s\""));
        buf_unref(&held.body);
        static const char *const bad[] = {"_HLS_part=1", "_HLS_msn=x", "_HLS_msn=4294967296", "_HLS_msn=1&_HLS_part=123456789012345"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char path[128];
                snprintf(path, sizeof(path), "/live/grow/G1/v720/media.m3u8?%s", bad[i]);
                struct answer a = get(path, NULL);
                assert_int_equal(a.status, 400);
                buf_unref(&a.body);
        }
        assert_int_equal(end_session(s), 0);
}

static void test_joined_seconds_are_as_long_as_they_say(void **state)
{
        (void)state;
        struct answer joined = get("/live/cam/S1/v720/1x4.m4s", NULL), part = get("/live/cam/S1/v720/1x4.m4s", "100-2099999"), one;
        size_t at = 0;
        assert_int_equal(joined.status, 200);
        assert_int_equal(joined.length, joined.body->len);
        for (unsigned n = 4; n < 8; n++) {
                char path[64];
                snprintf(path, sizeof(path), "/live/cam/S1/v720/%u.m4s", n);
                one = get(path, NULL);
                assert_memory_equal(one.body->data, joined.body->data + at, one.body->len);
                at += one.body->len;
                buf_unref(&one.body);
        }
        assert_int_equal(at, joined.body->len);
        assert_int_equal(part.status, 206);
        assert_int_equal(part.body->len, 2099900);
        assert_memory_equal(part.body->data, joined.body->data + 100, part.body->len);
        buf_unref(&part.body);
        buf_unref(&joined.body);
}

static void test_players_of_other_sites_may_send_their_headers_and_read_every_answer(void **state)
{
        (void)state;
        static const char *const paths[] = {RECORDING, "/live/cam/S1/manifest.mpd", "/live/cam/S1/v720/0.m4s", "/api/streams",
                                            "/time", "/nothing", RECORDING "?track=a128"};
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
                struct answer a = get_with("OPTIONS", paths[i], NULL, NULL);
                assert_int_equal(a.status, 204);
                assert_preflight(a.head);
                buf_unref(&a.body);
                a = get_with("HEAD", paths[i], NULL, "CMCD-Request: bl=1200,mtp=25400\r\n");
                assert_readable(a.head);
                buf_unref(&a.body);
        }
}

static void test_a_track_is_a_part_of_the_path_and_one_that_is_not_there_is_told_which_are(void **state)
{
        (void)state;
        struct answer a = get("/live/cam/S1/v720/recording.mp4", NULL);
        fine(&a, 200, 0, whole->len);
        a = get("/live/cam/S1/a128/recording.mp4", NULL);
        assert_int_equal(a.status, 200);
        assert_true(a.body->len == a.length && a.length < whole->len / 10);
        buf_unref(&a.body);
        a = get("/live/cam/S1/v999/recording.mp4", NULL);
        assert_int_equal(a.status, 400);
        assert_true(body_has(&a, "there is no track v999 in this recording, which has v720, a128"));
        buf_unref(&a.body);
        a = get(RECORDING "?track=a128", NULL);
        assert_int_equal(a.status, 400);
        assert_true(body_has(&a, "track=a128 is given, but a track is a part of the path: SESSION/a128/recording.mp4"));
        buf_unref(&a.body);
        a = get(RECORDING "?track=%22%7d%0d%0aX:", NULL);
        assert_int_equal(a.status, 400);
        assert_false(body_has(&a, "X:"));
        buf_unref(&a.body);
}

static void test_a_list_that_has_not_changed_is_304(void **state)
{
        (void)state;
        static const char *const lists[] = {"/api/streams", "/api/recordings"};
        for (int i = 0; i < 2; i++) {
                char headers[80];
                struct answer a = get(lists[i], NULL);
                assert_int_equal(a.status, 200);
                assert_true(body_has(&a, "\"session\":\"S1\",\"state\":\"ended\""));
                const char *tag = strcasestr(a.head, "etag: ");
                assert_non_null(tag);
                snprintf(headers, sizeof(headers), "If-None-Match: %.18s\r\n", tag + strlen("etag: "));
                buf_unref(&a.body);
                a = get_with("GET", lists[i], NULL, headers);
                assert_int_equal(a.status, 304);
                assert_int_equal(a.body->len, 0);
                buf_unref(&a.body);
        }
}

static void test_a_wrong_page_is_told_what_is_allowed(void **state)
{
        (void)state;
        static const char *const wrong[] = {"/api/recordings/", "/api/recordings/2", "/api/recordings/before/S1", "/api/recordings/before/2026-01-31T12%3A34:56Z/S1"};
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                struct answer a = get(wrong[i], NULL);
                assert_int_equal(a.status, 400);
                assert_true(body_has(&a, "{\"error\": \"a page of recordings is /api/recordings, /api/recordings/before/TIME/SESSION"));
                buf_unref(&a.body);
        }
        struct answer a = get("/api/recordings/before/1970-01-01T00%3A00:00.000Z/S1", NULL);
        assert_int_equal(a.status, 200);
        buf_unref(&a.body);
}

/* A client who reads nothing for a while, so that most of the file is not sent yet when `meanwhile` happens. */
static struct answer interrupted(const char *headers, void (*meanwhile)(void))
{
        static struct answer a;
        static atomic_int hold;
        hold = 1;
        a = (struct answer){.path = RECORDING, .headers = headers, .hold = &hold};
        start(&a);
        UNTIL(&loop, a.begun);
        UNTIL(&loop, !disk_jobs() && !sv.askers.kinds[READ_OLD].reading);
        meanwhile();
        hold = 0;
        finish(&a);
        return a;
}

static void nothing(void)
{
}

static void test_a_client_that_waits_gets_all_of_it(void **state)
{
        (void)state;
        struct answer a = interrupted(NULL, nothing);
        fine(&a, 200, 0, whole->len);
}

static void remove_it(void)
{
        UNTIL(&loop, !session_busy(store_session(&store, "S1")));
        store_remove(&store, store_session(&store, "S1"));
        UNTIL(&loop, !disk_jobs());
}

static void test_a_recording_that_retention_removes_while_it_is_sent_is_cut_off(void **state)
{
        (void)state;
        struct answer a = interrupted(NULL, remove_it);
        cut_off(&a);
        a = get(RECORDING, NULL);
        assert_int_equal(a.status, 404);
        buf_unref(&a.body);
}

static void lose_first_volume(void)
{
        struct session *s = store_session(&store, "S1");
        struct chunk_log *log = session_track(s, "v720")->log;
        assert_true(chunk_log_hide_volume(log, 0, NULL));
        chunk_log_take_volume(log, 0, VOLUME_LACKING, NULL);
        UNTIL(&loop, !session_busy(s));
}

/* What is behind a volume that goes moves forward in the file. */
static void test_a_volume_that_goes_while_the_file_is_sent_cuts_it_off(void **state)
{
        (void)state;
        struct answer a = interrupted(NULL, lose_first_volume);
        cut_off(&a);
        a = get(RECORDING, NULL);
        assert_int_equal(a.status, 200); /* it is another, shorter file from here on */
        assert_true(a.length == a.body->len && a.length < whole->len);
        buf_unref(&a.body);
}

/* One goes and one comes, and both are of one size: nothing but what they are tells the two files apart. */
static void swap_for_same_size(void)
{
        char cmd[400];
        struct session *s = store_session(&store, "S1"), *other = record("S2", 1000000, 1);
        UNTIL(&loop, !disk_jobs() && !sv.askers.kinds[READ_OLD].reading); /* while that was recorded a read may have begun */
        struct chunk_log *log = session_track(s, "v720")->log;
        struct volume_sum sum = volumes_get(&session_track(other, "v720")->log->closed, 0)->sum;
        assert_int_equal(volumes_get(&log->closed, 0)->sum.bytes, sum.bytes);
        assert_true(chunk_log_hide_volume(log, 0, NULL));
        snprintf(cmd, sizeof(cmd), "cp --remove-destination %s/cam/S2/v720/000000.* %s/cam/S1/v720/", data_dir, data_dir);
        assert_int_equal(system(cmd), 0);
        chunk_log_take_volume(log, 0, VOLUME_HERE, &sum);
        UNTIL(&loop, !session_busy(s));
}

static void test_a_file_that_becomes_another_of_the_same_size_is_cut_off_and_has_another_etag(void **state)
{
        (void)state;
        struct answer before = get_with("HEAD", RECORDING, NULL, NULL), a = interrupted(NULL, swap_for_same_size);
        char tag[64], if_range[128];
        cut_off(&a);
        assert_int_equal(sscanf(strcasestr(before.head, "etag: ") + 6, "%63[^\r]", tag), 1);
        snprintf(if_range, sizeof(if_range), "If-Range: %s\r\n", tag);
        a = get_with("GET", RECORDING, "100-199", if_range);
        assert_int_equal(a.status, 200); /* a download that is gone on with begins anew */
        buf_unref(&a.body);
        buf_unref(&before.body);
}

static char *volume_file(uint32_t number)
{
        return mem_printf("%s/cam/S1/v720/%06u.mp4", data_dir, number);
}

/* A folder of its name: it can be opened, and read() says EISDIR. */
static void spoil(uint32_t number)
{
        char *path = volume_file(number), *aside = mem_printf("%s.aside", path);
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        free(aside);
        free(path);
}

static void mend(uint32_t number)
{
        char *path = volume_file(number), *aside = mem_printf("%s.aside", path);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(rename(aside, path), 0);
        free(aside);
        free(path);
}

static void spoil_last(void)
{
        spoil(2);
}

static void test_a_volume_that_cannot_be_read_is_503_and_no_short_file(void **state)
{
        char range[64];
        (void)state;
        spoil(2);
        uint64_t in_last = whole->len - 1000000; /* of its picture */
        snprintf(range, sizeof(range), "%llu-", (unsigned long long)in_last);
        struct answer a = get(RECORDING, range);
        refused_for_now(&a);
        a = get(RECORDING, "5000-5999"); /* elsewhere it is there */
        fine(&a, 206, 5000, 1000);
        a = get(RECORDING, NULL);
        cut_off(&a);
        mend(2);
        a = interrupted(NULL, spoil_last);
        cut_off(&a);
        mend(2);
        a = get(RECORDING, range);
        fine(&a, 206, in_last, 1000000);
}

/* ---- very many ------------------------------------------------------------------------------------------------------- */

#define MANY 2000
struct many {
        unsigned right, later, wrong, lost;
        atomic_int done;
        pthread_t thread;
};

static void judge(struct many *m, const char *text, size_t len, uint64_t at)
{
        const char *end = memmem(text, len, "\r\n\r\n", 4);
        if (!end)
                m->lost++;
        else if (strncmp(text, "HTTP/1.1 206", 12) == 0 && text + len == end + 5 && (uint8_t)end[4] == whole->data[at])
                m->right++;
        else if (strncmp(text, "HTTP/1.1 503", 12) == 0 && strcasestr(text, "retry-after"))
                m->later++;
        else
                m->wrong++;
}

/* From two addresses, since one may have 1500 connections only. */
static void *ask_many(void *arg)
{
        static struct pollfd fds[MANY];
        static char texts[MANY][1024];
        static size_t lens[MANY];
        struct many *m = arg;
        unsigned open = 0;
        uint64_t step = whole->len / MANY;
        memset(lens, 0, sizeof(lens));
        for (unsigned i = 0; i < MANY; i++) {
                char range[64], request[512];
                snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)(i * step), (unsigned long long)(i * step));
                fds[i] = (struct pollfd){.fd = connect_from(INADDR_LOOPBACK + i % 2), .events = POLLIN};
                size_t len = (size_t)write_request(request, sizeof(request), &(struct answer){.path = RECORDING, .range = range});
                open += fds[i].fd >= 0 && write(fds[i].fd, request, len) == (ssize_t)len;
        }
        while (open && poll(fds, MANY, 30000) > 0)
                for (unsigned i = 0; i < MANY; i++) {
                        if (fds[i].fd < 0 || !fds[i].revents)
                                continue;
                        ssize_t n = read(fds[i].fd, texts[i] + lens[i], sizeof(texts[i]) - 1 - lens[i]);
                        lens[i] += n > 0 ? (size_t)n : 0;
                        if (n > 0)
                                continue;
                        close(fds[i].fd);
                        fds[i].fd = -1;
                        open--;
                        judge(m, texts[i], lens[i], i * step);
                }
        m->lost += open;
        m->done = 1;
        return NULL;
}

static void test_two_thousand_who_ask_for_a_byte_each_get_it_or_are_told_to_come_again(void **state)
{
        struct many m = {0};
        size_t most_bytes = 0;
        (void)state;
        assert_int_equal(pthread_create(&m.thread, NULL, ask_many, &m), 0);
        for (int64_t end_us = 0; !m.done;) {
                until_turn(&loop, &end_us, "all are answered", __FILE__, __LINE__);
                most_bytes = sv.askers.bytes > most_bytes ? sv.askers.bytes : most_bytes;
        }
        pthread_join(m.thread, NULL);
        assert_int_equal(m.wrong, 0);
        assert_int_equal(m.lost, 0);
        assert_int_equal(m.right + m.later, MANY);
        assert_true(m.right > 0);
        /* A byte of a segment costs the memory of a segment, and that is what is counted. */
        assert_true(most_bytes <= READ_BYTES_MAX + READS_AT_ONCE * (size_t)(5 * 5 * CHUNK_SAMPLE_BYTES + 10000));
        struct answer a = get(RECORDING, "5-5");
        fine(&a, 206, 5, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_every_range_is_answered_with_its_bytes),
                CASE(test_a_range_beyond_the_end_is_told_the_size),
                CASE(test_head_says_what_get_would_and_reads_nothing),
                CASE(test_head_of_a_growing_segment_sends_nothing_behind_the_headers),
                CASE(test_a_part_is_cut_out_of_its_segment_and_held_until_it_is_whole),
                CASE(test_a_version_of_a_playlist_is_held_until_it_is_there),
                CASE(test_joined_seconds_are_as_long_as_they_say),
                CASE(test_players_of_other_sites_may_send_their_headers_and_read_every_answer),
                CASE(test_a_track_is_a_part_of_the_path_and_one_that_is_not_there_is_told_which_are),
                CASE(test_a_list_that_has_not_changed_is_304),
                CASE(test_a_wrong_page_is_told_what_is_allowed),
                CASE(test_a_client_that_waits_gets_all_of_it),
                CASE(test_a_recording_that_retention_removes_while_it_is_sent_is_cut_off),
                CASE(test_a_volume_that_goes_while_the_file_is_sent_cuts_it_off),
                CASE(test_a_file_that_becomes_another_of_the_same_size_is_cut_off_and_has_another_etag),
                CASE(test_a_volume_that_cannot_be_read_is_503_and_no_short_file),
                CASE(test_two_thousand_who_ask_for_a_byte_each_get_it_or_are_told_to_come_again),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
