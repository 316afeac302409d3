/* column.h - many numbers in little memory: they are added at the end, and read from any place on. Pure; one thread at a time.
 *
 *   zeroed → column_add() of each → column_fit() → column_read(), any number of times (before that too) → column_free()
 *
 * They are kept in blocks of COLUMN_BLOCK: the least number of a block, and of each number what it is above that, in as few bits as the
 * largest takes. Sizes of samples take ten to eighteen bits so, and places of chunks, which rise, some twenty-three of 64. */
#ifndef ORIGIND_COLUMN_H
#define ORIGIND_COLUMN_H

#include <stddef.h>
#include <stdint.h>

#define COLUMN_BLOCK 128
#define COLUMN_STEP_BYTES (64u << 10) /* it grows by no more at a time: what it takes is bounded (layouts.h) */

struct column_block {
        uint64_t least;
        uint32_t at; /* in the bytes */
        uint32_t bits;
};

struct column {
        size_t count;
        struct column_block *blocks; /* whole ones */
        uint8_t *bytes;
        size_t len, cap, block_cap;
        uint64_t newest[COLUMN_BLOCK]; /* of the block that is not whole */
};

void column_add(struct column *c, uint64_t n);
void column_fit(struct column *c); /* no more are added soon: gives back what was to be for them */
/* Numbers [from, from + count), which are there. */
void column_read(const struct column *c, size_t from, size_t count, uint64_t *out);
size_t column_bytes(const struct column *c); /* that the column takes */
void column_free(struct column *c);

#endif
