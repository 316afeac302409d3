#include "proto/parts.h"

#include <stdio.h>
#include <string.h>

#define BOX_MDAT UINT32_C(0x6d646174)
#define HEADER_MAX 16

static uint32_t be32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* All of them, or false. */
static bool read_all(const struct parts_of *p, uint64_t pos, uint8_t *dst, size_t len)
{
        size_t n;
        if (pos > p->len_bytes || len > p->len_bytes - pos)
                return false;
        for (; len; dst += n, pos += n, len -= n) {
                n = p->read(p->arg, pos, dst, len);
                if (!n)
                        return false;
        }
        return true;
}

/* The box at pos. false: it is not whole yet, or it is none. */
static bool read_box(const struct parts_of *p, uint64_t pos, uint32_t *type, uint64_t *size)
{
        uint8_t head[HEADER_MAX];
        if (!read_all(p, pos, head, 8))
                return false;
        *type = be32(head + 4);
        *size = be32(head);
        if (*size == 1) {
                if (!read_all(p, pos + 8, head + 8, 8))
                        return false;
                *size = (uint64_t)be32(head + 8) << 32 | be32(head + 12);
        }
        return *size >= 8 && *size <= p->len_bytes - pos;
}

enum part_state parts_find(const struct parts_of *p, unsigned number, uint64_t *from, uint64_t *len_bytes)
{
        uint64_t pos = 0, begin = 0, size;
        unsigned chunks = 0, part = 0;
        uint32_t type;
        while (read_box(p, pos, &type, &size)) {
                pos += size;
                if (type != BOX_MDAT || ++chunks % p->chunks)
                        continue;
                if (part == number) {
                        *from = begin;
                        *len_bytes = pos - begin;
                        return PART_HERE;
                }
                begin = pos;
                part++;
        }
        if (!p->complete)
                return PART_NOT_YET;
        if (part != number || begin == p->len_bytes)
                return PART_NONE;
        *from = begin;
        *len_bytes = p->len_bytes - begin;
        return PART_HERE;
}

bool parts_take_name(char *text, unsigned *number, unsigned *chunks)
{
        char *name = strrchr(text, '/'), *dot = name ? strchr(name, '.') : NULL;
        if (!dot || dot[1] < '0' || dot[1] >= '0' + PARTS_OF_SEGMENT)
                return false;
        bool several = dot[2] == 'x' && dot[3] >= '2' && dot[3] <= '0' + PART_CHUNKS_MAX;
        const char *end = dot + (several ? 4 : 2);
        if (strcmp(end, ".m4s") != 0)
                return false;
        *number = (unsigned)(dot[1] - '0');
        *chunks = several ? (unsigned)(dot[3] - '0') : 1;
        memmove(dot, end, strlen(end) + 1);
        return true;
}

void parts_write_name(char name[PART_NAME_MAX], uint32_t segment, unsigned number, unsigned chunks)
{
        char several[4] = "";
        if (chunks > 1)
                snprintf(several, sizeof(several), "x%u", chunks % 10);
        snprintf(name, PART_NAME_MAX, "%u.%u%s.m4s", segment, number % 10, several);
}
