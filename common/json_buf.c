#include "common/json_buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct buf *json_to_buf(json_t *j)
{
        char *text = json_dumps(j, JSON_COMPACT);
        assert(text); /* what a daemon builds itself can be written, or there is no memory */
        struct buf *b = buf_copy(text, strlen(text));
        free(text);
        json_decref(j);
        return b;
}
