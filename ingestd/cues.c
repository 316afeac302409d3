#include "ingestd/cues.h"

#include <stdlib.h>
#include <string.h>

#include "common/aac_data.h"
#include "common/avc.h"
#include "common/clock.h"
#include "common/mem.h"

#define BEFORE_MS 10000 /* so long before its frame, */
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
static int32_t offset_ms(const struct amf_cue *said, const struct flv_frame *frame)
{
        int32_t ms = (int32_t)(said->at_ms - frame->dts_ms - (uint32_t)frame->cts_ms);
        return ms >= -BEFORE_MS && ms <= BEHIND_MS ? ms : 0;
}

/* NULL: it has no room there. */
static struct buf *add(const struct flv_frame *frame, const struct buf *unit, const uint8_t *message, size_t len_bytes)
{
        if (frame->track == TRACK_AUDIO)
                return aac_data_add(unit->data, unit->len, message, len_bytes);
        return avc_add_sei(frame->length_size, unit->data, unit->len, AVC_SEI_UNREGISTERED, message, len_bytes);
}

struct buf *cues_into(struct cues *c, const struct flv_frame *frame, bool due_only, size_t *lost)
{
        struct buf *unit = buf_ref(frame->bytes);
        struct amf_cue *later[CUES_WAIT];
        size_t left = 0;
        *lost = 0;
        for (size_t i = c->count; i-- > 0;) { /* each goes to the front */
                uint8_t message[CUE_MESSAGE_MAX];
                int32_t ms = offset_ms(c->waiting[i], frame);
                if (due_only && ms > 0) {
                        later[left++] = c->waiting[i];
                        continue;
                }
                size_t n = cue_message_write(message, sizeof(message), &c->waiting[i]->cue, ms);
                struct buf *more = add(frame, unit, message, n);
                if (more && more->len <= FRAME_MAX) {
                        buf_unref(&unit);
                        unit = more;
                } else {
                        buf_unref(&more);
                        ++*lost;
                }
                free(c->waiting[i]);
        }
        for (c->count = 0; left > 0; c->count++)
                c->waiting[c->count] = later[--left];
        return unit;
}

void cues_fini(struct cues *c)
{
        while (c->count)
                free(c->waiting[--c->count]);
}
