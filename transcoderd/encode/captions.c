#include "transcoderd/encode/captions.h"

#include <string.h>

#define VALID 0x04 /* cc_valid; without it the triplet is padding */

bool captions_in(const AVFrame *pic)
{
        const AVFrameSideData *cc = av_frame_get_side_data(pic, AV_FRAME_DATA_A53_CC);
        return cc && cc->size >= CAPTIONS_TRIPLET;
}

static void leave_out_padding(struct captions *c)
{
        size_t kept = 0;
        for (size_t i = 0; i < c->count; i++)
                if (c->waiting[i][0] & VALID)
                        memmove(c->waiting[kept++], c->waiting[i], CAPTIONS_TRIPLET);
        c->count = kept;
}

static void forget_oldest(struct captions *c, size_t n)
{
        c->count -= n;
        memmove(c->waiting[0], c->waiting[n], c->count * CAPTIONS_TRIPLET);
}

size_t captions_add(struct captions *c, const AVFrame *from)
{
        const AVFrameSideData *cc = av_frame_get_side_data(from, AV_FRAME_DATA_A53_CC);
        size_t lost = 0;
        if (!cc)
                return 0;
        leave_out_padding(c);
        bool alone = c->count == 0;
        for (size_t at = 0; at + CAPTIONS_TRIPLET <= cc->size; at += CAPTIONS_TRIPLET) {
                if (!alone && !(cc->data[at] & VALID))
                        continue;
                if (c->count == CAPTIONS_WAIT) {
                        forget_oldest(c, 1);
                        lost++;
                }
                memcpy(c->waiting[c->count++], cc->data + at, CAPTIONS_TRIPLET);
        }
        return lost;
}

void captions_give(struct captions *c, AVFrame *to)
{
        size_t n = c->count < CAPTIONS_PICTURE ? c->count : CAPTIONS_PICTURE;
        AVFrameSideData *cc = n > 0 ? av_frame_new_side_data(to, AV_FRAME_DATA_A53_CC, n * CAPTIONS_TRIPLET) : NULL;
        if (!cc)
                return;
        memcpy(cc->data, c->waiting, n * CAPTIONS_TRIPLET);
        forget_oldest(c, n);
}
