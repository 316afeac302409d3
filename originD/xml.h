/* xml.h - writes a small XML document: elements, attributes, text; escaped, indented, well-formed as long as every open has
 * its close (asserted at the end). */
#ifndef ORIGIND_XML_H
#define ORIGIND_XML_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

#define XML_DEPTH_MAX 16

struct xml {
        char *text;
        size_t len, cap;
        const char *open[XML_DEPTH_MAX]; /* names of the open elements: string constants */
        unsigned depth;
        bool in_tag, has_text;
};

void xml_begin(struct xml *x);
void xml_open(struct xml *x, const char *name);
void xml_attr(struct xml *x, const char *name, const char *value);
void xml_attr_int(struct xml *x, const char *name, int64_t value);
void xml_attr_fmt(struct xml *x, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void xml_text(struct xml *x, const char *text);
void xml_close(struct xml *x);
struct buf *xml_end(struct xml *x); /* the document; x is empty again */

#endif
