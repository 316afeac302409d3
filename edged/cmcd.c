#include "edged/cmcd.h"

#include <string.h>

#define DIGITS_MAX 12
#define TIME_MAX_MS INT64_C(86400000) /* what lasts for longer than a day was not measured */
#define KBPS_MAX INT64_C(10000000)

/* Where in a report. PARAMETERS are read over, behind a value and inside a list. */
enum { KEY, VALUE, WORD, PARAMETERS, LIST, LIST_WORD, LIST_PARAMETERS };

/* A key as one number, so that it is found by a switch; 0: too long to be one that is counted. */
#define KEY_BYTES 8
#define NAME1(a) ((uint64_t)(a))
#define NAME2(a, b) (NAME1(a) << 8 | (b))
#define NAME3(a, b, c) (NAME2(a, b) << 8 | (c))

/* ---- values --------------------------------------------------------------------------------------------------------- */

static bool word_is(const struct cmcd_reader *r, const char *text)
{
        return r->word_len == strlen(text) && memcmp(r->word, text, r->word_len) == 0;
}

/* The whole part of a number that is not negative. */
static bool read_number(const struct cmcd_reader *r, int64_t most, int64_t *out)
{
        unsigned at = 0;
        *out = 0;
        if (r->is_string || r->word_len > CMCD_WORD_MAX)
                return false;
        for (; at < r->word_len && r->word[at] >= '0' && r->word[at] <= '9'; at++) {
                if (at == DIGITS_MAX)
                        return false;
                *out = *out * 10 + (r->word[at] - '0');
        }
        if (at == 0 || *out > most)
                return false;
        if (at < r->word_len && r->word[at++] != '.')
                return false;
        while (at < r->word_len && r->word[at] >= '0' && r->word[at] <= '9')
                at++;
        return at == r->word_len;
}

/* Of several the first. */
static void take_number(struct cmcd_reader *r, unsigned what, int64_t most, int64_t *at)
{
        int64_t n;
        if (r->report.says & what || !read_number(r, most, &n))
                return;
        *at = n;
        r->report.says |= what;
}

static void take_buffer(struct cmcd_reader *r)
{
        struct cmcd_report *p = &r->report;
        int64_t n;
        if (!read_number(r, TIME_MAX_MS, &n))
                return;
        p->buffer_ms = p->says & CMCD_BUFFER && p->buffer_ms < n ? p->buffer_ms : n;
        p->says |= CMCD_BUFFER;
}

/* Sound and picture stand still together: to add them up would count one stall twice. */
static void take_stalled(struct cmcd_reader *r)
{
        struct cmcd_report *p = &r->report;
        int64_t n;
        if (!read_number(r, TIME_MAX_MS, &n))
                return;
        p->stalled_ms = p->stalled_ms > n ? p->stalled_ms : n;
        p->says |= CMCD_STALLED;
}

static bool read_boolean(const struct cmcd_reader *r)
{
        return (r->word_len == 0 && !r->is_string) || word_is(r, "?1") || word_is(r, "true");
}

static enum cmcd_event read_event(const struct cmcd_reader *r)
{
        return word_is(r, "ps")   ? CMCD_PLAY_STATE
               : word_is(r, "e")  ? CMCD_ERROR
               : word_is(r, "rr") ? CMCD_RESPONSE_RECEIVED
                                  : CMCD_OTHER_EVENT;
}

static enum cmcd_state read_state(const struct cmcd_reader *r)
{
#define X(name, text, label)                                                                                           \
        if (word_is(r, text))                                                                                          \
                return CMCD_##name;
        CMCD_STATES(X)
#undef X
        return CMCD_NO_STATE;
}

/* A value, or one of a list, is whole; an empty word: the key came without one, which says yes. */
static void take_field(struct cmcd_reader *r)
{
        struct cmcd_report *p = &r->report;
        int64_t version;
        switch (r->key) {
        case NAME2('b', 'l'): take_buffer(r); break;
        case NAME3('m', 't', 'p'): take_number(r, CMCD_THROUGHPUT, KBPS_MAX, &p->throughput_kbps); break;
        case NAME3('l', 't', 'c'): take_number(r, CMCD_LATENCY, TIME_MAX_MS, &p->latency_ms); break;
        case NAME3('m', 's', 'd'): take_number(r, CMCD_STARTUP, TIME_MAX_MS, &p->startup_ms); break;
        case NAME3('b', 's', 'd'): take_stalled(r); break;
        case NAME2('r', 'c'): take_number(r, CMCD_RESPONSE, 999, &p->response); break;
        case NAME2('b', 's'): p->starved = read_boolean(r); break;
        case NAME2('s', 'u'): p->starting = read_boolean(r); break;
        case NAME2('o', 't'): p->of_sound = word_is(r, "a"); break;
        case NAME1('e'): p->event = read_event(r); break;
        case NAME3('s', 't', 'a'): p->state = read_state(r); break;
        case NAME1('v'): p->version = read_number(r, 99, &version) && version >= 2 ? 2 : 1; break;
        default: break;
        }
        r->word_len = 0;
        r->is_string = false;
}

/* ---- the grammar ----------------------------------------------------------------------------------------------------- */

static bool is_key_byte(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '*';
}

/* A word that is longer than any that counts is longer than CMCD_WORD_MAX, however much. */
static void add_to_word(struct cmcd_reader *r, char c)
{
        if (r->word_len < CMCD_WORD_MAX)
                r->word[r->word_len] = c;
        if (r->word_len <= CMCD_WORD_MAX)
                r->word_len++;
}

static void next_key(struct cmcd_reader *r)
{
        r->where = KEY;
        r->key = 0;
        r->has_key = false;
}

