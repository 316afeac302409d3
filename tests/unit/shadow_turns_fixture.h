/* shadow_turns_fixture.h - a session whose track has two writers, and turns that the test gives time. One test program each; include
 * after cmocka.h. */
#ifndef TESTS_SHADOW_TURNS_FIXTURE_H
#define TESTS_SHADOW_TURNS_FIXTURE_H

#include "common/mem.h"
#include "originD/stats.h"
#include "originD/shadow_turns.h"
#include "tests/unit/origin_store.h"
#include "tests/unit/until.h"

#define NEVER_US (3600 * US_PER_S)

static struct shadow_turns turns;
static struct session *s;

static inline void changed(struct session *x)
{
        shadow_turns_session_changed(&turns, x);
}

static const char *gone; /* the node that is not connected */

static inline bool is_connected(void *arg, const char *node)
{
        (void)arg;
        return strcmp(node, gone) != 0;
}

static inline void start_turns(void)
{
        shadow_turns_open(&turns, &loop);
        turns.leader_us = turns.sound_us = turns.fit_us = turns.order_us = NEVER_US;
        gone = "";
        turns.connected = is_connected;
        on_changed = changed;
}

static inline void stop_turns(void)
{
        shadow_turns_stop(&turns);
        on_changed = NULL;
        shadow_turns_close(&turns);
}

static inline void begin(void)
{
        int err;
        s = join("cam", "S1", 0, 1, "t1", &err);
        assert_int_equal(err, 0);
        assert_int_equal(add_track(s, "v720", fmp4_video_init(), 0), 0);
}

static inline int setup(void **state)
{
        setup_store(state);
        start_turns();
        begin();
        return 0;
}

static inline int teardown(void **state)
{
        stop_turns();
        return teardown_store(state);
}

#define LEADER 0
#define SHADOW PUT_SHADOW

static inline uint64_t hash_of(unsigned place, uint32_t size)
{
        struct buf *b = fmp4_video_chunk(place / 5, place % 5, size);
        uint64_t hash = chunk_log_hash(b);
        buf_unref(&b);
        return hash;
}

#endif
