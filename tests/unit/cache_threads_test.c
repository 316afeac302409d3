/* cache: what the HTTP threads do, while the loop thread fills, completes, fails and evicts. */
#include "cache_fixture.h"

#include <pthread.h>
#include <sched.h>

#define STRESS_THREADS 4
#define STRESS_ROUNDS 2000
#define STRESS_KEYS 300

struct parked {
        struct waiter waiter;
        pthread_mutex_t lock;
        pthread_cond_t cond;
        bool woken;
};

static void unpark(struct waiter *w)
{
        struct parked *p = (struct parked *)(void *)w;
        pthread_mutex_lock(&p->lock);
        p->woken = true;
        pthread_cond_signal(&p->cond);
        pthread_mutex_unlock(&p->lock);
}

/* false: it was not all there, which is right only when the fill failed. */
static bool read_all(struct object *o, struct parked *p)
{
        uint64_t pos = 0;
        for (;;) {
                unsigned char bytes[777];
                ssize_t n = object_read(o, pos, bytes, sizeof(bytes));
                if (n < 0)
                        return n == ERR_CLOSED;
                for (ssize_t i = 0; i < n; i++)
                        assert(bytes[i] == (unsigned char)(pos + (uint64_t)i));
                pos += (uint64_t)n;
                if (n > 0)
                        continue;
                p->waiter = (struct waiter){.have = pos, .deadline_us = INT64_MAX, .wake = unpark};
                p->woken = false;
                if (!object_wait(o, &p->waiter))
                        continue;
                pthread_mutex_lock(&p->lock);
                while (!p->woken)
                        pthread_cond_wait(&p->cond, &p->lock);
                pthread_mutex_unlock(&p->lock);
        }
}

struct stress {
        struct fake_edge edge;
        atomic_uint running, whole, failed;
};

static void *stress_reader(void *arg)
{
        struct stress *s = arg;
        static atomic_uint seeds;
        unsigned seed = atomic_fetch_add(&seeds, 1) + 1;
        struct parked p = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        for (int i = 0; i < STRESS_ROUNDS; i++) {
                char key[64];
                struct object *o;
                int n = snprintf(key, sizeof(key), "/live/s/x/v720/%d.m4s", rand_r(&seed) % STRESS_KEYS);
                if (cache_get(s->edge.cache, key, (size_t)n, 0, clock_mono_us(), &o) != CACHE_FULL) {
                        atomic_fetch_add(read_all(o, &p) ? &s->whole : &s->failed, 1);
                } else { /* the loop has to have its turn first, however few there are on a busy machine */
                        sched_yield();
                        i--;
                }
                object_unref(&o);
        }
        atomic_fetch_sub(&s->running, 1);
        uv_async_send(&s->edge.mailbox.wake);
        return NULL;
}

static void answer_next(struct stress *s, unsigned *seed)
{
        struct fake_upstream *u = s->edge.upstream;
        struct fake_call *c = fake_open(u);
        unsigned char bytes[3000];
        if (!c)
                return;
        size_t len = 1 + (size_t)rand_r(seed) % sizeof(bytes);
        for (size_t i = 0; i < len; i++)
                bytes[i] = (unsigned char)(c->what.offset + i);
        if (rand_r(seed) % 50 == 0)
                fake_answer_bytes(c, bytes, len, FETCH_COMPLETE, 1, "video/mp4"); /* one that expires at once */
        else if (rand_r(seed) % 50 == 0 && c->what.offset == 0)
                fake_answer_status(c, ERR_NOT_FOUND, 1);
        else
                fake_answer_bytes(c, bytes, len, FETCH_IMMUTABLE | (c->what.offset > 6000 ? FETCH_COMPLETE : 0), 0,
                                  "video/mp4");
}

static void test_threads_read_every_byte_while_the_loop_fills_and_evicts(void **state)
{
        (void)state;
        struct stress *s = mem_alloc(sizeof(*s));
        pthread_t threads[STRESS_THREADS];
        unsigned seed = 1;
        fake_edge_open(&s->edge, 1, 1 << 20, 64, 10 * US_PER_S, NULL);
        atomic_store(&s->running, STRESS_THREADS);
        for (int i = 0; i < STRESS_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, stress_reader, s), 0);
        while (atomic_load(&s->running) > 0) {
                uv_run(&s->edge.loop, fake_open(s->edge.upstream) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
                answer_next(s, &seed);
        }
        for (int i = 0; i < STRESS_THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_true(atomic_load(&s->whole) > STRESS_ROUNDS);
        assert_true(cache_bytes(s->edge.cache) <= 1 << 20);
        fake_edge_close(&s->edge);
        free(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_threads_read_every_byte_while_the_loop_fills_and_evicts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
