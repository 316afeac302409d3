/* How a segment of an origin's begins: what is read of it lies inside it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "edged/glass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        int64_t wall_us = 0;
        uint8_t *exact = malloc(len + !len); /* so that a byte beyond is found */
        memcpy(exact, data, len);
        if (glass_captured(exact, len, &wall_us)) {
                assert(len >= 8 + 32);
                assert(wall_us < INT64_C(1) << 53);
        }
        free(exact);
        return 0;
}
