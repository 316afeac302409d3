#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "originD/replica/catalog.h"
#include "originD/session_json.h"
#include "tests/unit/origin_store.h"

static struct session *recorded(const char *stream, const char *id, int64_t epoch_us)
{
        int err;
        struct session *s = claim(stream, id, epoch_us, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        for (unsigned k = 0; k < 3; k++)
                assert_int_equal(put_video(s, "v720", 0, k), 0);
        return s;
}

static struct catalog read_list(struct buf *text)
{
        struct catalog l;
        assert_int_equal(catalog_read(&l, (const char *)text->data, text->len), 0);
        buf_unref(&text);
        return l;
}

static void test_what_is_written_is_what_is_read(void **state)
{
        (void)state;
        int err;
        struct session *s = recorded("cam", "S1", 5000000);
        session_set_title(s, "T \"1\"");
        s->captions = true;
        join("cam", "S1", 5000000, 3, "t2", &err);
        assert_int_equal(put_video(s, "v720", 0, 3), 0);
        struct catalog l = read_list(catalog_write_live(&store, 0, INT64_MAX, ""));
        assert_int_equal(l.count, 1);
        const struct peer_session *p = &l.sessions[0];
        assert_string_equal(p->id, "S1");
        assert_string_equal(p->stream, "cam");
        assert_string_equal(p->title, "T \"1\"");
        assert_string_equal(p->node, "t2");
        assert_int_equal(p->epoch_us, 5000000);
        assert_int_equal(p->generation, 3);
        assert_int_equal(p->grace_ms, GRACE_MS);
        assert_false(p->ended);
        assert_true(p->captions && p->long_parts);
        assert_int_equal(p->track_count, 1);
        const struct peer_track *t = &p->tracks[0];
        assert_string_equal(t->name, "v720");
        assert_int_equal(t->bandwidth, 1000000);
        assert_int_equal(t->next_segment, 0);
        assert_int_equal(t->next_chunk, 4);
        assert_int_equal(t->end_us, 800000);
        assert_int_equal(t->bytes, s->tracks[0]->log->index.file_bytes);
        assert_int_equal(t->eras.count, 2);
        assert_int_equal(t->eras.list[1].place, 3);
        assert_int_equal(t->eras.list[1].generation, 3);
        assert_string_equal(t->eras.list[1].node, "t2");
        catalog_free(&l);
}

static void test_another_origins_grace_time_has_the_bound_that_a_writers_has(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000)->grace_ms = UINT32_MAX;
        struct catalog l = read_list(catalog_write_live(&store, 0, INT64_MAX, ""));
        assert_int_equal(l.sessions[0].grace_ms, GRACE_MAX_MS);
        catalog_free(&l);
}

/* By it a faulty origin's copy would win over every other, and nobody could write any more. */
static void test_a_session_with_a_generation_that_there_cannot_be_is_left_out(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000)->generation = UINT32_MAX;
        recorded("other", "S2", 6000000)->tracks[0]->eras.list[0].generation = UINT32_MAX;
        recorded("good", "S3", 7000000);
        struct catalog l = read_list(catalog_write_live(&store, 0, INT64_MAX, ""));
        assert_int_equal(l.count, 1);
        assert_int_equal(l.left_out, 2);
        assert_string_equal(l.sessions[0].id, "S3");
        catalog_free(&l);
}

