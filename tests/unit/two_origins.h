/* Two stores in one process, each with its catching up and its fills, over a link that is a function call: answers come from
 * the other's serve() on the next turn of the loop, or fail, or are cut short.
 *
 * Time passes faster than outside when nothing happens: while no answer and no job of a pool is under way, each wait for a timer counts as
 * many. So what is tried again after seconds is tried again at once, and what takes time here has as much as ever.
 * (The unit is linked with -Wl,--wrap=clock_mono_us.) */
#ifndef TESTS_UNIT_TWO_ORIGINS_H
#define TESTS_UNIT_TWO_ORIGINS_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void let_time_pass(void);
#define UNTIL_WAITS() let_time_pass()

#include "common/clock.h"
#include "common/cluster/ring.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/writers.h"
#include "originD/replica/catalog.h"
#include "originD/replica/catch_up.h"
#include "originD/replica/fills.h"
#include "originD/serve.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/random_walk.h"
#include "tests/unit/scratch.h"
#include "tests/unit/until.h"

struct node {
        struct peer_link link;
        const char *id;
        char dir[80];
        struct store store;
        struct serve serve;
        struct catch_up *catch_up;
        struct fills *fills;
        struct allowance old_media;
        bool up, ready, idle, settled, caught_up;
        int64_t incarnation_us;
        bool old; /* of a version that knows no parts of 600 ms */
        struct node *other;
        bool third;                   /* it sees another one, first of all, that has nothing, */
        int third_says;               /* and answers that for media; 0: ERR_NOT_FOUND */
        unsigned fetches, fail_after; /* FETCHes that are answered; 0: all */
        uint32_t max_bytes;           /* of one answer */
        bool frozen;                  /* answers nothing: that is known after 2 s */
        bool starts;                  /* itself: what it has for peers is not known yet */
        const char *fails;            /* what begins so is not answered either; NULL: all else is */
        uint64_t delay_ms;            /* of every answer */
        unsigned ended, live;         /* lists of these that were asked for */
        unsigned media, most_media;   /* FETCHes of media: under way, and the most that ever were */
        unsigned media_asked, refuse_each; /* 0; of so many FETCHes of media one is refused: ERR_FULL */
};

static uv_loop_t loop;
static struct node a, b;
static struct store_options options;
static size_t replicas;
static uint8_t grid_ms; /* of sessions that begin; 0: the usual one */
static struct { int64_t bytes_s; } fills_options;
static const struct manifest_options manifest = {.latency_bound_ms = 300, .target_latency_ms = 800, .time_shift_s = 60,
                                                 .update_s = 2, .public_url = ""};

/* ---- the link ----------------------------------------------------------------------------------------------------- */

struct answer {
        struct serve_request r;
        uv_timer_t timer;
        peer_fetched *done;
        void *arg;
        bool lost;
        struct node *of_media; /* whose media it asks for */
        uint64_t delay_ms;
        int64_t silent_until_us; /* that there is no answer is known then */
        struct fetch_reply m;
        struct buf *bytes;
        struct answer *next;
};
static unsigned under_way, never; /* never: of these, answers that do not come */

/* ---- time --------------------------------------------------------------------------------------------------------- */

#define PASSES_US (200 * US_PER_MS) /* fewer than any timeout here */

int64_t __real_clock_mono_us(void);
int64_t __wrap_clock_mono_us(void);

static _Atomic int64_t skipped_us;

int64_t __wrap_clock_mono_us(void)
{
        return __real_clock_mono_us() + skipped_us;
}

