#include "ingestd/cues.h"

#include <stdlib.h>
#include <string.h>

#include "common/avc.h"
#include "common/clock.h"
#include "common/mem.h"

#define BEFORE_MS 10000 /* so long before its picture, */
#define BEHIND_MS 60000 /* or so long after it: what is further away has another clock, and is said now */

static bool pay(int64_t *paid_us, size_t bytes, int64_t bytes_s, int64_t once, int64_t now_us)
{
        int64_t cost_us = (int64_t)bytes * US_PER_S / bytes_s, from_us = *paid_us > now_us ? *paid_us : now_us;
        if (from_us + cost_us - now_us > once * US_PER_S / bytes_s)
                return false;
        *paid_us = from_us + cost_us;
        return true;
}

bool cues_hear(struct cues *c, size_t message_bytes, int64_t now_us)
{
        return c->count < CUES_WAIT && pay(&c->heard_us, message_bytes + CUES_EACH, CUES_HEARD_S, CUES_HEARD_ONCE, now_us);
}

bool cues_keep(struct cues *c, const struct amf_cue *said, int64_t now_us)
{
        if (c->count == CUES_WAIT || !pay(&c->paid_us, said->cue.body_len + CUES_EACH, CUES_BYTES_S, CUES_BYTES_ONCE, now_us))
                return false;
        struct amf_cue *copy = mem_alloc(sizeof(*copy));
        *copy = *said;
        copy->cue.body = copy->body;
        c->waiting[c->count++] = copy;
        return true;
}

/* Timestamps wrap, so the difference counts. */
static int32_t offset_ms(const struct amf_cue *said, const struct flv_frame *picture)
{
        int32_t ms = (int32_t)(said->at_ms - picture->dts_ms - (uint32_t)picture->cts_ms);
        return ms >= -BEFORE_MS && ms <= BEHIND_MS ? ms : 0;
}

struct buf *cues_into(struct cues *c, const struct flv_frame *picture, size_t *lost)
{
        struct buf *unit = buf_ref(picture->bytes);
        *lost = 0;
        for (size_t i = c->count; i-- > 0;) { /* each goes to the front */
                uint8_t sei[CUE_SEI_MAX];
                size_t n = cue_sei_write(sei, sizeof(sei), &c->waiting[i]->cue, offset_ms(c->waiting[i], picture));
                struct buf *more = avc_add_sei(picture->length_size, unit->data, unit->len, AVC_SEI_UNREGISTERED, sei, n);
                if (more && more->len <= FRAME_MAX) {
                        buf_unref(&unit);
                        unit = more;
                } else {
                        buf_unref(&more);
                        ++*lost;
                }
                free(c->waiting[i]);
        }
        c->count = 0;
        return unit;
}

void cues_fini(struct cues *c)
{
        while (c->count)
                free(c->waiting[--c->count]);
}
