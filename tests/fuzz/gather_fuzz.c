/* What an origin may send as its list of streams or its page of recordings: what is joined is JSON whatever came, and leads on. */
#include <assert.h>
#include <jansson.h>
#include <string.h>

#include "edged/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct buf *lists[2] = {buf_copy(data, len / 2), buf_copy(data + len / 2, len - len / 2)};
        struct buf *whole = buf_copy(data, len);
        struct buf *joined = merge_streams(lists, 2), *one = merge_streams(&whole, 1);
        json_t *root = json_loadb((const char *)one->data, one->len, 0, NULL);
        assert(json_is_array(json_object_get(root, "streams")));
        json_decref(root);
        struct key page, next;
        key_parse(&page, KEY_RECORDINGS_PATH "/before/2026-01-31T12:34:56.789Z/S5");
        struct buf *pages = merge_recordings(&page, lists, 2);
        root = json_loadb((const char *)pages->data, pages->len, 0, NULL);
        assert(json_array_size(json_object_get(root, "recordings")) <= MERGE_PAGE);
        if (json_object_get(root, "next")) {
                key_parse(&next, json_string_value(json_object_get(root, "next")));
                assert(next.kind == KEY_RECORDINGS && *next.session);
                assert(next.before_ms < page.before_ms || (next.before_ms == page.before_ms && strcmp(next.session, page.session) < 0));
        }
        json_decref(root);
        buf_unref(&pages);
        buf_unref(&joined);
        buf_unref(&one);
        buf_unref(&whole);
        buf_unref(&lists[0]);
        buf_unref(&lists[1]);
        return 0;
}
