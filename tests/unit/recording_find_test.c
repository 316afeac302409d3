#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "originD/recording_find.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/until.h"

/* In volumes of two seconds; the sound of a64 is worse than that of a128. */
static struct session *recorded(unsigned seconds)
{
        int err;
        store.options.volume_segments = 2;
        struct session *s = claim("cam", "S1", 0, &err);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
        assert_int_equal(add_track(s, "v360", fmp4_init_with(1, 640, 360, -2), 0), 0);
        assert_int_equal(add_track(s, "a128", fmp4_audio_init(), 0), 0);
        assert_int_equal(add_track(s, "a64", fmp4_init_with(0, 0, 0, 0), 0), 0);
        assert_int_equal(add_track(s, "v180", fmp4_init_with(1, 320, 180, -2), 0), 0); /* nothing ever comes of it */
        for (unsigned n = 0; n < seconds; n++) {
                for (unsigned k = 0; k < 5; k++) {
                        assert_int_equal(put_video(s, "v720", n, k), 0);
                        assert_int_equal(put_video(s, "v360", n, k), 0);
                }
                assert_int_equal(put_audio(s, "a128", n), 0);
                assert_int_equal(put_bytes(s, "a64", fmp4_chunk(n * UINT64_C(48000), 48, 1000, 10), n, 0, n * INT64_C(1000000)), 0);
        }
        assert_int_equal(end_session(s), 0);
        UNTIL(&loop, !session_busy(s) && s->saved_version == s->version);
        return s;
}

static struct layouts layouts;

static void moved(void *arg, struct session *s)
{
        (void)arg;
        (void)s;
}

static int setup(void **state)
{
        setup_store(state);
        layouts_open(&layouts, &loop, moved, NULL);
        return 0;
}

static int teardown(void **state)
{
        layouts_close(&layouts);
        return teardown_store(state);
}

static struct recording_wish wish(const char *track, uint32_t from, uint32_t to)
{
        struct recording_wish w = {.from = from, .to = to};
        strcpy(w.track, track);
        return w;
}

static void brought(void *arg, int status)
{
        assert_int_equal(status, 0);
        *(int *)arg = 1;
}

static struct buf *header_of(const struct layout *l)
{
        struct buf *b = buf_new(l->header.len);
        recording_header_read(&l->header, 0, b->data, b->len);
        return b;
}

static enum segment_state clip(struct session *s, const char *track, uint32_t from, uint32_t to, struct layout **l)
{
        enum segment_state state;
        struct recording_wish w = wish(track, from, to);
        UNTIL(&loop, (state = layouts_get(&layouts, s, &w, true, l)) != SEGMENT_LOADING);
        return state;
}

static struct layout *begin(struct session *s, const char *track)
{
        struct layout *l;
        assert_int_equal(clip(s, track, 0, UINT32_MAX, &l), SEGMENT_HERE);
        return l;
}

static enum segment_state find(const struct session *s, const struct layout *l, uint64_t offset, struct recording_plan *plan,
                               struct recording_place *place)
{
        enum segment_state state;
        UNTIL(&loop, (state = recording_find(l, s, offset, true, plan, place)) != SEGMENT_LOADING);
        return state;
}

static uint64_t media_bytes(const struct session *s, const char *name)
{
        const struct track *t = session_track(s, name);
        uint64_t sum = 0;
        for (size_t i = 0; i < t->log->closed.count; i++)
                sum += t->log->closed.rows[i].sum.bytes - t->init_bytes->len;
        return sum;
}

/* The tracks that the file is made of, by their order in it, as its media says. */
static void has_tracks(struct session *s, const char *asked, const char *first, const char *second)
{
        struct recording_plan plan = {0};
        struct recording_place place;
        const char *names[] = {first, second};
        uint64_t media = media_bytes(s, first) + (second ? media_bytes(s, second) : 0);
        const struct layout *l = begin(s, asked);
        assert_int_equal(l->size - l->header.len, media);
        assert_int_equal(find(s, l, l->header.len - 1, &plan, &place), SEGMENT_HERE);
        assert_null(place.log);
        for (uint64_t at = l->header.len; at < l->size; at += place.view.len_bytes) {
                assert_int_equal(find(s, l, at, &plan, &place), SEGMENT_HERE);
                assert_int_equal(place.skip, 0);
                assert_ptr_equal(place.log, session_track(s, names[place.track])->log);
        }
}

