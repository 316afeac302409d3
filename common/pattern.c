#include "common/pattern.h"

#include <fnmatch.h>

bool pattern_fits(const char *pattern, const char *stream)
{
        return fnmatch(pattern, stream, 0) == 0;
}

const json_t *pattern_first(const json_t *entries, const char *stream)
{
        for (size_t i = 0; i < json_array_size(entries); i++) {
                const json_t *entry = json_array_get(entries, i);
                const char *match = json_string_value(json_object_get(entry, "match"));
                if (!match || pattern_fits(match, stream))
                        return entry;
        }
        return NULL;
}
