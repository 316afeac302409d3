/* Range, If-Range, If-None-Match: eight bytes of the object's length, then the text. A part always lies inside the object. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const char tag[] = "\"0123456789abcdef\"";
        uint64_t size, from = 1, n = 0;
        if (len < sizeof(size))
                return 0;
        memcpy(&size, data, sizeof(size));
        char *header = malloc(len - sizeof(size) + 1);
        memcpy(header, data + sizeof(size), len - sizeof(size));
        header[len - sizeof(size)] = 0;
        enum range_verdict v = range_parse(header, size, &from, &n);
        if (v == RANGE_PART)
                assert(n > 0 && from < size && n <= size - from);
        else
                assert(from == 0 && n == size);
        uint64_t begin, bytes;
        if (range_has_ends(header, &begin, &bytes) && (bytes == 0 || begin + bytes < begin))
                abort();
        if (range_needs_whole(header))
                assert(v != RANGE_WHOLE);
        if (etag_matches(header, tag))
                assert(strchr(header, '*') || strstr(header, tag));
        if (range_if("bytes=0-1", header, tag))
                assert(strcmp(header, tag) == 0);
        free(header);
        return 0;
}