static void test_a_track_can_be_chosen(void **state)
{
        char list[200];
        (void)state;
        struct session *s = recorded(3);
        has_tracks(s, "", "v720", "a128");
        has_tracks(s, "v720", "v720", "a128");
        has_tracks(s, "v360", "v360", "a128");
        has_tracks(s, "a128", "a128", NULL);
        has_tracks(s, "a64", "a64", NULL);
        assert_false(recording_has(s, "v180"));
        assert_false(recording_has(s, "v1080"));
        recording_list_tracks(s, list, sizeof(list));
        assert_string_equal(list, "v720, v360, a128, a64");
        uint64_t whole = begin(s, "")->identity;
        assert_true(begin(s, "v360")->identity != whole);
        assert_true(begin(s, "v720")->identity == whole);
}

static void test_files_of_one_size_are_told_apart(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        uint64_t size = begin(s, "")->size, identity = begin(s, "")->identity;
        struct volume_row *row = volumes_get(&session_track(s, "v720")->log->closed, 0);
        row->sum.crc ^= 1;
        s->version++;
        uint64_t other = begin(s, "")->identity;
        row->sum.crc ^= 1;
        s->version++;
        assert_true(other != identity);
        assert_true(begin(s, "")->identity == identity);
        assert_int_equal(begin(s, "")->size, size);
}

/* It is neither here nor lacking: a file without it would be shorter than the recording is. */
static void test_while_a_volume_is_looked_at_there_is_no_shorter_file(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct chunk_log *log = session_track(s, "v720")->log;
        struct recording_plan plan = {0};
        struct recording_place place;
        struct layout *l = begin(s, ""), *other;
        uint64_t size = l->size, identity = l->identity;
        struct volume_sum sum = volumes_get(&log->closed, 1)->sum;
        assert_int_equal(find(s, l, l->header.len, &plan, &place), SEGMENT_HERE);
        assert_true(chunk_log_hide_volume(log, 1, NULL));
        assert_int_equal(layouts_get(&layouts, s, (struct recording_wish[]){wish("v720", 0, UINT32_MAX)}, true, &other), SEGMENT_LOADING);
        assert_null(other);
        /* Who has begun gets what is not touched by it, and is told of the rest. */
        assert_int_equal(find(s, l, l->header.len, &plan, &place), SEGMENT_HERE);
        assert_int_equal(find(s, l, size - 1, &plan, &place), SEGMENT_LACKING);
        chunk_log_take_volume(log, 1, VOLUME_HERE, &sum);
        assert_true(begin(s, "")->identity == identity);
        UNTIL(&loop, !session_busy(s));
}

static void reopened(void *arg, int status)
{
        *(int *)arg = status ? -1 : 1;
}

static void test_while_the_end_is_copied_from_another_origin_there_is_no_shorter_file(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct layout *l;
        int open = 0;
        uint64_t size = begin(s, "")->size;
        layouts_close(&layouts);
        session_open_ended(s, reopened, &open);
        UNTIL(&loop, open);
        assert_int_equal(open, 1);
        assert_int_equal(clip(s, "", 0, UINT32_MAX, &l), SEGMENT_LACKING);
        session_close_ended(s);
        UNTIL(&loop, !session_busy(s));
        assert_int_equal(begin(s, "")->size, size);
}

