/* Requests are caught instead of made, peers are a list; time is passed in where it matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <glob.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "common/cluster/ring.h"
#include "originD/stats.h"
#include "originD/webhooks.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/until.h"

#define URL "http://127.0.0.1:9/hook"
#define ASKED_MAX 64

struct asked {
        char *body, *signature;
        void (*done)(void *arg, const struct http_answer *a);
        void *arg;
        struct http_request **handle;
};

static struct asked asked[ASKED_MAX];
static size_t asked_count;
static struct webhooks *hooks;
static struct session *session;
static json_t *config;

/* A peer that is up, and what it says is settled. */
static bool peer_up;
static char peer_id[NODE_ID_MAX + 1];
static char peer_text[512];
static unsigned peer_asked;
static peer_fetched *peer_done;
static void *peer_arg;

static int catch_ask(struct http_client *c, const struct http_ask *ask, void (*done)(void *arg, const struct http_answer *a),
                     void *arg, struct http_request **out)
{
        struct asked *a = &asked[asked_count++];
        (void)c;
        *a = (struct asked){.body = strndup(ask->body, ask->body_len), .done = done, .arg = arg, .handle = out};
        for (const char *const *h = ask->headers; *h; h++)
                if (strncmp(*h, "Freshet-Signature: ", 19) == 0)
                        a->signature = strdup(*h + 19);
        assert_string_equal(ask->url, URL);
        assert_string_equal(ask->method, "POST");
        *out = (struct http_request *)a;
        return 0;
}

static void cancel_ask(struct http_request **r)
{
        struct asked *a = (struct asked *)*r;
        a->done = NULL;
        *r = NULL;
}

static void answer(size_t i, int err, int status)
{
        struct http_answer a = {.err = err, .status = status, .error = "", .body = ""};
        assert_true(i < asked_count && asked[i].done);
        void (*done)(void *arg, const struct http_answer *x) = asked[i].done;
        asked[i].done = NULL;
        done(asked[i].arg, &a);
}

static bool asks_for(size_t i, const char *event)
{
        char what[64];
        snprintf(what, sizeof(what), "\"event\":\"%s\"", event);
        return i < asked_count && strstr(asked[i].body, what);
}

static size_t peers_up(struct peer_link *l, struct peer_node out[PEERS_UP_MAX])
{
        (void)l;
        out[0] = (struct peer_node){.incarnation_us = 1};
        strcpy(out[0].id, peer_id);
        return peer_up ? 1 : 0;
}

static int peer_fetch(struct peer_link *l, const char *id, const struct fetch *what, peer_fetched *done, void *arg)
{
        (void)l;
        (void)id;
        assert_string_equal(what->key, "/peer/events");
        peer_asked++;
        peer_done = done;
        peer_arg = arg;
        return 0;
}

static void answer_of_peer(void)
{
        struct buf *bytes = buf_copy(peer_text, strlen(peer_text));
        struct fetch_reply reply = {.bytes = bytes->data, .len = (uint32_t)bytes->len, .flags = FETCH_COMPLETE};
        peer_fetched *done = peer_done;
        peer_done = NULL;
        if (done)
                done(peer_arg, 0, &reply, bytes);
        buf_unref(&bytes);
}

static const struct peer_link_ops peer_ops = {.up = peers_up, .fetch = peer_fetch};
static struct peer_link peer = {.ops = &peer_ops};

static void changed(struct session *s)
{
        if (hooks)
                webhooks_session_changed(hooks, s);
}

static void run_in(int64_t ahead_us)
{
        webhooks_run(hooks, clock_mono_us() + ahead_us, clock_real_us() + ahead_us);
        answer_of_peer();
}

static void open_hooks(struct peer_link *link)
{
        struct webhooks_options o = {.self = "origin-1", .data_dir = data_dir, .random = 7, .now_us = clock_mono_us(),
                                     .transport = {.ask = catch_ask, .cancel = cancel_ask}};
        webhooks_open(&hooks, &loop, &store, &o);
        webhooks_configure(hooks, config);
        webhooks_store_ready(hooks);
        if (link)
                webhooks_link(hooks, link);
        on_changed = changed;
}