static void read_key(struct cmcd_reader *r, char c)
{
        if (c == '=' && r->has_key) {
                r->where = VALUE;
        } else if ((c == ',' || c == ';') && r->has_key) {
                take_field(r);
                next_key(r);
                r->where = c == ',' ? KEY : PARAMETERS;
        } else if (is_key_byte(c)) {
                r->key = r->has_key && r->key == 0 ? 0 : r->key >> 8 * (KEY_BYTES - 1) ? 0 : r->key << 8 | (unsigned char)c;
                r->has_key = r->any = true;
        } else if (c != ' ' || r->has_key) { /* a comma may have blanks behind it */
                r->broken = true;
        }
}

static void read_value(struct cmcd_reader *r, char c)
{
        if (c == '(') {
                r->where = LIST;
        } else if (c == ',' || c == ';') {
                r->broken = true;
        } else {
                r->where = WORD;
                add_to_word(r, c);
        }
}

static void read_word(struct cmcd_reader *r, char c)
{
        if (c != ',' && c != ';') {
                add_to_word(r, c);
                return;
        }
        take_field(r);
        if (c == ',')
                next_key(r);
        else
                r->where = PARAMETERS;
}

static void read_list(struct cmcd_reader *r, char c)
{
        if (c != ' ' && c != ')' && c != ';' && r->where != LIST_PARAMETERS) {
                r->where = LIST_WORD;
                add_to_word(r, c);
                return;
        }
        if (r->where == LIST_WORD)
                take_field(r);
        if (c == ')')
                r->where = PARAMETERS;
        else if (c == ' ')
                r->where = LIST;
        else
                r->where = LIST_PARAMETERS;
}

static void read_string(struct cmcd_reader *r, char c)
{
        if (r->escaped)
                r->escaped = false;
        else if (c == '\\')
                r->escaped = true;
        else if (c == '"')
                r->in_string = false;
}

/* Nothing that is counted is a string: what is in one is read over. */
static void begin_string(struct cmcd_reader *r)
{
        r->in_string = true;
        if (r->where == KEY || r->where == WORD || r->where == LIST_WORD) {
                r->broken = true;
        } else if (r->where == VALUE || r->where == LIST) {
                r->where = r->where == VALUE ? WORD : LIST_WORD;
                r->is_string = true;
        }
}

static void read_byte(struct cmcd_reader *r, char c)
{
        if (r->in_string)
                read_string(r, c);
        else if (c == '"')
                begin_string(r);
        else if (r->where == KEY)
                read_key(r, c);
        else if (r->where == VALUE)
                read_value(r, c);
        else if (r->where == WORD)
                read_word(r, c);
        else if (r->where != PARAMETERS)
                read_list(r, c);
        else if (c == ',')
                next_key(r);
}

/* The report is over; the reader is at the beginning of another one. */
static enum cmcd_result end_report(struct cmcd_reader *r, struct cmcd_report *out)
{
        r->broken |= r->in_string || r->where == VALUE || r->where >= LIST;
        if (!r->broken && (r->where == WORD || (r->where == KEY && r->has_key)))
                take_field(r);
        *out = r->report;
        out->version = out->version ? out->version : 1;
        enum cmcd_result result = r->broken ? CMCD_BROKEN : r->any ? CMCD_REPORT : CMCD_NOTHING;
        *r = (struct cmcd_reader){0};
        return result;
}

/* ---- where it comes from ------------------------------------------------------------------------------------------------ */

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *find_argument(const char *target)
{
        const char *p = strchr(target, '?');
        while (p && strncmp(p + 1, "CMCD=", 5) != 0)
                p = strchr(p + 1, '&');
        return p ? p + 6 : NULL;
}

enum cmcd_result cmcd_query(const char *target, struct cmcd_report *out)
{
        struct cmcd_reader r = {0};
        const char *p = find_argument(target);
        if (!p)
                return CMCD_NOTHING;
        for (; *p && *p != '&' && *p != '#'; p++) {
                int hi = *p == '%' ? hex_value(p[1]) : -1, lo = hi < 0 ? -1 : hex_value(p[2]);
                if (*p == '%' && lo < 0)
                        r.broken = true;
                read_byte(&r, lo < 0 ? *p : (char)(hi << 4 | lo));
                p += lo < 0 ? 0 : 2;
        }
        return end_report(&r, out);
}

enum cmcd_result cmcd_fields(const char *const values[CMCD_FIELDS], struct cmcd_report *out)
{
        struct cmcd_reader r = {0};
        bool first = true;
        for (int i = 0; i < CMCD_FIELDS; i++) {
                if (!values[i] || !*values[i])
                        continue;
                if (!first)
                        read_byte(&r, ',');
                for (const char *p = values[i]; *p; p++)
                        read_byte(&r, *p);
                first = false;
        }
        return end_report(&r, out);
}

static void end_line(struct cmcd_lines *l, cmcd_take take_report, void *arg)
{
        struct cmcd_report report;
        enum cmcd_result result = end_report(&l->reader, &report);
        if (result == CMCD_NOTHING)
                return;
        l->count++;
        take_report(arg, result, &report);
}

void cmcd_lines(struct cmcd_lines *l, const char *bytes, size_t len, cmcd_take take_report, void *arg)
{
        for (size_t i = 0; i < len && l->count < CMCD_LINES_MAX; i++) {
                if (bytes[i] == '\n')
                        end_line(l, take_report, arg);
                else if (bytes[i] != '\r')
                        read_byte(&l->reader, bytes[i]);
        }
}

void cmcd_lines_end(struct cmcd_lines *l, cmcd_take take_report, void *arg)
{
        if (l->count < CMCD_LINES_MAX)
                end_line(l, take_report, arg);
}
