/* A recording made of what a damaged disk holds: the first two bytes say where the init segment ends and the segment begins. */
#include <stdlib.h>
#include <string.h>

#include "originD/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct init_info info;
        struct buf *header;
        if (size < 2)
                return 0;
        size_t split = (size_t)(data[0] << 8 | data[1]);
        data += 2;
        size -= 2;
        split = split < size ? split : size;
        struct buf *init = buf_copy(data, split);
        const struct buf *inits[] = {init, init};
        if (box_init_parse(init->data, init->len, &info) == 0 && recording_header(&header, inits, 2, 1000000) == 0)
                buf_unref(&header);
        else
                info = (struct init_info){.kind = TRACK_VIDEO, .track_id = 1, .timescale = 90000};
        struct buf *chunk = buf_copy(data + split, size - split);
        if (recording_rewrite(chunk->data, chunk->len, &info, 1, 3, 2) == 0) { /* as long as it was, and boxes all through */
                struct reader r;
                struct box b;
                reader_init(&r, chunk->data, chunk->len);
                while (box_next(&r, &b) > 0)
                        ;
                if (r.err || reader_left(&r))
                        abort();
        }
        buf_unref(&init);
        buf_unref(&chunk);
        return 0;
}
