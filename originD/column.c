#include "originD/column.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define BITS_MAX 56 /* of one number, which begins anywhere in a byte and is read with seven more */
#define BITS_ALL 64

static uint64_t load(const uint8_t *p)
{
        uint64_t v;
        memcpy(&v, p, sizeof(v));
        return le64toh(v);
}

static void store(uint8_t *p, uint64_t v)
{
        v = htole64(v);
        memcpy(p, &v, sizeof(v));
}

static uint32_t bits_for(uint64_t n)
{
        uint32_t bits = n ? BITS_ALL - (uint32_t)__builtin_clzll(n) : 0;
        return bits > BITS_MAX ? BITS_ALL : bits;
}

/* So many bytes more, and what is read beyond them. */
static uint8_t *make_room(struct column *c, size_t bytes)
{
        size_t need = c->len + bytes + sizeof(uint64_t);
        if (need > c->cap) {
                c->cap = need + (need / 2 < COLUMN_STEP_BYTES ? need / 2 : COLUMN_STEP_BYTES);
                c->bytes = mem_resize(c->bytes, c->cap);
        }
        uint8_t *at = c->bytes + c->len;
        memset(at, 0, bytes + sizeof(uint64_t));
        return at;
}

static void pack_block(struct column *c)
{
        size_t n = c->count / COLUMN_BLOCK;
        uint64_t least = UINT64_MAX, most = 0;
        for (size_t i = 0; i < COLUMN_BLOCK; i++) {
                least = c->newest[i] < least ? c->newest[i] : least;
                most = c->newest[i] > most ? c->newest[i] : most;
        }
        if (n == c->block_cap) {
                size_t more = n ? n / 2 + 1 : 8, step = COLUMN_STEP_BYTES / sizeof(c->blocks[0]);
                c->block_cap = n + (more < step ? more : step);
                c->blocks = mem_resize(c->blocks, c->block_cap * sizeof(c->blocks[0]));
        }
        uint32_t bits = bits_for(most - least);
        size_t bytes = (size_t)COLUMN_BLOCK * bits / 8;
        assert(c->len + bytes <= UINT32_MAX);
        uint8_t *to = make_room(c, bytes);
        c->blocks[n] = (struct column_block){least, (uint32_t)c->len, bits};
        for (size_t i = 0; i < COLUMN_BLOCK; i++) {
                uint8_t *p = to + i * bits / 8;
                store(p, load(p) | (c->newest[i] - least) << (i * bits % 8));
        }
        c->len += bytes;
}

void column_add(struct column *c, uint64_t n)
{
        c->newest[c->count % COLUMN_BLOCK] = n;
        if (c->count % COLUMN_BLOCK == COLUMN_BLOCK - 1)
                pack_block(c);
        c->count++;
}

void column_fit(struct column *c)
{
        c->block_cap = c->count / COLUMN_BLOCK;
        if (!c->block_cap)
                return;
        c->cap = c->len + sizeof(uint64_t);
        c->bytes = mem_resize(c->bytes, c->cap);
        c->blocks = mem_resize(c->blocks, c->block_cap * sizeof(c->blocks[0]));
}

static uint64_t read_packed(const struct column *c, size_t i)
{
        const struct column_block *b = &c->blocks[i / COLUMN_BLOCK];
        size_t bit = i % COLUMN_BLOCK * b->bits;
        uint64_t more = load(c->bytes + b->at + bit / 8) >> bit % 8;
        return b->least + (b->bits == BITS_ALL ? more : more & ((UINT64_C(1) << b->bits) - 1));
}

void column_read(const struct column *c, size_t from, size_t count, uint64_t *out)
{
        size_t packed = c->count - c->count % COLUMN_BLOCK;
        assert(from <= c->count && count <= c->count - from);
        for (size_t i = from; i < from + count; i++)
                *out++ = i < packed ? read_packed(c, i) : c->newest[i % COLUMN_BLOCK];
}

size_t column_bytes(const struct column *c)
{
        return c->cap + c->block_cap * sizeof(c->blocks[0]);
}

void column_free(struct column *c)
{
        free(c->blocks);
        free(c->bytes);
        *c = (struct column){.count = 0};
}
