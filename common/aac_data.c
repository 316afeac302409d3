#include "common/aac_data.h"

#include <string.h>

#include "common/bytes.h"

/* Three bits of the element's kind, four of its tag, one that says whether bytes begin where a byte does. */
#define ELEMENT 0x80
#define KIND_BITS 0xe0
#define OURS (ELEMENT | 15 << 1) /* the last tag there is: an encoder that has data of its own begins with the first */
#define LONG 255                 /* one more byte says how much more it is */

static size_t head_bytes(size_t piece)
{
        return piece < LONG ? 2 : 3;
}

struct buf *aac_data_add(const uint8_t *frame, size_t len_bytes, const uint8_t *message, size_t message_bytes)
{
        size_t whole = message_bytes / AAC_DATA_PIECE, rest = message_bytes % AAC_DATA_PIECE;
        size_t len = whole * head_bytes(AAC_DATA_PIECE) + head_bytes(rest) + message_bytes + len_bytes;
        struct buf *b = buf_new(len);
        struct writer w;
        writer_init(&w, b->data, len);
        for (size_t i = 0; i <= whole; i++) {
                size_t piece = i < whole ? AAC_DATA_PIECE : rest;
                writer_u8(&w, OURS);
                writer_u8(&w, (uint8_t)(piece < LONG ? piece : LONG));
                if (piece >= LONG)
                        writer_u8(&w, (uint8_t)(piece - LONG));
                writer_bytes(&w, message + i * AAC_DATA_PIECE, piece);
        }
        writer_bytes(&w, frame, len_bytes);
        return b;
}

void aac_data_each(const uint8_t *frame, size_t len_bytes, aac_data_told *told, void *arg)
{
        uint8_t message[AAC_DATA_MESSAGE_MAX];
        size_t had = 0;
        struct reader r;
        reader_init(&r, frame, len_bytes);
        while (reader_left(&r) && (*r.p & KIND_BITS) == ELEMENT) {
                uint8_t head = reader_u8(&r);
                size_t n = reader_u8(&r);
                if (n == LONG)
                        n += reader_u8(&r);
                const uint8_t *piece = reader_bytes(&r, n);
                if (r.err)
                        return;
                if (head != OURS)
                        continue;
                if (had + n <= sizeof(message))
                        memcpy(message + had, piece, n);
                had += n;
                if (n == AAC_DATA_PIECE)
                        continue;
                if (had && had <= sizeof(message))
                        told(arg, message, had);
                had = 0;
        }
}
