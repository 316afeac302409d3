#include "originD/m3u8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

static void put_bytes(struct m3u8 *m, const char *bytes, size_t n)
{
        if (m->len + n > m->cap) {
                m->cap = (m->len + n) * 2 + 1024;
                m->text = mem_resize(m->text, m->cap);
        }
        memcpy(m->text + m->len, bytes, n);
        m->len += n;
}

void m3u8_put(struct m3u8 *m, const char *text)
{
        put_bytes(m, text, strlen(text));
}

#define BEHIND_MAX 16

static void put_second(struct m3u8 *m, int64_t n, const char *behind)
{
        static const char before[] = "#EXTINF:1.0,\n";
        size_t len = strlen(behind);
        char lines[sizeof(before) + 20 + BEHIND_MAX];
        size_t at = sizeof(lines) - len;
        assert(n >= 0 && len <= BEHIND_MAX);
        memcpy(lines + at, behind, len);
        do {
                lines[--at] = (char)('0' + n % 10);
                n /= 10;
        } while (n);
        at -= sizeof(before) - 1;
        memcpy(lines + at, before, sizeof(before) - 1);
        put_bytes(m, lines + at, sizeof(lines) - at);
}

void m3u8_second(struct m3u8 *m, int64_t n)
{
        put_second(m, n, ".m4s\n");
}

void m3u8_key(struct m3u8 *m, int64_t n)
{
        put_second(m, n, ".key.m4s\n");
}

void m3u8_fmt(struct m3u8 *m, const char *fmt, ...)
{
        va_list ap;
        char *text;
        va_start(ap, fmt);
        int n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0)
                abort();
        put_bytes(m, text, (size_t)n);
        free(text);
}

void m3u8_seconds(struct m3u8 *m, int64_t us)
{
        m3u8_fmt(m, "%" PRId64 ".%06" PRId64, us / US_PER_S, us % US_PER_S);
}

void m3u8_quoted(struct m3u8 *m, const char *text)
{
        m3u8_put(m, "\"");
        for (; *text; text++) {
                char c = *text == '"' ? '\'' : (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
                put_bytes(m, &c, 1);
        }
        m3u8_put(m, "\"");
}

struct buf *m3u8_end(struct m3u8 *m)
{
        struct buf *b = buf_copy(m->text, m->len);
        free(m->text);
        *m = (struct m3u8){0};
        return b;
}
