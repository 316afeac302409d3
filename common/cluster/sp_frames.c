#include "common/cluster/sp_frames.h"

#include <string.h>

static enum sp_event head_done(struct sp_frames *f, uint64_t *len)
{
        static const uint8_t begins[4] = {0, 'S', 'P', 0};
        f->got = 0;
        if (!f->greeted) {
                f->greeted = true;
                return memcmp(f->head, begins, sizeof(begins)) == 0 && f->head[6] == 0 && f->head[7] == 0 ? SP_NOTHING : SP_GARBAGE;
        }
        *len = 0;
        for (size_t i = 0; i < sizeof(f->head); i++)
                *len = *len << 8 | f->head[i];
        f->left = *len;
        return SP_MESSAGE;
}

size_t sp_frames_feed(struct sp_frames *f, const uint8_t *data, size_t n, enum sp_event *event, uint64_t *len)
{
        size_t at = 0;
        *event = SP_NOTHING;
        while (at < n && *event == SP_NOTHING) {
                if (f->left > 0) {
                        size_t take = n - at < f->left ? n - at : (size_t)f->left;
                        f->left -= take;
                        at += take;
                        continue;
                }
                f->head[f->got++] = data[at++];
                if (f->got == sizeof(f->head))
                        *event = head_done(f, len);
        }
        return at;
}

bool sp_frames_between(const struct sp_frames *f)
{
        return f->greeted && f->got == 0 && f->left == 0;
}
