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

void intake_push(struct intake *in, const struct frame *f)
{
        assert(queue_count(&in->queue) < INTAKE_FRAMES);
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
        int err = queue_take(&in->queue, &item, wait_us);
        if (err)
                return err;
        struct frame *f = item;
        *out = *f;
        free(f);
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
