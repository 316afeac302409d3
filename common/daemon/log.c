#include "common/daemon/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log_json.h"
#include "common/utf8.h"

#define LINE_MAX_BYTES 2048
#define JSON_MAX_BYTES 4096 /* PIPE_BUF: a longer write to a pipe may be torn by another */

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const int priorities[] = {7, 6, 4, 3}; /* syslog's, which the journal takes in front of a line */
static char node[80] = "-";
static bool to_journal;
static _Atomic(const char *) json_daemon; /* NULL: logfmt */
static atomic_int threshold = LOG_INFO;
static atomic_bool told_fatal; /* the last line was written */

/* JOURNAL_STREAM is device:inode of what systemd connected; a service may have been given another standard error since. */
static bool is_journal(void)
{
        const char *text = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;
        return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *node_id, enum log_level level)
{
        snprintf(node, sizeof(node), "%s", node_id);
        to_journal = is_journal();
        log_set_level(level);
}

void log_set_json(const char *daemon)
{
        atomic_store(&json_daemon, daemon);
}

void log_set_level(enum log_level level)
{
        atomic_store(&threshold, (int)level);
}

enum log_level log_level_now(void)
{
        return (enum log_level)atomic_load(&threshold);
}

const char *log_level_name(enum log_level level)
{
        return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *out)
{
        for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
                if (strcmp(name, level_names[i]) == 0) {
                        *out = (enum log_level)i;
                        return true;
                }
        }
        return false;
}