static void test_a_clip_has_its_seconds_and_no_others(void **state)
{
        (void)state;
        struct session *s = recorded(7);
        struct recording_plan plan = {0};
        struct recording_place place;
        struct layout *l;
        uint32_t next[2] = {3, 3};
        assert_int_equal(clip(s, "", 3, 6, &l), SEGMENT_HERE); /* volumes begin at 2, 4, 6 */
        for (uint64_t at = l->header.len; at < l->size; at += place.view.len_bytes) {
                assert_int_equal(find(s, l, at, &plan, &place), SEGMENT_HERE);
                assert_int_equal(place.segment, next[place.track]++);
        }
        assert_int_equal(next[0], 6);
        assert_int_equal(next[1], 6);
        assert_int_equal(clip(s, "", 5, 1000, &l), SEGMENT_HERE);
        assert_int_equal(l->volume_count, 2);
        assert_int_equal(clip(s, "", 7, 1000, &l), SEGMENT_NONE); /* behind the end */
}

/* Its heads were kept when its file went, and media of months is not brought back to say where each sample lies. */
static void test_what_is_in_the_archive_alone_is_laid_out_as_it_was(void **state)
{
        (void)state;
        struct session *s = recorded(5);
        struct buf *before = header_of(begin(s, ""));
        char path[300];
        for (size_t i = 0; i < s->track_count; i++) {
                struct chunk_log *log = s->tracks[i]->log;
                for (size_t n = 0; log && n < log->closed.count; n++) {
                        assert_int_equal(volume_remove_mp4(&log->volume_track, log->closed.rows[n].number), 0);
                        log->closed.rows[n].state = VOLUME_ARCHIVED;
                }
        }
        layouts_close(&layouts);
        struct layout *l = begin(s, "");
        struct buf *now = header_of(l);
        assert_int_equal(now->len, before->len);
        assert_memory_equal(now->data, before->data, before->len);
        buf_unref(&now);
        buf_unref(&before);
        layouts_close(&layouts);
        snprintf(path, sizeof(path), "%s/000001.heads", session_track(s, "v720")->log->dir); /* and of a damaged one nothing is believed */
        int fd = open(path, O_WRONLY);
        assert_true(fd >= 0 && pwrite(fd, "x", 1, 100) == 1);
        close(fd);
        assert_int_equal(clip(s, "", 0, UINT32_MAX, &l), SEGMENT_UNREADABLE);
        assert_int_equal(l->failed, ERR_CORRUPT);
        assert_int_equal(clip(s, "", 0, 2, &l), SEGMENT_HERE);
        assert_int_equal(volume_remove(&session_track(s, "v720")->log->volume_track, 1), 0);
        assert_int_equal(access(path, F_OK), -1);
}

/* As the archiver does: what was fetched takes its place. */
static void bring(struct chunk_log *log, uint32_t number)
{
        int here = 0;
        struct volume_row row = *chunk_log_wanted(log, 0);
        assert_int_equal(row.number, number);
        assert_true(chunk_log_bring_file(log, &row, brought, &here));
        UNTIL(&loop, here);
}

static void leave_to_archive(struct chunk_log *log, uint32_t volumes)
{
        for (uint32_t n = 0; n < volumes; n++) {
                char *mp4 = volume_path(log->dir, n, "mp4"), *kept = volume_path(log->dir, n, VOLUME_FETCHED);
                assert_int_equal(rename(mp4, kept), 0);
                volumes_get(&log->closed, n)->state = VOLUME_ARCHIVED;
                free(mp4);
                free(kept);
        }
}

/* An older version kept no heads when files went: they are read once from the files, which come back for that and may go again. */
static void test_a_volume_whose_heads_are_in_the_archive_is_brought_back_for_them(void **state)
{
        (void)state;
        struct session *s = recorded(5);
        struct chunk_log *log = session_track(s, "v720")->log;
        struct buf *before = header_of(begin(s, ""));
        leave_to_archive(log, 2);
        s->version++;
        layouts_close(&layouts);
        for (uint32_t n = 0; n < 2; n++) {
                struct layout *l;
                struct recording_wish w = wish("", 0, UINT32_MAX);
                UNTIL(&loop, layouts_get(&layouts, s, &w, true, &l) == SEGMENT_LOADING && chunk_log_wanted(log, 0));
                for (int turn = 0; turn < 3; turn++)
                        assert_int_equal(layouts_get(&layouts, s, &w, true, &l), SEGMENT_LOADING);
                bring(log, n);
        }
        struct buf *now = header_of(begin(s, ""));
        assert_int_equal(now->len, before->len);
        assert_memory_equal(now->data, before->data, before->len);
        for (uint32_t n = 0; n < 2; n++)
                assert_false(volume_wanted(volumes_get(&log->closed, n), 0));
        buf_unref(&now);
        buf_unref(&before);
}

