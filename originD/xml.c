#include "originD/xml.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static void put_bytes(struct xml *x, const char *s, size_t n)
{
        if (x->len + n > x->cap) {
                x->cap = (x->len + n) * 2 + 1024;
                x->text = mem_resize(x->text, x->cap);
        }
        memcpy(x->text + x->len, s, n);
        x->len += n;
}

static void put(struct xml *x, const char *s)
{
        put_bytes(x, s, strlen(s));
}

static void put_escaped(struct xml *x, const char *s)
{
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;
                if (c == '&')
                        put(x, "&amp;");
                else if (c == '<')
                        put(x, "&lt;");
                else if (c == '>')
                        put(x, "&gt;");
                else if (c == '"')
                        put(x, "&quot;");
                else if (strncmp(s, "\xef\xbf\xbe", 3) == 0 || strncmp(s, "\xef\xbf\xbf", 3) == 0)
                        s += 2; /* U+FFFE and U+FFFF cannot stand in XML either */
                else if (c >= ' ' || c == '\n' || c == '\t') /* other controls cannot stand in XML 1.0 at all */
                        put_bytes(x, s, 1);
        }
}

static void new_line(struct xml *x)
{
        static const char spaces[2 * XML_DEPTH_MAX + 1] = "                                ";
        put(x, "\n");
        put_bytes(x, spaces, 2 * x->depth);
}

void xml_begin(struct xml *x)
{
        *x = (struct xml){0};
        put(x, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
}

static void end_tag(struct xml *x)
{
        if (x->in_tag)
                put(x, ">");
        x->in_tag = false;
}

void xml_open(struct xml *x, const char *name)
{
        assert(x->depth < XML_DEPTH_MAX);
        end_tag(x);
        new_line(x);
        put(x, "<");
        put(x, name);
        x->open[x->depth++] = name;
        x->in_tag = true;
        x->has_text = false;
}

void xml_attr(struct xml *x, const char *name, const char *value)
{
        assert(x->in_tag);
        put(x, " ");
        put(x, name);
        put(x, "=\"");
        put_escaped(x, value);
        put(x, "\"");
}

void xml_attr_fmt(struct xml *x, const char *name, const char *fmt, ...)
{
        char value[512];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(value, sizeof(value), fmt, ap);
        va_end(ap);
        assert(n >= 0 && (size_t)n < sizeof(value));
        xml_attr(x, name, value);
}

void xml_attr_int(struct xml *x, const char *name, int64_t value)
{
        xml_attr_fmt(x, name, "%" PRId64, value);
}

void xml_text(struct xml *x, const char *text)
{
        end_tag(x);
        put_escaped(x, text);
        x->has_text = true;
}

void xml_close(struct xml *x)
{
        assert(x->depth > 0);
        const char *name = x->open[--x->depth];
        if (x->in_tag) {
                put(x, "/>");
                x->in_tag = false;
        } else {
                if (!x->has_text)
                        new_line(x);
                put(x, "</");
                put(x, name);
                put(x, ">");
        }
        x->has_text = false;
}

struct buf *xml_end(struct xml *x)
{
        assert(x->depth == 0 && !x->in_tag);
        put(x, "\n");
        struct buf *b = buf_copy(x->text, x->len);
        free(x->text);
        *x = (struct xml){0};
        return b;
}
