/* TRACK/volumes, as it may lie on a damaged disk: what is believed of it can be written and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "originD/log/volumes_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct volumes first, second;
        volumes_file_decode(&first, data, size);
        for (size_t i = 1; i < first.count; i++)
                if (first.rows[i - 1].number >= first.rows[i].number)
                        abort();
        struct buf *b = volumes_file_encode(&first);
        if (!volumes_file_decode(&second, b->data, b->len) || second.count != first.count)
                abort();
        buf_unref(&b);
        volumes_free(&first);
        volumes_free(&second);
        return 0;
}
