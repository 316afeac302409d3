/* What one origin cannot read is no hole in another one's copy: "cannot be read" is never "is not there". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/two_origins.h"
#include "tests/unit/until.h"

#define SEGMENTS 22u /* of one volume; the last RECENT_SEGMENTS of them are not read from the disk */

static int setup_long_volumes(void **state)
{
        setup(state);
        stop(&a);
        stop(&b);
        options.volume_segments = 40;
        start(&b);
        return 0;
}

static struct session *broadcast_at_b(void)
{
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, SEGMENTS * 5, 40);
        return s;
}

static struct chunk_log *log_at(struct node *n)
{
        struct session *s = at(n, "S1");
        return s && s->track_count ? s->tracks[0]->log : NULL;
}

/* Turns the last byte of b's segment into another one, and back. */
static void damage(uint32_t segment)
{
        struct segment_view v;
        char *path = mem_printf("%s/cam/S1/v720/000000.mp4", b.dir);
        UNTIL(&loop, chunk_log_segment(log_at(&b), segment, true, &v) == SEGMENT_HERE);
        int fd = open(path, O_RDWR);
        off_t at_byte = (off_t)(v.offset + v.len_bytes - 1);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at_byte), 1);
        byte ^= 0xff;
        assert_int_equal(pwrite(fd, &byte, 1, at_byte), 1);
        close(fd);
        free(path);
}

static bool a_is_at_the_end(void)
{
        const struct chunk_log *log = log_at(&a);
        return log && track_end_place(at(&a, "S1"), at(&a, "S1")->tracks[0]) == SEGMENTS * 5;
}

/* What a says of it to an origin that copies. */
static int a_says(uint32_t segment)
{
        struct question q = {.r = {.max_bytes = BODY_MAX, .from_node = true, .hops = FETCH_HOPS_MAX, .done = answered}};
        snprintf(q.r.key, sizeof(q.r.key), "/live/cam/S1/v720/%u.m4s", segment);
        serve(&a.serve, &q.r);
        until(&q.done);
        return q.status;
}

static void check_that_it_is_lacking_and_comes_later(uint32_t segment)
{
        struct session *s = broadcast_at_b();
        damage(segment);
        start(&a);
        UNTIL(&loop, a_is_at_the_end()); /* what is behind it is not held up */
        assert_int_equal(a_says(segment), ERR_CORRUPT);
        assert_int_equal(a_says(segment + 1), 0);
        end_session(s);
        UNTIL(&loop, at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        assert_int_equal(log_at(&a)->closed.rows[0].state, VOLUME_DAMAGED);
        assert_int_equal(a_says(segment), ERR_CORRUPT);
        damage(segment);
        UNTIL(&loop, log_at(&a)->closed.rows[0].state == VOLUME_HERE);
        assert_true(same_volume("S1", "v720", 0));
        assert_int_equal(a_says(segment), 0);
}

static void test_a_segment_that_the_peer_cannot_read_is_lacking_until_it_can(void **state)
{
        (void)state;
        check_that_it_is_lacking_and_comes_later(3);
}

static void test_so_is_one_that_a_volume_begins_with(void **state)
{
        (void)state;
        check_that_it_is_lacking_and_comes_later(0);
}

static void test_so_is_one_of_which_the_peer_can_read_the_beginning(void **state)
{
        (void)state;
        b.max_bytes = 1000;
        check_that_it_is_lacking_and_comes_later(5);
}

static void test_that_a_segment_is_lacking_is_known_after_a_crash(void **state)
{
        (void)state;
        struct segment_view v;
        broadcast_at_b();
        damage(3);
        start(&a);
        UNTIL(&loop, a_is_at_the_end());
        stop(&a);
        b.up = false;
        start(&a);
        UNTIL(&loop, log_at(&a) != NULL);
        assert_int_equal(chunk_log_segment(log_at(&a), 3, true, &v), SEGMENT_LACKING);
}

/* What it has of it itself; its peers may be away. */
static enum segment_state has(struct node *n, uint32_t segment)
{
        struct segment_view v;
        UNTIL(&loop, log_at(n) && chunk_log_segment(log_at(n), segment, true, &v) != SEGMENT_LOADING);
        return chunk_log_segment(log_at(n), segment, true, &v);
}

/* a has the first three chunks of segment 3, and cannot have the rest. */
static struct session *broadcast_of_which_a_has_a_beginning(void)
{
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 3 * 5 + 3, 40);
        start(&a);
        UNTIL(&loop, log_at(&a) && track_end_place(at(&a, "S1"), at(&a, "S1")->tracks[0]) == 3 * 5 + 3);
        stop(&a);
        write_chunks(s, 3 * 5 + 3, SEGMENTS * 5, 40);
        damage(3);
        return s;
}

