#include "originD/archive/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/archive/piece.h"

#define FETCH_BYTES (1u << 20)

static int fail(struct transfer *t, int err, const char *words)
{
        snprintf(t->words, sizeof(t->words), "%s", words);
        return err;
}

/* A file here that cannot be opened or written: nothing that could be taken for the store's answer. */
static int local_error(int errnum)
{
        int err = err_from_errno(errnum);
        return err == ERR_NOT_FOUND || err == ERR_NOSPACE || err == ERR_LIMIT ? err : ERR_IO;
}

static int open_file(struct transfer *t, const char *path, uint64_t *bytes)
{
        struct stat st;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err = 0;
        if (fd < 0)
                err = local_error(errno);
        else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
                err = ERR_IO;
        if (err) {
                snprintf(t->words, sizeof(t->words), "%.200s cannot be opened: %s", path, err_text(err));
                if (fd >= 0)
                        close(fd);
                return err;
        }
        *bytes = (uint64_t)st.st_size;
        return fd;
}

/* What is in the store under the volume's name: 0: this very file; ERR_NOT_FOUND: nothing; ERR_CONFLICT: something else. */
static int look_for(struct transfer *t, struct s3 *s, const char *object)
{
        struct s3_object o;
        int err = s3_head(s, object, &o);
        if (err)
                return fail(t, err, s3_error(s));
        if (o.bytes == t->bytes && o.has_crc32c && o.crc32c == t->crc32c)
                return 0;
        return fail(t, ERR_CONFLICT, "another object has this volume's name: other bytes, or no checksum beside them");
}

static int put_file(struct transfer *t, struct s3 *s, const char *object, const char *path, const char *type, uint64_t *bytes,
                    const uint32_t *crc32c)
{
        int fd = open_file(t, path, bytes), err;
        if (fd < 0)
                return fd;
        bool other = crc32c && *bytes != t->bytes;
        err = other ? fail(t, ERR_CORRUPT, "the file is not what was stored: its length is another") : s3_put(s, object, fd, *bytes, crc32c, type);
        close(fd);
        if (err && !other)
                fail(t, err, s3_error(s));
        t->moved += err ? 0 : *bytes;
        return err;
}

static int put_volume(struct transfer *t, struct s3 *s, const char *object)
{
        char index[S3_NAME_MAX + 8];
        uint64_t bytes;
        int err = look_for(t, s, object);
        if (err == ERR_NOT_FOUND) {
                err = put_file(t, s, object, t->mp4_path, t->content_type, &bytes, &t->crc32c);
                if (!err) /* the only copy may be unlinked on the strength of this: ask whether it is there */
                        err = look_for(t, s, object);
        }
        if (err)
                return err;
        snprintf(index, sizeof(index), "%s.idx", t->name);
        return put_file(t, s, index, t->idx_path, "application/octet-stream", &bytes, NULL);
}

/* Whole chunks are read, for only those have checksums, and what was asked for is handed on. */
static int read_media(struct transfer *t, struct s3 *s, const char *object)
{
        struct piece p;
        int err = piece_find(&p, t->idx_path, t->from, t->into->len);
        if (err) /* that file is here: its absence is not the object's */
                return fail(t, err == ERR_NOT_FOUND ? ERR_CORRUPT : err, "the index file beside the volume cannot be read");
        uint8_t *bytes = mem_alloc(p.len);
        err = s3_get(s, object, p.from, p.len, bytes);
        if (err)
                fail(t, err, s3_error(s));
        else if (!piece_is(&p, bytes))
                err = fail(t, ERR_CORRUPT, "the object has other bytes than were stored");
        else
                memcpy(t->into->data, bytes + (t->from - p.from), t->into->len);
        t->moved += err ? 0 : p.len;
        free(bytes);
        piece_free(&p);
        return err;
}

