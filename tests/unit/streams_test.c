#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "originD/streams.h"
#include "tests/unit/origin_store.h"

static struct streams_known known;

static int setup(void **state)
{
        known = (struct streams_known){.count = 0};
        return setup_store(state);
}

static int teardown(void **state)
{
        streams_forget(&known);
        return teardown_store(state);
}

/* Of a session nothing but its head. */
static struct session *add(const char *stream, const char *id, int64_t epoch_us, bool playable)
{
        struct claim c = make_claim(stream, id, epoch_us);
        struct session *s = session_new(&loop, data_dir, &c, 600, false);
        s->state = SESSION_ENDED;
        s->load = LOAD_FAILED;
        s->load_again_us = INT64_MAX;
        s->sum = (struct session_sum){.tracks = 1, .playable = playable};
        store_add(&store, s);
        return s;
}

static struct session *recording(const char *stream, unsigned n, int64_t epoch_ms)
{
        char id[SESSION_ID_MAX + 1];
        snprintf(id, sizeof(id), "R%05u", n);
        return add(stream, id, epoch_ms * US_PER_MS, true);
}

static struct session *live(const char *stream, const char *id, int64_t epoch_us)
{
        int err;
        struct session *s = claim(stream, id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(put_video(s, "v720", 0, 0), 0);
        return s;
}

static json_t *parsed(struct buf *text)
{
        json_t *j = json_loadb((const char *)text->data, text->len, 0, NULL);
        assert_non_null(j);
        assert_in_range(text->len, 1, BODY_MAX);
        buf_unref(&text);
        return j;
}

static json_t *list_now(void)
{
        return parsed(list_of(&store, &known));
}

static json_t *page_at(const char *address)
{
        struct key k;
        key_parse(&k, address);
        assert_int_equal(k.kind, KEY_RECORDINGS);
        return parsed(recordings_json(&store, &k));
}

static const char *text_of(const json_t *list, size_t i, const char *name)
{
        return json_string_value(json_object_get(json_array_get(list, i), name));
}

static void is_entry(const json_t *list, size_t i, const char *stream, const char *session, const char *state)
{
        assert_string_equal(text_of(list, i, "id"), stream);
        assert_string_equal(text_of(list, i, "session"), session);
        assert_string_equal(text_of(list, i, "state"), state);
}

/* ---- the list of streams --------------------------------------------------------------------------------------------- */

static void test_what_is_live_comes_first_and_of_other_streams_the_newest_recording(void **state)
{
        (void)state;
        recording("cam", 1, 5000);
        recording("old", 2, 9000);
        recording("old", 3, 8000);
        add("new", "S9", 99000000, false); /* nothing of it can be played */
        recording("new", 4, 7000);
        live("cam", "L1", 6000000);
        live("two", "L2", 6500000);
        json_t *j = list_now(), *list = json_object_get(j, "streams");
        assert_int_equal(json_array_size(list), 4);
        is_entry(list, 0, "two", "L2", "live");
        is_entry(list, 1, "cam", "L1", "live");
        is_entry(list, 2, "old", "R00002", "ended");
        is_entry(list, 3, "new", "R00004", "ended");
        assert_string_equal(json_string_value(json_object_get(j, "next")), "/api/recordings"); /* that of cam, the older one of old */
        json_decref(j);
}

/* As a start may find them: the older one ends when nobody has written to it for the grace time. */
static void test_a_stream_with_two_live_sessions_is_told_once(void **state)
{
        (void)state;
        struct claim c = make_claim("cam", "L1", 6000000);
        struct session *older = session_new(&loop, data_dir, &c, 600, false);
        older->load = LOAD_NO;
        older->sum.playable = true;
        live("cam", "L2", 7000000);
        store_add(&store, older);
        json_t *j = list_now(), *list = json_object_get(j, "streams");
        assert_int_equal(json_array_size(list), 1);
        is_entry(list, 0, "cam", "L2", "live");
        json_decref(j);
}

static void many_streams(unsigned count)
{
        char name[16];
        for (unsigned i = 0; i < count; i++) {
                snprintf(name, sizeof(name), "s%u", i);
                recording(name, i, 1000 + i);
        }
}

static void test_the_list_is_bounded_and_says_that_there_is_more(void **state)
{
        (void)state;
        live("cam", "L1", 0); /* older than all of them, and in the list all the same */
        many_streams(STREAMS_RECORDINGS);
        json_t *j = list_now();
        assert_int_equal(json_array_size(json_object_get(j, "streams")), STREAMS_RECORDINGS + 1);
        assert_null(json_object_get(j, "next"));
        json_decref(j);
        recording("one_more", 999, 1);
        j = list_now();
        assert_int_equal(json_array_size(json_object_get(j, "streams")), STREAMS_RECORDINGS + 1);
        is_entry(json_object_get(j, "streams"), 0, "cam", "L1", "live");
        assert_string_equal(json_string_value(json_object_get(j, "next")), "/api/recordings");
        json_decref(j);
}

/* Between two steps the loop does other things: what comes or goes there is told or not, and all else is told once, in its order. */
static void test_a_list_of_many_is_made_in_steps(void **state)
{
        (void)state;
        store.options.live_max = INT64_MAX;
        live("last", "L1", 1000000);
        live("goes", "L2", 2000000);
        live("first", "L3", INT64_C(9000000000));
        add_silent(2);
        struct streams_making *m = streams_begin();
        assert_null(streams_go_on(&m, &store, &known));
        assert_int_equal(end_session(store_session(&store, "L2")), 0);
        live("comes", "L4", INT64_C(9500000000));
        assert_null(streams_go_on(&m, &store, &known));
        live("newer", "L5", 1500000);
        json_t *j = parsed(streams_go_on(&m, &store, &known)), *list = json_object_get(j, "streams");
        assert_null(m);
        assert_int_equal(json_array_size(list), 4);
        is_entry(list, 0, "first", "L3", "live");
        is_entry(list, 1, "newer", "L5", "live");
        is_entry(list, 2, "last", "L1", "live");
        is_entry(list, 3, "goes", "L2", "ended");
        json_decref(j);
}

static void test_a_list_may_be_given_up(void **state)
{
        (void)state;
        add_silent(2);
        struct streams_making *m = streams_begin();
        assert_null(streams_go_on(&m, &store, &known));
        streams_give_up(&m);
        assert_null(m);
        streams_give_up(&m);
}

/* A poll costs nothing when nothing has changed: that a recording's tracks are dropped from memory is no change. */
static void test_the_list_stays_as_it_is_when_a_recording_is_unloaded(void **state)
{
        (void)state;
        struct session *s = live("cam", "L1", 6000000);
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !session_busy(s) && s->version == s->saved_version);
        assert_true(session_unload(s));
        json_t *first = list_now(); /* has it read */
        json_decref(first);
        UNTIL(&loop, s->load == LOAD_DONE);
        struct buf *with = list_of(&store, &known);
        assert_non_null(memmem(with->data, with->len, "avc1.64001f", 11));
        UNTIL(&loop, session_unload(s));
        unsigned before = disk_jobs();
        struct buf *without = list_of(&store, &known);
        assert_int_equal(disk_jobs(), before); /* and it is not read again */
        assert_int_equal(without->len, with->len);
        assert_memory_equal(without->data, with->data, with->len);
        buf_unref(&with);
        buf_unref(&without);
}