/* Or who asks for a clip of each volume, and goes, would have all of them brought, to stay as long as somebody asks for anything of the session. */
static void test_what_was_to_be_brought_for_a_layout_that_is_given_up_is_forgotten(void **state)
{
        (void)state;
        struct session *s = recorded(5);
        struct chunk_log *log = session_track(s, "v720")->log;
        struct layout *l;
        struct recording_wish w = wish("", 0, UINT32_MAX);
        leave_to_archive(log, 2);
        s->version++;
        UNTIL(&loop, layouts_get(&layouts, s, &w, true, &l) == SEGMENT_LOADING && chunk_log_wanted(log, clock_mono_us()));
        layouts_close(&layouts);
        assert_null(chunk_log_wanted(log, clock_mono_us() + 3600 * US_PER_S));
}

/* Somebody who asks for clip after clip pushes out what he asked for before. */
static void test_as_many_layouts_are_kept_as_there_may_be(void **state)
{
        (void)state;
        struct session *s = recorded(LAYOUTS_MAX + 3);
        struct layout *l;
        size_t kept = 0;
        for (uint32_t n = 0; n < LAYOUTS_MAX + 2; n++)
                assert_int_equal(clip(s, "", n, UINT32_MAX, &l), SEGMENT_HERE);
        for (size_t i = 0; i < LAYOUTS_MAX; i++)
                kept += layouts.all[i].header.boxes != NULL;
        assert_int_equal(kept, LAYOUTS_MAX);
        assert_int_equal(layouts_get(&layouts, s, (struct recording_wish[]){wish("", LAYOUTS_MAX + 1, UINT32_MAX)}, false, &l), SEGMENT_HERE);
        assert_int_equal(layouts_get(&layouts, s, (struct recording_wish[]){wish("", 0, UINT32_MAX)}, false, &l), SEGMENT_UNREAD);
}

#define TRACKS 4

/* Asks for the file of each track that is not made. true: all are. */
static bool all_made(struct session *s, bool made[TRACKS], bool *waited)
{
        static const char *const tracks[TRACKS] = {"v720", "v360", "a128", "a64"};
        bool all = true;
        for (size_t i = 0; i < TRACKS; i++) {
                struct recording_wish w = wish(tracks[i], 0, UINT32_MAX);
                struct layout *l;
                enum segment_state state = made[i] ? SEGMENT_HERE : layouts_get(&layouts, s, &w, true, &l);
                assert_true(state == SEGMENT_HERE || state == SEGMENT_LOADING || (state == SEGMENT_BUSY && !l));
                assert_true(layouts_bytes(&layouts) <= layouts.most_bytes);
                *waited |= state == SEGMENT_BUSY;
                made[i] = state == SEGMENT_HERE;
                all &= made[i];
        }
        return all;
}

/* Three of two tracks were made at a time, of 40 MiB each, beside those that are kept. */
static void test_what_is_kept_and_what_is_being_made_have_one_bound_and_each_has_its_turn(void **state)
{
        (void)state;
        struct session *s = recorded(5);
        for (size_t most = 3 << 19; most <= 3 << 20; most *= 2) { /* of what one may take by its next volume one fits into it, or two */
                bool made[TRACKS] = {false}, waited = false;
                layouts.most_bytes = most;
                UNTIL(&loop, all_made(s, made, &waited));
                assert_true(waited);
                layouts_close(&layouts);
                assert_int_equal(layouts_bytes(&layouts), 0);
        }
}

