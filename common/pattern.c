#include "common/pattern.h"

#include <fnmatch.h>

const json_t *pattern_first(const json_t *entries, const char *stream)
{
        for (size_t i = 0; i < json_array_size(entries); i++) {
                const json_t *entry = json_array_get(entries, i);
                const char *match = json_string_value(json_object_get(entry, "match"));
                if (!match || fnmatch(match, stream, 0) == 0)
                        return entry;
        }
        return NULL;
}
