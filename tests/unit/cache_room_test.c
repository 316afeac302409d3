/* cache: the budget. What goes when it is reached, and what slow readers and fills may keep of it. */
#include "cache_fixture.h"

#include "edged/pages.h"

static void test_the_byte_budget_is_kept_and_what_was_hit_is_spared(void **state)
{
        (void)state;
        struct fixture f;
        char key[32];
        open_fixture(&f, 1 << 20, 16);
        put(&f, "/hot", 64 * KB, true, 0, NOW);
        for (int i = 0; i < 500; i++) {
                struct object *hot;
                snprintf(key, sizeof(key), "/cold/%d", i);
                put(&f, key, 64 * KB, true, 0, NOW);
                assert_true(cache_bytes(f.cache) <= 1 << 20);
                assert_int_equal(get(&f, "/hot", NOW, &hot), CACHE_HIT);
                object_unref(&hot);
        }
        assert_true(cache_objects(f.cache) > 8);
        close_fixture(&f);
}

static void test_what_cannot_fit_is_refused_and_leaves_the_object_as_it_was(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        open_fixture(&f, 1 << 20, 16);
        get(&f, "/k", NOW, &o);
        append(o, "abc");
        struct buf *big = buf_new(2 << 20);
        assert_int_equal(cache_append(o, big, "text/plain", true), ERR_NOSPACE);
        buf_unref(&big);
        struct object_view v;
        object_look(o, NOW, &v);
        assert_int_equal(v.len, 3);
        cache_fail(o, ERR_NOSPACE, 0, NOW);
        object_unref(&o);
        close_fixture(&f);
}

