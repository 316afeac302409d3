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

/* The bracket that ends the set after p: not one that is a member, the first, nor one of a class ([:digit:]). NULL: there is none. */
static const char *set_end(const char *p)
{
        p += *p == '!' || *p == '^';
        p += *p == ']';
        while (*p && *p != ']') {
                const char *class_end = p[0] == '[' && p[1] == ':' ? strstr(p + 2, ":]") : NULL;
                p = class_end ? class_end + 2 : p + 1;
        }
        return *p ? p : NULL;
}

bool pattern_possible(const char *pattern)
{
        for (const char *p = pattern; *p; p++) {
                if (*p == '[') {
                        if (!(p = set_end(p + 1))) /* no set, but a bracket, which no name has */
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
