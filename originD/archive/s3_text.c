/* What an object store says in XML. Two answers matter here, both flat: so this looks for elements by name, and reads no
 * document. Names of objects that need an escape are none of ours and are passed over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "originD/archive/s3.h"

/* The text of the first <name>…</name> in [*at, end); moves *at behind it. NULL: there is none. */
static const char *element(const char **at, const char *end, const char *name, size_t *len)
{
        size_t n = strlen(name);
        for (const char *p = *at; p < end && (p = memchr(p, '<', (size_t)(end - p))); p++) {
                if ((size_t)(end - p) < n + 2 || memcmp(p + 1, name, n) != 0 || p[n + 1] != '>')
                        continue;
                const char *text = p + n + 2, *stop = text < end ? memchr(text, '<', (size_t)(end - text)) : NULL;
                if (!stop)
                        return NULL;
                *len = (size_t)(stop - text);
                *at = stop;
                return text;
        }
        return NULL;
}

static bool plain_name(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (s[i] <= ' ' || s[i] > '~' || s[i] == '&')
                        return false;
        return len > 0 && len <= S3_NAME_MAX;
}

/* One <Contents>; false: the caller has seen enough. */
static bool tell_one(const char *at, const char *end, const char *prefix,
                     bool (*found)(void *arg, const char *name, uint64_t bytes), void *arg, char last[S3_NAME_MAX + 1])
{
        size_t key_len, size_len, prefix_len = strlen(prefix);
        const char *from = at, *key = element(&at, end, "Key", &key_len), *size = element(&from, end, "Size", &size_len);
        char digits[24], *stop;
        if (!key || !size || !plain_name(key, key_len) || size_len == 0 || size_len >= sizeof(digits))
                return true;
        memcpy(last, key, key_len);
        last[key_len] = '\0';
        memcpy(digits, size, size_len);
        digits[size_len] = '\0';
        unsigned long long bytes = strtoull(digits, &stop, 10);
        if (*stop || strchr(digits, '-') || strncmp(last, prefix, prefix_len) != 0 || !last[prefix_len])
                return true;
        return found(arg, last + prefix_len, bytes);
}

int s3_list_parse(const char *xml, const char *prefix, bool (*found)(void *arg, const char *name, uint64_t bytes), void *arg,
                  char next[S3_NAME_MAX + 1])
{
        const char *end = xml + strlen(xml), *at = xml;
        size_t len;
        char last[S3_NAME_MAX + 1] = "";
        next[0] = '\0';
        if (!strstr(xml, "<ListBucketResult"))
                return ERR_PROTO;
        const char *truncated = element(&at, end, "IsTruncated", &len);
        bool more = truncated && len == 4 && memcmp(truncated, "true", 4) == 0;
        for (const char *c = xml; (c = strstr(c, "<Contents>"));) {
                const char *stop = strstr(c, "</Contents>");
                if (!stop)
                        return ERR_PROTO;
                if (!tell_one(c, stop, prefix, found, arg, last))
                        return 0;
                c = stop;
        }
        if (more && !last[0])
                return ERR_PROTO; /* there would be no end to it */
        if (more)
                strcpy(next, last);
        return 0;
}

static size_t put_clean(char *dst, size_t cap, size_t n, const char *s, size_t len)
{
        for (size_t i = 0; i < len && n + 1 < cap; i++)
                dst[n++] = s[i] >= ' ' && s[i] <= '~' && s[i] != '"' ? s[i] : ' ';
        dst[n] = '\0';
        return n;
}

void s3_error_parse(char *dst, size_t cap, const char *xml)
{
        const char *end = xml + strlen(xml), *at = xml, *from = xml;
        size_t code_len, text_len, n = 0;
        dst[0] = '\0';
        const char *code = element(&at, end, "Code", &code_len), *text = element(&from, end, "Message", &text_len);
        if (code)
                n = put_clean(dst, cap, n, code, code_len < 64 ? code_len : 64);
        if (text) {
                n = put_clean(dst, cap, n, n ? ": " : "", n ? 2 : 0);
                put_clean(dst, cap, n, text, text_len < 160 ? text_len : 160);
        }
}
