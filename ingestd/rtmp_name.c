#include "ingestd/rtmp_name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"

struct span {
        const char *p, *end;
};

/* "rtmp://host:port/path?query" and "path?query" alike. */
static struct span path_of(const char *s)
{
        struct span path = {s, s + strcspn(s, "?")};
        const char *scheme = strstr(s, "://");
        if (scheme && scheme < path.end) {
                const char *slash = memchr(scheme + 3, '/', (size_t)(path.end - scheme) - 3);
                path.p = slash ? slash : path.end;
        }
        while (path.p < path.end && (*path.p == '/' || isspace((unsigned char)*path.p)))
                path.p++;
        while (path.p < path.end && (path.end[-1] == '/' || isspace((unsigned char)path.end[-1])))
                path.end--;
        return path;
}

static struct span last_level(struct span path)
{
        const char *slash = memrchr(path.p, '/', (size_t)(path.end - path.p));
        if (slash)
                path.p = slash + 1;
        return path;
}

static bool begins_parameter(const char *s)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
        return n > 0 && s[n] == '=';
}

static const char *parameter_end(const char *value)
{
        const char *p = value;
        while (*p && !(*p == '&' && begins_parameter(p + 1)))
                p++;
        return p;
}

static struct span key_of(const char *s)
{
        const char *query = strchr(s, '?');
        if (!query)
                return (struct span){s, s};
        const char *p = query + 1;
        if (!strchr(p, '='))
                return (struct span){p, p + strlen(p)};
        while (*p) {
                const char *end = parameter_end(p);
                size_t skip = strncmp(p, "key=", 4) == 0 ? 4 : strncmp(p, "token=", 6) == 0 ? 6 : 0;
                if (skip)
                        return (struct span){p + skip, end};
                p = *end ? end + 1 : end;
        }
        return (struct span){p, p};
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False when it does not fit, or holds %00. */
static bool decode(char *dst, size_t cap, struct span s)
{
        size_t n = 0;
        for (const char *p = s.p; p < s.end; p++) {
                char c = *p;
                if (c == '%' && s.end - p > 2 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
                        c = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
                        p += 2;
                }
                if (c == '\0' || n + 1 >= cap)
                        return false;
                dst[n++] = c;
        }
        dst[n] = '\0';
        return true;
}

static bool take_stream(struct rtmp_name *out, const char *app, const char *name)
{
        struct span level = last_level(path_of(name));
        if (level.p == level.end) {
                struct span path = path_of(app);
                level = last_level(path);
                if (level.p == path.p) /* an app alone names no stream */
                        return false;
        }
        size_t n = (size_t)(level.end - level.p);
        if (n > STREAM_ID_MAX)
                return false;
        memcpy(out->stream, level.p, n);
        out->stream[n] = '\0';
        return stream_id_valid(out->stream);
}

int rtmp_name_parse(struct rtmp_name *out, const char *app, const char *tc_url, const char *name, char *why,
                    size_t why_cap)
{
        *out = (struct rtmp_name){0};
        if (!take_stream(out, app, name)) {
                snprintf(why, why_cap, "a stream name is 1 to %d of the characters A-Z a-z 0-9 _ -", STREAM_ID_MAX);
                return ERR_DENIED;
        }
        struct span key = key_of(name);
        if (key.p == key.end)
                key = key_of(app);
        if (key.p == key.end)
                key = key_of(tc_url);
        if (!decode(out->key, sizeof(out->key), key)) {
                snprintf(why, why_cap, "a key has at most %zu characters", sizeof(out->key) - 1);
                return ERR_DENIED;
        }
        return 0;
}
