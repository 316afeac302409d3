/* What a node above tells of the names it has, page after page from two nodes, and what is told of it to the tier below: that must be
 * readable, and give a census of the same size. The first byte of a page: its node and its length. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "edged/census.h"

static void take_all(struct census *c, const uint8_t *data, size_t len)
{
        while (len > 1) {
                unsigned source = data[0] & 1, n = data[0] >> 1;
                data++, len--;
                n = n < len ? n : (unsigned)len;
                struct buf *page = buf_copy(data, n);
                struct names_page head;
                census_take(c, source, page, 1000, &head);
                buf_unref(&page);
                data += n, len -= n;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct census *c = census_open(), *below = census_open();
        struct names_page head = {.more = true};
        take_all(c, data, len);
        while (head.more) {
                struct buf *page = census_page(c, head.instance, head.next, 1000);
                int err = census_take(below, 0, page, 1000, &head);
                assert(err == 0);
                (void)err;
                buf_unref(&page);
        }
        assert(census_sessions(below) == census_sessions(c));
        census_forget(c, 0);
        census_forget(c, 1);
        assert(census_sessions(c) == 0);
        census_close(below);
        census_close(c);
        return 0;
}
