#include "common/range.h"

#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Digits at *p; what is too big for 64 bits is a number too big to matter. false: no digit there. */
static bool number(const char **p, uint64_t *out)
{
        uint64_t v = 0;
        const char *s = *p;
        for (; is_digit(*s); s++)
                v = v > UINT64_MAX / 10 - 10 ? UINT64_MAX / 10 : v * 10 + (uint64_t)(*s - '0');
        bool any = s > *p;
        *p = s;
        *out = v;
        return any;
}

struct spec {
        bool has_first, has_last;
        uint64_t first, last;
};

static bool parse_spec(const char *header, struct spec *s)
{
        if (!header || strncasecmp(header, "bytes=", 6) != 0)
                return false;
        const char *p = header + 6;
        p += strspn(p, " \t");
        s->has_first = number(&p, &s->first);
        if (*p++ != '-')
                return false;
        s->has_last = number(&p, &s->last);
        p += strspn(p, " \t");
        if (*p || (!s->has_first && !s->has_last))
                return false;
        return !s->has_first || !s->has_last || s->first <= s->last;
}

enum range_verdict range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *len)
{
        struct spec s;
        *from = 0;
        *len = size;
        if (!parse_spec(header, &s))
                return RANGE_WHOLE;
        if (size == 0 || (s.has_first ? s.first >= size : s.last == 0))
                return RANGE_UNSATISFIABLE;
        if (!s.has_first) { /* "-n": the last n bytes */
                *len = s.last < size ? s.last : size;
                *from = size - *len;
        } else {
                *from = s.first;
                *len = (s.has_last && s.last < size ? s.last + 1 : size) - s.first;
        }
        return RANGE_PART;
}

bool range_needs_whole(const char *header)
{
        struct spec s;
        return parse_spec(header, &s) && !(s.has_first && s.first == 0 && !s.has_last);
}

bool range_has_ends(const char *header, uint64_t *from, uint64_t *len)
{
        struct spec s;
        if (!parse_spec(header, &s) || !s.has_first || !s.has_last)
                return false;
        *from = s.first;
        *len = s.last - s.first + 1;
        return true;
}

const char *range_if(const char *range, const char *if_range, const char *tag)
{
        return !if_range || (tag[0] && strcmp(if_range, tag) == 0) ? range : NULL;
}

/* Whether the list has the tag, with `weakly` also where it is said to be weak. */
static bool list_has(const char *header, const char *tag, bool weakly)
{
        const char *p = header ? header + strspn(header, " \t,") : "";
        if (*p == '*')
                return p[1 + strspn(p + 1, " \t")] == '\0';
        while (*p) {
                bool is_weak = strncmp(p, "W/", 2) == 0;
                p += is_weak ? 2 : 0;
                const char *end = *p == '"' ? strchr(p + 1, '"') : NULL; /* a comma may stand inside the quotes */
                if (!end)
                        return false;
                size_t n = (size_t)(end + 1 - p);
                if (strlen(tag) == n && memcmp(p, tag, n) == 0 && (weakly || !is_weak))
                        return true;
                p = end + 1;
                p += strspn(p, " \t,");
        }
        return false;
}

bool etag_matches(const char *header, const char *tag)
{
        return list_has(header, tag, true);
}

bool etag_is_wanted(const char *header, const char *tag)
{
        return !header || list_has(header, tag, false);
}
