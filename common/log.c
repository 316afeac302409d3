#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define LINE_MAX_BYTES 2048

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static char node[80] = "-";
static atomic_int threshold = LOG_INFO;

void log_init(const char *node_id, enum log_level level)
{
        snprintf(node, sizeof(node), "%s", node_id);
        log_set_level(level);
}

void log_set_level(enum log_level level)
{
        atomic_store(&threshold, (int)level);
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

void log_line(enum log_level level, const char *fmt, ...)
{
        if (!log_enabled(level))
                return;
        char line[LINE_MAX_BYTES], ts[CLOCK_ISO_MAX];
        int n = snprintf(line, sizeof(line), "ts=%s level=%s node=%s ", clock_iso(ts, sizeof(ts), clock_real_us()),
                         level_names[level], node);
        va_list ap;
        va_start(ap, fmt);
        int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
        va_end(ap);
        size_t len = (size_t)n + (size_t)(m < 0 ? 0 : m);
        if (len > sizeof(line) - 2)
                len = sizeof(line) - 2;
        line[len++] = '\n';
        ssize_t written = write(STDERR_FILENO, line, len);
        (void)written;
}

char *log_quote(char *dst, size_t cap, const char *text)
{
        size_t n = 0;
        if (cap < 8) {
                if (cap)
                        dst[0] = '\0';
                return dst;
        }
        dst[n++] = '"';
        for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
                if (n + 8 > cap) {
                        n += (size_t)sprintf(dst + n, "…");
                        break;
                }
                if (*p == '"' || *p == '\\') {
                        dst[n++] = '\\';
                        dst[n++] = (char)*p;
                } else if (*p < 0x20 || *p == 0x7f) {
                        n += (size_t)sprintf(dst + n, "\\x%02x", *p);
                } else {
                        dst[n++] = (char)*p;
                }
        }
        dst[n++] = '"';
        dst[n] = '\0';
        return dst;
}
