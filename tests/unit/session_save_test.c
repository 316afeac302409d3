#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/log/volumes_file.h"
#include "tests/unit/origin_store.h"

static uint32_t saved_rows(const struct session *s, const struct track *t)
{
        char *dir = track_dir(s, t->name);
        struct volumes rows;
        struct buf *file;
        assert_int_equal(volumes_file_read(dir, &rows, &file), 0);
        uint32_t n = (uint32_t)rows.count;
        volumes_free(&rows);
        buf_unref(&file);
        free(dir);
        return n;
}

/* A session of so many tracks with so many volumes each, about which nothing is on its way to the disk yet. */
static struct session *long_broadcast(size_t tracks)
{
        int err;
        struct session *s = claim("cam", "S1", 5000000, &err);
        for (size_t k = 0; k < tracks; k++) {
                char name[8];
                snprintf(name, sizeof(name), "v%zu", 100 + k);
                assert_int_equal(add_track(s, name, fmp4_video_init(), 0), 0);
        }
        UNTIL(&loop, !session_busy(s));
        for (size_t k = 0; k < tracks; k++) { /* all at once: AddressSanitizer copies all of them for each that is inserted */
                struct volumes *v = &s->tracks[k]->log->closed;
                assert_null(v->rows);
                v->rows = mem_alloc(SESSION_SAVE_ROWS * sizeof(*v->rows));
                for (; v->count < SESSION_SAVE_ROWS; v->count++, v->changes++)
                        v->rows[v->count] = (struct volume_row){.number = (uint32_t)v->count, .state = VOLUME_LACKING};
        }
        return s;
}

static bool taken(const struct track *t)
{
        return t->rows_saved == t->log->closed.changes;
}

/* They are copied by the loop, which is not to stand still for all of them at once. */
static void test_rows_of_a_broadcast_of_months_are_saved_in_several_turns_of_the_loop(void **state)
{
        (void)state;
        struct session *s = long_broadcast(3);
        static struct waited x;
        x = (struct waited){.done = 0};
        session_save(s, &x.w, false, waited);
        assert_int_equal(taken(s->tracks[0]) + taken(s->tracks[1]) + taken(s->tracks[2]), 1);
        wait_done(&x.done);
        assert_int_equal(x.status, 0);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(saved_rows(s, s->tracks[i]), SESSION_SAVE_ROWS);
}

static void test_a_track_that_is_dropped_while_its_rows_wait_is_not_saved(void **state)
{
        (void)state;
        struct session *s = long_broadcast(2);
        static struct waited x;
        x = (struct waited){.done = 0};
        session_save(s, &x.w, false, waited);
        s->track_count--;
        wait_done(&x.done);
        s->track_count++;
        assert_int_equal(x.status, 0);
        assert_true(taken(s->tracks[0]));
        assert_false(taken(s->tracks[1]));
}

/* A session of a version that did not know of long parts says nothing of them, and has none as long as it lasts. */
static void test_whether_there_are_long_parts_is_as_it_was_when_the_session_began(void **state)
{
        (void)state;
        int err;
        struct session *s = claim("cam", "S1", 5000000, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_true(s->long_parts);
        for (int i = 0; i < 2; i++) {
                struct session again = {0};
                struct buf *saved = session_to_json(s);
                const char *wrong;
                assert_int_equal(session_from_json(&again, (const char *)saved->data, saved->len, true, &wrong), 0);
                assert_int_equal(again.long_parts, i == 0);
                tracks_free(&again);
                session_set_title(&again, "");
                buf_unref(&saved);
                s->long_parts = false;
        }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_rows_of_a_broadcast_of_months_are_saved_in_several_turns_of_the_loop),
                CASE(test_a_track_that_is_dropped_while_its_rows_wait_is_not_saved),
                CASE(test_whether_there_are_long_parts_is_as_it_was_when_the_session_began),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
