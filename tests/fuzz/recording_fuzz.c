/* A recording laid out of what a damaged disk holds: the first two bytes say where the init segment ends and the chunk's head begins. */
#include <stdlib.h>
#include <string.h>

#include "originD/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct init_info info;
        struct sample_tables tables = {.samples = 0};
        struct buf *header = NULL;
        if (size < 2)
                return 0;
        size_t split = (size_t)(data[0] << 8 | data[1]), head_bytes;
        uint64_t chunk_bytes;
        data += 2;
        size -= 2;
        split = split < size ? split : size;
        struct buf *init = buf_copy(data, split), *chunk = buf_copy(data + split, size - split);
        const struct recording_track tracks[] = {{init, &tables}, {init, &tables}};
        if (box_init_parse(init->data, init->len, &info))
                info = (struct init_info){.kind = TRACK_VIDEO, .track_id = 1, .timescale = 90000};
        bool told = box_chunk_length(chunk->data, chunk->len, &head_bytes, &chunk_bytes) == 0 &&
                    sample_tables_add(&tables, &info, chunk->data, head_bytes, chunk_bytes, 7) == 0 && sample_tables_end(&tables) == 0;
        if (told && recording_header(&header, tracks, 2, 3, 1000000) == 0) { /* boxes all through, up to the media */
                struct reader r;
                struct box b;
                reader_init(&r, header->data, header->len - 16);
                while (box_next(&r, &b) > 0)
                        ;
                if (r.err || reader_left(&r))
                        abort();
        }
        sample_tables_free(&tables);
        buf_unref(&header);
        buf_unref(&init);
        buf_unref(&chunk);
        return 0;
}
