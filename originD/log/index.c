#include "originD/log/index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "proto/store.h"

void index_init(struct index *ix, uint32_t timescale, uint64_t init_bytes)
{
        *ix = (struct index){.timescale = timescale, .init_bytes = init_bytes, .file_bytes = init_bytes};
}

void index_free(struct index *ix)
{
        free(ix->rows);
        *ix = (struct index){0};
}

static uint64_t grid_position(uint64_t ticks, uint32_t timescale)
{
        return ticks * CHUNKS_PER_SEGMENT / timescale;
}

int index_on_grid(uint64_t ticks, uint32_t timescale, uint32_t segment, uint8_t chunk)
{
        uint64_t at = (uint64_t)segment * CHUNKS_PER_SEGMENT + chunk;
        return chunk < CHUNKS_PER_SEGMENT && grid_position(ticks + 1, timescale) >= at &&
               grid_position(ticks ? ticks - 1 : 0, timescale) <= at;
}

enum index_place index_place(const struct index *ix, const struct chunk_info *c, uint32_t segment)
{
        if (!ix->count)
                return INDEX_NEXT;
        if (c->start_ticks + ix->slack_ticks >= ix->end_ticks && segment >= ix->rows[ix->count - 1].segment)
                return INDEX_NEXT;
        return c->start_ticks + c->duration_ticks <= ix->end_ticks + 1 ? INDEX_STORED : INDEX_OUT_OF_ORDER;
}

int index_room(const struct index *ix, uint32_t segment, uint64_t chunk_bytes)
{
        const struct index_row *last = ix->count ? &ix->rows[ix->count - 1] : NULL;
        uint64_t there = last && last->segment == segment ? last->len_bytes : 0;
        return there + chunk_bytes > SEGMENT_MAX_BYTES ? ERR_LIMIT : 0;
}

static struct index_row *push_row(struct index *ix, uint32_t segment)
{
        if (ix->count == ix->cap) {
                ix->cap = ix->cap ? ix->cap * 2 : 64;
                ix->rows = mem_resize(ix->rows, ix->cap * sizeof(*ix->rows));
        }
        struct index_row *row = &ix->rows[ix->count++];
        *row = (struct index_row){.offset = ix->file_bytes, .segment = segment};
        return row;
}

void index_add(struct index *ix, const struct chunk_info *c, uint32_t segment, uint32_t chunk_bytes, bool last)
{
        struct index_row *row = ix->count ? &ix->rows[ix->count - 1] : NULL;
        assert(!row || row->segment <= segment);
        if (!row)
                ix->start_ticks = c->start_ticks;
        if (!row || row->segment != segment)
                row = push_row(ix, segment);
        row->len_bytes += chunk_bytes;
        ix->file_bytes += chunk_bytes;
        ix->end_ticks = c->start_ticks + c->duration_ticks;
        ix->slack_ticks = c->samples ? c->duration_ticks / c->samples / 2 : 1;
        ix->media_ticks += c->duration_ticks;
        ix->samples += c->samples;
        if (row->len_bytes > ix->peak_bytes)
                ix->peak_bytes = row->len_bytes;
        ix->last_complete = last || ix->end_ticks + 1 >= ((uint64_t)segment + 1) * ix->timescale;
}

uint64_t index_forget(struct index *ix, uint32_t segment)
{
        while (ix->count && ix->rows[ix->count - 1].segment >= segment)
                ix->file_bytes = ix->rows[--ix->count].offset;
        uint64_t end = (uint64_t)segment * ix->timescale;
        ix->end_ticks = end < ix->end_ticks ? end : ix->end_ticks;
        ix->last_complete = true;
        return ix->file_bytes;
}

const struct index_row *index_find(const struct index *ix, uint32_t segment)
{
        size_t low = 0, high = ix->count;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (ix->rows[mid].segment < segment)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < ix->count && ix->rows[low].segment == segment ? &ix->rows[low] : NULL;
}

bool index_complete(const struct index *ix, const struct index_row *row)
{
        return row != &ix->rows[ix->count - 1] || ix->last_complete;
}

void index_next(const struct index *ix, uint32_t *segment, uint8_t *chunk, int64_t *end_us)
{
        uint64_t at = grid_position(ix->end_ticks, ix->timescale);
        *segment = (uint32_t)(at / CHUNKS_PER_SEGMENT);
        *chunk = (uint8_t)(at % CHUNKS_PER_SEGMENT);
        *end_us = box_ticks_to_us(ix->end_ticks - ix->slack_ticks, ix->timescale);
}

