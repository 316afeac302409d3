/* fake_origins.h - origins for tests of transcoderd: what is asked of them stays here until the test answers it. */
#ifndef TESTS_FAKE_ORIGINS_H
#define TESTS_FAKE_ORIGINS_H

#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/store.h"
#include "tests/unit/patience.h"
#include "transcoderd/push/origins.h"

#define FAKE_CALLS_MAX 256
#define FAKE_ORIGINS_MAX 4

struct fake_call {
        char origin[NODE_ID_MAX + 1];
        uint8_t type;
        struct reader body;
        nng_msg *msg;
        rpc_done *done;
        void *arg;
};

static struct {
        struct origin origins[FAKE_ORIGINS_MAX];
        bool up[FAKE_ORIGINS_MAX];
        size_t count;
        struct fake_call calls[FAKE_CALLS_MAX]; /* not answered, in order */
        size_t call_count, drops;
        uv_loop_t loop;
} fake;

static size_t fake_route(void *arg, const char *stream, struct origin *out, size_t max)
{
        size_t n = 0;
        (void)arg;
        (void)stream;
        for (size_t i = 0; i < fake.count && n < max; i++) {
                if (fake.up[i])
                        out[n++] = fake.origins[i];
        }
        return n;
}

static bool fake_find(void *arg, const char *id, struct origin *out)
{
        (void)arg;
        for (size_t i = 0; i < fake.count; i++) {
                if (!fake.up[i] || strcmp(fake.origins[i].id, id) != 0)
                        continue;
                *out = fake.origins[i];
                return true;
        }
        return false;
}

static struct rpc_call *fake_rpc_call(struct rpc_client *c, nng_msg *request, unsigned timeout_ms, rpc_done *done, void *arg)
{
        assert_true(fake.call_count < FAKE_CALLS_MAX && timeout_ms > 0);
        struct fake_call *call = &fake.calls[fake.call_count++];
        *call = (struct fake_call){.msg = request, .done = done, .arg = arg};
        memcpy(call->origin, fake.origins[(size_t)c - 1].id, sizeof(call->origin));
        call->type = message_open(&call->body, request);
        return NULL;
}

static void fake_drop(struct rpc_client *c, const char *why)
{
        (void)c;
        (void)why;
        fake.drops++;
}

static const struct origin_link fake_link = {fake_route, fake_find, fake_rpc_call, fake_drop};

static void fake_open(void)
{
        memset(&fake, 0, sizeof(fake));
        uv_loop_init(&fake.loop);
}

/* Nothing is left: neither a call nor a handle. */
static void fake_close(void)
{
        assert_int_equal(fake.call_count, 0);
        while (uv_run(&fake.loop, UV_RUN_DEFAULT))
                ;
        assert_int_equal(uv_loop_close(&fake.loop), 0);
}

static void fake_add(const char *id)
{
        struct origin *o = &fake.origins[fake.count];
        *o = (struct origin){.incarnation_us = 1000, .can = CAN_SHORT_GRID, .rpc = (struct rpc_client *)(fake.count + 1)};
        strcpy(o->id, id);
        fake.up[fake.count++] = true;
}

static size_t fake_calls(uint8_t type)
{
        size_t n = 0;
        for (size_t i = 0; i < fake.call_count; i++)
                n += fake.calls[i].type == type;
        return n;
}

/* Turns the loop, for timers of what is tested. */
static inline void fake_wait(uint8_t type)
{
        int64_t until_us = clock_mono_us() + PATIENCE_US;
        while (!fake_calls(type) && clock_mono_us() < until_us && uv_run(&fake.loop, UV_RUN_ONCE))
                ;
        assert_true(fake_calls(type) > 0);
}

/* The oldest call of that type, which is no longer there. */
static inline struct fake_call fake_take(uint8_t type)
{
        for (size_t i = 0; i < fake.call_count; i++) {
                if (fake.calls[i].type != type)
                        continue;
                struct fake_call call = fake.calls[i];
                memmove(&fake.calls[i], &fake.calls[i + 1], (--fake.call_count - i) * sizeof(call));
                return call;
        }
        fail_msg("no call of type %u was made", type);
        abort();
}

/* The oldest one to that origin. */
static inline struct fake_call fake_take_of(uint8_t type, const char *origin)
{
        for (size_t i = 0; i < fake.call_count; i++) {
                if (fake.calls[i].type != type || strcmp(fake.calls[i].origin, origin) != 0)
                        continue;
                struct fake_call call = fake.calls[i];
                memmove(&fake.calls[i], &fake.calls[i + 1], (--fake.call_count - i) * sizeof(call));
                return call;
        }
        fail_msg("no call of type %u was made to %s", type, origin);
        abort();
}

static inline size_t fake_calls_of(uint8_t type, const char *origin)
{
        size_t n = 0;
        for (size_t i = 0; i < fake.call_count; i++)
                n += fake.calls[i].type == type && strcmp(fake.calls[i].origin, origin) == 0;
        return n;
}

/* Turns the loop, for timers and handles that close. */
static inline void fake_wait_of(uint8_t type, const char *origin)
{
        int64_t until_us = clock_mono_us() + PATIENCE_US;
        while (!fake_calls_of(type, origin) && clock_mono_us() < until_us && uv_run(&fake.loop, UV_RUN_ONCE))
                ;
        assert_true(fake_calls_of(type, origin) > 0);
}

static void fake_answer(struct fake_call *call, uint8_t type, message_encode *encode, const void *m)
{
        nng_msg_free(call->msg);
        call->done(call->arg, 0, message_new(type, encode, m));
}

static void fake_fail(struct fake_call *call, int err)
{
        nng_msg_free(call->msg);
        call->done(call->arg, err, NULL);
}

/* The oldest PUT; its bytes are valid until it is answered. */
static inline struct fake_call fake_put(struct put *m)
{
        struct fake_call call = fake_take(MSG_PUT);
        assert_int_equal(put_decode(&call.body, m), 0);
        return call;
}

static inline void fake_stored(struct fake_call *call, int status)
{
        struct put_reply m = {.status = (int8_t)status};
        fake_answer(call, MSG_PUT_REPLY, put_reply_encode, &m);
}

/* Takes every PUT and says that it is stored, until no more comes; returns how many. */
static inline size_t fake_store_all(void)
{
        size_t n = 0;
        for (; fake_calls(MSG_PUT); n++) {
                struct put m;
                struct fake_call call = fake_put(&m);
                fake_stored(&call, 0);
        }
        return n;
}

static inline void fake_claimed(struct fake_call *call, const struct claim_reply *m)
{
        fake_answer(call, MSG_CLAIM_REPLY, claim_reply_encode, m);
}

static inline void fake_ended(struct fake_call *call, int status)
{
        struct status_reply m = {.status = (int8_t)status};
        fake_answer(call, MSG_END_REPLY, status_reply_encode, &m);
}

#endif
