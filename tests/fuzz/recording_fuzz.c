/* A recording made of what a damaged disk holds: the first two bytes say where the init segment ends and the chunk begins. */
#include <assert.h>
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
        struct recording_chunk facts = {.segment = 3, .chunk = 2, .len_bytes = (uint32_t)chunk->len};
        struct chunk_info was;
        int sound = box_chunk_parse(chunk->data, chunk->len, &info, &was) == 0;
        if (recording_rewrite(chunk->data, chunk->len, &info, 1, &facts, 2) == 0)
                assert(sound);
        buf_unref(&init);
        buf_unref(&chunk);
        return 0;
}