static void let_time_pass(void)
{
        if (under_way == never && !disk_jobs())
                skipped_us += PASSES_US;
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static void timer_closed(uv_handle_t *h)
{
        free(h->data);
}

static void deliver(uv_timer_t *t)
{
        struct answer *x = t->data;
        if (clock_mono_us() < x->silent_until_us) {
                uv_timer_start(t, deliver, 10, 0);
                return;
        }
        never -= x->silent_until_us != 0;
        under_way--;
        if (x->of_media)
                x->of_media->media--;
        x->done(x->arg, x->lost ? ERR_CLOSED : 0, x->lost ? NULL : &x->m, x->lost ? NULL : x->bytes);
        buf_unref(&x->bytes);
        uv_close((uv_handle_t *)t, timer_closed);
}

static void served(struct serve_request *r, const struct serve_answer *s)
{
        struct answer *x = (struct answer *)r;
        x->m = (struct fetch_reply){.status = (int8_t)s->status, .flags = s->flags, .ttl_ms = s->ttl_ms, .offset = r->offset,
                                    .len = (uint32_t)s->len};
        snprintf(x->m.content_type, sizeof(x->m.content_type), "%s", s->content_type ? s->content_type : "");
        if (s->len)
                x->bytes = buf_copy(s->bytes->data + s->from, s->len);
        uv_timer_start(&x->timer, deliver, x->delay_ms, 0);
}

static size_t link_up(struct peer_link *l, struct peer_node out[PEERS_UP_MAX])
{
        struct node *n = (struct node *)l;
        size_t count = 0;
        if (n->third)
                out[count++] = (struct peer_node){.id = "0", .incarnation_us = 1, .can = CAN_LONG_PARTS};
        if (!n->other->up)
                return count;
        out[count] = (struct peer_node){.incarnation_us = n->other->incarnation_us, .can = n->other->old ? 0 : CAN_LONG_PARTS};
        snprintf(out[count].id, sizeof(out[count].id), "%s", n->other->id);
        return count + 1;
}

static int fetch_nothing(const struct node *n, const struct fetch *what, peer_fetched *done, void *arg)
{
        struct answer *x = mem_alloc(sizeof(*x));
        struct buf *list = buf_copy("{\"sessions\":[]}", 15);
        x->done = done;
        x->arg = arg;
        uv_timer_init(&loop, &x->timer);
        x->timer.data = x;
        under_way++;
        struct serve_answer nothing = {.status = n->third_says ? n->third_says : ERR_NOT_FOUND}, none = {.flags = FETCH_COMPLETE, .bytes = list, .len = list->len};
        served(&x->r, what->key[1] == 'p' ? &none : &nothing);
        buf_unref(&list);
        return 0;
}

static int link_fetch(struct peer_link *l, const char *id, const struct fetch *what, peer_fetched *done, void *arg)
{
        struct node *n = (struct node *)l, *to = n->other;
        if (strcmp(id, "0") == 0)
                return fetch_nothing(n, what, done, arg);
        if (!to->up || strcmp(id, to->id) != 0)
                return ERR_CLOSED;
        struct answer *x = mem_alloc(sizeof(*x));
        x->done = done;
        x->arg = arg;
        uv_timer_init(&loop, &x->timer);
        x->timer.data = x;
        under_way++;
        if (strncmp(what->key, "/live/", 6) == 0) {
                x->of_media = to;
                to->media_asked++;
                to->most_media = ++to->media > to->most_media ? to->media : to->most_media;
        }
        x->lost = to->fail_after && ++to->fetches >= to->fail_after;
        x->lost |= to->fails && strncmp(what->key, to->fails, strlen(to->fails)) == 0;
        to->ended += strncmp(what->key, "/peer/ended/", 12) == 0;
        to->live += strncmp(what->key, "/peer/live/", 11) == 0 && !strchr(what->key + 11, '/'); /* first pages */
        if (x->lost || to->frozen) {
                x->lost = true;
                x->silent_until_us = to->frozen ? clock_mono_us() + 2 * US_PER_S : 0;
                never += to->frozen;
                uv_timer_start(&x->timer, deliver, 0, 0);
                return 0;
        }
        if (to->starts && what->key[1] == 'p') {
                x->m.status = ERR_NOT_YET;
                uv_timer_start(&x->timer, deliver, 0, 0);
                return 0;
        }
        x->r = (struct serve_request){.offset = what->offset, .wait_ms = what->wait_ms, .hops = what->hops, .from_node = true,
                                      .max_bytes = to->max_bytes ? to->max_bytes : BODY_MAX, .done = served};
        if (what->key[1] == 'p')
                x->r.max_bytes = BODY_MAX;
        x->delay_ms = to->delay_ms;
        strcpy(x->r.key, what->key);
        if (x->of_media && to->refuse_each && to->media_asked % to->refuse_each == 0) {
                served(&x->r, &(struct serve_answer){.status = ERR_FULL});
                return 0;
        }
        serve(&to->serve, &x->r);
        return 0;
}

static const struct peer_link_ops link_ops = {.up = link_up, .fetch = link_fetch};

/* ---- a node ------------------------------------------------------------------------------------------------------- */

static void on_ready(void *arg, int status)
{
        assert_int_equal(status, 0);
        ((struct node *)arg)->ready = true;
}

static void on_idle(void *arg)
{
        ((struct node *)arg)->idle = true;
}

static void on_changed(void *arg, struct session *s)
{
        struct node *n = arg;
        if (!n->catch_up)
                return;
        serve_changed(&n->serve, s);
        catch_up_session_changed(n->catch_up, s);
}

static void on_space(void *arg, int why_not)
{
        (void)arg;
        (void)why_not;
}

static void on_settled(void *arg)
{
        struct node *n = arg;
        n->settled = true;
        serve_settled(&n->serve);
}

static void on_caught_up(void *arg)
{
        struct node *n = arg;
        assert_true(n->settled);
        n->caught_up = true;
}

static const char *elsewhere(void *arg, const struct key *key, const struct session *than, unsigned nth)
{
        struct node *n = arg;
        const char *peer = catch_up_elsewhere(n->catch_up, key, than, &nth);
        const struct session *s = peer || than || key->kind != KEY_SEGMENT ? NULL : store_session(&n->store, key->session);
        return s ? fills_elsewhere(n->fills, s, key, nth) : peer;
}

static void until(const bool *what)
{
        UNTIL(&loop, *what);
}

/* One may be stopped and started again; what the other sees is `up`. */
static void start(struct node *n)
{
        options.data_dir = n->dir;
        struct store_events ev = {.ready = on_ready, .changed = on_changed, .space = on_space, .idle = on_idle, .arg = n};
        n->ready = n->idle = n->settled = n->caught_up = false;
        assert_int_equal(store_open(&n->store, &loop, &options, &ev), 0);
        until(&n->ready);
        serve_open(&n->serve, &loop, &n->store, &manifest, 64);
        serve_unsettled(&n->serve);
        n->link.ops = &link_ops;
        struct catch_up_events re = {.settled = on_settled, .caught_up = on_caught_up, .arg = n};
        n->old_media = (struct allowance){.bytes_s = fills_options.bytes_s};
        struct catch_up_options ro = {.self = n->id, .zone = "", .replicas = replicas,
                                      .old = fills_options.bytes_s ? &n->old_media : NULL};
        catch_up_open(&n->catch_up, &loop, &n->store, &ro, &re);
        n->up = true;
        n->incarnation_us++;
        catch_up_link(n->catch_up, &n->link);
        fills_open(&n->fills, &loop, &n->store, &(struct fills_options){.allowance = &n->old_media});
        fills_link(n->fills, &n->link);
        n->serve.elsewhere = (struct serve_elsewhere){.who = elsewhere, .arg = n, .link = &n->link};
        if (n->other->catch_up)
                catch_up_peers_changed(n->other->catch_up);
}

static void stop(struct node *n)
{
        n->up = false;
        if (n->other->catch_up)
                catch_up_peers_changed(n->other->catch_up);
        serve_stop(&n->serve);
        catch_up_stop(n->catch_up);
        fills_stop(n->fills);
        UNTIL(&loop, !under_way);
        store_stop(&n->store);
        until(&n->idle);
        fills_close(n->fills);
        catch_up_close(n->catch_up);
        n->catch_up = NULL;
        store_close(&n->store);
        serve_close(&n->serve);
        uv_run(&loop, UV_RUN_NOWAIT); /* their handles are gone, and their memory may be used again */
}

static int setup(void **state)
{
        (void)state;
        uv_loop_init(&loop);
        options = (struct store_options){.live_max = 8};
        replicas = 2;
        grid_ms = 0;
        fills_options.bytes_s = INT64_C(1) << 40;
        a = (struct node){.id = "a", .other = &b};
        b = (struct node){.id = "b", .other = &a};
        scratch_dir(a.dir, sizeof(a.dir));
        scratch_dir(b.dir, sizeof(b.dir));
        start(&a);
        start(&b);
        until(&a.settled);
        until(&b.settled);
        return 0;
}

static int teardown(void **state)
{
        char cmd[200];
        (void)state;
        if (a.catch_up)
                stop(&a);
        if (b.catch_up)
                stop(&b);
        uv_run(&loop, UV_RUN_DEFAULT);
        disk_stop();
        assert_int_equal(uv_loop_close(&loop), 0);
        snprintf(cmd, sizeof(cmd), "rm -rf %s %s", a.dir, b.dir);
        return system(cmd);
}

/* ---- a writer ----------------------------------------------------------------------------------------------------- */

struct waited {
        struct session_wait w;
        bool done;
        int status;
};

static void waited(struct session_wait *w, int status)
{
        struct waited *x = (struct waited *)w;
        x->status = status;
        x->done = true;
}

static struct session *claim_at(struct node *n, const char *id, uint32_t join, const char *node)
{
        struct claim c = {.epoch_us = 5000000, .grace_ms = GRACE_MAX_MS, .generation = join, .flags = join ? CLAIM_JOIN : 0, .chunk_ms = grid_ms};
        struct waited x = {.done = false};
        struct session *s;
        strcpy(c.stream, "cam");
        strcpy(c.session, id);
        strcpy(c.node, node);
        assert_int_equal(store_claim(&n->store, &c, &s), 0);
        session_claim(s, &c, &x.w, waited);
        until(&x.done);
        assert_int_equal(x.status, 0);
        return s;
}

static void added(void *arg, int status)
{
        assert_int_equal(status, 0);
        *(bool *)arg = true;
}

static void add_track(struct session *s, const char *name, struct buf *init)
{
        bool done = false;
        struct put p = {.flags = PUT_INIT, .bandwidth = 1000000, .bytes = init->data, .len = (uint32_t)init->len};
        strcpy(p.track, name);
        session_add_track(s, &p, added, &done);
        until(&done);
        buf_unref(&init);
}

struct appended {
        struct chunk_append a;
        bool done;
        int status;
};

static void appended(struct chunk_append *x, int status)
{
        ((struct appended *)x)->done = true;
        ((struct appended *)x)->status = status;
}

/* Chunks of v720 from one place to another; the size of samples tells whose they are. */
static void write_chunks(struct session *s, unsigned from, unsigned to, uint32_t size)
{
        for (unsigned i = from; i < to; i++) {
                unsigned chunks = chunks_of_segment(s->chunk_ms);
                struct appended x = {.a = {.segment = i / chunks, .chunk = (uint8_t)(i % chunks), .start_us = i * chunk_us(s->chunk_ms),
                                           .generation = s->generation, .done = appended}};
                x.a.bytes = fmp4_chunk(i * UINT64_C(90000) / chunks, 5, 18000 / chunks, size);
                chunk_log_append(session_track(s, "v720")->log, &x.a);
                until(&x.done);
                assert_int_equal(x.status, 0);
                buf_unref(&x.a.bytes);
        }
}

static inline void end_session(struct session *s)
{
        struct waited x = {.done = false};
        session_end(s, 0, true, &x.w, waited);
        until(&x.done);
}

static struct session *at(struct node *n, const char *id)
{
        return store_session(&n->store, id);
}

/* Both origins have the beginning by t1: generation 1, `to` chunks each. */
static inline void both(unsigned to_a, unsigned to_b)
{
        struct session *x = claim_at(&a, "S1", 0, "t1"), *y = claim_at(&b, "S1", 1, "t1");
        add_track(x, "v720", fmp4_video_init());
        add_track(y, "v720", fmp4_video_init());
        write_chunks(x, 0, to_a, 40);
        write_chunks(y, 0, to_b, 40);
}

static struct buf *volume_file(const struct node *n, const char *id, const char *track, unsigned number)
{
        char *path = mem_printf("%s/cam/%s/%s/%06u.mp4", n->dir, id, track, number);
        struct stat st;
        int fd = open(path, O_RDONLY);
        struct buf *out = NULL;
        free(path);
        if (fd >= 0 && fstat(fd, &st) == 0) {
                out = buf_new((size_t)st.st_size);
                assert_int_equal(read(fd, out->data, out->len), st.st_size);
        }
        close(fd);
        return out;
}

static bool same_volume(const char *id, const char *track, unsigned number)
{
        struct buf *x = volume_file(&a, id, track, number), *y = volume_file(&b, id, track, number);
        bool same = x && y && x->len == y->len && memcmp(x->data, y->data, x->len) == 0;
        buf_unref(&x);
        buf_unref(&y);
        return same;
}

static bool all_same(const char *id)
{
        return at(&a, id) && at(&b, id) && !session_busy(at(&a, id)) && !session_busy(at(&b, id)) && same_volume(id, "v720", 0);
}

static void show(const struct node *n, const struct session *s)
{
        fprintf(stderr, "%s: state=%d generation=%u node=%s claimed=%d", n->id, s->state, s->generation, s->node, s->claimed);
        for (size_t i = 0; i < s->tracks[0]->eras.count; i++)
                fprintf(stderr, " era=%llu/%u/%s", (unsigned long long)s->tracks[0]->eras.list[i].place,
                        s->tracks[0]->eras.list[i].generation, s->tracks[0]->eras.list[i].node);
        fprintf(stderr, " end=%llu bytes=%llu busy=%d\n", (unsigned long long)track_end_place(s, s->tracks[0]),
                (unsigned long long)track_facts(s, s->tracks[0]).file_bytes, session_busy(s));
}

static void differ(const char *id)
{
        if (at(&a, id))
                show(&a, at(&a, id));
        if (at(&b, id))
                show(&b, at(&b, id));
        fail_msg("the origins do not come to have the same");
}

static inline void until_same(const char *id)
{
        int64_t end = __real_clock_mono_us() + 50 * US_PER_S;
        UNTIL(&loop, all_same(id) || __real_clock_mono_us() > end);
        if (!all_same(id))
                differ(id);
}

static inline size_t chunks_of(const struct session *s)
{
        return s->tracks[0]->log->index.samples / 5;
}

static inline struct session *loaded(struct session *s)
{
        session_load(s);
        UNTIL(&loop, s->load != LOAD_UNDER_WAY);
        assert_int_equal(s->load, LOAD_DONE);
        return s;
}

/* ---- a viewer ----------------------------------------------------------------------------------------------------- */

struct question {
        struct serve_request r;
        bool done;
        int status;
        size_t len;
};

static inline void answered(struct serve_request *r, const struct serve_answer *x)
{
        struct question *q = (struct question *)r;
        q->done = true;
        q->status = x->status;
        q->len = x->len;
}

static inline void ask(struct question *q, struct node *n, const char *key, uint32_t wait_ms)
{
        *q = (struct question){.r = {.wait_ms = wait_ms, .max_bytes = BODY_MAX, .done = answered}};
        strcpy(q->r.key, key);
        serve(&n->serve, &q->r);
}

#endif
