/* Two writers of one generation, a leader and its shadow: whatever they do, one after the other or at once, the track that is stored is
 * one unbroken chain. A random walk of seeds (random_walk.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "shadow_turns_fixture.h"
#include "tests/unit/random_walk.h"

#define PLACES 150
#define WRITERS_MAX 200 /* one after the other; each has its own size of samples */

/* Encodes every place from `first` on; from `equal_from`, the beginning of a segment, on as every other writer does. */
struct source {
        uint32_t size, generation;
        unsigned place, first, equal_from;
        int64_t not_before_us;
        bool alive, busy;
        uint8_t who;
        struct source *next; /* all that ever were */
};

struct putting {
        struct turn t;
        struct source *w;
};

static struct source *all, *leader, *shadow;
static unsigned writers, produced, fenced;
static bool lost; /* the proxy does not see the leader any more */
static uint64_t needs[PLACES + 8][WRITERS_MAX + 8]; /* previous + 1 of each chunk that was ever made; 0: none */

static uint32_t size_at(const struct source *w, unsigned place)
{
        return place >= w->equal_from ? 1 : w->size;
}

static uint64_t previous_of(const struct source *w, unsigned place)
{
        return place % 5 == 0 || place == w->first ? 0 : hash_of(place - 1, size_at(w, place - 1));
}

static void answer(struct source *w, uint32_t generation, int status)
{
        w->busy = false;
        w->not_before_us = clock_mono_us() + (pick(5) ? pick(300) : pick(5000));
        if (!status) {
                w->place++;
        } else if (generation == w->generation) { /* raised since: the same again */
                assert_int_equal(status, ERR_FENCED);
                w->alive = false;
                fenced++;
        }
}

static void put_answered(struct turn *t, int status)
{
        struct putting *p = (struct putting *)t;
        answer(p->w, t->append.generation, status);
        buf_unref(&t->append.bytes);
        free(p);
}

static void send_next(struct source *w)
{
        struct putting *p = mem_alloc(sizeof(*p));
        unsigned place = w->place;
        int rc = shadow_turns_judge(s, "v720", w->generation);
        w->busy = true;
        if (rc) {
                free(p);
                answer(w, w->generation, rc);
                return;
        }
        *p = (struct putting){.w = w, .t = {.session = s, .track = "v720", .done = put_answered}};
        p->t.append = (struct chunk_append){.segment = place / 5, .chunk = (uint8_t)(place % 5), .flags = w->who,
                                            .start_us = place * INT64_C(200000), .generation = w->generation,
                                            .previous = previous_of(w, place),
                                            .bytes = fmp4_video_chunk(place / 5, place % 5, size_at(w, place))};
        needs[place][size_at(w, place)] = p->t.append.previous + 1;
        w->alive = pick(40) > 0; /* what it PUT last may be stored all the same */
        lost |= w == leader && pick(40) == 0;
        shadow_turns_put(&turns, &p->t);
}

static uint32_t raise_generation(void)
{
        int err;
        char node[16];
        uint32_t generation = s->generation + 1;
        snprintf(node, sizeof(node), "t%u", generation);
        assert_ptr_equal(join("cam", "S1", 0, generation, node, &err), s);
        return generation;
}

static struct source *new_source(uint8_t who)
{
        struct source *w = mem_alloc(sizeof(*w));
        unsigned end = (unsigned)track_end_place(s, s->tracks[0]);
        if (who == LEADER)
                raise_generation();
        *w = (struct source){.size = 2 + ++writers, .generation = s->generation, .who = who, .alive = true, .next = all};
        assert_true(writers < WRITERS_MAX);
        end = (unsigned)track_end_place(s, s->tracks[0]);
        w->place = w->first = end;
        w->equal_from = (end / 5 + 1 + pick(4)) * 5;
        return all = w;
}

/* What the proxy does: the shadow takes over from a leader that is gone, or that it has lost but that goes on by itself. */
static void replace(void)
{
        if (leader && leader->alive && !lost) {
                if ((!shadow || !shadow->alive) && pick(10) == 0)
                        shadow = new_source(SHADOW);
                return;
        }
        lost = false;
        leader = shadow && shadow->alive ? shadow : NULL;
        shadow = NULL;
        if (leader) {
                leader->generation = raise_generation();
                leader->who = LEADER;
        } else {
                leader = new_source(LEADER);
        }
}

