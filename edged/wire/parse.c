#include "edged/wire/parse.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX 32

/* What is left of the bytes; at == end: more is needed. */
struct cursor {
        char *at, *end;
};

struct span {
        char *from, *to;
};

/* What a scan says, or an enum parse_fault between them. */
enum { SCANNED = PARSE_OK, MORE = PARSE_FAULT_END };

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

static bool is_token(char c)
{
        static const char table[256] = {
                ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
                ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1};
        return table[(unsigned char)c];
}

static bool is_visible(char c)
{
        return c > ' ' && c < 0x7f;
}

/* A tab, and all that is not a control character: old encodings are let pass unread. */
static bool is_value(char c)
{
        return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static struct span take_span(struct cursor *c, bool (*is)(char))
{
        struct span s = {c->at, c->at};
        while (s.to < c->end && is(*s.to))
                s.to++;
        c->at = s.to;
        return s;
}

static size_t length(struct span s)
{
        return (size_t)(s.to - s.from);
}

static bool says(struct span s, const char *word)
{
        return length(s) == strlen(word) && strncasecmp(s.from, word, length(s)) == 0;
}

/* Exactly this, or as much of it as there is. */
static int literal(struct cursor *c, const char *text, int fault)
{
        for (; *text; text++, c->at++) {
                if (c->at == c->end)
                        return MORE;
                if (*c->at != *text)
                        return fault;
        }
        return SCANNED;
}

/* ---- the request line --------------------------------------------------------------------------------------------------- */

struct line {
        struct span method, target;
        bool http_1_0;
};

static int scan_version(struct cursor *c, struct line *l)
{
        int said = literal(c, "HTTP/", PARSE_LINE);
        if (said != SCANNED)
                return said;
        for (int i = 0; i < 3; i++) {
                if (c->at + i == c->end)
                        return MORE;
                if (i == 1 ? c->at[i] != '.' : !is_digit(c->at[i]))
                        return PARSE_LINE;
        }
        if (c->at[0] != '1')
                return PARSE_VERSION;
        l->http_1_0 = c->at[2] == '0'; /* 1.2 and up are to be answered as 1.1 (RFC 9110, 2.5) */
        c->at += 3;
        return literal(c, "\r\n", PARSE_LINE);
}

static int scan_line(struct cursor *c, struct line *l)
{
        if (c->at < c->end && *c->at == '\r') {
                int said = literal(c, "\r\n", PARSE_LINE);
                if (said != SCANNED)
                        return said;
        }
        l->method = take_span(c, is_token);
        if (length(l->method) > METHOD_MAX)
                return PARSE_LINE;
        if (c->at == c->end)
                return MORE;
        if (length(l->method) == 0 || *c->at++ != ' ')
                return PARSE_LINE;
        l->target = take_span(c, is_visible);
        if (length(l->target) > PARSE_TARGET_MAX)
                return PARSE_TARGET;
        if (c->at == c->end)
                return MORE;
        if (length(l->target) == 0 || *c->at++ != ' ')
                return PARSE_LINE;
        return scan_version(c, l);
}

static enum parse_method method_of(struct span s)
{
        static const char *const names[] = {[METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_OPTIONS] = "OPTIONS", [METHOD_POST] = "POST"};
        enum parse_method m = METHOD_GET;
        while (m < METHOD_OTHER && (length(s) != strlen(names[m]) || memcmp(s.from, names[m], length(s)) != 0))
                m++;
        return m;
}

static bool has_beginning(struct span s, const char *text)
{
        return length(s) > strlen(text) && strncasecmp(s.from, text, strlen(text)) == 0;
}

static bool is_target(struct span s, enum parse_method m)
{
        return m == METHOD_OTHER || *s.from == '/' || has_beginning(s, "http://") || has_beginning(s, "https://") ||
               says(s, "*") /* there is nothing of that name, but for OPTIONS */;
}

/* ---- fields ----------------------------------------------------------------------------------------------------------- */

struct fields {
        unsigned count;
        struct span known[PARSE_FIELD_COUNT]; /* from NULL: it is not there */
        bool closes, keeps;                   /* Connection says so */
};

static const struct {
        const char *name;
        size_t len;
} rows[PARSE_FIELD_COUNT] = {
#define X(name, text) [FIELD_##name] = {text, sizeof(text) - 1},
        PARSE_FIELDS(X)
#undef X
};

/* What is wrong when it is there twice. PARSE_OK: nothing. */
static int twice(enum parse_field f)
{
        return f == FIELD_HOST                ? PARSE_HOST
               : f == FIELD_CONTENT_LENGTH    ? PARSE_FRAMING
               : f == FIELD_TRANSFER_ENCODING ? PARSE_FRAMING
               : f == FIELD_RANGE || f == FIELD_IF_RANGE || f == FIELD_AUTHORIZATION ? PARSE_FIELD
                                                                                     : PARSE_OK;
}

static enum parse_field field_of(struct span name)
{
        enum parse_field f = 0;
        while (f < PARSE_FIELD_COUNT && (rows[f].len != length(name) || strncasecmp(rows[f].name, name.from, rows[f].len) != 0))
                f++;
        return f;
}

/* Words between commas. */
static void read_connection(struct fields *fs, struct span value)
{
        while (value.from < value.to) {
                struct span word = {value.from, memchr(value.from, ',', length(value))};
                word.to = word.to ? word.to : value.to;
                value.from = word.to < value.to ? word.to + 1 : value.to;
                while (word.from < word.to && is_blank(*word.from))
                        word.from++;
                while (word.to > word.from && is_blank(word.to[-1]))
                        word.to--;
                fs->closes |= says(word, "close");
                fs->keeps |= says(word, "keep-alive");
        }
}

static int keep_field(struct fields *fs, enum parse_field f, struct span value)
{
        if (f == PARSE_FIELD_COUNT)
                return SCANNED;
        if (f == FIELD_CONNECTION)
                read_connection(fs, value);
        if (fs->known[f].from && twice(f) != PARSE_OK)
                return twice(f);
        if (!fs->known[f].from || f == FIELD_X_FORWARDED_FOR)
                fs->known[f] = value;
        return SCANNED;
}

static int scan_field(struct cursor *c, struct fields *fs)
{
        struct span name = take_span(c, is_token);
        if (c->at == c->end)
                return MORE;
        if (length(name) == 0 || *c->at++ != ':')
                return PARSE_FIELD;
        take_span(c, is_blank);
        struct span value = take_span(c, is_value);
        int said = literal(c, "\r\n", PARSE_FIELD);
        if (said != SCANNED)
                return said;
        while (value.to > value.from && is_blank(value.to[-1]))
                value.to--;
        return ++fs->count > PARSE_FIELDS_MAX ? PARSE_LARGE : keep_field(fs, field_of(name), value);
}

/* All of them, and the empty line. */
static int scan_fields(struct cursor *c, struct fields *fs)
{
        while (c->at < c->end && *c->at != '\r') {
                int said = scan_field(c, fs);
                if (said != SCANNED)
                        return said;
        }
        return literal(c, "\r\n", PARSE_FIELD);
}

/* ---- what it means ------------------------------------------------------------------------------------------------------ */

/* A name or an address, a port perhaps, or nothing (RFC 9112, 3.2). */
static bool is_host(struct span s)
{
        for (const char *p = s.from; p < s.to; p++) {
                if (!is_visible(*p) || strchr("/?#@\\,<>\"{}|^`", *p))
                        return false;
        }
        return true;
}

static int judge_host(const struct line *l, const struct fields *fs)
{
        struct span host = fs->known[FIELD_HOST];
        return host.from ? is_host(host) ? PARSE_OK : PARSE_HOST : l->http_1_0 ? PARSE_OK : PARSE_HOST;
}

/* More than is skipped is more than is skipped, however much. */
static int read_length(struct span s, uint64_t *out)
{
        *out = 0;
        for (const char *p = s.from; p < s.to; p++) {
                if (!is_digit(*p))
                        return PARSE_LENGTH;
                *out = *out > PARSE_BODY_MAX ? *out : *out * 10 + (uint64_t)(*p - '0');
        }
        return length(s) > 0 ? PARSE_OK : PARSE_LENGTH;
}

/* Of a request that nobody wants the body of: what is announced and not read ends the connection. */
static int judge_body(const struct line *l, const struct fields *fs, struct parse_head *out)
{
        struct span coding = fs->known[FIELD_TRANSFER_ENCODING], size = fs->known[FIELD_CONTENT_LENGTH];
        uint64_t bytes = 0;
        int fault = size.from ? read_length(size, &bytes) : PARSE_OK;
        if (fault)
                return fault;
        if (coding.from && (size.from || l->http_1_0))
                return PARSE_FRAMING;
        if (coding.from && !says(coding, "chunked"))
                return PARSE_CODING;
        bool unread = out->method == METHOD_POST && (coding.from || bytes > PARSE_BODY_MAX || fs->known[FIELD_EXPECT].from);
        if (out->method == METHOD_OTHER || unread) { /* answered at once, whatever the path */
                out->closes |= coding.from || size.from;
                return PARSE_OK;
        }
        if (coding.from)
                return PARSE_NO_LENGTH;
        if (bytes > PARSE_BODY_MAX)
                return PARSE_BODY;
        if (!fs->known[FIELD_EXPECT].from || l->http_1_0)
                out->body_bytes = bytes;
        else if (!says(fs->known[FIELD_EXPECT], "100-continue"))
                return PARSE_EXPECT;
        else if (bytes > 0) /* the answer comes at once, instead of a word to go on (RFC 9110, 10.1.1) */
                out->closes = true;
        return PARSE_OK;
}

static void end_texts(const struct line *l, const struct fields *fs, struct parse_head *out)
{
        out->target = l->target.from;
        *l->target.to = '\0';
        for (int f = 0; f < PARSE_FIELD_COUNT; f++) {
                out->fields[f] = fs->known[f].from;
                if (out->fields[f])
                        *fs->known[f].to = '\0';
        }
}

ssize_t parse_head(char *bytes, size_t len, struct parse_head *out)
{
        struct cursor c = {bytes, bytes + len};
        struct line l = {0};
        struct fields fs = {0};
        assert(len <= PARSE_HEAD_MAX);
        int said = scan_line(&c, &l);
        *out = (struct parse_head){.http_1_0 = l.http_1_0};
        if (said == SCANNED) {
                out->method = method_of(l.method);
                said = is_target(l.target, out->method) ? scan_fields(&c, &fs) : PARSE_LINE;
        }
        if (said == MORE)
                return len < PARSE_HEAD_MAX ? 0 : -PARSE_LARGE;
        out->closes = fs.closes || (l.http_1_0 && !fs.keeps);
        said = said ? said : judge_host(&l, &fs);
        said = said ? said : judge_body(&l, &fs, out);
        if (said)
                return -said;
        end_texts(&l, &fs, out);
        return c.at - bytes;
}

void parse_move(struct parse_head *h, const char *from, char *to)
{
        h->target = to + (h->target - from);
        for (int f = 0; f < PARSE_FIELD_COUNT; f++) {
                if (h->fields[f])
                        h->fields[f] = to + (h->fields[f] - from);
        }
}

static const struct {
        unsigned status;
        const char *words;
} faults[] = {
        {200, ""},
#define X(name, status, label, words) {status, words},
        PARSE_FAULTS(X)
#undef X
};

unsigned parse_status(enum parse_fault f)
{
        return faults[f].status;
}

const char *parse_words(enum parse_fault f)
{
        return faults[f].words;
}
