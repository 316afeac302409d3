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

/* The value of the first parameter of one of these names ("key="; other may be NULL); p is NULL: there is none. */
static struct span parameter(const char *s, const char *name, const char *other)
{
        const char *query = strchr(s, '?'), *p = query ? query + 1 : "";
        while (*p) {
                const char *end = parameter_end(p);
                size_t skip = strncmp(p, name, strlen(name)) == 0               ? strlen(name)
                              : other && strncmp(p, other, strlen(other)) == 0 ? strlen(other)
                                                                                : 0;
                if (skip)
                        return (struct span){p + skip, end};
                p = *end ? end + 1 : end;
        }
        return (struct span){NULL, NULL};
}

static struct span key_of(const char *s)
{
        const char *query = strchr(s, '?');
        if (query && !strchr(query, '='))
                return (struct span){query + 1, query + strlen(query)};
        return parameter(s, "key=", "token=");
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

static bool take_key(struct rtmp_name *out, const char *const places[], size_t count)
{
        struct span key = {NULL, NULL};
        for (size_t i = 0; i < count && key.p == key.end; i++)
                key = key_of(places[i]);
        return decode(out->key, sizeof(out->key), key);
}

static bool take_role(struct rtmp_name *out, const char *const places[], size_t count)
{
        struct span value = {NULL, NULL};
        for (size_t i = 0; i < count && !value.p; i++)
                value = parameter(places[i], "backup=", NULL);
        if (!value.p)
                return true;
        out->role = *value.p == '1' ? OPEN_BACKUP : OPEN_NOW;
        return value.end == value.p + 1 && (*value.p == '0' || *value.p == '1');
}

static bool is_ours(const char *parameter)
{
        return strncmp(parameter, "key=", 4) == 0 || strncmp(parameter, "token=", 6) == 0 ||
               strncmp(parameter, "backup=", 7) == 0;
}

/* Parameters that are nobody's here, from the first place that has some. A query without any "=" is a key. */
static void take_query(struct rtmp_name *out, const char *const places[], size_t count)
{
        size_t n = 0;
        for (size_t i = 0; i < count && n == 0; i++) {
                const char *query = strchr(places[i], '?'), *p = query && strchr(query, '=') ? query + 1 : "";
                while (*p) {
                        const char *end = parameter_end(p);
                        size_t len = (size_t)(end - p);
                        if (!is_ours(p) && n + len + 2 <= sizeof(out->query))
                                n += (size_t)snprintf(out->query + n, sizeof(out->query) - n, "%s%.*s", n ? "&" : "",
                                                      (int)len, p);
                        p = *end ? end + 1 : end;
                }
        }
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
        const char *const places[] = {name, app, tc_url};
        if (!take_key(out, places, 3)) {
                snprintf(why, why_cap, "a key has at most %zu characters", sizeof(out->key) - 1);
                return ERR_DENIED;
        }
        if (!take_role(out, places, 3)) {
                snprintf(why, why_cap, "backup is 1 for a second broadcaster of the stream, or 0 to be seen at once");
                return ERR_DENIED;
        }
        take_query(out, places, 3);
        struct span app_path = path_of(app);
        snprintf(out->app, sizeof(out->app), "%.*s", (int)(app_path.end - app_path.p), app_path.p);
        return 0;
}
