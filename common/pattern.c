#include "common/pattern.h"

#include <fnmatch.h>
#include <string.h>

bool pattern_fits(const char *pattern, const char *stream)
{
        return fnmatch(pattern, stream, 0) == 0;
}

static bool is_of_a_name(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool pattern_possible(const char *pattern)
{
        for (const char *p = pattern; *p; p++) {
                if (*p == '[') {
                        if (!(p = strchr(p + 1, ']'))) /* no set, but a bracket, which no name has */
                                return false;
                } else if (*p != '*' && *p != '?' && !is_of_a_name(*p)) {
                        return false;
                }
        }
        return *pattern != '\0';
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
