#include "originD/log/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"

size_t volumes_below(const struct volumes *v, uint64_t number)
{
        size_t low = 0, high = v->count;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (v->rows[mid].number < number)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

struct volume_row *volumes_get(const struct volumes *v, uint32_t number)
{
        size_t i = volumes_below(v, number);
        return i < v->count && v->rows[i].number == number ? &v->rows[i] : NULL;
}

struct volume_row *volumes_insert(struct volumes *v, const struct volume_row *row)
{
        size_t i = volumes_below(v, row->number);
        if (i == v->count || v->rows[i].number != row->number) {
                v->rows = mem_resize(v->rows, (v->count + 1) * sizeof(*v->rows));
                memmove(&v->rows[i + 1], &v->rows[i], (v->count++ - i) * sizeof(*v->rows));
        }
        v->rows[i] = *row;
        v->changes++;
        return &v->rows[i];
}

void volumes_remove(struct volumes *v, uint32_t number)
{
        size_t i = volumes_below(v, number);
        if (i < v->count && v->rows[i].number == number) {
                v->changes++;
                v->count--;
                memmove(&v->rows[i], &v->rows[i + 1], (v->count - i) * sizeof(*v->rows));
        }
}

void volumes_free(struct volumes *v)
{
        free(v->rows);
        *v = (struct volumes){0};
}

void volumes_found_free(struct volumes_found *f)
{
        volumes_free(&f->closed);
        index_free(&f->last.index);
}

static int by_number(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
        return x < y ? -1 : x > y;
}

/* The numbers of the files, rising. */
static int list_folder(const char *dir, uint32_t **out, size_t *count)
{
        DIR *d = opendir(dir);
        const struct dirent *e;
        uint32_t number;
        *out = NULL;
        *count = 0;
        if (!d)
                return err_from_errno(errno);
        for (errno = 0; (e = readdir(d)); errno = 0)
                if (volume_parse_name(e->d_name, &number)) {
                        *out = mem_resize(*out, (*count + 1) * sizeof(**out));
                        (*out)[(*count)++] = number;
                }
        int rc = errno ? err_from_errno(errno) : 0;
        closedir(d);
        if (*count)
                qsort(*out, *count, sizeof(**out), by_number);
        return rc;
}

static void note(struct volumes_found *out, uint32_t number, const struct volume_found *v)
{
        struct volume_row row = {.number = number, .sum = v->sum, .state = v->lacking ? VOLUME_DAMAGED : VOLUME_HERE};
        volumes_insert(&out->closed, &row);
}

static void note_lacking(struct volumes_found *out, const struct volume_track *t, uint32_t number, const struct volume_row *known)
{
        struct volume_row row = {.number = number, .state = VOLUME_LACKING};
        row.sum.first_segment = number * t->segments;
        uint32_t behind = UINT32_MAX - row.sum.first_segment;
        row.sum.last_segment = row.sum.first_segment + (t->segments - 1 < behind ? t->segments - 1 : behind);
        if (known)
                row.sum = known->sum;
        volumes_insert(&out->closed, &row);
        log_error("path=%s volume=%06" PRIu32 " msg=\"a volume is not here any more: it is lacking\"", t->dir, number);
}

/* The archive has it: a disk that was full may have lost the file before the row could say so (copied.h). */
static void note_archived(struct volumes_found *out, const struct volume_track *t, const struct volume_row *known)
{
        struct volume_row row = {.number = known->number, .state = VOLUME_ARCHIVED, .sum = known->sum};
        volumes_insert(&out->closed, &row);
        log_warn("path=%s volume=%06" PRIu32 " msg=\"a volume is not here any more: it is read from the archive\"", t->dir, row.number);
}

/* One that is there. */
static int take(const struct volume_track *t, const struct volumes *known, uint32_t number, bool append, struct volumes_found *out)
{
        const struct volume_row *row = volumes_get(known, number);
        struct volume_found found;
        if (!append && row && row->sum.chunks && row->state <= VOLUME_DAMAGED) {
                volumes_insert(&out->closed, row);
                return 0;
        }
        int rc = append ? volume_open(t, number, CHECK_TAIL, &found)
                        : volume_look(t, number, CHECK_RECORDS, row ? &row->sum : NULL, &found);
        bool archived = row && row->state == VOLUME_ARCHIVED; /* its file was not unlinked yet, or was about to be brought back */
        if (rc == ERR_CORRUPT) {
                if (!archived && (found.lacking || (row && row->sum.chunks)))
                        note_lacking(out, t, number, row);
                return rc;
        }
        if (rc)
                return rc;
        /* without its last record it was left before its end, and others may have the rest */
        bool left = !append && !found.closed;
        /* of one that was lacking, what is here now may be less than what it came to, or than was there before what is here: that was
         * passed over, and when it began here its row was saved no more */
        bool less = row && row->state == VOLUME_LACKING && (row->sum.crc ? row->sum.crc != found.sum.crc : !found.closed);
        found.lacking |= left || less || (row && row->state == VOLUME_DAMAGED);
        if (archived && !append && (found.lacking || found.sum.crc != row->sum.crc)) { /* the archive's is whole */
                index_free(&found.index);
                return 0;
        }
        if (append) {
                volume_files_close(&found.files);
                out->open = true;
                out->number = number;
                out->last = found;
                volumes_remove(&out->closed, number);
        } else {
                note(out, number, &found);
                volumes_get(&out->closed, number)->copied = archived;
                index_free(&found.index);
        }
        return 0;
}

int volumes_find(const struct volume_track *t, const struct volumes *known, bool append, struct volumes_found *out)
{
        uint32_t *numbers;
        size_t count;
        *out = (struct volumes_found){.last = {.files = {-1, -1}}};
        int rc = list_folder(t->dir, &numbers, &count);
        while (count && !rc && numbers[count - 1] > UINT32_MAX / t->segments) /* no segment has such a number: not ours, left alone */
                log_error("path=%s volume=%06" PRIu32 " msg=\"not a volume of this track, left alone\"", t->dir, numbers[--count]);
        for (size_t i = 0; i < known->count && !rc; i++) { /* those that are there are noted below */
                const struct volume_row *k = &known->rows[i];
                if (k->state == VOLUME_ARCHIVED || k->state == VOLUME_LACKING)
                        volumes_insert(&out->closed, k);
                else if (count && bsearch(&k->number, numbers, count, sizeof(*numbers), by_number))
                        continue;
                else if (k->copied)
                        note_archived(out, t, k);
                else
                        note_lacking(out, t, k->number, k);
        }
        while (count && !rc) { /* from the last on: the one to go on with is the last that can be read */
                rc = take(t, known, numbers[--count], append && !out->open, out);
                rc = rc == ERR_CORRUPT ? 0 : rc;
        }
        free(numbers);
        if (rc)
                volumes_found_free(out);
        return rc;
}

/* ---- the init segment ---------------------------------------------------------------------------------------------- */

/* The first bytes of a file, up to INIT_MAX_BYTES. */
static int read_beginning(const char *path, struct buf **out)
{
        int fd = file_open(path, O_RDONLY);
        if (fd < 0)
                return fd;
        struct buf *b = buf_new(INIT_MAX_BYTES);
        ssize_t n = file_read(fd, b->data, b->len, 0);
        close(fd);
        if (n >= 0)
                *out = buf_copy(b->data, (size_t)n);
        buf_unref(&b);
        return n < 0 ? (int)n : 0;
}

/* ftyp and moov at the beginning of a volume, without what follows. */
static size_t init_bytes(const struct buf *b)
{
        struct reader r;
        struct box box;
        reader_init(&r, b->data, b->len);
        while (box_next(&r, &box) > 0)
                if (box.type == BOX_TYPE('m', 'o', 'o', 'v'))
                        return (size_t)(r.p - b->data);
        return 0;
}

static int read_init_of(const char *path, struct init_info *info, struct buf **init)
{
        struct buf *b;
        int rc = read_beginning(path, &b);
        if (rc)
                return rc;
        size_t len = init_bytes(b);
        if (!len || box_init_parse(b->data, len, info))
                rc = ERR_CORRUPT;
        else
                *init = buf_copy(b->data, len);
        buf_unref(&b);
        return rc;
}

int volumes_read_init(const char *dir, struct init_info *info, struct buf **init)
{
        char *path = mem_printf("%s/init.mp4", dir);
        uint32_t *numbers;
        size_t count;
        int rc = read_init_of(path, info, init);
        free(path);
        if (rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
                return rc;
        rc = list_folder(dir, &numbers, &count);
        int found = rc ? rc : ERR_CORRUPT;
        for (size_t i = 0; i < count && !rc && found; i++) {
                path = volume_path(dir, numbers[i], "mp4");
                found = read_init_of(path, info, init);
                free(path);
        }
        free(numbers);
        return found == ERR_NOT_FOUND && !rc ? ERR_CORRUPT : found;
}

/* Whether the folder is what an earlier attempt to make it left. */
static bool is_same_and_empty(const char *dir, const struct buf *init)
{
        struct init_info info;
        struct buf *there = NULL;
        uint32_t *numbers;
        size_t count;
        char *path = mem_printf("%s/init.mp4", dir);
        int rc = read_init_of(path, &info, &there);
        bool same = rc == ERR_NOT_FOUND || (!rc && there->len == init->len && memcmp(there->data, init->data, init->len) == 0);
        same &= !list_folder(dir, &numbers, &count) && !count;
        free(numbers);
        free(path);
        buf_unref(&there);
        return same;
}

int volumes_begin(const char *dir, const struct buf *init)
{
        if (mkdir(dir, 0755) < 0) {
                if (errno != EEXIST)
                        return err_from_errno(errno);
                int rc = is_same_and_empty(dir, init) ? 0 : file_set_aside(dir, "aside");
                if (rc)
                        return rc;
                if (mkdir(dir, 0755) < 0 && errno != EEXIST)
                        return err_from_errno(errno);
        }
        char *path = mem_printf("%s/init.mp4", dir);
        int rc = file_replace(path, init->data, init->len);
        free(path);
        return rc;
}