bool log_enabled(enum log_level level)
{
        return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* Whatever a caller let through unquoted, a line stays one line. */
static void flatten(char *text)
{
        for (unsigned char *p = (unsigned char *)text; *p; p++) {
                if (*p < 0x20 || *p == 0x7f)
                        *p = ' ';
        }
}

static size_t in_logfmt(char *dst, size_t cap, const struct log_head *head, const char *text)
{
        int n = snprintf(dst, cap, "%s%s%slevel=%s node=%s %s", to_journal ? "" : "ts=", to_journal ? "" : head->ts,
                         to_journal ? "" : " ", head->level, head->node, text);
        size_t len = n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
        dst[len++] = '\n'; /* where the zero byte was */
        return len;
}

__attribute__((format(printf, 2, 0))) static void write_line(enum log_level level, const char *fmt, va_list ap)
{
        char text[LINE_MAX_BYTES], line[JSON_MAX_BYTES], ts[CLOCK_ISO_MAX];
        if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
                text[0] = '\0';
        flatten(text);
        const struct log_head head = {clock_iso(ts, sizeof(ts), clock_real_us()), level_names[level], node,
                                      atomic_load(&json_daemon)};
        size_t len = to_journal ? (size_t)snprintf(line, sizeof(line), "<%d>", priorities[level]) : 0;
        if (head.daemon)
                len += log_json(line + len, sizeof(line) - len, &head, fmt, text);
        else
                len += in_logfmt(line + len, LINE_MAX_BYTES - len, &head, text);
        ssize_t written = write(STDERR_FILENO, line, len);
        (void)written;
}

__attribute__((format(printf, 2, 3))) static void write_text(enum log_level level, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        write_line(level, fmt, ap);
        va_end(ap);
}

/* What a format has as its message, which says best what it is about: "refused" of `stream=%s msg=\"refused\"`. */
static const char *message_of(char *dst, size_t cap, const char *fmt)
{
        const char *at = strstr(fmt, "msg=\"");
        at = at ? at + strlen("msg=\"") : fmt;
        snprintf(dst, cap, "%.*s", (int)strcspn(at, "\""), at);
        return dst;
}

static void tell(const struct log_more *more)
{
        char message[160], quoted[200], peer[2 * LOG_PEER_NAME];
        log_quote(quoted, sizeof(quoted), message_of(message, sizeof(message), more->fmt));
        if (more->of_peer)
                write_text(more->level, "more=%u of=%s at=%s peer=%s of_peer=%u msg=\"and %u more of these lines\"", more->count, quoted,
                           more->place, log_quote(peer, sizeof(peer), more->peer), more->of_peer, more->count);
        else
                write_text(more->level, "more=%u of=%s at=%s msg=\"and %u more of these lines\"", more->count, quoted, more->place,
                           more->count);
}

void log_write(struct log_site *site, const char *peer, enum log_level level, const char *fmt, ...)
{
        struct log_more more;
        bool may = log_site_take(site, peer, level, fmt, clock_mono_us(), &more);
        if (more.count)
                tell(&more);
        if (!may)
                return;
        va_list ap;
        va_start(ap, fmt);
        write_line(level, fmt, ap);
        va_end(ap);
}

void log_tick(int64_t mono_us)
{
        struct log_more more;
        while (log_site_due(mono_us, &more))
                tell(&more);
}

/* Two digits, or as many as width says. */
static char *put_number(char *at, int64_t number, int width)
{
        for (int i = width - 1; i >= 0; i--, number /= 10)
                at[i] = (char)('0' + number % 10);
        return at + width;
}

/* As clock_iso(), without the C library, whose gmtime_r() takes a lock. Years begin in March, so that a leap day is the last one. */
static void put_time(char *dst, int64_t real_us)
{
        int64_t ms = real_us / US_PER_MS, s = ms / 1000, days = s / 86400 + 719468;
        int64_t era = days / 146097, of_era = days % 146097;
        int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        int64_t day = of_era - (365 * year + year / 4 - year / 100), month = (5 * day + 2) / 153;
        dst = put_number(dst, year + era * 400 + (month >= 10), 4);
        *dst++ = '-';
        dst = put_number(dst, month < 10 ? month + 3 : month - 9, 2);
        *dst++ = '-';
        dst = put_number(dst, day - (153 * month + 2) / 5 + 1, 2);
        for (int i = 0; i < 3; i++) {
                static const int units[] = {3600, 60, 1}, wraps[] = {24, 60, 60};
                *dst++ = "T::"[i];
                dst = put_number(dst, s / units[i] % wraps[i], 2);
        }
        *dst++ = '.';
        dst = put_number(dst, ms % 1000, 3);
        *dst++ = 'Z';
        *dst = '\0';
}

static char *put_text(char *at, const char *end, const char *text)
{
        while (*text && at < end)
                *at++ = *text++;
        return at;
}

void log_last(const char *text)
{
        char line[512], ts[CLOCK_ISO_MAX];
        const char *daemon = atomic_load(&json_daemon), *end = line + sizeof(line) - 1;
        const char *logfmt[] = {to_journal ? "<3>" : "ts=", to_journal ? "" : ts, to_journal ? "" : " ", "level=error node=", node,
                                " msg=\"", text, "\"\n"};
        const char *json[] = {to_journal ? "<3>" : "", "{\"ts\":\"", ts, "\",\"level\":\"error\",\"node\":\"", node, "\",\"daemon\":\"",
                              daemon ? daemon : "", "\",\"msg\":\"", text, "\"}\n"};
        const char **parts = daemon ? json : logfmt;
        char *at = line;
        if (atomic_load(&told_fatal))
                return;
        put_time(ts, clock_real_us());
        for (size_t i = 0; i < (daemon ? sizeof(json) : sizeof(logfmt)) / sizeof(*parts); i++)
                at = put_text(at, end, parts[i]);
        ssize_t written = write(STDERR_FILENO, line, (size_t)(at - line));
        (void)written;
}

void log_fatal(const char *fmt, ...)
{
        atomic_store(&told_fatal, true);
        log_tick(INT64_MAX);
        va_list ap;
        va_start(ap, fmt);
        write_line(LOG_ERROR, fmt, ap);
        va_end(ap);
}

#define QUOTE_ROOM 9 /* one character, escaped; then …, the quote and the zero byte */

char *log_quote(char *dst, size_t cap, const char *text)
{
        size_t n = 0;
        if (cap < 8) {
                if (cap)
                        dst[0] = '\0';
                return dst;
        }
        dst[n++] = '"';
        size_t left = strlen(text), len;
        for (const unsigned char *p = (const unsigned char *)text; left; p += len, left -= len) {
                if (n + QUOTE_ROOM > cap) {
                        n += (size_t)sprintf(dst + n, "…");
                        break;
                }
                size_t utf8 = utf8_len(p, left);
                len = utf8 ? utf8 : 1;
                if (*p == '"' || *p == '\\') {
                        dst[n++] = '\\';
                        dst[n++] = (char)*p;
                } else if (*p < 0x20 || *p == 0x7f || utf8 == 0) {
                        n += (size_t)sprintf(dst + n, "\\x%02x", *p);
                } else {
                        memcpy(dst + n, p, len);
                        n += len;
                }
        }
        dst[n++] = '"';
        dst[n] = '\0';
        return dst;
}
