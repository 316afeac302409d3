/* volume.h - one volume of a track, on the disk: so many segments of it as a fragmented MP4 that plays by itself, and the
 * records of its chunks beside it, written right behind each chunk (records.h).
 *
 *   OPEN     volume_create(), or volume_open() after a start;  volume_append();  its files may be closed, and opened again by
 *            volume_reopen()
 *   CLOSED   volume_close();  volume_look() reads it
 *   LEFT     volume_leave(), or a crash: it has no last record, so more of it may be elsewhere;  volume_look() reads it
 *   gone     volume_remove()
 *
 * The last record says that the volume is whole. So who only looks gives none to a volume that was left: it would pass for whole,
 * and nobody would bring the rest.
 *
 * volume_open() and volume_look() believe records, look at the boxes where there are none, and check what they are told to by CRC;
 * what is not whole is set aside, never thrown away (survey.h).
 *
 * Everything blocks, and is for the pool. Errors are those of errno (err_from_errno); on every one of them the files are as
 * they were. */
#ifndef ORIGIND_VOLUME_H
#define ORIGIND_VOLUME_H

#include <stdbool.h>

#include "common/buf.h"
#include "originD/log/index.h"
#include "originD/log/records.h"

struct volume_files {
        int mp4, idx; /* -1: none */
};

/* sync: their names are durable. ERR_CONFLICT: there is something of that name. On an error nothing is left. */
int volume_create(const struct volume_track *t, uint32_t number, bool sync, struct volume_files *out);

/* Writes the chunk at r->offset, the end of the mp4, and its record, the nth. On an error both files are cut back; *unsure:
 * that failed too, or what is on the disk is not what was written (a sync failed), so nobody may append any more. */
int volume_append(const struct volume_files *f, const struct buf *chunk, const struct volume_record *r, uint32_t nth, bool sync,
                  bool *unsure);

/* Finds sum->crc, of a volume that was begun by an earlier process: the mp4 is read, and each chunk held against its record, for from
 * here on the checksum says what is right. ERR_CORRUPT: it is not what was written, or nobody can say. */
int volume_checksum(const struct volume_track *t, uint32_t number, const struct volume_files *f, struct volume_sum *sum);

/* Adds the last record, makes all of it durable, closes the files. */
int volume_close(struct volume_files *f, const struct volume_sum *sum);
int volume_leave(struct volume_files *f); /* the same without the last record: of one that is not whole */
void volume_files_close(struct volume_files *f);

enum volume_check {
        CHECK_RECORDS, /* they are believed */
        CHECK_TAIL,    /* the chunks of the last two segments are compared with their CRCs */
        CHECK_ALL      /* as everything is where damage was found by either of the two before */
};

struct volume_found {
        struct index index;
        struct volume_files files; /* open for appending, if that was asked for */
        bool closed;           /* it has its last record, or had it before it was opened for appending */
        struct volume_sum sum; /* crc of such a one; 0: not known */
        bool lacking;          /* segments of it were damaged: who is not in the index may be elsewhere */
        uint32_t lost_segments;
        uint64_t torn_bytes;
};

/* Opens a volume for appending, or only reads its index; mends what has to be mended, as above. ERR_NOT_FOUND: there is no such
 * file. ERR_CORRUPT: no whole chunk is in it; it is set aside.
 *   open  takes its last record off
 *   look  whole (NULL: nobody knows) is what it came to when it was whole. If its last record was lost, or could not be written, it
 *         gets it now if it still comes to that: by its checksum, or where that is not known (crc 0) by its length and chunks */
int volume_open(const struct volume_track *t, uint32_t number, enum volume_check check, struct volume_found *out);
int volume_look(const struct volume_track *t, uint32_t number, enum volume_check check, const struct volume_sum *whole,
                struct volume_found *out);

/* Opens the files of a volume that goes on, as they were left: so long, with so many chunks. ERR_CORRUPT: they are not. */
int volume_reopen(const struct volume_track *t, uint32_t number, uint64_t bytes, uint32_t chunks, struct volume_files *out);

/* The index of a closed volume of these sums, by its index file alone: the mp4 may be elsewhere. ERR_CORRUPT: that file is not whole, or
 * not there. */
int volume_read_index(const struct volume_track *t, uint32_t number, const struct volume_sum *sum, struct index *out);

/* Forgets everything from the segment on, of a volume that is open for appending, and says what is left; but for the chunks that
 * the segment begins with `there` too (chunk_log_cut(); NULL: none). On an error nobody knows what the files hold. */
int volume_cut(const struct volume_track *t, uint32_t number, struct volume_files *f, uint32_t segment, const struct buf *there,
               struct index *out);

int volume_remove(const struct volume_track *t, uint32_t number);
int volume_remove_mp4(const struct volume_track *t, uint32_t number); /* its index stays: of one that is in the archive */

/* What archive_fetch() brought, under the name that volume_path(…, VOLUME_FETCHED) gives, becomes the volume's mp4. An index file that is
 * not of these sums goes: it is made anew when the volume is opened. */
#define VOLUME_FETCHED "mp4.fetched"
int volume_install_mp4(const struct volume_track *t, uint32_t number, const struct volume_sum *sum);

#endif
