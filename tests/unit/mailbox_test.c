/* mailbox: nothing is lost or overtaken on its way to the loop, also when the box closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mailbox.h"
#include "common/mem.h"

#define POSTERS 4
#define EACH 20000

struct letter {
        struct mail mail;
        int poster, number;
};

static uv_loop_t loop;
static struct mailbox box;
static pthread_t loop_thread;
static int next_number[POSTERS], delivered, closed;

static void deliver(struct mail *mail)
{
        struct letter *l = (struct letter *)mail;
        assert_true(pthread_equal(pthread_self(), loop_thread));
        assert_int_equal(l->number, next_number[l->poster]++);
        free(l);
        if (++delivered == POSTERS * EACH)
                uv_stop(&loop);
}

static void post(int poster, int number, void (*how)(struct mail *mail))
{
        struct letter *l = mem_alloc(sizeof(*l));
        *l = (struct letter){.mail.deliver = how, .poster = poster, .number = number};
        mailbox_post(&box, &l->mail);
}

static void *post_all(void *arg)
{
        for (int i = 0; i < EACH; i++)
                post((int)(intptr_t)arg, i, deliver);
        return NULL;
}

static int open_box(void **state)
{
        (void)state;
        memset(next_number, 0, sizeof(next_number));
        delivered = closed = 0;
        loop_thread = pthread_self();
        uv_loop_init(&loop);
        mailbox_open(&box, &loop);
        return 0;
}

static int close_loop(void **state)
{
        (void)state;
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
        return 0;
}

static void test_each_thread_keeps_its_order_and_nothing_is_lost(void **state)
{
        pthread_t threads[POSTERS];
        (void)state;
        for (int i = 0; i < POSTERS; i++)
                pthread_create(&threads[i], NULL, post_all, (void *)(intptr_t)i);
        uv_run(&loop, UV_RUN_DEFAULT);
        for (int i = 0; i < POSTERS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(delivered, POSTERS * EACH);
        mailbox_close(&box);
}

static void on_closed(struct mailbox *mb)
{
        assert_ptr_equal(mb, &box);
        closed++;
}

static void test_what_is_queued_is_delivered_before_the_box_closes(void **state)
{
        (void)state;
        for (int i = 0; i < 10; i++)
                post(0, i, deliver);
        mailbox_close_then(&box, on_closed);
        assert_int_equal(delivered, 10);
        assert_int_equal(closed, 0); /* the memory is still in use */
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(closed, 1);
}

static void deliver_and_close(struct mail *mail)
{
        free(mail);
        delivered++;
        mailbox_close_then(&box, on_closed);
}

static void test_a_delivery_may_close_the_box(void **state)
{
        (void)state;
        post(0, 0, deliver_and_close);
        for (int i = 0; i < 5; i++)
                post(0, i, deliver);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(delivered, 6);
        assert_int_equal(closed, 1);
}

static int ticks;

static void post_for_ever(struct mail *mail)
{
        if (ticks < 2) /* the mail is ours again: on its way at once */
                mailbox_post(&box, mail);
        else
                free(mail);
}

static void on_tick(uv_timer_t *timer)
{
        if (++ticks == 2)
                uv_close((uv_handle_t *)timer, NULL);
        if (ticks == 2)
                uv_unref((uv_handle_t *)&box.wake);
}

static void test_a_poster_that_never_rests_does_not_starve_timers(void **state)
{
        uv_timer_t timer;
        (void)state;
        ticks = 0;
        uv_timer_init(&loop, &timer);
        uv_timer_start(&timer, on_tick, 1, 1);
        post(0, 0, post_for_ever);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(ticks, 2);
        mailbox_close(&box);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_each_thread_keeps_its_order_and_nothing_is_lost, open_box, close_loop),
                cmocka_unit_test_setup_teardown(test_what_is_queued_is_delivered_before_the_box_closes, open_box, close_loop),
                cmocka_unit_test_setup_teardown(test_a_delivery_may_close_the_box, open_box, close_loop),
                cmocka_unit_test_setup_teardown(test_a_poster_that_never_rests_does_not_starve_timers, open_box, close_loop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