/* Nobody asks for it any more, but what it takes is taken until its job is over. */
static void test_what_is_given_up_counts_until_its_job_is_over(void **state)
{
        (void)state;
        struct session *s = recorded(5);
        struct recording_wish w = wish("", 0, UINT32_MAX);
        struct layout *l;
        assert_int_equal(layouts_get(&layouts, s, &w, true, &l), SEGMENT_LOADING);
        size_t one = layouts_bytes(&layouts);
        session_track(s, "v720")->log->closed.rows[0].sum.crc ^= 1; /* it is another file by now */
        s->version++;
        assert_int_equal(layouts_get(&layouts, s, &w, true, &l), SEGMENT_LOADING);
        assert_true(layouts_bytes(&layouts) > one + one / 2);
        assert_non_null(begin(s, ""));
        UNTIL(&loop, layouts_bytes(&layouts) < one);
        session_track(s, "v720")->log->closed.rows[0].sum.crc ^= 1;
        s->version++;
}

static double cpu_s(void)
{
        struct timespec t;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MANY 20000
/* Every question of 2000 connections may be for another place. */
/* Each piece of a file that somebody reads asks for its layout anew. */
static void test_who_read_a_dozen_clips_at_once_do_not_push_out_each_others(void **state)
{
        enum { READERS = 12 };
        struct layout *l;
        (void)state;
        struct session *s = recorded(READERS + 1);
        for (uint32_t n = 0; n < READERS; n++)
                assert_int_equal(clip(s, "", n, n + 1, &l), SEGMENT_HERE);
        for (uint32_t n = 0; n < READERS; n++)
                assert_int_equal(layouts_get(&layouts, s, (struct recording_wish[]){wish("", n, n + 1)}, false, &l), SEGMENT_HERE);
}

static void test_any_place_of_a_recording_of_very_many_volumes_is_found_without_a_walk(void **state)
{
        (void)state;
        struct session *s = recorded(3);
        struct chunk_log *logs[] = {session_track(s, "v720")->log, session_track(s, "a128")->log};
        for (size_t t = 0; t < 2; t++) {
                struct volumes *v = &logs[t]->closed;
                struct volume_row like = v->rows[0];
                like.index = NULL;
                v->rows = mem_resize(v->rows, (MANY + 2) * sizeof(*v->rows));
                for (uint32_t n = 2; n < MANY; n++) {
                        like.number = n;
                        like.sum.first_segment = 2 * n;
                        like.sum.last_segment = 2 * n + 1;
                        v->rows[v->count++] = like;
                }
        }
        struct layout l = {.wish = {.to = UINT32_MAX}, .header = {.len = 100}, .volume_count = MANY, .volumes = mem_alloc(MANY * sizeof(l.volumes[0]))};
        const uint64_t step = 1000;
        for (uint32_t n = 0; n < MANY; n++)
                l.volumes[n] = (struct layout_volume){n, 100 + n * step};
        struct recording_place place;
        double began = cpu_s();
        for (unsigned n = 2; n < MANY; n++) {
                struct recording_plan plan = {0};
                assert_int_equal(recording_find(&l, s, 100 + n * step, false, &plan, &place), SEGMENT_UNREAD);
                assert_int_equal(plan.volume, n);
        }
        assert_true(cpu_s() - began < 10); /* a tenth of a second; in as many steps as the square of MANY it took minutes */
        free(l.volumes);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_track_can_be_chosen),
                CASE(test_files_of_one_size_are_told_apart),
                CASE(test_while_a_volume_is_looked_at_there_is_no_shorter_file),
                CASE(test_while_the_end_is_copied_from_another_origin_there_is_no_shorter_file),
                CASE(test_a_clip_has_its_seconds_and_no_others),
                CASE(test_what_is_in_the_archive_alone_is_laid_out_as_it_was),
                CASE(test_a_volume_whose_heads_are_in_the_archive_is_brought_back_for_them),
                CASE(test_what_was_to_be_brought_for_a_layout_that_is_given_up_is_forgotten),
                CASE(test_as_many_layouts_are_kept_as_there_may_be),
                CASE(test_what_is_kept_and_what_is_being_made_have_one_bound_and_each_has_its_turn),
                CASE(test_what_is_given_up_counts_until_its_job_is_over),
                CASE(test_who_read_a_dozen_clips_at_once_do_not_push_out_each_others),
                CASE(test_any_place_of_a_recording_of_very_many_volumes_is_found_without_a_walk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
