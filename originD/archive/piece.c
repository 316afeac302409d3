#include "originD/archive/piece.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"

/* The nth record. ERR_CORRUPT also for the last one of a closed volume: it is no chunk. */
static int read_record(int fd, uint64_t nth, struct volume_record *out)
{
        uint8_t bytes[VOLUME_RECORD_BYTES];
        ssize_t n;
        while ((n = pread(fd, bytes, sizeof(bytes), (off_t)(VOLUME_HEADER_BYTES + nth * VOLUME_RECORD_BYTES))) < 0 && errno == EINTR)
                ;
        if (n < 0)
                return err_from_errno(errno);
        int rc = n < (ssize_t)sizeof(bytes) ? ERR_CORRUPT : volume_record_decode(out, bytes);
        return rc ? rc : out->flags & RECORD_CLOSED ? ERR_CORRUPT : 0;
}

/* Records stand in the order of their places: the last one that begins at or before this byte. */
static int find_first(int fd, uint64_t count, uint64_t from, uint64_t *nth)
{
        uint64_t low = 0, high = count;
        while (high - low > 1) {
                uint64_t mid = low + (high - low) / 2;
                struct volume_record r;
                int rc = read_record(fd, mid, &r);
                if (rc)
                        return rc;
                *(r.offset <= from ? &low : &high) = mid;
        }
        *nth = low;
        return count ? 0 : ERR_CORRUPT;
}

static int collect(struct piece *p, int fd, uint64_t nth, uint64_t count, uint64_t from, size_t len)
{
        uint64_t end = from + len;
        for (; nth < count; nth++) {
                struct volume_record r;
                int rc = read_record(fd, nth, &r);
                if (rc)
                        return rc;
                if (p->count ? r.offset != p->from + p->len : r.offset > from || r.offset + r.len_bytes <= from)
                        return ERR_CORRUPT; /* chunks lie one behind the other */
                if (!p->count)
                        p->from = r.offset;
                p->chunks = mem_resize(p->chunks, (p->count + 1) * sizeof(*p->chunks));
                p->chunks[p->count++] = r;
                p->len += r.len_bytes;
                if (p->from + p->len >= end)
                        return 0;
        }
        return ERR_CORRUPT;
}

int piece_find(struct piece *out, const char *idx_path, uint64_t from, size_t len)
{
        struct stat st;
        int fd = open(idx_path, O_RDONLY | O_CLOEXEC), rc = fd < 0 || fstat(fd, &st) < 0 ? err_from_errno(errno) : 0;
        uint64_t nth = 0, count = 0;
        *out = (struct piece){0};
        if (!rc && st.st_size >= VOLUME_HEADER_BYTES + VOLUME_RECORD_BYTES)
                count = ((uint64_t)st.st_size - VOLUME_HEADER_BYTES) / VOLUME_RECORD_BYTES - 1; /* without the last one */
        if (!rc)
                rc = find_first(fd, count, from, &nth);
        if (!rc)
                rc = collect(out, fd, nth, count, from, len);
        if (fd >= 0)
                close(fd);
        if (rc)
                piece_free(out);
        return rc;
}

bool piece_is(const struct piece *p, const uint8_t *bytes)
{
        for (size_t i = 0; i < p->count; i++) {
                const struct volume_record *r = &p->chunks[i];
                if (crc32c(0, bytes + (r->offset - p->from), r->len_bytes) != r->crc)
                        return false;
        }
        return true;
}

void piece_free(struct piece *p)
{
        free(p->chunks);
        *p = (struct piece){0};
}
