#include "transcoderd/encode/intake.h"

#include <assert.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/mem.h"

#define END_MARKS 1 /* the end always finds room */

static void drop_frame(void *arg)
{
        struct frame *f = arg;
        buf_unref(&f->bytes);
        free(f);
}

void intake_init(struct intake *in)
{
        queue_init(&in->queue, INTAKE_FRAMES + END_MARKS);
        atomic_init(&in->bytes, 0);
        atomic_init(&in->pushed, 0);
        atomic_init(&in->done, 0);
        atomic_init(&in->newest_us, INT64_MIN);
        in->in_hand = false;
}

void intake_fini(struct intake *in)
{
        queue_fini(&in->queue, drop_frame);
}

size_t intake_room(struct intake *in)
{
        size_t held = queue_count(&in->queue);
        if (held >= INTAKE_FRAMES || atomic_load(&in->bytes) >= INTAKE_BYTES)
                return 0;
        return INTAKE_FRAMES - held;
}

static void put(struct intake *in, const struct frame *f)
{
        struct frame *queued = mem_alloc(sizeof(*queued));
        *queued = *f;
        if (queue_put(&in->queue, queued) != 0)
                drop_frame(queued);
}

/* A configuration has no time of its own: it waits as long as what came before it; with nothing before it, not at all. */
static void note_time(struct intake *in, const struct frame *f)
{
        unsigned number = atomic_load(&in->pushed);
        int64_t newest_us = atomic_load(&in->newest_us);
        bool timed = !(f->flags & FRAME_CONFIG);
        atomic_store(&in->times[number % INTAKE_TIMES], timed ? f->dts_us : newest_us);
        if (timed && f->dts_us > newest_us)
                atomic_store(&in->newest_us, f->dts_us);
        atomic_store(&in->pushed, number + 1);
}

void intake_push(struct intake *in, const struct frame *f)
{
        assert(queue_count(&in->queue) < INTAKE_FRAMES);
        note_time(in, f);
        atomic_fetch_add(&in->bytes, f->bytes->len);
        buf_ref(f->bytes);
        put(in, f);
}

void intake_end(struct intake *in)
{
        struct frame end = {.bytes = NULL};
        put(in, &end);
}

int intake_take(struct intake *in, struct frame *out, int64_t wait_us)
{
        void *item;
        if (in->in_hand)
                atomic_fetch_add(&in->done, 1);
        in->in_hand = false;
        int err = queue_take(&in->queue, &item, wait_us);
        if (err)
                return err;
        struct frame *f = item;
        *out = *f;
        free(f);
        in->in_hand = out->bytes != NULL;
        if (out->bytes)
                atomic_fetch_sub(&in->bytes, out->bytes->len);
        return 0;
}

bool intake_empty(struct intake *in)
{
        return queue_count(&in->queue) == 0;
}

void intake_abort(struct intake *in)
{
        queue_abort(&in->queue);
}

int64_t intake_late_us(const struct intake *in, int64_t placed_us, int64_t now_us)
{
        unsigned done = atomic_load(&in->done); /* before pushed, which is never less */
        if (done == atomic_load(&in->pushed))
                return 0;
        int64_t from_us = atomic_load(&in->times[done % INTAKE_TIMES]), until_us = atomic_load(&in->newest_us);
        from_us = placed_us > from_us ? placed_us : from_us;
        if (from_us == INT64_MIN)
                return 0;
        until_us = now_us < until_us ? now_us : until_us;
        return until_us > from_us ? until_us - from_us : 0;
}
