#include "edged/wire/answer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define HEAD_FIRST 640 /* what those of objects need */

static const char *reason(unsigned status)
{
        switch (status) {
        case 200: return "OK";
        case 204: return "No Content";
        case 206: return "Partial Content";
        case 304: return "Not Modified";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 411: return "Length Required";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 416: return "Range Not Satisfiable";
        case 417: return "Expectation Failed";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 505: return "HTTP Version Not Supported";
        default: return "";
        }
}

static void append(struct answer *a, const char *text, size_t len)
{
        while (a->head_len + len > a->head_cap) {
                a->head_cap = a->head_cap ? 2 * a->head_cap : HEAD_FIRST;
                a->head = mem_resize(a->head, a->head_cap);
        }
        memcpy(a->head + a->head_len, text, len);
        a->head_len += len;
}

void answer_add(struct answer *a, const char *name, const char *value)
{
        append(a, name, strlen(name));
        append(a, ": ", 2);
        append(a, value, strlen(value));
        append(a, "\r\n", 2);
}

static struct answer *begin(unsigned status)
{
        char line[64];
        struct answer *a = mem_alloc(sizeof(*a));
        atomic_init(&a->refs, 1);
        a->status = status;
        snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", status, reason(status));
        append(a, line, strlen(line));
        return a;
}

/* An answer that never has a body says nothing of a length: a 304's would be that of what it is not (RFC 9110, 8.6). */
static struct answer *with_bytes(unsigned status, const void *bytes, uint64_t len)
{
        char text[24];
        struct answer *a = begin(status);
        a->bytes = bytes;
        a->len_bytes = len;
        snprintf(text, sizeof(text), "%" PRIu64, len);
        if (status != 204 && status != 304)
                answer_add(a, "Content-Length", text);
        return a;
}

struct answer *answer_new(unsigned status, struct buf *body, uint64_t off, uint64_t len_bytes)
{
        assert(len_bytes == 0 || (body && off <= body->len && len_bytes <= body->len - off));
        struct answer *a = with_bytes(status, len_bytes ? body->data + off : NULL, len_bytes);
        a->body = len_bytes ? buf_ref(body) : NULL;
        return a;
}

static void free_text(void *text)
{
        free(text);
}

struct answer *answer_text(unsigned status, char *text, size_t len_bytes)
{
        struct answer *a = with_bytes(status, text, len_bytes);
        a->body = buf_wrap((uint8_t *)text, len_bytes, free_text, text);
        return a;
}

struct answer *answer_lasting(unsigned status, const void *bytes, size_t len_bytes)
{
        return with_bytes(status, bytes, len_bytes);
}

struct answer *answer_growing(unsigned status)
{
        struct answer *a = begin(status);
        a->grows = true;
        return a;
}

struct answer *answer_sized(unsigned status, uint64_t len_bytes)
{
        struct answer *a = with_bytes(status, NULL, len_bytes);
        a->grows = a->sized = true;
        return a;
}

struct answer *answer_ref(struct answer *a)
{
        unsigned before = atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
        assert(before > 0);
        (void)before;
        return a;
}

void answer_unref(struct answer **ap)
{
        struct answer *a = *ap;
        *ap = NULL;
        if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) > 1)
                return;
        buf_unref(&a->body);
        free(a->head);
        free(a);
}
