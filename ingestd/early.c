#include "ingestd/early.h"

#include "common/clock.h"

#define SPAN_MAX_MS 60000 /* more is a jump of the clock */

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
        if (e->count == 0)
                e->began_ms = f->dts_ms;
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

int64_t early_span_us(const struct early *e, uint32_t dts_ms)
{
        uint32_t span_ms = e->count ? dts_ms - e->began_ms : 0;
        return span_ms <= SPAN_MAX_MS ? span_ms * US_PER_MS : 0;
}

void early_fini(struct early *e)
{
        struct early_frame f;
        while (early_take(e, &f))
                buf_unref(&f.frame.bytes);
}