/* ---- pages ----------------------------------------------------------------------------------------------------------- */

#define MANY 1234

struct walk {
        unsigned seen[MANY + 10];
        size_t pages;
        char last[KEY_MAX + 1]; /* place that was told last, as it sorts */
};

/* Returns the next address, or false. */
static bool walk_page(struct walk *w, char address[KEY_MAX + 1])
{
        char place[KEY_MAX + 1];
        json_t *j = page_at(address), *list = json_object_get(j, "recordings"), *next = json_object_get(j, "next");
        assert_in_range(json_array_size(list), 0, RECORDINGS_PAGE);
        for (size_t i = 0; i < json_array_size(list); i++) {
                snprintf(place, sizeof(place), "%s/%s", text_of(list, i, "started"), text_of(list, i, "session"));
                assert_true(!*w->last || strcmp(place, w->last) < 0); /* newest first */
                strcpy(w->last, place);
                w->seen[strtoul(text_of(list, i, "session") + 1, NULL, 10)]++;
        }
        w->pages++;
        snprintf(address, KEY_MAX + 1, "%s", next ? json_string_value(next) : "");
        json_decref(j);
        return *address;
}

/* Several start in one millisecond, and within it in no order. */
static int64_t epoch_of(unsigned n)
{
        return 1000000 + n * INT64_C(7919) % MANY / 3;
}

