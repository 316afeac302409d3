/* Data inside a frame of AAC: what is told lies within its bound, and what is added is told first. */
#include <assert.h>
#include <string.h>

#include "common/aac_data.h"

struct heard {
        size_t count, bytes;
        uint8_t first[8];
};

static void hear(void *arg, const uint8_t *message, size_t len)
{
        struct heard *h = arg;
        assert(len > 0 && len <= AAC_DATA_MESSAGE_MAX);
        if (h->count++ == 0)
                memcpy(h->first, message, len < sizeof(h->first) ? len : sizeof(h->first));
        h->bytes += len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct heard alone = {0}, more = {0};
        aac_data_each(data, len, hear, &alone);
        assert(alone.bytes <= len);
        struct buf *b = aac_data_add(data, len, (const uint8_t *)"a word", 6);
        aac_data_each(b->data, b->len, hear, &more);
        assert(more.count == alone.count + 1 && memcmp(more.first, "a word", 6) == 0);
        buf_unref(&b);
        return 0;
}
