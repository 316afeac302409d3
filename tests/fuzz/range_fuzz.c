/* The Range header: eight bytes of object length, then the text. A part always lies inside the object. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "edged/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        uint64_t object_len, first = 1, last = 0;
        if (len < sizeof(object_len))
                return 0;
        memcpy(&object_len, data, sizeof(object_len));
        char *header = malloc(len - sizeof(object_len) + 1);
        memcpy(header, data + sizeof(object_len), len - sizeof(object_len));
        header[len - sizeof(object_len)] = 0;
        if (range_parse(header, object_len, &first, &last) == RANGE_PART)
                assert(first <= last && last < object_len);
        if (range_needs_whole(header))
                assert(range_parse(header, object_len, &first, &last) != RANGE_WHOLE);
        free(header);
        return 0;
}
