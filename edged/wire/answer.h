/* answer.h - what is said to a viewer: a status, header fields, and bytes that are a reference, never a copy.
 *
 *   answer_new…() → answer_add() for each field → given to as many requests as there are → answer_unref()
 *
 * One answer may be on its way to any number of viewers at once, and belongs to none: a whole object's is made once and kept with it.
 * What differs from one sending to the next (Date, Connection, the framing of a growing body) is no part of it: send.h. While fields are
 * added one thread has it; after that it does not change, and the count is atomic. */
#ifndef EDGED_WIRE_ANSWER_H
#define EDGED_WIRE_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct answer {
        atomic_uint refs;
        unsigned status;
        bool grows;          /* its body comes piece by piece, */
        bool sized;          /* and it is known how many bytes that will be */
        char *head;          /* status line and fields, each with its CR LF; without the empty line */
        size_t head_len, head_cap;
        struct buf *body;    /* what bytes lie in; NULL: in nothing that needs to be let go of */
        const uint8_t *bytes;
        uint64_t len_bytes;
};

/* A part of body, of which a reference is taken; NULL with len 0: no bytes. */
struct answer *answer_new(unsigned status, struct buf *body, uint64_t off, uint64_t len_bytes);
struct answer *answer_text(unsigned status, char *text, size_t len_bytes);          /* takes text, malloc'd */
struct answer *answer_lasting(unsigned status, const void *bytes, size_t len_bytes); /* bytes outlive every answer */
struct answer *answer_growing(unsigned status);
struct answer *answer_sized(unsigned status, uint64_t len_bytes); /* grows, to that length */

void answer_add(struct answer *a, const char *name, const char *value); /* both without CR and LF */

struct answer *answer_ref(struct answer *a);
void answer_unref(struct answer **a); /* pointer to NULL is fine */

#endif
