#include "originD/log/survey.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"
#include "proto/store.h"

#define TAIL_SEGMENTS 2
#define BLOCK_BYTES (1u << 20)
/* Never in a file: */
#define RECORD_SUSPECT 0x40 /* found by its boxes: no checksum says that they are as they were written */
#define RECORD_RAGGED 0x20  /* and what is before it is no chunk, so it may have begun there */

/* ---- what the records say ---------------------------------------------------------------------------------------- */

/* Records that are whole and follow each other; gaps are for scan(). */
static void read_records(struct survey *s, const uint8_t *bytes, size_t len)
{
        uint64_t at = s->t->init->len;
        uint32_t segment = 0;
        size_t n = (len - VOLUME_HEADER_BYTES) / VOLUME_RECORD_BYTES;
        s->believed = mem_alloc((n + 1) * sizeof(*s->believed));
        s->new_index |= (len - VOLUME_HEADER_BYTES) % VOLUME_RECORD_BYTES != 0;
        for (size_t i = 0; i < n; i++) {
                struct volume_record r;
                if (volume_record_decode(&r, bytes + volume_record_offset((uint32_t)i))) {
                        s->new_index = true;
                } else if (r.flags & RECORD_CLOSED) {
                        s->closed = true;
                        s->sum = (struct volume_sum){.bytes = r.offset, .crc = r.crc};
                } else if (r.offset < at || r.segment < segment || volume_of(s->t, r.segment) != s->number || !r.len_bytes) {
                        s->new_index = true;
                } else {
                        s->new_index |= r.offset != at;
                        s->believed[s->believed_count++] = r;
                        at = r.offset + r.len_bytes;
                        segment = r.segment;
                }
        }
}

/* No index, or one of another file, is no error: then nothing is believed. */
static int read_index_file(struct survey *s)
{
        char *path = volume_path(s->t->dir, s->number, "idx");
        struct volume_header h;
        struct buf *all;
        int rc = file_load(path, VOLUME_INDEX_MAX, &all);
        free(path);
        s->new_index = true;
        if (!rc && all->len >= VOLUME_HEADER_BYTES) {
                bool good = !volume_header_decode(&h, all->data) && h.volume == s->number &&
                            h.timescale == s->t->info->timescale && h.init_bytes == s->t->init->len;
                s->new_index = !good;
                read_records(s, all->data, all->len); /* each has its own checksum, whatever became of the header */
        }
        buf_unref(&all);
        return rc == ERR_NOT_FOUND || rc == ERR_CORRUPT ? 0 : rc;
}

/* ---- what the boxes say ------------------------------------------------------------------------------------------ */