static void test_lists_hold_the_live_ones_or_those_that_ended_or_one(void **state)
{
        (void)state;
        struct session *old = recorded("a", "S1", 1000000), *recent = recorded("b", "S2", 2000000);
        recorded("c", "S3", 3000000);
        recorded("d", "S4", 4000000);
        assert_int_equal(end_session(old), 0);
        assert_int_equal(end_session(recent), 0);
        struct catalog l = read_list(catalog_write_live(&store, 0, INT64_MAX, ""));
        assert_int_equal(l.count, 2);
        assert_string_equal(l.sessions[0].id, "S4"); /* the newest first */
        assert_true(l.sessions[0].whole);
        catalog_free(&l);
        l = read_list(catalog_write_ended(&store, 0));
        assert_int_equal(l.count, 2);
        assert_string_equal(l.sessions[0].id, "S1"); /* as they changed */
        assert_true(l.sessions[0].ended && l.sessions[0].ended_by_writer);
        assert_false(l.sessions[0].whole); /* of one that ended, the head */
        assert_int_equal(l.sessions[0].sum.digest, session_sum(old).digest);
        assert_int_equal(l.sessions[0].sum.bytes, session_bytes(old));
        catalog_free(&l);
        l = read_list(catalog_write_one(store_session(&store, "S2"), UINT64_MAX));
        assert_int_equal(l.count, 1);
        assert_int_equal(l.sessions[0].tracks[0].next_chunk, 3);
        catalog_free(&l);
        l = read_list(catalog_write_one(NULL, UINT64_MAX));
        assert_int_equal(l.count, 0);
        catalog_free(&l);
}

/* It would copy such a session over what it leaves alone, or refuse the whole list for it. */
static void test_an_origin_that_knows_one_grid_leaves_out_a_session_on_another(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000), *other = recorded("cam2", "S2", 6000000);
        s->chunk_ms = CHUNK_MS_SHORT; /* only for this look: what is stored is on the other */
        struct buf *texts[] = {catalog_write_one(s, UINT64_MAX), catalog_write_live(&store, 0, INT64_MAX, "")};
        for (size_t i = 0; i < 2; i++) {
                json_t *j = json_loadb((const char *)texts[i]->data, texts[i]->len, 0, NULL);
                json_t *told = json_array_get(json_object_get(j, "sessions"), i), *track = json_array_get(json_object_get(told, "tracks"), 0);
                assert_string_equal(json_string_value(json_object_get(told, "id")), "S1");
                assert_true(json_integer_value(json_object_get(told, "generation")) == UINT32_MAX);
                assert_int_equal(json_integer_value(json_object_get(track, "next_chunk")), 0);
                json_decref(j);
                struct catalog l = read_list(texts[i]);
                assert_int_equal(l.count, i + 1);
                assert_int_equal(l.sessions[i].chunk_ms, CHUNK_MS_SHORT);
                assert_int_equal(l.sessions[i].generation, s->generation);
                assert_int_equal(l.sessions[i].tracks[0].next_chunk, 6);
                catalog_free(&l);
        }
        assert_int_equal(other->chunk_ms, CHUNK_MS);
        s->chunk_ms = CHUNK_MS;
}

/* All of them in pages, each once; then only what changed since. */
static void test_who_has_read_all_pages_is_told_only_what_changes_after_that(void **state)
{
        (void)state;
        static char ids[2 * CATALOG_PAGE + 7][12];
        const size_t n = sizeof(ids) / sizeof(ids[0]);
        struct session *some = NULL;
        for (size_t i = 0; i < n; i++) {
                struct claim c = make_claim("cam", ids[i], 1000000 + (int64_t)i);
                snprintf(ids[i], sizeof(ids[i]), "S%zu", i);
                strcpy(c.session, ids[i]);
                struct session *s = session_new(&loop, data_dir, &c, 600, false);
                s->state = SESSION_ENDED;
                s->load = LOAD_NO;
                s->sum.tracks = 1; /* or it would be removed as one that was never written to */
                store_add(&store, s);
                some = i == 9 ? s : some;
        }
        uint64_t since = 0;
        size_t seen = 0, pages = 0;
        bool more = true;
        while (more) {
                struct catalog l = read_list(catalog_write_ended(&store, since));
                for (size_t i = 0; i < l.count; i++)
                        assert_string_equal(l.sessions[i].id, ids[seen + i]);
                assert_true(l.count <= CATALOG_PAGE && l.next > since);
                seen += l.count;
                since = l.next;
                more = l.more;
                assert_true(++pages <= 3);
                catalog_free(&l);
        }
        assert_int_equal(seen, n);
        assert_int_equal(pages, 3);
        struct catalog l = read_list(catalog_write_ended(&store, since));
        assert_int_equal(l.count, 0);
        assert_int_equal(l.next, since);
        catalog_free(&l);
        some->version++;
        some->changed(some->arg, some);
        l = read_list(catalog_write_ended(&store, since));
        assert_int_equal(l.count, 1);
        assert_string_equal(l.sessions[0].id, "S9");
        assert_false(l.more);
        catalog_free(&l);
}

