#include "originD/log/heads.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"

#define SUFFIX "heads"
#define FIRST_LOOK_BYTES 2048 /* most heads are a few hundred */

/* ---- out of the mp4 ---------------------------------------------------------------------------------------------- */

/* A head that is longer than the first look, or none. */
static int look_again(int mp4, uint64_t offset, uint64_t most, struct buf **out, size_t *head_bytes, uint64_t *chunk_bytes)
{
        *out = buf_new(most < CHUNK_HEAD_MAX ? (size_t)most : CHUNK_HEAD_MAX);
        int rc = file_read_all(mp4, (*out)->data, (*out)->len, offset);
        if (!rc && box_chunk_length((*out)->data, (*out)->len, head_bytes, chunk_bytes))
                rc = ERR_CORRUPT;
        if (rc)
                buf_unref(out);
        return rc;
}

/* The chunks of [from, end). */
static int read_mp4(int mp4, uint64_t from, uint64_t end, heads_each *each, void *arg)
{
        uint8_t first[FIRST_LOOK_BYTES];
        int rc = 0;
        while (from < end && !rc) {
                struct buf *larger = NULL;
                size_t looked = end - from < sizeof(first) ? (size_t)(end - from) : sizeof(first), head_bytes;
                uint64_t chunk_bytes;
                rc = file_read_all(mp4, first, looked, from);
                if (!rc && box_chunk_length(first, looked, &head_bytes, &chunk_bytes))
                        rc = look_again(mp4, from, end - from, &larger, &head_bytes, &chunk_bytes);
                if (!rc && chunk_bytes > end - from)
                        rc = ERR_CORRUPT;
                if (!rc)
                        rc = each(arg, from, larger ? larger->data : first, head_bytes, chunk_bytes);
                buf_unref(&larger);
                from += rc ? 0 : chunk_bytes;
        }
        return rc;
}

static int open_mp4(const struct volume_track *t, uint32_t number)
{
        char *path = volume_path(t->dir, number, "mp4");
        int fd = file_open(path, O_RDONLY);
        free(path);
        return fd;
}

/* ---- out of the file that was kept ------------------------------------------------------------------------------- */

struct kept {
        struct buf *all;
        size_t at, len;  /* of the heads */
        uint64_t offset; /* that the next chunk has in the mp4 */
};

static int load_kept(const struct volume_track *t, uint32_t number, struct kept *k)
{
        char *path = volume_path(t->dir, number, SUFFIX);
        uint32_t crc;
        *k = (struct kept){.offset = t->init->len};
        int rc = file_load(path, HEADS_MAX_BYTES, &k->all);
        free(path);
        if (rc)
                return rc;
        k->len = k->all->len > sizeof(crc) ? k->all->len - sizeof(crc) : 0;
        memcpy(&crc, k->all->data + k->len, k->len ? sizeof(crc) : 0);
        if (k->len && le32toh(crc) == crc32c(0, k->all->data, k->len))
                return 0;
        buf_unref(&k->all);
        return ERR_CORRUPT;
}

/* The next chunk, if it lies before the end. */
static int next_kept(struct kept *k, uint64_t end, size_t *head_bytes, uint64_t *chunk_bytes)
{
        if (box_chunk_length(k->all->data + k->at, k->len - k->at, head_bytes, chunk_bytes) || *chunk_bytes > end - k->offset)
                return ERR_CORRUPT;
        return 0;
}

static int read_kept(struct kept *k, uint64_t from, uint64_t end, heads_each *each, void *arg)
{
        int rc = 0;
        while (k->offset < end && !rc) {
                size_t head_bytes;
                uint64_t chunk_bytes;
                rc = next_kept(k, k->offset < from ? from : end, &head_bytes, &chunk_bytes);
                if (!rc && k->offset >= from)
                        rc = each(arg, k->offset, k->all->data + k->at, head_bytes, chunk_bytes);
                k->at += rc ? 0 : head_bytes;
                k->offset += rc ? 0 : chunk_bytes;
        }
        return rc;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

int heads_read(const struct volume_track *t, uint32_t number, const struct index_row *rows, size_t count, heads_each *each, void *arg)
{
        struct kept kept = {.all = NULL};
        int mp4 = open_mp4(t, number), rc = mp4 == ERR_NOT_FOUND ? load_kept(t, number, &kept) : mp4 < 0 ? mp4 : 0;
        for (size_t i = 0; i < count && !rc; i++) {
                uint64_t from = rows[i].offset, end = from + rows[i].len_bytes;
                rc = mp4 >= 0 ? read_mp4(mp4, from, end, each, arg) : read_kept(&kept, from, end, each, arg);
                rc = rc ? rc : each(arg, 0, NULL, 0, 0);
        }
        if (mp4 >= 0)
                close(mp4);
        buf_unref(&kept.all);
        return rc;
}

int heads_look(const struct volume_track *t, uint32_t number)
{
        char *mp4 = volume_path(t->dir, number, "mp4"), *kept = volume_path(t->dir, number, SUFFIX);
        bool none = access(mp4, F_OK) < 0 && errno == ENOENT && access(kept, F_OK) < 0 && errno == ENOENT;
        free(mp4);
        free(kept);
        return none ? ERR_NOT_FOUND : 0;
}

struct gathered {
        uint8_t *bytes;
        size_t len, cap;
};

static int gather(void *arg, uint64_t offset, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes)
{
        struct gathered *g = arg;
        (void)offset;
        (void)chunk_bytes;
        if (g->len + head_bytes > HEADS_MAX_BYTES - sizeof(uint32_t))
                return ERR_LIMIT;
        if (g->len + head_bytes + sizeof(uint32_t) > g->cap) {
                g->cap = (g->len + head_bytes + sizeof(uint32_t)) * 2;
                g->bytes = mem_resize(g->bytes, g->cap);
        }
        memcpy(g->bytes + g->len, head, head_bytes);
        g->len += head_bytes;
        return 0;
}

int heads_keep(const struct volume_track *t, uint32_t number)
{
        struct gathered g = {0};
        uint64_t bytes;
        int mp4 = open_mp4(t, number), rc = mp4 < 0 ? mp4 : file_size(mp4, &bytes);
        rc = rc ? rc : read_mp4(mp4, t->init->len, bytes, gather, &g);
        if (mp4 >= 0)
                close(mp4);
        if (!rc && g.len) {
                uint32_t crc = htole32(crc32c(0, g.bytes, g.len));
                char *path = volume_path(t->dir, number, SUFFIX);
                memcpy(g.bytes + g.len, &crc, sizeof(crc));
                rc = file_replace(path, g.bytes, g.len + sizeof(crc));
                free(path);
        }
        free(g.bytes);
        if (rc && rc != ERR_NOT_FOUND) /* older ones may be of what was written anew since, and would lay out another file */
                heads_remove(t, number);
        return rc;
}

int heads_remove(const struct volume_track *t, uint32_t number)
{
        char *path = volume_path(t->dir, number, SUFFIX);
        int rc = file_remove(path);
        free(path);
        return rc;
}
