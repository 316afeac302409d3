#include "transcoderd/encode/cues.h"

#include <stdbool.h>
#include <string.h>

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

size_t cues_add(struct cues *c, const AVFrame *from, uint32_t timescale)
{
        size_t lost = 0, said_here = 0;
        for (int i = 0; i < from->nb_side_data; i++) {
                const AVFrameSideData *said = from->side_data[i];
                struct cue cue;
                if (said->type != AV_FRAME_DATA_SEI_UNREGISTERED || cue_sei_read(&cue, said->data, said->size, from->pts) != 0)
                        continue;
                /* An encoder may have written thousands itself, and each is compared with all that wait. */
                if (++said_here > CUES_OF_PICTURE) {
                        lost++;
                        continue;
                }
                struct buf *box = cue_box(&cue, timescale);
                bool known = is_there(c->boxes, box), fits = (c->boxes ? c->boxes->len : 0) + box->len <= CUES_BYTES_WAIT;
                lost += !known && !fits;
                if (!known && fits)
                        c->boxes = cues_join(c->boxes, box);
                else
                        buf_unref(&box);
        }
        return lost;
}

struct buf *cues_give(struct cues *c)
{
        struct buf *boxes = c->boxes;
        c->boxes = NULL;
        return boxes;
}