/* A channel that is always on: so many volumes of every track, and of one that stood still now and then. */
static struct session *long_broadcast(uint32_t volumes)
{
        int err;
        struct session *s = claim("cam", "S1", 5000000, &err);
        for (uint32_t k = 0; k < SESSION_TRACKS_MAX; k++) {
                char name[8];
                snprintf(name, sizeof(name), "v%u", 1000 + k);
                assert_int_equal(add_track(s, name, fmp4_video_init(), 0), 0);
                struct volumes *v = &session_track(s, name)->log->closed;
                for (uint32_t n = 0; n < volumes; n++) {
                        uint32_t number = k ? n : n * 3;
                        struct volume_row row = {.number = number, .sum = {.bytes = 4000000000, .crc = UINT32_MAX, .first_segment = number * 600,
                                                                      .last_segment = number * 600 + 599}};
                        volumes_insert(v, &row);
                }
        }
        return s;
}

static void no_volumes(struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++)
                volumes_free(&s->tracks[i]->log->closed);
}

static void test_the_newest_volumes_of_all_tracks_are_one_answer(void **state)
{
        (void)state;
        struct session *s = long_broadcast(3100);
        struct buf *text = catalog_write_one(s, UINT64_MAX);
        assert_true(text->len <= BODY_MAX);
        struct catalog l = read_list(text);
        const struct volumes *told = &l.sessions[0].tracks[0].volumes;
        assert_int_equal(told->count, CATALOG_VOLUMES);
        assert_int_equal(told->rows[0].number, l.sessions[0].volumes_from);
        assert_int_equal(told->rows[CATALOG_VOLUMES - 1].number, 3099 * 3);
        catalog_free(&l);
        no_volumes(s);
}

static void test_all_volumes_can_be_read_page_after_page_the_newest_first(void **state)
{
        (void)state;
        struct session *s = long_broadcast(2 * CATALOG_VOLUMES + 7);
        struct catalog l = read_list(catalog_write_one(s, UINT64_MAX));
        struct peer_session *p = &l.sessions[0];
        while (p->volumes_from) {
                struct catalog page = read_list(catalog_write_one(s, p->volumes_from)), again = read_list(catalog_write_one(s, UINT64_MAX));
                assert_int_equal(catalog_add_older(p, &page), 0);
                assert_int_equal(catalog_add_older(p, &again), ERR_PROTO); /* these are not the next ones */
                catalog_free(&page);
                catalog_free(&again);
        }
        for (size_t i = 0; i < p->track_count; i++) {
                const struct volumes *told = &p->tracks[i].volumes, *all = &session_track(s, p->tracks[i].name)->log->closed;
                assert_int_equal(told->count, all->count);
                for (size_t k = 0; k < all->count; k++)
                        assert_int_equal(told->rows[k].number, all->rows[k].number);
        }
        catalog_free(&l);
        no_volumes(s);
}