static void test_a_segment_whose_rest_cannot_be_had_does_not_pass_for_whole(void **state)
{
        (void)state;
        struct session *s = broadcast_of_which_a_has_a_beginning();
        start(&a);
        UNTIL(&loop, a_is_at_the_end());
        assert_int_equal(has(&a, 3), SEGMENT_LACKING);
        assert_int_equal(a_says(3), ERR_CORRUPT);
        assert_int_equal(a_says(2), 0);
        assert_int_equal(a_says(4), 0);
        end_session(s);
        UNTIL(&loop, at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        assert_int_equal(a_says(3), ERR_CORRUPT);
        assert_int_equal(a_says(SEGMENTS - 1), 0);
        damage(3);
        UNTIL(&loop, log_at(&a)->closed.rows[0].state == VOLUME_HERE);
        assert_true(same_volume("S1", "v720", 0));
        assert_int_equal(a_says(3), 0);
}

static void test_nor_does_it_after_a_restart(void **state)
{
        (void)state;
        broadcast_of_which_a_has_a_beginning();
        start(&a);
        UNTIL(&loop, a_is_at_the_end());
        stop(&a);
        b.up = false;
        start(&a);
        assert_int_equal(has(&a, 3), SEGMENT_LACKING);
        assert_int_equal(has(&a, 4), SEGMENT_HERE);
}

/* a goes on with the volume that b's end lies in, and leaves its own in the middle of a segment. */
static void test_nor_does_the_last_segment_of_a_volume_that_was_left(void **state)
{
        (void)state;
        stop(&b);
        options.volume_segments = 4;
        start(&b);
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 2 * 5 + 3, 40);
        fills_options.bytes_s = 0; /* none is brought */
        start(&a);
        UNTIL(&loop, log_at(&a) && track_end_place(at(&a, "S1"), at(&a, "S1")->tracks[0]) == 2 * 5 + 3);
        b.up = false;
        catch_up_peers_changed(a.catch_up);
        write_chunks(s, 2 * 5 + 3, SEGMENTS * 5, 40);
        b.up = true;
        catch_up_peers_changed(a.catch_up);
        UNTIL(&loop, a_is_at_the_end());
        for (int i = 0; i < 2; i++) {
                assert_int_equal(has(&a, 1), SEGMENT_HERE);
                assert_int_equal(has(&a, 2), SEGMENT_LACKING);
                assert_int_equal(log_at(&a)->closed.rows[0].state, VOLUME_DAMAGED);
                assert_true(i || log_at(&a)->recent[2].bytes); /* the beginning is in memory too */
                stop(&a);
                b.up = false;
                start(&a);
        }
}

/* Its writer went on elsewhere in time: all there is of it is here. */
static void test_a_short_segment_of_which_nothing_is_lacking_is_whole(void **state)
{
        (void)state;
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 3 * 5 + 3, 40);
        write_chunks(s, 5 * 5, SEGMENTS * 5, 40);
        start(&a);
        UNTIL(&loop, a_is_at_the_end());
        assert_int_equal(a_says(3), 0);
        assert_int_equal(a_says(4), ERR_NOT_FOUND);
        end_session(s);
        UNTIL(&loop, at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        assert_int_equal(log_at(&a)->closed.rows[0].state, VOLUME_HERE);
        assert_int_equal(has(&a, 3), SEGMENT_HERE);
        assert_int_equal(has(&b, 3), SEGMENT_HERE);
}

