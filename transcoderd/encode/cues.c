#include "transcoderd/encode/cues.h"

#include <stdbool.h>
#include <string.h>

#include "common/aac_data.h"
#include "common/cue.h"

struct buf *cues_join(struct buf *boxes, struct buf *more)
{
        if (!boxes || !more)
                return boxes ? boxes : more;
        struct buf *both = buf_new(boxes->len + more->len);
        memcpy(both->data, boxes->data, boxes->len);
        memcpy(both->data + boxes->len, more->data, more->len);
        buf_unref(&boxes);
        buf_unref(&more);
        return both;
}

/* A picture of two fields may have the same message in each. */
static bool is_there(const struct buf *boxes, const struct buf *box)
{
        return boxes && memmem(boxes->data, boxes->len, box->data, box->len);
}

/* What one frame of the source says. */
struct hearing {
        struct cues *cues;
        int64_t frame_us;
        uint32_t timescale;
        size_t heard, lost;
};

static void hear(void *arg, const uint8_t *message, size_t len_bytes)
{
        struct hearing *h = arg;
        struct cues *c = h->cues;
        struct cue cue;
        if (cue_message_read(&cue, message, len_bytes, h->frame_us) != 0)
                return;
        /* An encoder may have written thousands itself, and each is compared with all that wait. */
        if (++h->heard > CUES_OF_FRAME) {
                h->lost++;
                return;
        }
        struct buf *box = cue_box(&cue, h->timescale);
        bool known = is_there(c->boxes, box), fits = (c->boxes ? c->boxes->len : 0) + box->len <= CUES_BYTES_WAIT;
        h->lost += !known && !fits;
        if (!known && fits)
                c->boxes = cues_join(c->boxes, box);
        else
                buf_unref(&box);
}

size_t cues_add(struct cues *c, const AVFrame *from, uint32_t timescale)
{
        struct hearing h = {.cues = c, .frame_us = from->pts, .timescale = timescale};
        for (int i = 0; i < from->nb_side_data; i++) {
                const AVFrameSideData *said = from->side_data[i];
                if (said->type == AV_FRAME_DATA_SEI_UNREGISTERED)
                        hear(&h, said->data, said->size);
        }
        return h.lost;
}

size_t cues_hear(struct cues *c, const struct frame *from, uint32_t timescale)
{
        struct hearing h = {.cues = c, .frame_us = from->dts_us + from->cts_us, .timescale = timescale};
        aac_data_each(from->bytes->data, from->bytes->len, hear, &h);
        return h.lost;
}

struct buf *cues_give(struct cues *c)
{
        struct buf *boxes = c->boxes;
        c->boxes = NULL;
        return boxes;
}
