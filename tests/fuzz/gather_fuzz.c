/* What an origin may send as its list of streams: the joined list is JSON whatever came. */
#include <assert.h>
#include <jansson.h>

#include "edged/gather.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf *lists[2] = {buf_copy(data, len / 2), buf_copy(data + len / 2, len - len / 2)};
        struct buf *whole = buf_copy(data, len);
        struct buf *joined = gather_merge(lists, 2), *one = gather_merge(&whole, 1);
        json_t *root = json_loadb((const char *)one->data, one->len, 0, NULL);
        assert(json_is_array(json_object_get(root, "streams")));
        json_decref(root);
        buf_unref(&joined);
        buf_unref(&one);
        buf_unref(&whole);
        buf_unref(&lists[0]);
        buf_unref(&lists[1]);
        return 0;
}