static int write_all(struct transfer *t, int fd, const uint8_t *data, size_t len)
{
        while (len) {
                ssize_t n = write(fd, data, len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return fail(t, n ? local_error(errno) : ERR_IO, "the file cannot be written");
                data += n;
                len -= (size_t)n;
        }
        return 0;
}

/* The whole object, durable in a file of that name. On an error there is none. */
static int fetch_file(struct transfer *t, struct s3 *s, const char *object)
{
        uint8_t *block = mem_alloc(FETCH_BYTES);
        uint32_t crc = 0;
        int fd = open(t->mp4_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err = 0;
        if (fd < 0)
                err = fail(t, local_error(errno), "the file cannot be made");
        for (uint64_t at = 0; at < t->bytes && !err;) {
                size_t len = t->bytes - at < FETCH_BYTES ? (size_t)(t->bytes - at) : FETCH_BYTES;
                err = s3_get(s, object, at, len, block);
                if (err)
                        fail(t, err, s3_error(s));
                else
                        err = write_all(t, fd, block, len);
                crc = crc32c(crc, block, len);
                at += len;
                t->moved += err ? 0 : len;
        }
        if (!err && crc != t->crc32c)
                err = fail(t, ERR_CORRUPT, "the object has other bytes than were stored");
        if (!err && fsync(fd) < 0)
                err = fail(t, local_error(errno), "the file cannot be written");
        if (fd >= 0)
                close(fd);
        if (err && fd >= 0)
                unlink(t->mp4_path);
        free(block);
        return err;
}

/* ---- out of it ----------------------------------------------------------------------------------------------------- */

/* Some of the names that are to go. */
struct names {
        char *of[TRANSFER_REMOVE_AT_ONCE];
        size_t count;
        uint32_t below;
};

static bool keep_name(void *arg, const char *name, uint64_t bytes)
{
        struct names *n = arg;
        const char *slash = strrchr(name, '/'), *number = slash ? slash + 1 : name;
        char *end;
        unsigned long long value = strtoull(number, &end, 10);
        (void)bytes;
        if (n->below == UINT32_MAX || (end != number && value < n->below))
                n->of[n->count++] = mem_strdup(name);
        return n->count < TRANSFER_REMOVE_AT_ONCE;
}

static void forget_names(struct names *n)
{
        while (n->count)
                free(n->of[--n->count]);
}

/* One after the other; what comes meanwhile is for the next time. */
static int remove_names(struct transfer *t, struct s3 *s, const struct names *n, const atomic_bool *stop)
{
        int err = 0;
        for (size_t i = 0; i < n->count && !err; i++) {
                if (atomic_load(stop))
                        return fail(t, ERR_CANCELED, "stopped");
                err = s3_remove(s, n->of[i]);
        }
        return err ? fail(t, err, s3_error(s)) : 0;
}

/* What was removed is not listed again, so each list begins with those that are left. */
static int remove_volumes(struct transfer *t, struct s3 *s, const atomic_bool *stop)
{
        struct names n = {.below = t->below};
        char *last = NULL;
        int err;
        bool more;
        do {
                err = s3_list(s, t->name, keep_name, &n);
                more = n.count == TRANSFER_REMOVE_AT_ONCE;
                if (err)
                        fail(t, err, s3_error(s));
                else if (last && n.count && strcmp(n.of[0], last) == 0)
                        err = fail(t, ERR_PROTO, "an object that was removed is still there");
                else
                        err = remove_names(t, s, &n, stop);
                free(last);
                last = n.count ? mem_strdup(n.of[0]) : NULL;
                forget_names(&n);
        } while (more && !err);
        free(last);
        return err;
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

int transfer_try(struct transfer *t, struct s3 *s, const atomic_bool *stop)
{
        char object[S3_NAME_MAX + 8];
        snprintf(object, sizeof(object), "%s.mp4", t->name);
        t->words[0] = '\0';
        switch (t->verb) {
        case TRANSFER_PUT:
                return put_volume(t, s, object);
        case TRANSFER_READ:
                return read_media(t, s, object);
        case TRANSFER_FETCH:
                return fetch_file(t, s, object);
        case TRANSFER_REMOVE:
                break;
        }
        return remove_volumes(t, s, stop);
}

void transfer_free(struct transfer *t)
{
        free(t->mp4_path);
        free(t->idx_path);
        free(t->name);
        buf_unref(&t->into);
}