/* The page before it would overlap it, and rows that do not rise are not found. */
static void test_a_page_with_volumes_below_its_own_beginning_is_refused(void **state)
{
        (void)state;
        struct session *s = long_broadcast(CATALOG_VOLUMES + 7);
        struct buf *good = catalog_write_one(s, UINT64_MAX);
        json_t *list = json_loadb((const char *)good->data, good->len, 0, NULL);
        json_t *told = json_array_get(json_object_get(list, "sessions"), 0);
        json_int_t from = json_integer_value(json_object_get(told, "volumes_from"));
        for (int above = 0; above < 2; above++) {
                struct catalog l;
                json_object_set_new(told, "volumes_from", json_integer(from + above));
                char *text = json_dumps(list, 0);
                assert_int_equal(catalog_read(&l, text, strlen(text)), above ? ERR_PROTO : 0);
                catalog_free(&l);
                free(text);
        }
        json_decref(list);
        buf_unref(&good);
        no_volumes(s);
}

/* A last record that could not be written: until it is, there is nothing to hold a copy against. */
static void test_a_volume_whose_checksum_is_not_known_is_not_offered(void **state)
{
        (void)state;
        struct session *s = recorded("cam", "S1", 5000000);
        struct volumes *v = &s->tracks[0]->log->closed;
        for (uint32_t n = 100; n < 103; n++) {
                struct volume_row row = {.number = n, .sum = {.bytes = 4000, .chunks = 50, .crc = n == 101 ? 0 : 7, .first_segment = n * 600,
                                                              .last_segment = n * 600 + 9}};
                volumes_insert(v, &row);
        }
        struct catalog l = read_list(catalog_write_one(s, UINT64_MAX));
        const struct volumes *told = &l.sessions[0].tracks[0].volumes;
        assert_int_equal(told->count, 3); /* that there is one is told */
        assert_int_equal(told->rows[1].sum.crc, 0);
        assert_int_equal(told->rows[2].sum.crc, 7);
        catalog_free(&l);
        volumes_free(v);
}

/* As another origin reads it; returns how many sessions it was told. Each page but the last is as full as may be, and none is fuller. */
static size_t read_pages(uint64_t since, unsigned *pages, uint64_t *moves)
{
        struct catalog l;
        int64_t before_ms = INT64_MAX, last_us = INT64_MAX;
        char before[SESSION_ID_MAX + 1] = "";
        size_t told = 0;
        *pages = 0;
        do {
                l = read_list(catalog_write_live(&store, since, before_ms, before));
                size_t parts = 0;
                for (size_t i = 0; i < l.count; i++) {
                        assert_true(l.sessions[i].epoch_us < last_us); /* the newest first, each once */
                        last_us = l.sessions[i].epoch_us;
                        parts += 1 + l.sessions[i].track_count + l.sessions[i].track_count; /* an era each */
                }
                assert_true(parts < CATALOG_LIVE_PARTS + 3);
                assert_true(!l.more || since || parts >= CATALOG_LIVE_PARTS);
                told += l.count;
                if (!*pages)
                        *moves = l.next;
                ++*pages;
                before_ms = l.before_ms;
                strcpy(before, l.before);
                catalog_free(&l);
        } while (*before);
        return told;
}

static void test_many_live_sessions_are_told_in_pages_and_then_those_that_moved(void **state)
{
        enum { SESSIONS = 600 };
        (void)state;
        uint64_t moves, later;
        unsigned pages;
        store.options.live_max = SESSIONS;
        for (int i = 0; i < SESSIONS; i++) {
                char name[16], id[16];
                snprintf(name, sizeof(name), "cam%d", i);
                snprintf(id, sizeof(id), "S%d", i);
                recorded(name, id, i * INT64_C(1000));
        }
        assert_int_equal(read_pages(0, &pages, &moves), SESSIONS);
        assert_int_equal(pages, SESSIONS * 3 / CATALOG_LIVE_PARTS + 1);
        assert_int_equal(read_pages(moves, &pages, &later), 0);
        assert_int_equal(pages, 1);
        assert_int_equal(put_video(store_session(&store, "S7"), "v720", 0, 3), 0);
        assert_int_equal(put_video(store_session(&store, "S300"), "v720", 0, 3), 0);
        assert_int_equal(read_pages(moves, &pages, &later), 2);
        assert_int_equal(end_session(store_session(&store, "S7")), 0);
        assert_int_equal(read_pages(0, &pages, &later), SESSIONS - 1);
}

