#include "proto/reload.h"

#include <stdlib.h>
#include <string.h>

#include "proto/parts.h"

/* A number that is the whole value. */
static bool take_value(const char *value, size_t len, uint32_t *out)
{
        char digits[11], *end;
        if (len == 0 || len >= sizeof(digits) || strspn(value, "0123456789") < len)
                return false;
        memcpy(digits, value, len);
        digits[len] = '\0';
        unsigned long long n = strtoull(digits, &end, 10);
        *out = (uint32_t)n;
        return n <= UINT32_MAX;
}

static bool is_name(const char *at, size_t len, const char *name)
{
        return strlen(name) == len && memcmp(at, name, len) == 0;
}

/* A segment alone is asked for with its first part, and a part that none has is the next one's first. */
const char *reload_take(struct key *k, const char *query)
{
        const char *at = query;
        bool has_part = false;
        uint32_t segment = 0, part = 0;
        while (*at == '?' || *at == '&') {
                size_t len = strcspn(++at, "=&#"), value_len = at[len] == '=' ? strcspn(at + len + 1, "&#") : 0;
                const char *value = at + len + 1;
                bool well = true;
                if (is_name(at, len, "_HLS_msn"))
                        well = k->waits = take_value(value, value_len, &segment);
                else if (is_name(at, len, "_HLS_part"))
                        well = has_part = take_value(value, value_len, &part);
                else if (is_name(at, len, "_HLS_skip"))
                        k->skips = is_name(value, value_len, "YES") || is_name(value, value_len, "v2");
                if (!well)
                        return "_HLS_msn and _HLS_part are numbers";
                at += len + (at[len] == '=') + value_len;
        }
        bool is_last = part >= PARTS_OF_SEGMENT;
        if ((has_part && !k->waits) || (is_last && segment == UINT32_MAX))
                return "_HLS_part is of a segment that _HLS_msn names";
        k->segment = is_last ? segment + 1 : segment;
        k->part = is_last ? 0 : (uint8_t)part;
        return NULL;
}