/* The bytes that are there, up to len. ERR_IO. */
static ssize_t read_at(int fd, uint8_t *dst, size_t len, uint64_t offset)
{
        size_t got = 0;
        while (got < len) {
                ssize_t n = pread(fd, dst + got, len - got, (off_t)(offset + got));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return ERR_IO;
                if (n == 0)
                        break;
                got += (size_t)n;
        }
        return (ssize_t)got;
}

/* Size of the box at offset. ERR_IO; ERR_PROTO: the file ends before the header does, or no box. */
static int header_at(int fd, uint64_t offset, uint32_t *type, uint64_t *size, size_t *header)
{
        uint8_t bytes[BOX_HEADER_MAX];
        struct reader r;
        ssize_t n = read_at(fd, bytes, sizeof(bytes), offset);
        if (n < 0)
                return (int)n;
        reader_init(&r, bytes, (size_t)n);
        return box_header(&r, type, size, header);
}

int index_read_init(int fd, struct init_info *info, struct buf **out)
{
        uint64_t len = 0;
        uint32_t type = 0;
        while (type != BOX_TYPE('m', 'o', 'o', 'v')) {
                uint64_t size;
                size_t header;
                int rc = header_at(fd, len, &type, &size, &header);
                if (rc < 0)
                        return rc == ERR_IO ? rc : ERR_CORRUPT;
                if (size > INIT_MAX_BYTES - len)
                        return ERR_CORRUPT;
                len += size;
        }
        struct buf *init = buf_new((size_t)len);
        ssize_t n = read_at(fd, init->data, init->len, 0);
        int rc = n < 0 ? (int)n : (size_t)n < init->len || box_init_parse(init->data, init->len, info) ? ERR_CORRUPT : 0;
        if (rc)
                buf_unref(&init);
        else
                *out = init;
        return rc;
}

/* Reads the head of the chunk at offset, and how long it is. ERR_PROTO: no whole chunk there. */
static int read_chunk_head(int fd, uint64_t offset, uint64_t file_bytes, uint8_t *head, size_t *head_bytes,
                           uint64_t *chunk_bytes)
{
        uint64_t at = offset;
        for (;;) {
                uint32_t type;
                uint64_t size;
                size_t header;
                int rc = header_at(fd, at, &type, &size, &header);
                if (rc < 0)
                        return rc;
                if (size > file_bytes - at)
                        return ERR_PROTO;
                if (type == BOX_TYPE('m', 'd', 'a', 't')) {
                        *head_bytes = (size_t)(at - offset) + header;
                        *chunk_bytes = at + size - offset;
                        break;
                }
                at += size;
                if (at - offset > CHUNK_HEAD_MAX - BOX_HEADER_MAX)
                        return ERR_PROTO;
        }
        ssize_t n = read_at(fd, head, *head_bytes, offset);
        return n < 0 ? (int)n : (size_t)n < *head_bytes ? ERR_PROTO : 0;
}

static int walk_chunks(int fd, struct index *ix, const struct init_info *info)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return ERR_IO;
        uint8_t *head = mem_alloc(CHUNK_HEAD_MAX);
        int rc = 0;
        while (!rc && ix->file_bytes < (uint64_t)st.st_size) {
                struct chunk_info c;
                size_t head_bytes = 0;
                uint64_t chunk_bytes;
                rc = read_chunk_head(fd, ix->file_bytes, (uint64_t)st.st_size, head, &head_bytes, &chunk_bytes);
                if (rc || box_chunk_parse_head(head, head_bytes, chunk_bytes, info, &c))
                        break;
                uint64_t segment = c.start_ticks / info->timescale;
                if (segment > UINT32_MAX || index_place(ix, &c, (uint32_t)segment) != INDEX_NEXT ||
                    index_room(ix, (uint32_t)segment, chunk_bytes))
                        break;
                index_add(ix, &c, (uint32_t)segment, (uint32_t)chunk_bytes, false);
        }
        free(head);
        return rc == ERR_IO ? rc : 0;
}

int index_walk(int fd, struct index *ix, struct init_info *info, struct buf **init)
{
        int rc = index_read_init(fd, info, init);
        if (rc)
                return rc;
        index_init(ix, info->timescale, (*init)->len);
        rc = walk_chunks(fd, ix, info);
        if (rc) {
                index_free(ix);
                buf_unref(init);
        }
        return rc;
}
