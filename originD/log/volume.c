#include "originD/log/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/log/file.h"
#include "originD/log/heads.h"
#include "originD/log/survey.h"

void volume_files_close(struct volume_files *f)
{
        if (f->mp4 >= 0)
                close(f->mp4);
        if (f->idx >= 0)
                close(f->idx);
        *f = (struct volume_files){-1, -1};
}

int volume_create(const struct volume_track *t, uint32_t number, bool sync, struct volume_files *out)
{
        char *mp4 = volume_path(t->dir, number, "mp4"), *idx = volume_path(t->dir, number, "idx");
        *out = (struct volume_files){-1, -1};
        int rc = out->mp4 = file_create(mp4);
        if (rc >= 0) {
                /* an index whose mp4 is not there is what an unfinished creation left: it says nothing of any media */
                unlink(idx);
                rc = out->idx = file_create(idx);
        }
        if (rc >= 0)
                rc = file_write(out->mp4, t->init->data, t->init->len, 0);
        if (!rc)
                rc = volume_write_header(out->idx, t, number);
        if (!rc && sync) /* a file whose name is not durable is gone after a power failure, with every chunk in it that was synced */
                rc = file_sync_folder(t->dir);
        if (rc < 0) {
                if (out->idx >= 0)
                        unlink(idx);
                if (out->mp4 >= 0)
                        unlink(mp4);
                volume_files_close(out);
        }
        free(mp4);
        free(idx);
        return rc < 0 ? rc : 0;
}

static int open_as_left(const char *path, uint64_t bytes, int *fd)
{
        uint64_t is = 0;
        int rc = *fd = file_open(path, O_RDWR);
        if (rc >= 0)
                rc = file_size(*fd, &is);
        return rc < 0 ? rc : is == bytes ? 0 : ERR_CORRUPT;
}

int volume_reopen(const struct volume_track *t, uint32_t number, uint64_t bytes, uint32_t chunks, struct volume_files *out)
{
        char *mp4 = volume_path(t->dir, number, "mp4"), *idx = volume_path(t->dir, number, "idx");
        *out = (struct volume_files){-1, -1};
        int rc = open_as_left(mp4, bytes, &out->mp4);
        rc = rc ? rc : open_as_left(idx, volume_record_offset(chunks), &out->idx);
        if (rc)
                volume_files_close(out);
        free(mp4);
        free(idx);
        return rc;
}

static int sync_both(const struct volume_files *f)
{
        int rc = file_sync_data(f->mp4);
        return rc ? rc : file_sync_data(f->idx);
}

int volume_append(const struct volume_files *f, const struct buf *chunk, const struct volume_record *r, uint32_t nth, bool sync,
                  bool *unsure)
{
        *unsure = false;
        int rc = file_write(f->mp4, chunk->data, chunk->len, r->offset);
        if (!rc)
                rc = volume_write_record(f->idx, r, nth);
        if (!rc && sync) {
                rc = sync_both(f);
                *unsure = rc; /* the kernel forgets the pages it could not write: who reads them sees them, until they are gone */
        }
        if (rc && (ftruncate(f->idx, (off_t)volume_record_offset(nth)) < 0 || ftruncate(f->mp4, (off_t)r->offset) < 0)) {
                log_error("msg=\"cannot cut back a failed write\" error=\"%s\"", strerror(errno));
                *unsure = true;
        }
        return rc;
}

int volume_checksum(const struct volume_track *t, uint32_t number, const struct volume_files *f, struct volume_sum *sum)
{
        struct survey s = {.t = t, .number = number, .mp4 = f->mp4};
        int rc = survey_records(&s, UINT32_MAX, NULL);
        rc = rc ? rc : survey_checksum(&s, &sum->crc);
        if (!rc && s.count != sum->chunks)
                rc = ERR_CORRUPT;
        survey_free(&s);
        return rc;
}

int volume_close(struct volume_files *f, const struct volume_sum *sum)
{
        struct volume_record last = volume_record_of_sum(sum);
        int rc = volume_write_record(f->idx, &last, sum->chunks);
        rc = rc ? rc : sync_both(f);
        volume_files_close(f);
        return rc;
}

int volume_leave(struct volume_files *f)
{
        int rc = sync_both(f);
        volume_files_close(f);
        return rc;
}

int volume_remove(const struct volume_track *t, uint32_t number)
{
        char *mp4 = volume_path(t->dir, number, "mp4"), *idx = volume_path(t->dir, number, "idx");
        int rc = file_remove(mp4);
        rc = rc ? rc : file_remove(idx);
        rc = rc ? rc : heads_remove(t, number);
        free(mp4);
        free(idx);
        return rc;
}

/* Without its heads it is still in the archive, whole: that they cannot be kept, on a full disk say, is no reason to keep all of it. */
int volume_remove_mp4(const struct volume_track *t, uint32_t number)
{
        char *mp4 = volume_path(t->dir, number, "mp4");
        int kept = heads_keep(t, number);
        if (kept && kept != ERR_NOT_FOUND)
                log_warn("path=%s msg=\"the heads of an archived volume cannot be kept: no recording can be made one file with it\" error=\"%s\"", mp4,
                         err_text(kept));
        int rc = file_remove(mp4);
        free(mp4);
        return rc;
}