static void close_hooks(void)
{
        webhooks_stop(hooks);
        UNTIL(&loop, !disk_jobs());
        webhooks_close(hooks);
        hooks = NULL;
}

/* As kill -9 leaves it: what is on its way to the disk gets there, nothing else is said. */
static void kill_hooks(void)
{
        UNTIL(&loop, !disk_jobs());
        webhooks_close(hooks);
        hooks = NULL;
}

static void use_config(const char *text)
{
        json_decref(config);
        config = json_loads(text, 0, NULL);
        assert_non_null(config);
}

static int setup(void **state)
{
        asked_count = peer_asked = 0;
        peer_done = NULL;
        peer_up = false;
        strcpy(peer_id, "origin-2");
        strcpy(peer_text, "{\"settled\":[]}");
        use_config("[{\"url\": \"" URL "\", \"secret\": \"geheim\"}]");
        return setup_store(state);
}

static int teardown(void **state)
{
        if (hooks)
                close_hooks();
        for (size_t i = 0; i < asked_count; i++) {
                free(asked[i].body);
                free(asked[i].signature);
        }
        json_decref(config);
        config = NULL;
        return teardown_store(state);
}

static void begin(const char *stream, const char *id)
{
        int err;
        session = claim(stream, id, clock_wall_us(), &err);
        assert_int_equal(err, 0);
        assert_int_equal(add_track(session, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(put_video(session, "v720", 0, 0), 0);
}

static void test_an_event_is_sent_at_once_and_signed(void **state)
{
        char signature[SIGNATURE_MAX];
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        assert_int_equal(asked_count, 1);
        assert_true(asks_for(0, "started"));
        event_sign(signature, "geheim", strtoll(asked[0].signature + 2, NULL, 10), asked[0].body, strlen(asked[0].body));
        assert_string_equal(asked[0].signature, signature);
        answer(0, 0, 204);
        run_in(3600 * US_PER_S);
        assert_int_equal(asked_count, 1);
}

static void test_what_fails_is_sent_again_under_the_same_id(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        answer(0, ERR_TIMEOUT, 0);
        run_in(61 * US_PER_S);
        assert_int_equal(asked_count, 2);
        answer(1, 0, 503);
        run_in(61 * US_PER_S);
        assert_int_equal(asked_count, 3);
        assert_string_equal(asked[0].body, asked[2].body);
        answer(2, 0, 200);
        run_in(3600 * US_PER_S);
        assert_int_equal(asked_count, 3);
}

static void test_events_of_a_stream_keep_their_order_and_do_not_hold_up_others(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        assert_int_equal(end_session(session), 0);
        begin("other", "20261121T100000Z-00000002");
        run_in(0);
        assert_int_equal(asked_count, 2);
        assert_true(asks_for(0, "started") && asks_for(1, "started"));
        answer(0, 0, 200);
        run_in(0);
        assert_int_equal(asked_count, 3);
        assert_true(asks_for(2, "ended"));
}

static void test_what_is_refused_is_given_up_in_the_end(void **state)
{
        int64_t before = stat_get(STAT_WEBHOOK_DROPPED_REFUSED);
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        for (size_t i = 0; i < WEBHOOKS_REFUSALS_MAX; i++) {
                answer(i, 0, 400);
                run_in(61 * US_PER_S);
        }
        assert_int_equal(asked_count, WEBHOOKS_REFUSALS_MAX);
        assert_int_equal(stat_get(STAT_WEBHOOK_DROPPED_REFUSED), before + 1);
        assert_int_equal(stat_get(STAT_WEBHOOK_WAITING), 0);
}

static void test_what_is_a_day_old_is_given_up(void **state)
{
        int64_t before = stat_get(STAT_WEBHOOK_DROPPED_OLD);
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        answer(0, ERR_REFUSED, 0);
        run_in(WEBHOOKS_AGE_MAX_US + US_PER_S);
        assert_int_equal(stat_get(STAT_WEBHOOK_DROPPED_OLD), before + 1);
}

static void test_a_webhook_hears_only_what_it_asked_for(void **state)
{
        (void)state;
        use_config("[{\"url\": \"" URL "\", \"events\": [\"ended\"]}]");
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        assert_int_equal(asked_count, 0);
        assert_int_equal(end_session(session), 0);
        assert_int_equal(asked_count, 1);
        assert_true(asks_for(0, "ended"));
        assert_null(asked[0].signature);
}

static void test_what_waited_at_a_kill_is_sent_by_the_next_process(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        kill_hooks();
        open_hooks(NULL);
        run_in(0);
        assert_int_equal(asked_count, 2);
        assert_string_equal(asked[0].body, asked[1].body);
        answer(1, 0, 200);
        kill_hooks();
        open_hooks(NULL);
        run_in(3600 * US_PER_S);
        assert_int_equal(asked_count, 2);
}

static void test_what_was_not_even_noted_at_a_kill_is_found_again(void **state)
{
        (void)state;
        begin("cam", "20261121T100000Z-00000001"); /* nobody looks */
        open_hooks(NULL);
        run_in(0);
        assert_int_equal(asked_count, 1);
        assert_true(asks_for(0, "started"));
}

static void events_path(char *dst, size_t cap)
{
        snprintf(dst, cap, "%s/events.json", data_dir);
}

static void replace_file(const char *text)
{
        char path[128];
        events_path(path, sizeof(path));
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

/* What the file that was set aside holds; NULL: there is none. The caller's to free. */
static char *kept_aside(void)
{
        char pattern[160];
        glob_t found;
        snprintf(pattern, sizeof(pattern), "%s/events.json.unreadable-*", data_dir);
        if (glob(pattern, 0, NULL, &found) != 0)
                return NULL;
        char *text = calloc(1, 65536);
        FILE *f = fopen(found.gl_pathv[0], "r");
        if (f && fread(text, 1, 65535, f) == 0 && ferror(f))
                strcpy(text, "(no file)");
        if (f)
                fclose(f);
        globfree(&found);
        return text;
}

static void test_a_file_that_cannot_be_read_is_kept(void **state)
{
        const char *bad[] = {
                "{\"version\":1,\"told\":{},\"waiting\":[{\"to\":\"00000", /* cut off */
                "garbage",
                "",
                "{\"version\":2,\"queue\":[]}",
                "{\"version\":1,\"told\":{},\"waiting\":[{\"to\":\"x\",\"since_us\":1,\"event\":{}}],\"settled\":[]}",
        };
        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char cmd[128];
                replace_file(bad[i]);
                open_hooks(NULL);
                run_in(0);
                close_hooks();
                char *kept = kept_aside();
                assert_non_null(kept);
                assert_string_equal(kept, bad[i]);
                free(kept);
                snprintf(cmd, sizeof(cmd), "rm %s/events.json.*", data_dir);
                assert_int_equal(system(cmd), 0);
        }
        open_hooks(NULL); /* what was saved instead is good */
        close_hooks();
        assert_null(kept_aside());
}

static void test_what_is_no_file_is_kept_and_events_go_on(void **state)
{
        char path[128];
        (void)state;
        events_path(path, sizeof(path));
        assert_int_equal(mkdir(path, 0700), 0);
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        kill_hooks();
        open_hooks(NULL);
        run_in(0);
        assert_int_equal(asked_count, 2);
        char *kept = kept_aside();
        assert_non_null(kept);
        free(kept);
}

static void test_what_could_not_be_saved_is_saved_when_that_is_possible(void **state)
{
        char path[160], beside[170];
        (void)state;
        events_path(path, sizeof(path));
        snprintf(beside, sizeof(beside), "%s.tmp", path);
        assert_int_equal(mkdir(beside, 0700), 0);
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        for (int i = 0; i < 3; i++) {
                UNTIL(&loop, !disk_jobs());
                run_in(0);
        }
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(rmdir(beside), 0);
        UNTIL(&loop, (run_in(0), access(path, F_OK) == 0));
        kill_hooks();
        open_hooks(NULL);
        run_in(0);
        assert_int_equal(asked_count, 2);
        assert_string_equal(asked[0].body, asked[1].body);
}

static void test_after_a_restart_only_what_is_new_is_told(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        answer(0, 0, 200);
        close_hooks();
        session->told = (struct told){0}; /* as a new process begins */
        open_hooks(NULL);
        run_in(0);
        assert_int_equal(asked_count, 1);
        assert_int_equal(end_session(session), 0);
        assert_int_equal(asked_count, 2);
        assert_true(asks_for(1, "ended"));
}

/* Which of the two is the first is the ring's choice: one of these names comes before origin-1, the other after it. */
static void find_peer(bool before_us)
{
        struct ring *r = ring_new();
        void *node = NULL;
        for (unsigned i = 2; i < 100; i++) {
                snprintf(peer_id, sizeof(peer_id), "origin-%u", i);
                ring_free(r);
                r = ring_new();
                ring_add(r, "origin-1", "", r);
                ring_add(r, peer_id, "", peer_id);
                ring_walk(r, "cam", NULL, &node, 1);
                if ((node == peer_id) == before_us)
                        break;
        }
        ring_free(r);
        peer_up = true;
}

static void test_the_second_owner_leaves_it_to_the_first(void **state)
{
        (void)state;
        find_peer(true);
        open_hooks(&peer);
        begin("cam", "20261121T100000Z-00000001");
        run_in(WEBHOOKS_QUIET_US + US_PER_S);
        assert_int_equal(asked_count, 0);
        snprintf(peer_text, sizeof(peer_text), "{\"settled\":[[\"20261121T100000Z-00000001.started\",\"%016llx\"]]}",
                 (unsigned long long)XXH3_64bits(URL, strlen(URL)));
        run_in(WEBHOOKS_HOLD_US - US_PER_S);
        assert_true(peer_asked >= 1);
        assert_int_equal(stat_get(STAT_WEBHOOK_WAITING), 0);
        run_in(3600 * US_PER_S);
        assert_int_equal(asked_count, 0);
}

static void test_the_second_owner_sends_what_the_first_did_not_settle(void **state)
{
        (void)state;
        find_peer(true);
        open_hooks(&peer);
        begin("cam", "20261121T100000Z-00000001");
        run_in(WEBHOOKS_HOLD_US + US_PER_S);
        assert_int_equal(asked_count, 1);
}

static void test_the_second_owner_sends_at_once_when_the_first_is_gone(void **state)
{
        (void)state;
        find_peer(true);
        open_hooks(&peer);
        begin("cam", "20261121T100000Z-00000001");
        peer_up = false;
        webhooks_peers_changed(hooks);
        run_in(WEBHOOKS_QUIET_US + 1);
        assert_int_equal(asked_count, 1);
}

static void test_the_first_owner_sends_at_once(void **state)
{
        (void)state;
        find_peer(false);
        open_hooks(&peer);
        begin("cam", "20261121T100000Z-00000001");
        run_in(WEBHOOKS_QUIET_US + 1);
        assert_int_equal(asked_count, 1);
        answer(0, 0, 200);
        struct buf *text = webhooks_settled(hooks);
        assert_non_null(memmem(text->data, text->len, "20261121T100000Z-00000001.started", 33));
        buf_unref(&text);
}

static void test_the_oldest_go_when_too_many_wait(void **state)
{
        int64_t before = stat_get(STAT_WEBHOOK_DROPPED_FULL);
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        answer(0, ERR_REFUSED, 0);
        for (unsigned i = 0; i < WEBHOOKS_WAITING_MAX; i++) {
                session->slate = !session->slate;
                session->slate_us = (int64_t)i * 200000;
                webhooks_session_changed(hooks, session);
        }
        assert_int_equal(stat_get(STAT_WEBHOOK_WAITING), WEBHOOKS_WAITING_MAX);
        assert_int_equal(stat_get(STAT_WEBHOOK_DROPPED_FULL), before + 1);
}

static void test_a_reload_that_changes_nothing_leaves_what_is_under_way_alone(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        webhooks_configure(hooks, config);
        answer(0, 0, 200);
        run_in(61 * US_PER_S);
        assert_int_equal(asked_count, 1);
}

static void test_what_waits_for_a_webhook_that_is_taken_away_goes(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        use_config("[]");
        webhooks_configure(hooks, config);
        assert_null(asked[0].done); /* canceled */
        assert_int_equal(stat_get(STAT_WEBHOOK_WAITING), 0);
        assert_int_equal(end_session(session), 0);
        assert_int_equal(asked_count, 1);
}

static void test_requests_that_fail_together_lengthen_the_pause_once(void **state)
{
        (void)state;
        open_hooks(NULL);
        begin("cam", "20261121T100000Z-00000001");
        begin("other", "20261121T100000Z-00000002");
        begin("third", "20261121T100000Z-00000003");
        for (size_t i = 0; i < 3; i++)
                answer(i, ERR_REFUSED, 0);
        run_in(WEBHOOKS_PAUSE_US + 1);
        assert_int_equal(asked_count, 6);
}

static void test_a_configuration_that_cannot_be_is_told_with_what_is_allowed(void **state)
{
        static const struct {
                const char *text, *why;
        } bad[] = {
                {"{}", "not an array"},
                {"[1]", "entry 0: is not an object"},
                {"[{},{},{},{},{},{},{},{},{}]", "has 9 entries, allowed are at most 8"},
                {"[{\"secret\": \"x\"}]", "\"url\" is missing"},
                {"[{\"url\": \"ftp://x\"}]", "\"url\""},
                {"[{\"url\": \"" URL "\", \"secret\": \"\"}]", "leave it out"},
                {"[{\"url\": \"" URL "\", \"event\": []}]", "allowed are url|secret|events"},
                {"[{\"url\": \"" URL "\", \"events\": [\"begun\"]}]", "started|ended|slate_begun|slate_over|failed_over"},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char why[256] = "";
                use_config(bad[i].text);
                assert_int_equal(webhooks_check(&config, why, sizeof(why)), ERR_CONFIG);
                if (!strstr(why, bad[i].why))
                        fail_msg("%s: %s", bad[i].text, why);
        }
        use_config("[{\"url\": \"https://ops.example/x?y\", \"secret\": \"s\", \"events\": [\"started\", \"ended\"]}]");
        assert_int_equal(webhooks_check(&config, NULL, 0), 0);
}

static void test_pauses_grow_to_a_minute_and_are_spread(void **state)
{
        (void)state;
        for (unsigned n = 0; n < 40; n++) {
                int64_t most_us = WEBHOOKS_PAUSE_US << (n > 7 ? 7 : n);
                assert_in_range(webhooks_pause_us(n, UINT64_MAX), 1, most_us > WEBHOOKS_PAUSE_MAX_US ? WEBHOOKS_PAUSE_MAX_US : most_us);
                assert_int_equal(webhooks_pause_us(n, 0), 1);
        }
        assert_int_equal(webhooks_pause_us(20, WEBHOOKS_PAUSE_MAX_US - 1), WEBHOOKS_PAUSE_MAX_US);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_an_event_is_sent_at_once_and_signed),
                TEST(test_what_fails_is_sent_again_under_the_same_id),
                TEST(test_events_of_a_stream_keep_their_order_and_do_not_hold_up_others),
                TEST(test_what_is_refused_is_given_up_in_the_end),
                TEST(test_what_is_a_day_old_is_given_up),
                TEST(test_a_webhook_hears_only_what_it_asked_for),
                TEST(test_what_waited_at_a_kill_is_sent_by_the_next_process),
                TEST(test_what_was_not_even_noted_at_a_kill_is_found_again),
                TEST(test_a_file_that_cannot_be_read_is_kept),
                TEST(test_what_is_no_file_is_kept_and_events_go_on),
                TEST(test_what_could_not_be_saved_is_saved_when_that_is_possible),
                TEST(test_after_a_restart_only_what_is_new_is_told),
                TEST(test_the_second_owner_leaves_it_to_the_first),
                TEST(test_the_second_owner_sends_what_the_first_did_not_settle),
                TEST(test_the_second_owner_sends_at_once_when_the_first_is_gone),
                TEST(test_the_first_owner_sends_at_once),
                TEST(test_the_oldest_go_when_too_many_wait),
                TEST(test_a_reload_that_changes_nothing_leaves_what_is_under_way_alone),
                TEST(test_what_waits_for_a_webhook_that_is_taken_away_goes),
                TEST(test_requests_that_fail_together_lengthen_the_pause_once),
                TEST(test_a_configuration_that_cannot_be_is_told_with_what_is_allowed),
                TEST(test_pauses_grow_to_a_minute_and_are_spread),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