static void fill(void)
{
        char name[16];
        for (unsigned n = 0; n < MANY; n++) {
                snprintf(name, sizeof(name), "cam%u", n % 3);
                recording(name, n, epoch_of(n));
        }
}

static void test_pages_tell_every_recording_once(void **state)
{
        (void)state;
        struct walk w = {.pages = 0};
        char address[KEY_MAX + 1] = "/api/recordings";
        live("cam0", "L1", clock_wall_us());
        fill();
        while (walk_page(&w, address))
                ;
        for (unsigned n = 0; n < MANY; n++)
                assert_int_equal(w.seen[n], 1);
        assert_int_equal(w.pages, (MANY + RECORDINGS_PAGE - 1) / RECORDINGS_PAGE);
}

static void test_what_comes_and_goes_meanwhile_moves_nothing(void **state)
{
        (void)state;
        struct walk w = {.pages = 0};
        char address[KEY_MAX + 1] = "/api/recordings", id[SESSION_ID_MAX + 1];
        bool gone[MANY] = {false};
        unsigned added_count = 0;
        fill();
        while (walk_page(&w, address)) {
                struct key k;
                key_parse(&k, address); /* the very one that the page ended with goes, and others on both sides of it */
                for (unsigned n = 0; n < MANY; n++) {
                        snprintf(id, sizeof(id), "R%05u", n);
                        struct session *s = store_session(&store, id);
                        if (!s || !(strcmp(id, k.session) == 0 || n % 17 == w.pages))
                                continue;
                        gone[n] = true;
                        store_remove(&store, s);
                }
                if (added_count < 10) {
                        recording("cam0", MANY + added_count, 1000000 + added_count * 50);
                        added_count++;
                }
        }
        for (unsigned n = 0; n < MANY; n++)
                assert_true(w.seen[n] == 1 || (gone[n] && w.seen[n] == 0));
        for (unsigned n = MANY; n < MANY + 10; n++)
                assert_in_range(w.seen[n], 0, 1);
}

static void test_a_page_looks_at_so_many_and_leads_on_with_nothing(void **state)
{
        (void)state;
        char id[SESSION_ID_MAX + 1];
        recording("cam", 1, 1);
        for (unsigned n = 0; n < RECORDINGS_LOOKS + 5; n++) {
                snprintf(id, sizeof(id), "E%05u", n);
                add("cam", id, (1000 + n) * US_PER_MS, false);
        }
        json_t *j = page_at("/api/recordings"), *next = json_object_get(j, "next");
        assert_int_equal(json_array_size(json_object_get(j, "recordings")), 0);
        assert_non_null(next);
        json_t *second = page_at(json_string_value(next));
        assert_int_equal(json_array_size(json_object_get(second, "recordings")), 1);
        assert_null(json_object_get(second, "next"));
        json_decref(second);
        json_decref(j);
        j = list_now(); /* so does the list of streams */
        assert_int_equal(json_array_size(json_object_get(j, "streams")), 0);
        assert_non_null(json_object_get(j, "next"));
        json_decref(j);
}

static void test_a_page_may_begin_at_a_time(void **state)
{
        (void)state;
        recording("cam", 1, 1769862896788);
        recording("cam", 2, 1769862896789);
        json_t *j = page_at("/api/recordings/before/2026-01-31T12:34:56.789Z"), *list = json_object_get(j, "recordings");
        assert_int_equal(json_array_size(list), 1);
        is_entry(list, 0, "cam", "R00001", "ended");
        json_decref(j);
}

static void test_a_page_without_recordings_is_the_last(void **state)
{
        (void)state;
        live("cam", "L1", 5);
        json_t *j = page_at("/api/recordings");
        assert_int_equal(json_array_size(json_object_get(j, "recordings")), 0);
        assert_null(json_object_get(j, "next"));
        json_decref(j);
}