/* Reads the head of the chunk at offset, and how long it is. ERR_PROTO: no whole chunk lies there before `to`. */
static int read_chunk_head(struct survey *s, uint64_t offset, uint64_t to, size_t *head_bytes, uint64_t *chunk_bytes)
{
        ssize_t n;
        for (uint64_t at = offset;;) {
                uint8_t bytes[BOX_HEADER_MAX];
                struct reader r;
                uint32_t type;
                uint64_t size;
                size_t header;
                n = file_read(s->mp4, bytes, sizeof(bytes), at);
                if (n < 0)
                        return (int)n;
                reader_init(&r, bytes, (size_t)n);
                if (at >= to || box_header(&r, &type, &size, &header) || size > to - at)
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
        n = file_read(s->mp4, s->head, *head_bytes, offset);
        return n < 0 ? (int)n : (size_t)n < *head_bytes ? ERR_PROTO : 0;
}

/* Of the chunk alone; all, which may be NULL, is of what is before it and becomes that of both. */
static int crc_of_chunk(struct survey *s, uint64_t offset, uint64_t len, uint32_t *crc, uint32_t *all)
{
        if (len > SEGMENT_MAX_BYTES)
                return ERR_PROTO;
        uint8_t *bytes = mem_alloc((size_t)len);
        ssize_t n = file_read(s->mp4, bytes, (size_t)len, offset);
        *crc = n > 0 ? crc32c(0, bytes, (size_t)n) : 0;
        if (all && n > 0)
                *all = crc32c(*all, bytes, (size_t)n);
        free(bytes);
        return n < 0 ? (int)n : (uint64_t)n < len ? ERR_PROTO : 0;
}

static void keep(struct survey *s, const struct volume_record *r)
{
        if (s->count == s->cap) {
                s->cap = s->cap ? s->cap * 2 : 512;
                s->chunks = mem_resize(s->chunks, s->cap * sizeof(*s->chunks));
        }
        s->chunks[s->count++] = *r;
        s->holes |= s->bad_bytes > 0;
}

/* What the boxes at offset say is a chunk of this volume, behind those before it. ERR_PROTO: they do not. */
static int chunk_at(struct survey *s, uint64_t offset, uint64_t to, struct volume_record *out)
{
        size_t head_bytes = 0;
        uint64_t chunk_bytes = 0;
        struct chunk_info c;
        int rc = read_chunk_head(s, offset, to, &head_bytes, &chunk_bytes);
        if (rc)
                return rc;
        if (box_chunk_parse_head(s->head, head_bytes, chunk_bytes, s->t->info, &c))
                return ERR_PROTO;
        unsigned chunks = chunks_of_segment(s->t->chunk_ms);
        uint64_t place = index_grid_place(c.start_ticks, s->t->info->timescale, s->t->chunk_ms), segment = place / chunks;
        if (segment > UINT32_MAX || volume_of(s->t, (uint32_t)segment) != s->number)
                return ERR_PROTO;
        *out = (struct volume_record){.offset = offset, .len_bytes = (uint32_t)chunk_bytes, .segment = (uint32_t)segment,
                                      .chunk = (uint8_t)(place % chunks), .samples = (uint16_t)c.samples,
                                      .flags = RECORD_GUESS, .start_ticks = c.start_ticks,
                                      .duration_ticks = (uint32_t)c.duration_ticks};
        return crc_of_chunk(s, offset, chunk_bytes, &out->crc, NULL);
}

/* Where behind `from` a chunk may begin: at a box that chunks begin with. `to`: nowhere. */
static int next_beginning(struct survey *s, uint64_t from, uint64_t to, uint64_t *out)
{
        uint8_t *block = mem_resize(NULL, BLOCK_BYTES);
        ssize_t n = 0;
        *out = to;
        for (uint64_t at = from; at + 8 <= to && *out == to; at += BLOCK_BYTES - 8) {
                n = file_read(s->mp4, block, to - at < BLOCK_BYTES ? (size_t)(to - at) : BLOCK_BYTES, at);
                if (n < 8)
                        break;
                for (size_t i = 0; i + 8 <= (size_t)n; i++) {
                        const char *type = (const char *)block + i + 4;
                        if (memcmp(type, "styp", 4) == 0 || memcmp(type, "prft", 4) == 0 || memcmp(type, "moof", 4) == 0) {
                                *out = at + i;
                                break;
                        }
                }
        }
        free(block);
        return n < 0 ? (int)n : 0;
}

static bool follows(const struct volume_record *r, const struct volume_record *before)
{
        uint64_t sample = before->duration_ticks / (before->samples ? before->samples : 1);
        return r->start_ticks > before->start_ticks &&
               r->start_ticks + sample + 1 >= before->start_ticks + before->duration_ticks;
}

/* Whether the chunk comes in time behind those before it. Where only boxes say when a chunk is, damage may have changed that:
 * if the one before the last agrees with this one, the last is the one that is damaged. */
static bool in_order(struct survey *s, const struct volume_record *r)
{
        if (!s->count || follows(r, &s->chunks[s->count - 1]))
                return true;
        if (!(s->chunks[s->count - 1].flags & RECORD_SUSPECT) || (s->count > 1 && !follows(r, &s->chunks[s->count - 2])))
                return false;
        s->bad_bytes += s->chunks[--s->count].len_bytes;
        return true;
}

/* Where there are no records the boxes say what is there. */
static int scan(struct survey *s, uint64_t from, uint64_t to)
{
        uint64_t at = from, bad_from = from;
        while (at < to) {
                struct volume_record r;
                int rc = chunk_at(s, at, to, &r);
                if (rc && rc != ERR_PROTO)
                        return rc;
                if (!rc && in_order(s, &r)) {
                        r.flags |= RECORD_SUSPECT;
                        if (at > bad_from) /* maybe not with its own first byte */
                                r.flags |= RECORD_RAGGED;
                        s->bad_bytes += at - bad_from;
                        keep(s, &r);
                        s->new_index = true;
                        at = bad_from = at + r.len_bytes;
                } else {
                        rc = next_beginning(s, at + 1, to, &at);
                        if (rc)
                                return rc;
                }
        }
        s->bad_bytes += to - bad_from;
        return 0;
}

/* ---- which chunks are whole -------------------------------------------------------------------------------------- */

static bool checked(const struct survey *s, const struct volume_record *r)
{
        const struct volume_record *last = &s->believed[s->believed_count - 1];
        return s->check == CHECK_ALL || (s->check == CHECK_TAIL && r->segment + TAIL_SEGMENTS > last->segment);
}

/* What only boxes say makes way for a record: after damage they may tell another time, even one behind the record's. */
static void keep_believed(struct survey *s, const struct volume_record *r)
{
        while (s->count && s->chunks[s->count - 1].flags & RECORD_SUSPECT && !follows(r, &s->chunks[s->count - 1]))
                s->bad_bytes += s->chunks[--s->count].len_bytes;
        keep(s, r);
}

static int survey_chunks(struct survey *s)
{
        uint64_t at = s->t->init->len;
        int rc = 0;
        for (size_t i = 0; i < s->believed_count && !rc; i++) {
                const struct volume_record *r = &s->believed[i];
                uint64_t end = r->offset + r->len_bytes;
                uint32_t crc = r->crc;
                if (r->offset > at)
                        rc = scan(s, at, r->offset);
                if (!rc && end <= s->file_bytes && checked(s, r))
                        rc = crc_of_chunk(s, r->offset, r->len_bytes, &crc, NULL);
                if (rc == ERR_PROTO)
                        rc = 0, crc = ~r->crc;
                if (rc)
                        break;
                if (end <= s->file_bytes && crc == r->crc)
                        keep_believed(s, r);
                else
                        s->bad_bytes += r->len_bytes, s->new_index = true;
                at = end;
        }
        if (!rc && at < s->file_bytes)
                rc = scan(s, at, s->file_bytes);
        return rc;
}

static int check_init(struct survey *s)
{
        uint8_t *bytes = mem_alloc(s->t->init->len);
        ssize_t n = file_read(s->mp4, bytes, s->t->init->len, 0);
        s->bad_init = n >= 0 && ((size_t)n < s->t->init->len || memcmp(bytes, s->t->init->data, s->t->init->len) != 0);
        free(bytes);
        return n < 0 ? (int)n : 0;
}

/* Of a closed volume nothing is torn: that its end is missing is damage as any other. */
static bool torn_only(const struct survey *s)
{
        return s->bad_bytes && !s->holes && !s->closed && !s->bad_init;
}

static bool damaged(const struct survey *s)
{
        return (s->bad_bytes || s->bad_init) && !torn_only(s);
}

/* Where something is damaged more may be, before what was to be checked too: that would be copied into the new file, and pass for
 * what was written. */
static int check_the_rest(struct survey *s)
{
        s->check = CHECK_ALL;
        s->count = 0;
        s->bad_bytes = 0;
        s->holes = false;
        file_forget(s->mp4);
        return survey_chunks(s);
}

int survey_volume(struct survey *s)
{
        s->head = mem_resize(NULL, CHUNK_HEAD_MAX); /* not zeroed first: a start looks at many volumes, and little of it is needed */
        int rc = file_size(s->mp4, &s->file_bytes);
        if (s->check != CHECK_RECORDS) /* pages that could not be written are in memory as if they were */
                file_forget(s->mp4);
        rc = rc ? rc : read_index_file(s);
        rc = rc ? rc : check_init(s);
        rc = rc ? rc : survey_chunks(s);
        if (!rc && s->check != CHECK_ALL && damaged(s))
                rc = check_the_rest(s);
        if (!rc && s->closed && s->sum.bytes != s->file_bytes)
                s->new_index = true;
        return rc;
}

/* < 0: it cannot be read. The last of its segment is none: elsewhere more may come behind it. */
static int is_there(const struct survey *s, const struct volume_record *r, uint64_t at, const struct buf *there)
{
        if (!there || r->flags & RECORD_LAST || at + r->len_bytes > there->len)
                return 0;
        uint8_t *bytes = mem_alloc(r->len_bytes);
        int rc = file_read_all(s->mp4, bytes, r->len_bytes, r->offset);
        rc = rc ? rc : memcmp(bytes, there->data + at, r->len_bytes) == 0;
        free(bytes);
        return rc;
}

int survey_records(struct survey *s, uint32_t segment, const struct buf *there)
{
        int rc = read_index_file(s);
        size_t i = 0;
        if (!rc && s->new_index)
                rc = ERR_CORRUPT;
        for (; i < s->believed_count && s->believed[i].segment < segment && !rc; i++)
                keep(s, &s->believed[i]);
        for (uint64_t at = 0; i < s->believed_count && s->believed[i].segment == segment && !rc; at += s->believed[i++].len_bytes) {
                int same = is_there(s, &s->believed[i], at, there);
                rc = same < 0 ? same : 0;
                if (same <= 0)
                        break;
                keep(s, &s->believed[i]);
        }
        return rc;
}

int survey_checksum(struct survey *s, uint32_t *crc)
{
        file_forget(s->mp4);
        int rc = check_init(s);
        if (!rc && s->bad_init)
                rc = ERR_CORRUPT;
        *crc = crc32c(0, s->t->init->data, s->t->init->len);
        for (size_t i = 0; i < s->count && !rc; i++) {
                const struct volume_record *r = &s->chunks[i];
                uint32_t is = 0;
                rc = crc_of_chunk(s, r->offset, r->len_bytes, &is, crc);
                if (rc == ERR_PROTO || (!rc && is != r->crc))
                        rc = ERR_CORRUPT;
        }
        return rc;
}

/* ---- which segments are not -------------------------------------------------------------------------------------- */

static uint64_t segment_begins(const struct survey *s, uint32_t segment)
{
        return (uint64_t)segment * s->t->info->timescale;
}

static int by_number(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
        return x < y ? -1 : x > y;
}

static bool has_segment(const struct survey *s, uint32_t segment)
{
        size_t low = 0, high = s->count;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (s->chunks[mid].segment < segment)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < s->count && s->chunks[low].segment == segment;
}

/* Leaves out the segments that lost something, which is where chunks do not follow each other in the file. Returns how many
 * are known to be lost: those left out, and those whose records are all that is left of them. */
static uint32_t leave_out_damaged(struct survey *s)
{
        uint64_t at = s->t->init->len, end = s->file_bytes;
        bool *drop = mem_alloc(s->count + 1);
        if (s->believed_count) {
                const struct volume_record *last = &s->believed[s->believed_count - 1];
                end = last->offset + last->len_bytes > end ? last->offset + last->len_bytes : end;
        }
        for (size_t i = 0; i <= s->count; i++) {
                const struct volume_record *before = i ? &s->chunks[i - 1] : NULL, *behind = i < s->count ? &s->chunks[i] : NULL;
                bool hole = (behind ? behind->offset : end) > at;
                at = behind ? behind->offset + behind->len_bytes : at;
                if (!hole)
                        continue;
                if (before && !(before->flags & RECORD_LAST) &&
                    before->start_ticks + before->duration_ticks + 1 < segment_begins(s, before->segment + 1))
                        for (size_t k = i; k-- && s->chunks[k].segment == before->segment;)
                                drop[k] = true;
                if (behind && (behind->flags & RECORD_RAGGED || behind->start_ticks > segment_begins(s, behind->segment) + 1 ||
                               (before && before->segment == behind->segment)))
                        for (size_t k = i; k < s->count && s->chunks[k].segment == behind->segment; k++)
                                drop[k] = true;
        }
        size_t kept = 0, all = s->count;
        uint32_t *lost = mem_alloc((all + s->believed_count + 1) * sizeof(*lost)), lost_count = 0, distinct = 0;
        for (size_t i = 0; i < all; i++)
                if (drop[i])
                        lost[lost_count++] = s->chunks[i].segment;
                else
                        s->chunks[kept++] = s->chunks[i];
        s->count = kept;
        for (size_t i = 0; i < s->believed_count; i++)
                if (!has_segment(s, s->believed[i].segment))
                        lost[lost_count++] = s->believed[i].segment;
        qsort(lost, lost_count, sizeof(*lost), by_number);
        for (uint32_t i = 0; i < lost_count; i++)
                distinct += i == 0 || lost[i] != lost[i - 1];
        free(lost);
        free(drop);
        return distinct;
}

/* ---- setting aside ----------------------------------------------------------------------------------------------- */

/* Moves what lies behind the last whole chunk into a file of its own, and cuts it off. */
static int set_tail_aside(struct survey *s, const char *path, uint64_t end)
{
        char *aside = file_unused_name(path, "torn");
        int fd = file_create(aside), rc = fd < 0 ? fd : file_copy(s->mp4, end, s->file_bytes - end, fd, 0);
        rc = rc ? rc : file_sync(fd);
        rc = rc ? rc : file_truncate(s->mp4, end);
        if (rc && fd >= 0)
                unlink(aside);
        if (fd >= 0)
                close(fd);
        if (!rc)
                log_warn("path=%s msg=\"moved an unfinished chunk aside\" aside=%s torn_bytes=%" PRIu64 " kept_bytes=%" PRIu64, path,
                         aside, s->file_bytes - end, end);
        free(aside);
        return rc;
}

/* The index file anew, written beside the old one and then put in its place. */
static int write_index_file(struct survey *s)
{
        char *path = volume_path(s->t->dir, s->number, "idx"), *beside = mem_printf("%s" FILE_SAVE_SUFFIX, path);
        int fd = file_open(beside, O_RDWR | O_CREAT | O_TRUNC), rc = fd < 0 ? fd : volume_write_header(fd, s->t, s->number);
        for (size_t i = 0; i < s->count && !rc; i++) {
                s->chunks[i].flags &= (uint8_t)~(RECORD_SUSPECT | RECORD_RAGGED);
                rc = volume_write_record(fd, &s->chunks[i], (uint32_t)i);
        }
        rc = rc ? rc : file_sync(fd);
        rc = rc ? rc : file_rename(beside, path);
        if (fd >= 0)
                close(fd);
        if (rc && fd >= 0)
                unlink(beside);
        free(beside);
        free(path);
        return rc;
}

/* What is whole goes into a new file; the old one is kept under another name. The caller's mp4 is the new one then. */
static int salvage(struct survey *s, const char *path)
{
        char *beside = mem_printf("%s" FILE_SAVE_SUFFIX, path), *aside = file_unused_name(path, "damaged");
        int fd = file_open(beside, O_RDWR | O_CREAT | O_TRUNC), rc = fd < 0 ? fd : 0;
        uint64_t at = s->t->init->len;
        if (!rc)
                rc = file_write(fd, s->t->init->data, s->t->init->len, 0);
        for (size_t i = 0; i < s->count && !rc; i++) {
                rc = file_copy(s->mp4, s->chunks[i].offset, s->chunks[i].len_bytes, fd, at);
                s->chunks[i].offset = at;
                at += s->chunks[i].len_bytes;
        }
        rc = rc ? rc : file_sync(fd);
        /* link and rename, so that there is a file of the volume's name at every moment */
        if (!rc && link(path, aside) < 0)
                rc = err_from_errno(errno);
        rc = rc ? rc : file_rename(beside, path);
        if (rc) {
                unlink(beside);
                if (fd >= 0)
                        close(fd);
        } else {
                close(s->mp4);
                s->mp4 = fd;
                s->new_index = true;
                log_error("path=%s msg=\"volume is damaged: kept aside, what is whole in it goes on\" aside=%s bad_bytes=%" PRIu64
                          " kept_bytes=%" PRIu64 " chunks=%zu", path, aside, s->bad_bytes, at, s->count);
        }
        free(aside);
        free(beside);
        return rc;
}

/* No chunk is whole: what a creation that was cut off left, or nothing that can be read. ERR_CORRUPT, when it is out of the way. */
static int set_all_aside(struct survey *s, const char *path, struct volume_found *out)
{
        char *idx = volume_path(s->t->dir, s->number, "idx");
        bool nothing = s->file_bytes <= s->t->init->len && !s->believed_count;
        out->torn_bytes = s->file_bytes;
        out->lacking = s->believed_count > 0;
        int rc = nothing ? file_remove(path) : file_set_aside(path, s->believed_count ? "damaged" : "torn");
        rc = rc ? rc : file_remove(idx);
        if (!rc && !nothing)
                log_error("path=%s msg=\"no chunk of the volume is whole: kept aside\" bytes=%" PRIu64, path, s->file_bytes);
        free(idx);
        return rc ? rc : ERR_CORRUPT;
}

int survey_mend(struct survey *s, const char *path, struct volume_found *out)
{
        if (!s->count)
                return set_all_aside(s, path, out);
        uint64_t end = s->chunks[s->count - 1].offset + s->chunks[s->count - 1].len_bytes;
        int rc = 0;
        if (torn_only(s)) {
                if (s->file_bytes > end)
                        rc = set_tail_aside(s, path, end);
                out->torn_bytes = s->bad_bytes;
                s->new_index = true;
        } else if (damaged(s)) {
                out->lost_segments = s->bad_bytes ? leave_out_damaged(s) : 0;
                out->lacking = s->bad_bytes > 0;
                if (!s->count)
                        return set_all_aside(s, path, out);
                rc = salvage(s, path);
        }
        if (!rc && s->new_index) {
                rc = write_index_file(s);
                s->closed = false; /* its last record is written anew, if it is to have one */
                if (!rc)
                        rc = file_sync_folder(s->t->dir);
        }
        return rc;
}

void survey_index(const struct survey *s, struct volume_found *out)
{
        index_init(&out->index, s->t->info->timescale, s->t->chunk_ms, s->t->init->len);
        for (size_t i = 0; i < s->count; i++) {
                const struct volume_record *r = &s->chunks[i];
                struct chunk_info c = {.start_ticks = r->start_ticks, .duration_ticks = r->duration_ticks, .samples = r->samples};
                index_add(&out->index, &c, r->segment, r->len_bytes, r->flags & RECORD_LAST, r->flags & RECORD_GUESS ? INDEX_UNKNOWN : INDEX_EXACT);
        }
        out->sum = volume_sum_of(&out->index);
        out->sum.crc = s->closed ? s->sum.crc : 0;
}

void survey_free(struct survey *s)
{
        free(s->head);
        free(s->chunks);
        free(s->believed);
}
