/* Init segments and chunks as any peer may send them, and a file as a dying disk may leave it. */
#include <stdint.h>
#include <stdlib.h>

#include "originD/log/box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first two bytes say where the init segment ends and the chunk begins. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct init_info info = {.kind = TRACK_VIDEO, .track_id = 1, .timescale = 90000};
        struct chunk_info c;
        if (size < 2)
                return 0;
        size_t split = (size_t)(data[0] << 8 | data[1]);
        data += 2;
        size -= 2;
        split = split < size ? split : size;
        if (box_init_parse(data, split, &info) != 0)
                info = (struct init_info){.kind = TRACK_VIDEO, .track_id = 1, .timescale = 90000};
        if (box_chunk_parse(data + split, size - split, &info, &c) == 0)
                if (!c.samples || !c.duration_ticks || !info.timescale)
                        abort();
        return 0;
}