static void test_missing_names_are_remembered_but_never_push_media_out(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char key[32];
        open_fixture(&f, 32 << 20, 16);
        put(&f, "/media", 64 * KB, true, 0, NOW);
        for (int i = 0; i < 50000; i++) {
                snprintf(key, sizeof(key), "/no/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_MISS);
                cache_missing(o, 1000, NOW);
                object_unref(&f.filling[--f.fills]);
                object_unref(&o);
        }
        assert_true(cache_objects(f.cache) <= CACHE_SHARDS * CACHE_MISSING_PER_SHARD + 1);
        expect_hit(&f, key, NOW + 999 * US_PER_MS); /* the last one is known to be missing */
        expect_hit(&f, "/media", NOW);
        assert_int_equal(get(&f, key, NOW + 1001 * US_PER_MS, &o), CACHE_MISS);
        cache_fail(o, ERR_CLOSED, 0, NOW);
        object_unref(&o);
        close_fixture(&f);
}

/* Each takes half a kilobyte. */
static void test_in_a_small_cache_names_take_a_small_part(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        char key[32];
        open_fixture(&f, 4 << 20, 16);
        for (int i = 0; i < 50000; i++) {
                snprintf(key, sizeof(key), "/no/%d", i);
                assert_int_equal(get(&f, key, NOW, &o), CACHE_MISS);
                cache_missing(o, 1000, NOW);
                object_unref(&f.filling[--f.fills]);
                object_unref(&o);
        }
        put_many(&f, "media", 50, 64 * KB);
        expect_all(&f, "media", 50);
        expect_hit(&f, "/no/49999", NOW);
        close_fixture(&f);
}

static void test_what_is_large_lies_in_pages_and_counts_by_pages(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct object_view v;
        open_fixture(&f, 1 << 20, 16);
        size_t before = cache_bytes(f.cache);
        put(&f, "/k", PAGES_LEAST + 1, true, 0, NOW);
        assert_int_equal(get(&f, "/k", NOW, &o), CACHE_HIT);
        object_look(o, NOW, &v);
        assert_true(pages_find(ledger_inner(v.body), NULL, NULL));
        assert_true(cache_bytes(f.cache) - before >= PAGES_LEAST + 4096);
        object_unref(&o);
        close_fixture(&f);
}

/* It is the piece itself that becomes the body. */
static void test_a_small_object_of_one_piece_counts_once_and_is_kept_by_no_reader(void **state)
{
        (void)state;
        struct fixture f;
        char key[32];
        open_fixture(&f, 1 << 20, 16);
        for (int i = 0; i < 32; i++) {
                snprintf(key, sizeof(key), "/audio/%d", i);
                put(&f, key, 12 * KB, true, 0, NOW);
                assert_int_equal(cache_pinned(f.cache), 0);
        }
        assert_true(cache_bytes(f.cache) < 32 * (12 * KB + 1024));
        expect_hit(&f, "/audio/0", NOW);
        close_fixture(&f);
}

/* Sixteen readers of a sixteenth of the cache each, who do not read. */
static void test_slow_readers_keep_a_share_and_do_not_empty_the_cache(void **state)
{
        (void)state;
        enum { BUDGET = 6400000, BIG = 400000, READERS = 32 };
        struct fixture f;
        struct object *read[READERS], *o;
        char key[32];
        open_fixture(&f, BUDGET, 64);
        put_hot(&f, 50, 60000); /* half of it is what is watched */
        for (int i = 0; i < READERS; i++) {
                snprintf(key, sizeof(key), "/slow/%d", i);
                read[i] = add(&f, key, BIG);
                assert_true(cache_bytes(f.cache) <= BUDGET + BUDGET / CACHE_PINNED_PART + READERS * KB);
        }
        expect_all(&f, "hot", 50);
        int cut = 0, kept = 0;
        for (int i = 0; i < READERS; i++) {
                kept += read[i] && !object_is_cut(read[i]);
                if (read[i] && object_is_cut(read[i]) && ++cut)
                        object_unref(&read[i]); /* as their connections do */
        }
        assert_true(cut > 0 && kept > 0);
        assert_true(cache_pinned(f.cache) <= BUDGET / CACHE_PINNED_PART);
        assert_non_null(o = add(&f, "/new", 60000)); /* there is room again, with those who are within the share */
        object_unref(&o);
        for (int i = 0; i < READERS; i++)
                object_unref(&read[i]);
        assert_int_equal(cache_pinned(f.cache), 0);
        assert_true(cache_bytes(f.cache) <= BUDGET);
        close_fixture(&f);
}

static void let_go_of_what_is_cut(struct object **read, int count, int *cut)
{
        for (int i = 0; i < count; i++) {
                if (!read[i] || !object_is_cut(read[i]))
                        continue;
                (*cut)++;
                object_unref(&read[i]);
        }
}

/* Objects that fail in the middle, each read by somebody who does not read on. */
static void test_slow_readers_keep_a_share_of_what_failed_too(void **state)
{
        (void)state;
        enum { BUDGET = 6400000, HALF = 200000, READERS = 32 };
        struct fixture f;
        struct object *read[READERS];
        struct buf *b = buf_new(HALF);
        char key[32];
        int cut = 0;
        open_fixture(&f, BUDGET, 64);
        put_hot(&f, 50, 60000);
        for (int i = 0; i < READERS; i++) {
                snprintf(key, sizeof(key), "/slow/%d", i);
                assert_int_equal(get(&f, key, NOW, &read[i]), CACHE_MISS);
                for (int piece = 0; piece < 2; piece++) {
                        assert_int_equal(cache_append(read[i], b, "video/mp4", true), 0);
                        let_go_of_what_is_cut(read, i, &cut);
                        assert_int_equal(f.cache->ledger.cut, 0); /* who was told kept all of it */
                }
                assert_false(object_is_cut(read[i]));
                cache_fail(read[i], ERR_IO, 0, NOW);
                object_unref(&f.filling[--f.fills]);
                assert_true(cache_pinned(f.cache) > 0);
                assert_true(cache_bytes(f.cache) <= BUDGET + BUDGET / CACHE_PINNED_PART + READERS * KB);
        }
        assert_in_range(cut, 1, READERS - 1);
        expect_all(&f, "hot", 50);
        for (int i = 0; i < READERS; i++)
                object_unref(&read[i]);
        assert_int_equal(cache_pinned(f.cache), 0);
        buf_unref(&b);
        close_fixture(&f);
}

static void test_what_is_being_filled_does_not_empty_the_cache(void **state)
{
        (void)state;
        enum { BUDGET = 6400000 };
        struct fixture f;
        struct object *filling[16];
        char key[32];
        int refused = 0;
        open_fixture(&f, BUDGET, 64);
        put_hot(&f, 50, 60000);
        struct buf *b = buf_new(400000);
        for (int i = 0; i < 16; i++) {
                snprintf(key, sizeof(key), "/big/%d", i);
                assert_int_equal(get(&f, key, NOW, &filling[i]), CACHE_MISS);
                refused += cache_append(filling[i], b, "video/mp4", true) == ERR_NOSPACE;
        }
        buf_unref(&b);
        assert_in_range(refused, 1, 10);
        expect_all(&f, "hot", 50);
        for (int i = 0; i < 16; i++) {
                cache_fail(filling[i], ERR_NOSPACE, 0, NOW);
                object_unref(&filling[i]);
        }
        close_fixture(&f);
}

/* Who sends a piece when the object is joined to one body has the piece for himself. */
static void test_a_piece_that_is_still_being_sent_counts(void **state)
{
        (void)state;
        struct fixture f;
        struct object *o;
        struct buf *piece;
        size_t off;
        bool last;
        open_fixture(&f, 1 << 20, 16);
        assert_int_equal(get(&f, "/k", NOW, &o), CACHE_MISS);
        for (int i = 0; i < 2; i++) {
                struct buf *b = buf_new(50 * KB);
                assert_int_equal(cache_append(o, b, "video/mp4", true), 0);
                buf_unref(&b);
        }
        assert_int_equal(object_piece(o, 0, &piece, &off, &last), 50 * KB);
        assert_int_equal(cache_complete(o, NULL, "video/mp4", true, 0, NOW), 0);
        assert_in_range(cache_bytes(f.cache), 150 * KB, 154 * KB);
        assert_in_range(cache_pinned(f.cache), 50 * KB, 51 * KB);
        for (int i = 0; i < 30; i++) { /* a share of 256 KB: it is within that, and is kept */
                char key[32];
                snprintf(key, sizeof(key), "/other/%d", i);
                put(&f, key, 60 * KB, true, 0, NOW);
                assert_true(cache_bytes(f.cache) <= 1 << 20);
        }
        assert_false(ledger_is_cut(piece));
        buf_unref(&piece);
        object_unref(&f.filling[--f.fills]);
        object_unref(&o);
        assert_int_equal(cache_pinned(f.cache), 0);
        close_fixture(&f);
}

/* Nobody asks for what is hot while it goes on, which the clock that was here before did not survive. */
static void test_who_goes_through_old_segments_does_not_push_out_what_is_watched(void **state)
{
        (void)state;
        struct fixture f;
        open_fixture(&f, 4 << 20, 16);
        put_hot(&f, 24, 64 * KB);
        put_many(&f, "old", 2000, 64 * KB);
        assert_true(cache_bytes(f.cache) <= 4 << 20);
        expect_all(&f, "hot", 24);
        close_fixture(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_byte_budget_is_kept_and_what_was_hit_is_spared),
                cmocka_unit_test(test_what_cannot_fit_is_refused_and_leaves_the_object_as_it_was),
                cmocka_unit_test(test_missing_names_are_remembered_but_never_push_media_out),
                cmocka_unit_test(test_in_a_small_cache_names_take_a_small_part),
                cmocka_unit_test(test_what_is_large_lies_in_pages_and_counts_by_pages),
                cmocka_unit_test(test_a_small_object_of_one_piece_counts_once_and_is_kept_by_no_reader),
                cmocka_unit_test(test_slow_readers_keep_a_share_and_do_not_empty_the_cache),
                cmocka_unit_test(test_slow_readers_keep_a_share_of_what_failed_too),
                cmocka_unit_test(test_what_is_being_filled_does_not_empty_the_cache),
                cmocka_unit_test(test_a_piece_that_is_still_being_sent_counts),
                cmocka_unit_test(test_who_goes_through_old_segments_does_not_push_out_what_is_watched),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
