/* What an object store says: names that are passed on are plain and begin with nothing; errors are one clean line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "originD/archive/s3.h"

static bool found(void *arg, const char *name, uint64_t bytes)
{
        (void)arg, (void)bytes;
        assert(*name && strlen(name) <= S3_NAME_MAX);
        for (const char *p = name; *p; p++)
                assert(*p > ' ' && *p <= '~');
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        char *text = malloc(len + 1), next[S3_NAME_MAX + 1], words[64];
        memcpy(text, data, len);
        text[len] = 0;
        if (s3_list_parse(text, "p/", found, NULL, next) == 0)
                assert(strlen(next) <= S3_NAME_MAX);
        s3_error_parse(words, sizeof(words), text);
        for (const char *p = words; *p; p++)
                assert(*p >= ' ' && *p <= '~' && *p != '"');
        free(text);
        return 0;
}
