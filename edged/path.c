#include "edged/path.h"

#include <string.h>
#include <strings.h>

#include "proto/parts.h"
#include "proto/reload.h"

#define FILE_NAME_MAX 64

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int bad(struct path *out, enum path_kind kind, const char *why)
{
        out->kind = kind;
        out->why = why;
        return -1;
}

/* The target's path, decoded, into out->key. */
static int decode(const char *p, struct path *out)
{
        size_t n = 0;
        for (; *p && *p != '?' && *p != '#'; p++) {
                int c = (unsigned char)*p;
                if (c == '%') {
                        int hi = hex_value(p[1]), lo = hi < 0 ? -1 : hex_value(p[2]);
                        if (lo < 0)
                                return bad(out, PATH_BAD, "malformed percent-encoding in the path");
                        c = hi << 4 | lo;
                        p += 2;
                }
                if (c < 0x20 || c > 0x7e || c == '\\')
                        return bad(out, PATH_BAD, "the path holds a character that no name of ours has");
                if (n == KEY_MAX)
                        return bad(out, PATH_LONG, "the path is too long");
                out->key[n++] = (char)c;
        }
        out->key[n] = 0;
        out->key_len = n;
        return 0;
}

/* Every segment but the last must not be empty; none begins with a dot. */
static int check_segments(struct path *out)
{
        if (out->key[0] != '/')
                return bad(out, PATH_BAD, "the path does not begin with a slash");
        for (const char *s = out->key + 1; s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL) {
                if (*s == '.')
                        return bad(out, PATH_BAD, "a segment of the path begins with a dot");
                if (*s == '/')
                        return bad(out, PATH_BAD, "the path holds an empty segment");
        }
        return 0;
}

/* Of the web root: letters, digits, '_', '-', with dots between, one at least. */
static int is_file_name(const char *s)
{
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
        size_t n = strspn(s, allowed);
        return n > 0 && n <= FILE_NAME_MAX && s[n] == '\0' && s[0] != '.' && s[n - 1] != '.' && strchr(s, '.');
}

static bool take_part(struct path *out)
{
        if (!parts_take_name(out->key, &out->part, &out->part_chunks))
                return false;
        out->is_part = true;
        out->key_len = strlen(out->key);
        key_parse(&out->object, out->key);
        return out->object.kind == KEY_SEGMENT && !out->object.joined;
}

/* ".../v720/tail" begins with ".../v720/init.mp4". */
static bool cut_tail(struct path *out)
{
        static const char word[] = "/tail", init[] = "/init.mp4";
        char key[KEY_MAX + sizeof(init)];
        size_t folder_len = out->key_len - strlen(word);
        if (out->key_len < strlen(word) || strcmp(out->key + folder_len, word) != 0 || folder_len + strlen(init) > KEY_MAX)
                return false;
        memcpy(key, out->key, folder_len);
        memcpy(key + folder_len, init, sizeof(init));
        key_parse(&out->object, key);
        if (out->object.kind != KEY_INIT)
                return false;
        out->key_len = folder_len + strlen(init);
        memcpy(out->key, key, out->key_len + 1);
        return true;
}

static enum path_kind take_version(const char *target, struct path *out)
{
        const char *why = reload_take(&out->object, target + strcspn(target, "?#"));
        if (why) {
                bad(out, PATH_BAD, why);
                return PATH_BAD;
        }
        key_write_playlist(out->key, &out->object);
        out->key_len = strlen(out->key);
        return PATH_OBJECT;
}

/* A value of the query that is as short as those that are meant are; NULL: there is none. One that is longer is wrong in any case. */
static const char *value_of(const char *target, const char *name, char dst[16])
{
        const char *at = target + strcspn(target, "?#");
        while (*at == '?' || *at == '&') {
                size_t len = strcspn(++at, "=&#"), value_len = at[len] == '=' ? strcspn(at + len + 1, "&#") : 0;
                if (len == strlen(name) && memcmp(at, name, len) == 0) {
                        size_t n = value_len < 15 ? value_len : 15;
                        memcpy(dst, at + len + 1, n);
                        dst[n] = '\0';
                        return dst;
                }
                at += len + (at[len] == '=') + value_len;
        }
        return NULL;
}