static void test_who_has_captions_says_so(void **state)
{
        (void)state;
        struct session *s = live("cam", "S1", 1769862896788000);
        json_t *j = list_now();
        assert_null(json_object_get(json_array_get(json_object_get(j, "streams"), 0), "captions"));
        json_decref(j);
        s->captions = true;
        j = list_now();
        assert_true(json_is_true(json_object_get(json_array_get(json_object_get(j, "streams"), 0), "captions")));
        json_decref(j);
}

/* parsed() holds it against BODY_MAX: it comes with one FETCH, and is of one moment. */
static void test_the_longest_page_is_one_answer(void **state)
{
        (void)state;
        char name[STREAM_ID_MAX + 1], title[128];
        memset(name, 'n', STREAM_ID_MAX);
        name[STREAM_ID_MAX] = '\0';
        memset(title, '\x01', sizeof(title) - 1);
        title[sizeof(title) - 1] = '\0';
        for (unsigned n = 0; n < RECORDINGS_PAGE; n++) {
                struct session *s = recording(name, n, 1769862896788);
                session_set_title(s, title);
                s->captions = true;
                s->load = LOAD_DONE;
                for (unsigned i = 0; i < SESSION_TRACKS_MAX; i++) {
                        struct track *t = track_append(s);
                        memset(t->name, 'v', TRACK_NAME_MAX);
                        memset(t->init.codec, 'c', sizeof(t->init.codec) - 1);
                        t->init.width = t->init.height = UINT16_MAX;
                        t->at_end = (struct track_facts){.any = true, .average_bps = UINT32_MAX};
                }
        }
        json_t *j = page_at("/api/recordings");
        assert_int_equal(json_array_size(json_object_get(j, "recordings")), RECORDINGS_PAGE);
        json_decref(j);
}

/* ---- the order ------------------------------------------------------------------------------------------------------- */

static void test_the_order_holds_whatever_comes_and_goes(void **state)
{
        (void)state;
        struct by_start l = {.count = 0};
        static struct session all[500];
        unsigned random = 1;
        for (unsigned n = 0; n < 500; n++) {
                all[n].epoch_us = (int64_t)(n * 7919u % 250) * US_PER_MS + n % 7; /* microseconds are not told, and do not count */
                snprintf(all[n].id, sizeof(all[n].id), "S%03u", n * 31 % 500);
        }
        for (unsigned turn = 0; turn < 20000; turn++) {
                random = random * 1103515245 + 12345;
                struct session *s = &all[random / 65536 % 500];
                if (s->in_loaded)
                        by_start_remove(&l, s);
                else
                        by_start_add(&l, s);
                s->in_loaded = !s->in_loaded;
                for (size_t i = 1; turn % 100 == 0 && i < l.count; i++) {
                        int64_t newer = l.at[i - 1]->epoch_us / US_PER_MS, older = l.at[i]->epoch_us / US_PER_MS;
                        assert_true(newer > older || (newer == older && strcmp(l.at[i - 1]->id, l.at[i]->id) > 0));
                        assert_int_equal(by_start_before(&l, newer, l.at[i - 1]->id), i);
                }
        }
        by_start_fini(&l);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_what_is_live_comes_first_and_of_other_streams_the_newest_recording),
                TEST(test_a_stream_with_two_live_sessions_is_told_once),
                TEST(test_the_list_is_bounded_and_says_that_there_is_more),
                TEST(test_the_list_stays_as_it_is_when_a_recording_is_unloaded),
                TEST(test_a_list_of_many_is_made_in_steps),
                TEST(test_a_list_may_be_given_up),
                TEST(test_pages_tell_every_recording_once),
                TEST(test_what_comes_and_goes_meanwhile_moves_nothing),
                TEST(test_a_page_looks_at_so_many_and_leads_on_with_nothing),
                TEST(test_a_page_may_begin_at_a_time),
                TEST(test_a_page_without_recordings_is_the_last),
                TEST(test_the_longest_page_is_one_answer),
                TEST(test_who_has_captions_says_so),
                cmocka_unit_test(test_the_order_holds_whatever_comes_and_goes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