int volume_install_mp4(const struct volume_track *t, uint32_t number, const struct volume_sum *sum)
{
        char *mp4 = volume_path(t->dir, number, "mp4"), *fetched = volume_path(t->dir, number, VOLUME_FETCHED);
        char *idx = volume_path(t->dir, number, "idx");
        int rc = volume_check_index(t->dir, number, sum);
        if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND)
                rc = file_remove(idx);
        rc = rc ? rc : file_rename(fetched, mp4);
        rc = rc ? rc : file_sync_folder(t->dir);
        free(idx);
        free(fetched);
        free(mp4);
        return rc;
}

int volume_read_index(const struct volume_track *t, uint32_t number, const struct volume_sum *sum, struct index *out)
{
        struct survey s = {.t = t, .number = number};
        struct volume_found found;
        int rc = survey_records(&s, UINT32_MAX, NULL);
        if (!rc && (!s.closed || s.sum.crc != sum->crc || s.sum.bytes != sum->bytes || s.count != sum->chunks))
                rc = ERR_CORRUPT;
        if (!rc) {
                survey_index(&s, &found);
                *out = found.index;
        }
        survey_free(&s);
        return rc;
}

static int open_mp4(const struct volume_track *t, uint32_t number, bool only_look)
{
        char *path = volume_path(t->dir, number, "mp4");
        int fd = file_open(path, O_RDWR);
        if (fd < 0 && only_look && (errno == EROFS || errno == EACCES))
                fd = file_open(path, O_RDONLY);
        free(path);
        return fd;
}

/* Finds and mends what is there. On an error s->mp4 is closed, and nothing is held. */
static int find(struct survey *s, struct volume_found *out)
{
        char *path = volume_path(s->t->dir, s->number, "mp4");
        int rc = survey_volume(s);
        rc = rc ? rc : survey_mend(s, path, out);
        if (!rc) {
                survey_index(s, out);
                out->closed = s->closed;
        } else {
                close(s->mp4);
        }
        free(path);
        return rc;
}

/* The index file, with as many records as there are chunks and nothing behind them. */
static int open_index(const struct survey *s)
{
        char *path = volume_path(s->t->dir, s->number, "idx");
        int fd = file_open(path, O_RDWR), rc = fd < 0 ? fd : file_truncate(fd, volume_record_offset((uint32_t)s->count));
        if (rc && fd >= 0)
                close(fd);
        free(path);
        return rc ? rc : fd;
}

int volume_open(const struct volume_track *t, uint32_t number, enum volume_check check, struct volume_found *out)
{
        struct survey s = {.t = t, .number = number, .check = check, .mp4 = open_mp4(t, number, false)};
        *out = (struct volume_found){.files = {-1, -1}};
        int rc = s.mp4 < 0 ? s.mp4 : find(&s, out);
        if (!rc) {
                int idx = open_index(&s);
                out->files = (struct volume_files){s.mp4, idx};
                if (idx < 0) {
                        rc = idx;
                        volume_files_close(&out->files);
                        index_free(&out->index);
                }
        }
        survey_free(&s);
        return rc;
}

/* Gives it its last record if it is what it was when it was whole. */
static int close_if_whole(struct survey *s, const struct volume_sum *whole, struct volume_found *out)
{
        struct volume_sum is = out->sum;
        if (!whole || is.bytes != whole->bytes || (!whole->crc && is.chunks != whole->chunks))
                return 0;
        int rc = survey_checksum(s, &is.crc);
        if (rc == ERR_CORRUPT || (!rc && whole->crc && is.crc != whole->crc))
                return 0;
        struct volume_files f = {.mp4 = s->mp4, .idx = rc ? -1 : open_index(s)};
        rc = rc ? rc : f.idx < 0 ? f.idx : 0;
        s->mp4 = -1;
        if (rc) {
                volume_files_close(&f);
                return rc;
        }
        out->sum = is;
        out->closed = true;
        rc = volume_close(&f, &is);
        return rc == ERR_NOSPACE ? 0 : rc; /* it is whole all the same: the record is written another time */
}

int volume_look(const struct volume_track *t, uint32_t number, enum volume_check check, const struct volume_sum *whole,
                struct volume_found *out)
{
        struct survey s = {.t = t, .number = number, .check = check, .mp4 = open_mp4(t, number, true)};
        *out = (struct volume_found){.files = {-1, -1}};
        int rc = s.mp4 < 0 ? s.mp4 : find(&s, out);
        if (!rc) {
                rc = out->closed ? 0 : close_if_whole(&s, whole, out);
                if (rc)
                        index_free(&out->index);
                if (s.mp4 >= 0)
                        close(s.mp4);
        }
        survey_free(&s);
        return rc;
}

int volume_cut(const struct volume_track *t, uint32_t number, struct volume_files *f, uint32_t segment, const struct buf *there,
               struct index *out)
{
        struct survey s = {.t = t, .number = number, .mp4 = f->mp4};
        struct volume_found found = {.files = {-1, -1}};
        int rc = survey_records(&s, segment, there); /* it was whole when it was opened */
        if (!rc) {
                survey_index(&s, &found);
                *out = found.index;
                rc = file_truncate(f->idx, volume_record_offset((uint32_t)s.count));
                rc = rc ? rc : file_truncate(f->mp4, out->file_bytes);
                rc = rc ? rc : sync_both(f);
                if (rc)
                        index_free(out);
        }
        survey_free(&s);
        return rc;
}