static void step(void)
{
        produced += produced < PLACES && pick(3) == 0;
        for (struct source *w = all, *next; w; w = next) {
                next = w->next;
                if (w->alive && !w->busy && w->place < produced && clock_mono_us() >= w->not_before_us)
                        send_next(w);
        }
        replace();
        for (unsigned i = 1 + pick(4); i; i--)
                uv_run(&loop, UV_RUN_NOWAIT);
}

static bool any_busy_source(void)
{
        for (struct source *w = all; w; w = w->next)
                if (w->busy)
                        return true;
        return false;
}

static struct buf *stored_file(void)
{
        char path[120];
        snprintf(path, sizeof(path), "%s/cam/S1/v720/000000.mp4", data_dir);
        int fd = open(path, O_RDONLY);
        struct buf *b = buf_new((size_t)s->tracks[0]->log->index.file_bytes);
        assert_int_equal(read(fd, b->data, b->len), b->len);
        assert_int_equal(lseek(fd, 0, SEEK_END), b->len);
        close(fd);
        return b;
}

/* Every place once, in order, and each chunk behind the one it was made for. */
static void check_chain(void)
{
        struct buf *file = stored_file();
        size_t at = s->tracks[0]->init_bytes->len;
        uint64_t before = 0;
        for (unsigned place = 0; place < PLACES; place++) {
                uint32_t size = 0;
                struct buf *b = NULL;
                for (uint32_t i = 1; i < WRITERS_MAX + 8 && !size; i++) {
                        if (!needs[place][i])
                                continue;
                        b = fmp4_video_chunk(place / 5, place % 5, i);
                        if (b->len <= file->len - at && memcmp(file->data + at, b->data, b->len) == 0)
                                size = i;
                        else
                                buf_unref(&b);
                }
                assert_true(size > 0); /* one that was made for this place */
                if (needs[place][size] != 1)
                        assert_true(needs[place][size] - 1 == before);
                before = chunk_log_hash(b);
                at += b->len;
                buf_unref(&b);
        }
        assert_int_equal(at, file->len);
        buf_unref(&file);
}

static void walk(uint64_t seed)
{
        random_begin(seed);
        all = leader = shadow = NULL;
        writers = produced = fenced = 0;
        lost = false;
        memset(needs, 0, sizeof(needs));
        turns.leader_us = 500;
        turns.fit_us = 2000;
        for (int64_t end_us = clock_mono_us() + UNTIL_US; track_end_place(s, s->tracks[0]) < PLACES;) {
                assert_true(clock_mono_us() < end_us);
                step();
        }
        UNTIL(&loop, !any_busy_source());
        assert_int_equal(s->turns + s->pins, 0);
        check_chain();
        fprintf(stderr, "seed=%llu generations=%u writers=%u fenced=%u shadows=%lld late=%lld misfits=%lld\n",
                (unsigned long long)seed, s->generation, writers, fenced, (long long)stat_get(STAT_CHUNKS_SHADOW),
                (long long)stat_get(STAT_LEADER_LATE), (long long)stat_get(STAT_PUTS_MISFIT));
        while (all) {
                struct source *w = all;
                all = w->next;
                free(w);
        }
}

static void test_whatever_two_writers_do_the_track_is_one_unbroken_chain(void **state)
{
        uint64_t seed = random_option("SEED", 1);
        int64_t late = stat_get(STAT_LEADER_LATE), misfits = stat_get(STAT_PUTS_MISFIT);
        int64_t of_shadow = stat_get(STAT_CHUNKS_SHADOW);
        for (uint64_t n = random_option("SEEDS", RANDOM_SEEDS); n; n--, seed++) {
                walk(seed);
                teardown(state);
                setup(state);
        }
        assert_true(stat_get(STAT_LEADER_LATE) > late); /* it tried all of it */
        assert_true(stat_get(STAT_PUTS_MISFIT) > misfits);
        assert_true(stat_get(STAT_CHUNKS_SHADOW) > of_shadow);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
        const struct CMUnitTest tests[] = {
                CASE(test_whatever_two_writers_do_the_track_is_one_unbroken_chain),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
