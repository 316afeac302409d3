#include "ingestd/early.h"

bool early_take(struct early *e, struct early_frame *out)
{
        if (e->count == 0)
                return false;
        *out = e->frames[e->first];
        e->first = (e->first + 1) % EARLY_FRAMES;
        e->count--;
        e->bytes -= out->frame.bytes->len;
        return true;
}

size_t early_keep(struct early *e, const struct flv_frame *f, int64_t wall_us)
{
        struct early_frame old;
        size_t gone = 0;
        if (f->bytes->len > EARLY_BYTES)
                return 1;
        while (e->count == EARLY_FRAMES || e->bytes + f->bytes->len > EARLY_BYTES) {
                early_take(e, &old);
                buf_unref(&old.frame.bytes);
                gone++;
        }
        struct early_frame *kept = &e->frames[(e->first + e->count++) % EARLY_FRAMES];
        *kept = (struct early_frame){.frame = *f, .wall_us = wall_us};
        kept->frame.bytes = buf_ref(f->bytes);
        e->bytes += f->bytes->len;
        return gone;
}

void early_fini(struct early *e)
{
        struct early_frame f;
        while (early_take(e, &f))
                buf_unref(&f.frame.bytes);
}
