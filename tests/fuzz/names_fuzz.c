/* A page of names, as a tier that one asks may tell it: what can be read is written again, and is the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct names_page page;
        struct names_row row;
        struct reader r;
        struct writer w;
        if (size > 1 << 20)
                return 0;
        uint8_t *again = malloc(size + NAMES_HEAD_BYTES + NAMES_ROW_MAX_BYTES);
        writer_init(&w, again, size + NAMES_HEAD_BYTES + NAMES_ROW_MAX_BYTES);
        reader_init(&r, data, size);
        if (names_read_page(&r, &page) == 0) {
                names_write_page(&w, &page);
                while (reader_left(&r) && names_read_row(&r, &row) == 0)
                        names_write_row(&w, &row);
                assert(writer_ok(&w) && w.len <= size && memcmp(again, data, w.len) == 0);
        }
        free(again);
        return 0;
}