/* "?from=90&to=150" of the whole recording stands for the name of the clip. */
static enum path_kind take_clip(const char *target, struct path *out)
{
        char from[16], to[16], track[16], why[KEY_WHY_MAX];
        if (value_of(target, "track", track)) {
                bad(out, PATH_BAD, "a track is a part of the path: SESSION/TRACK/recording.mp4");
                return PATH_BAD;
        }
        if (!key_cut_recording(&out->object, value_of(target, "from", from), value_of(target, "to", to), why)) {
                strcpy(out->key, why);
                bad(out, PATH_BAD, out->key);
                return PATH_BAD;
        }
        key_write_recording(out->key, &out->object);
        out->key_len = strlen(out->key);
        return PATH_RECORDING;
}

static enum path_kind classify(const char *target, struct path *out)
{
        const char *key = out->key;
        key_parse(&out->object, key);
        if (out->object.kind == KEY_PLAYLIST && !out->object.waits && !out->object.skips && !out->object.classic && !out->object.keys)
                return take_version(target, out);
        if (out->object.kind == KEY_RECORDING)
                return take_clip(target, out);
        if (key_is_public(out->object.kind) || (out->object.kind == KEY_NONE && take_part(out)))
                return PATH_OBJECT;
        if (out->object.kind == KEY_NONE && cut_tail(out))
                return PATH_TAIL;
        if (strcmp(key, "/time") == 0)
                return PATH_TIME;
        if (strncmp(key, "/cmcd/", 6) == 0 && stream_id_valid(key + 6)) {
                strcpy(out->object.stream, key + 6);
                return PATH_CMCD;
        }
        if (strcmp(key, "/steering") == 0)
                return PATH_STEERING;
        if (strcmp(key, "/load") == 0)
                return PATH_LOAD;
        if (strcmp(key, "/api/viewers") == 0)
                return PATH_VIEWERS;
        out->why = key_bad_page(key);
        if (out->why)
                return PATH_BAD;
        out->file = strcmp(key, "/") == 0                                                   ? "index.html"
                    : strncmp(key, "/watch/", 7) == 0 && stream_id_valid(key + 7)           ? "watch.html"
                    : strncmp(key, "/embed/", 7) == 0 && stream_id_valid(key + 7)           ? "watch.html"
                    : strncmp(key, "/web/", 5) == 0 && is_file_name(key + 5)                ? key + 5
                    : strcmp(key, "/favicon.ico") == 0 || strcmp(key, "/robots.txt") == 0   ? key + 1
                                                                                            : NULL;
        return out->file ? PATH_SITE : PATH_UNKNOWN;
}

bool path_is_known(const struct path *p)
{
        return p->kind == PATH_OBJECT || p->kind == PATH_TAIL || p->kind == PATH_RECORDING || p->kind == PATH_TIME || p->kind == PATH_STEERING ||
               p->kind == PATH_LOAD || p->kind == PATH_VIEWERS || p->kind == PATH_CMCD ||
               p->kind == PATH_SITE;
}

/* Cuts "/t/<token>" off the beginning; returns what is left, where nothing is as good as a slash. */
static const char *take_token(const char *target, struct path *out)
{
        if (strncmp(target, "/t/", 3) != 0)
                return target;
        out->token = target + 3;
        out->token_len = strcspn(out->token, "/?#");
        const char *rest = out->token + out->token_len;
        return *rest == '/' ? rest : "/";
}

void path_parse(const char *target, struct path *out)
{
        *out = (struct path){.kind = PATH_UNKNOWN};
        if (strcmp(target, "*") == 0) {
                out->kind = PATH_OPTIONS;
                return;
        }
        if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) { /* RFC 9112, 3.2.2 */
                target = strchr(target, ':') + 3;
                target += strcspn(target, "/?#");
                if (*target != '/')
                        target = "/";
        }
        target = take_token(target, out);
        if (decode(target, out) == 0 && check_segments(out) == 0)
                out->kind = classify(target, out);
}
