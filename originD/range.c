#include "originD/range.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Digits at *s into *v; moves *s. false: none, or too many. */
static bool number(const char **s, uint64_t *v)
{
        int digits = 0;
        *v = 0;
        for (; isdigit((unsigned char)**s); (*s)++) {
                if (++digits > 18)
                        return false;
                *v = *v * 10 + (uint64_t)(**s - '0');
        }
        return digits > 0;
}

enum range range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *len)
{
        uint64_t first, last;
        *from = 0;
        *len = size;
        if (!header || strncasecmp(header, "bytes=", 6) != 0)
                return RANGE_ALL;
        const char *s = header + 6;
        if (*s == '-') { /* the last n bytes */
                s++;
                if (!number(&s, &last) || *s)
                        return RANGE_ALL;
                if (!last || !size)
                        return RANGE_BAD;
                *len = last < size ? last : size;
                *from = size - *len;
                return RANGE_PART;
        }
        if (!number(&s, &first) || *s++ != '-')
                return RANGE_ALL;
        last = UINT64_MAX;
        if (*s && (!number(&s, &last) || *s || last < first))
                return RANGE_ALL;
        if (first >= size)
                return RANGE_BAD;
        *from = first;
        *len = (last < size ? last + 1 : size) - first;
        return RANGE_PART;
}

bool etag_matches(const char *list, const char *tag)
{
        size_t n = strlen(tag);
        for (const char *s = list; *s;) {
                s += strspn(s, " \t,");
                if (*s == '*')
                        return true;
                if (strncmp(s, "W/", 2) == 0)
                        s += 2;
                if (strncmp(s, tag, n) == 0)
                        return true;
                s += strcspn(s, ",");
        }
        return false;
}
