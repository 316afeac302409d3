/* send.h - what is on its way to one viewer: an answer, or a piece of one that grows, handed to the kernel as far as the kernel takes it.
 *
 *   OUTPUT idle → output_answer() → output_send() until it is OUTPUT_SENT → idle
 *                                   of a growing one: → output_piece() → output_send() … → output_last() → output_send() → idle
 *
 * Head and bytes are references up to the kernel (sendmsg with a vector), which makes its copy of them: an answer is one system call.
 * Bytes that lie in pages (edged/pages.h) and are many go without that copy, by a call of their own (sendfile). Where TLS is not the
 * kernel's (tls.h) they go record by record instead. The thread's of the connection; no lock. */
#ifndef EDGED_WIRE_SEND_H
#define EDGED_WIRE_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "edged/wire/answer.h"
#include "edged/wire/tls.h"

#define OUTPUT_LINE_MAX 384 /* fields of this sending, or the line before a chunk */
#define OUTPUT_EXTRA_MAX 160

struct output {
        struct answer *answer; /* a reference; NULL: none has begun */
        bool chunked;          /* pieces have the framing of chunks; HTTP/1.0 does not know it */
        /* what is being sent: head, line, bytes, end; sent of it so far */
        const char *head, *end;
        size_t head_len, end_len, line_len;
        char line[OUTPUT_LINE_MAX];
        struct buf *piece; /* what bytes lie in, if not in the answer's body; a reference */
        const uint8_t *bytes;
        uint64_t bytes_len, sent;
        int file;          /* bytes are there too, from file_at on, and go from there; NO_FILE: they do not */
        off_t file_at;
};

#define NO_FILE 0 /* standard input is nobody's answer */

enum output_says { OUTPUT_SENT, OUTPUT_FULL, OUTPUT_BROKEN };

struct output_how {
        bool without_body; /* to HEAD */
        bool http_1_0, closes;
        bool was_kept; /* bytes are age_s old, and viewers and caches are told (RFC 9111, 5.1) */
        uint64_t age_s;
        const char *date;  /* a whole field with CR LF, as date_field() makes it */
        const char *extra; /* fields more, each with CR LF, at most OUTPUT_EXTRA_MAX bytes; "" or NULL: none */
};

/* Takes a reference of a. */
void output_answer(struct output *o, struct answer *a, const struct output_how *how);
/* Takes over piece; len_bytes > 0 of it from off. last: it is the end too. All before was sent. */
void output_piece(struct output *o, struct buf *piece, size_t off, size_t len_bytes, bool last);
void output_last(struct output *o); /* the end of what grows, when no piece came with it */

enum output_says output_send(struct output *o, int fd, struct tls *tls); /* tls NULL: there is none */
void output_fini(struct output *o); /* lets go of everything; idle */

#define DATE_FIELD_MAX 48
void date_field(char dst[DATE_FIELD_MAX], int64_t real_s); /* "Date: …\r\n" (RFC 9110, 5.6.7) */

#endif
