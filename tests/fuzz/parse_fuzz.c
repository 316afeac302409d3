/* Heads of requests: whatever comes, what is taken lies in what came, ends where it should, and the same bytes in two pieces say the
 * same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "edged/wire/parse.h"

static void check_text(const char *bytes, size_t len, const char *text)
{
        assert(text >= bytes && text + strlen(text) < bytes + len);
        assert(!strpbrk(text, "\r\n"));
}

static void check(const char *bytes, size_t len, const struct parse_head *h)
{
        check_text(bytes, len, h->target);
        assert(h->target[0] && strlen(h->target) <= PARSE_TARGET_MAX && h->body_bytes <= PARSE_BODY_MAX);
        for (int f = 0; f < PARSE_FIELD_COUNT; f++) {
                if (h->fields[f])
                        check_text(bytes, len, h->fields[f]);
        }
        assert(h->http_1_0 || h->fields[FIELD_HOST]);
        assert(!h->fields[FIELD_TRANSFER_ENCODING] || (h->closes && !h->fields[FIELD_CONTENT_LENGTH]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct parse_head h, again;
        len = len < PARSE_HEAD_MAX ? len : PARSE_HEAD_MAX;
        char *bytes = malloc(len + 1), *copy = malloc(len + 1);
        memcpy(bytes, data, len);
        memcpy(copy, data, len);
        ssize_t half = parse_head(copy, len / 2, &again);
        if (half == 0)
                assert(memcmp(copy, data, len) == 0);
        ssize_t n = parse_head(bytes, len, &h);
        assert(n <= (ssize_t)len && n > -PARSE_FAULT_END);
        assert(half == 0 || half == n); /* what was said of the first half stands */
        if (n > 0)
                check(bytes, (size_t)n, &h);
        free(bytes);
        free(copy);
        return 0;
}