/* A session that ended whose last segment cannot be had: the end comes here too. */
static void test_what_cannot_be_had_of_the_last_segment_holds_up_no_end(void **state)
{
        (void)state;
        struct session *s = broadcast_at_b();
        end_session(s);
        UNTIL(&loop, !session_busy(s));
        damage(SEGMENTS - 1);
        start(&a);
        UNTIL(&loop, at(&a, "S1") && at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        damage(SEGMENTS - 1);
        UNTIL(&loop, log_at(&a) && log_at(&a)->closed.count == 1 && log_at(&a)->closed.rows[0].state == VOLUME_HERE);
        assert_true(same_volume("S1", "v720", 0));
}

static void test_of_the_last_segment_a_beginning_does_not_pass_for_whole_at_the_end(void **state)
{
        (void)state;
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, SEGMENTS * 5 - 2, 40);
        start(&a);
        UNTIL(&loop, log_at(&a) && track_end_place(at(&a, "S1"), at(&a, "S1")->tracks[0]) == SEGMENTS * 5 - 2);
        b.up = false;
        catch_up_peers_changed(a.catch_up);
        write_chunks(s, SEGMENTS * 5 - 2, SEGMENTS * 5, 40);
        end_session(s);
        UNTIL(&loop, !session_busy(s));
        damage(SEGMENTS - 1);
        b.up = true;
        catch_up_peers_changed(a.catch_up);
        UNTIL(&loop, at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        assert_int_equal(has(&a, SEGMENTS - 1), SEGMENT_LACKING);
        damage(SEGMENTS - 1);
        UNTIL(&loop, log_at(&a)->closed.rows[0].state == VOLUME_HERE);
        assert_int_equal(has(&a, SEGMENTS - 1), SEGMENT_HERE);
}

/* A log whose files are to be read again, or that has ended, is told nothing more: it would be lost, or be lacking behind the end. */
static void check_that_nothing_is_told_of_it(bool ends)
{
        broadcast_at_b();
        damage(0);
        start(&a);
        UNTIL(&loop, log_at(&a) && b.media);
        if (ends)
                session_end(at(&a, "S1"), 0, false, NULL, NULL);
        else
                log_at(&a)->failed = true;
        UNTIL(&loop, !b.media);
        assert_true(ends ? log_at(&a)->ended : log_at(&a)->failed);
        assert_int_equal(log_at(&a)->closed.count, 0);
        UNTIL(&loop, a_is_at_the_end()); /* which is tried again */
        assert_int_equal(a_says(0), ERR_CORRUPT);
}

static void test_of_what_cannot_be_had_a_log_that_failed_is_told_nothing(void **state)
{
        (void)state;
        check_that_nothing_is_told_of_it(false);
}

static void test_of_what_cannot_be_had_a_log_that_ended_is_told_nothing(void **state)
{
        (void)state;
        check_that_nothing_is_told_of_it(true);
}

/* b has nothing of segments 3 and 4; a third one answers for them what it may. */
static enum volume_state copied_with_a_hole(int third_says)
{
        struct session *s = claim_at(&b, "S1", 0, "t1");
        add_track(s, "v720", fmp4_video_init());
        write_chunks(s, 0, 15, 40);
        write_chunks(s, 25, SEGMENTS * 5, 40);
        a.third = true;
        a.third_says = third_says;
        fills_options.bytes_s = 0;
        start(&a);
        UNTIL(&loop, a_is_at_the_end());
        int said = a_says(3);
        assert_int_equal(a_says(4), said);
        assert_int_equal(said, third_says ? ERR_CORRUPT : ERR_NOT_FOUND);
        end_session(s);
        UNTIL(&loop, at(&a, "S1")->state == SESSION_ENDED && !session_busy(at(&a, "S1")));
        return log_at(&a)->closed.rows[0].state;
}

static void test_what_nobody_ever_had_is_a_hole(void **state)
{
        (void)state;
        assert_int_equal(copied_with_a_hole(0), VOLUME_HERE);
        assert_true(same_volume("S1", "v720", 0));
}

static void test_what_another_one_cannot_read_is_no_hole(void **state)
{
        (void)state;
        assert_int_equal(copied_with_a_hole(ERR_CORRUPT), VOLUME_DAMAGED);
}

static void test_what_another_one_cannot_tell_of_now_is_no_hole(void **state)
{
        (void)state;
        assert_int_equal(copied_with_a_hole(ERR_FULL), VOLUME_DAMAGED);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_long_volumes, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_a_segment_that_the_peer_cannot_read_is_lacking_until_it_can),
                CASE(test_so_is_one_that_a_volume_begins_with),
                CASE(test_so_is_one_of_which_the_peer_can_read_the_beginning),
                CASE(test_that_a_segment_is_lacking_is_known_after_a_crash),
                CASE(test_a_segment_whose_rest_cannot_be_had_does_not_pass_for_whole),
                CASE(test_nor_does_it_after_a_restart),
                CASE(test_nor_does_the_last_segment_of_a_volume_that_was_left),
                CASE(test_a_short_segment_of_which_nothing_is_lacking_is_whole),
                CASE(test_what_cannot_be_had_of_the_last_segment_holds_up_no_end),
                CASE(test_of_the_last_segment_a_beginning_does_not_pass_for_whole_at_the_end),
                CASE(test_of_what_cannot_be_had_a_log_that_failed_is_told_nothing),
                CASE(test_of_what_cannot_be_had_a_log_that_ended_is_told_nothing),
                CASE(test_what_nobody_ever_had_is_a_hole),
                CASE(test_what_another_one_cannot_read_is_no_hole),
                CASE(test_what_another_one_cannot_tell_of_now_is_no_hole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
