#include "edged/range.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Digits at *p; more than 19 of them are a number too big to matter. false: no digit there. */
static bool number(const char **p, uint64_t *out)
{
        uint64_t v = 0;
        const char *s = *p;
        for (; isdigit((unsigned char)*s); s++)
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

enum range_verdict range_parse(const char *header, uint64_t len_bytes, uint64_t *first, uint64_t *last)
{
        struct spec s;
        if (!parse_spec(header, &s))
                return RANGE_WHOLE;
        if (len_bytes == 0 || (s.has_first ? s.first >= len_bytes : s.last == 0))
                return RANGE_UNSATISFIABLE;
        *first = s.has_first ? s.first : s.last < len_bytes ? len_bytes - s.last : 0;
        *last = s.has_first && s.has_last && s.last < len_bytes ? s.last : len_bytes - 1;
        return RANGE_PART;
}

int range_needs_whole(const char *header)
{
        struct spec s;
        return parse_spec(header, &s) && !(s.has_first && s.first == 0 && !s.has_last);
}