static void test_a_list_with_anything_wrong_in_it_is_refused_whole(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000);
        struct buf *good = catalog_write_live(&store, 0, INT64_MAX, "");
        const char *wrong[][2] = {{"\"generation\":1", "\"generation\":-1"}, {"\"S1\"", "\"S/1\""}, {"\"v720\"", "\"V720\""},
                                  {"\"next_chunk\":3", "\"next_chunk\":5"}, {"[[0,1,", "[[0,-1,"}, {"\"history\"", "\"histori\""},
                                  {"{\"sessions\":", "{\"sessions\":7,\"x\":"},
                                  {"\"node\":\"t1\"", "\"node\":\"t1\\nlevel=error\""}}; /* it goes into log lines */
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                struct catalog l;
                char *text = mem_printf("%.*s", (int)good->len, (const char *)good->data), *at = strstr(text, wrong[i][0]);
                assert_non_null(at);
                char *bad = mem_printf("%.*s%s%s", (int)(at - text), text, wrong[i][1], at + strlen(wrong[i][0]));
                assert_int_equal(catalog_read(&l, bad, strlen(bad)), ERR_PROTO);
                assert_int_equal(l.count, 0);
                free(text);
                free(bad);
        }
        struct catalog l;
        for (size_t n = 0; n < good->len; n++)
                assert_int_equal(catalog_read(&l, (const char *)good->data, n), ERR_PROTO);
        buf_unref(&good);
}

/* Of two tracks of one name the one would be cut for the other, again and again. */
static void test_a_session_with_two_tracks_of_one_name_is_refused(void **state)
{
        (void)state;
        recorded("cam", "S1", 5000000);
        struct buf *good = catalog_write_live(&store, 0, INT64_MAX, "");
        json_t *list = json_loadb((const char *)good->data, good->len, 0, NULL);
        json_t *tracks = json_object_get(json_array_get(json_object_get(list, "sessions"), 0), "tracks");
        struct catalog l;
        json_array_append_new(tracks, json_deep_copy(json_array_get(tracks, 0)));
        char *text = json_dumps(list, 0);
        assert_int_equal(catalog_read(&l, text, strlen(text)), ERR_PROTO);
        json_object_set_new(json_array_get(tracks, 1), "name", json_string("v360"));
        free(text);
        text = json_dumps(list, 0);
        assert_int_equal(catalog_read(&l, text, strlen(text)), 0);
        catalog_free(&l);
        free(text);
        json_decref(list);
        buf_unref(&good);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_store, teardown_store)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_what_is_written_is_what_is_read),
                CASE(test_another_origins_grace_time_has_the_bound_that_a_writers_has),
                CASE(test_a_session_with_a_generation_that_there_cannot_be_is_left_out),
                CASE(test_lists_hold_the_live_ones_or_those_that_ended_or_one),
                CASE(test_an_origin_that_knows_one_grid_leaves_out_a_session_on_another),
                CASE(test_who_has_read_all_pages_is_told_only_what_changes_after_that),
                CASE(test_a_session_with_two_tracks_of_one_name_is_refused),
                CASE(test_the_newest_volumes_of_all_tracks_are_one_answer),
                CASE(test_a_page_with_volumes_below_its_own_beginning_is_refused),
                CASE(test_all_volumes_can_be_read_page_after_page_the_newest_first),
                CASE(test_a_volume_whose_checksum_is_not_known_is_not_offered),
                CASE(test_many_live_sessions_are_told_in_pages_and_then_those_that_moved),
                CASE(test_a_list_with_anything_wrong_in_it_is_refused_whole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
