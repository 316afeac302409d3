#include "common/daemon/log_json.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

#define KEYS_MAX 40
#define END_CUT "\",\"cut\":true}\n" /* the most that can be needed to end the object: a string's quote, and this */
#define REPLACEMENT "\xef\xbf\xbd"

struct key {
        const char *name;
        size_t len;
};

struct object {
        char *at;
        const char *end; /* room for END_CUT is behind it */
        bool cut;
        struct key keys[KEYS_MAX];
        size_t count;
};

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static size_t room(const struct object *o)
{
        return o->at < o->end ? (size_t)(o->end - o->at) : 0;
}

static void put(struct object *o, const char *bytes, size_t len)
{
        if (o->cut || room(o) < len) {
                o->cut = true;
                return;
        }
        memcpy(o->at, bytes, len);
        o->at += len;
}

/* One character of a string; `c` stands for itself unless JSON wants it escaped. */
static void put_escaped(struct object *o, unsigned char c)
{
        char text[8] = {(char)c};
        size_t len = 1;
        if (c == '"' || c == '\\')
                len = (size_t)snprintf(text, sizeof(text), "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
                len = (size_t)snprintf(text, sizeof(text), "\\u%04x", c);
        put(o, text, len);
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The \xNN that log_quote() made at p; -1: there is none. */
static int escaped_byte(const char *p, size_t left)
{
        if (left < 4 || p[0] != '\\' || p[1] != 'x' || hex_digit(p[2]) < 0 || hex_digit(p[3]) < 0)
                return -1;
        return hex_digit(p[2]) * 16 + hex_digit(p[3]);
}

/* The characters of a string, without its quotes. quoted: as log_quote() wrote them. */
static void put_text(struct object *o, const char *p, size_t left, bool quoted)
{
        while (left && !o->cut) {
                size_t len = utf8_len((const unsigned char *)p, left);
                int byte = quoted ? escaped_byte(p, left) : -1;
                if (byte >= 0) {
                        len = 4;
                        if (byte < 0x80)
                                put_escaped(o, (unsigned char)byte);
                        else
                                put(o, REPLACEMENT, strlen(REPLACEMENT));
                } else if (quoted && *p == '\\' && left > 1 && (p[1] == '"' || p[1] == '\\')) {
                        len = 2;
                        put_escaped(o, (unsigned char)p[1]);
                } else if (len == 0) {
                        len = 1;
                        put(o, REPLACEMENT, strlen(REPLACEMENT));
                } else if (len == 1) {
                        put_escaped(o, (unsigned char)*p);
                } else {
                        put(o, p, len);
                }
                p += len;
                left -= len;
        }
}

static size_t times_seen(const struct object *o, const char *name, size_t len)
{
        size_t n = 0;
        for (size_t i = 0; i < o->count; i++)
                n += o->keys[i].len == len && memcmp(o->keys[i].name, name, len) == 0;
        return n;
}

/* A member's beginning, up to its colon. False, and nothing is written: there is no room for it and a short value. */
static bool begin_member(struct object *o, const char *name, size_t len)
{
        char suffix[24] = "";
        size_t seen = times_seen(o, name, len);
        if (seen)
                snprintf(suffix, sizeof(suffix), "_%zu", seen + 1);
        if (o->cut || o->count == KEYS_MAX || room(o) < len + strlen(suffix) + 16) {
                o->cut = true;
                return false;
        }
        o->keys[o->count++] = (struct key){name, len};
        put(o, o->at[-1] == '{' ? "\"" : ",\"", o->at[-1] == '{' ? 1 : 2);
        put(o, name, len);
        put(o, suffix, strlen(suffix));
        put(o, "\":", 2);
        return true;
}

static void put_string(struct object *o, const char *name, size_t name_len, const char *text, size_t len, bool quoted)
{
        if (!begin_member(o, name, name_len))
                return;
        put(o, "\"", 1);
        put_text(o, text, len, quoted);
        *o->at++ = '"'; /* there is always room for that */
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

#define DIGITS_MAX 18 /* more do not fit into the integers of those who read it */

/* JSON's own grammar, without exponents: nothing here writes them. */
static bool is_number(const char *p, size_t len)
{
        const char *end = p + len;
        if (len > DIGITS_MAX + 1)
                return false;
        if (p < end && *p == '-')
                p++;
        if (p == end || !isdigit((unsigned char)*p) || (*p == '0' && p + 1 < end && p[1] != '.'))
                return false;
        while (p < end && isdigit((unsigned char)*p))
                p++;
        if (p == end)
                return true;
        if (*p++ != '.' || p == end)
                return false;
        while (p < end && isdigit((unsigned char)*p))
                p++;
        return p == end;
}

static bool converts_number(const char *p)
{
        if (*p != '%') /* the caller wrote the value itself */
                return isdigit((unsigned char)*p) || *p == '-';
        p++;
        p += strspn(p, "-+ #0123456789.*");
        p += strspn(p, "hlLjzt");
        return *p && strchr("diufFeEgG", *p) && (p[1] == '\0' || p[1] == ' ');
}

static bool number_in_format(const char *fmt, const char *name, size_t len)
{
        for (const char *p = fmt; (p = strchr(p, '=')); p++) {
                if ((size_t)(p - fmt) >= len && memcmp(p - len, name, len) == 0 && (p - len == fmt || p[-1 - (long)len] == ' '))
                        return converts_number(p + 1);
        }
        return false;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool is_key_char(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

/* Behind the value's opening quote: how long it is. It ends with a quote that is not escaped, or with the line. */
static size_t quoted_len(const char *p)
{
        size_t n = 0;
        while (p[n] && p[n] != '"')
                n += p[n] == '\\' && p[n + 1] ? 2 : 1;
        return n;
}

/* The pair at p, whose key has key_len bytes; returns what is behind it. */
static const char *take_pair(struct object *o, const char *p, size_t key_len, const char *fmt)
{
        const char *key = p, *value = p + key_len + 1;
        if (*value == '"') {
                size_t len = quoted_len(++value);
                put_string(o, key, key_len, value, len, true);
                return value + len + (value[len] == '"');
        }
        size_t len = strcspn(value, " ");
        if (is_number(value, len) && number_in_format(fmt, key, key_len)) {
                /* a number that is cut would be another one */
                if (room(o) > key_len + len + 24 && begin_member(o, key, key_len))
                        put(o, value, len);
                else
                        o->cut = true;
        } else {
                put_string(o, key, key_len, value, len, false);
        }
        return value + len;
}

size_t log_json(char *dst, size_t cap, const struct log_head *head, const char *fmt, const char *text)
{
        const char *const heads[] = {"ts", head->ts, "level", head->level, "node", head->node, "daemon", head->daemon};
        char words[256];
        size_t words_len = 0;
        assert(cap >= LOG_JSON_CAP_MIN);
        struct object o = {.at = dst, .end = dst + cap - sizeof(END_CUT)};
        put(&o, "{", 1);
        for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i += 2)
                put_string(&o, heads[i], strlen(heads[i]), heads[i + 1], strlen(heads[i + 1]), false);
        for (const char *p = text; *p && !o.cut;) {
                size_t key_len = 0, len = strcspn(p, " ");
                while (is_key_char(p[key_len]))
                        key_len++;
                if (*p == ' ') {
                        p++;
                } else if (key_len && p[key_len] == '=') {
                        p = take_pair(&o, p, key_len, fmt);
                } else {
                        if (words_len + len + 1 < sizeof(words)) {
                                words_len += words_len ? (words[words_len] = ' ', 1) : 0;
                                memcpy(words + words_len, p, len);
                                words_len += len;
                        }
                        p += len;
                }
        }
        if (words_len)
                put_string(&o, "text", 4, words, words_len, false);
        const char *tail = o.cut ? &END_CUT[1] : "}\n";
        memcpy(o.at, tail, strlen(tail));
        return (size_t)(o.at - dst) + strlen(tail);
}
