/* survey.h - what is whole in a volume's files, and how what is not is put out of the way.
 *
 *   survey_volume()   reads: records that are whole are believed, and their chunks compared with their CRCs as far as `check` says;
 *                     where there are no records the boxes say what is there. Once anything is damaged, which a torn tail is not,
 *                     all of them are compared. Changes nothing
 *   survey_mend()     makes the files hold what is whole and nothing else, which never throws anything away: an unfinished tail is
 *                     moved to NAME.torn-N before the file is cut to the last whole chunk; a volume with damage inside is kept as
 *                     NAME.damaged-N, and what is whole in it is copied into a new one
 *   survey_checksum() of a volume that was not all written just now, after one of the first two
 *   survey_index()    the index and the sums of what is whole
 *   survey_free()     always, whatever failed before
 *
 * A segment that lost a chunk is left out whole, for it would otherwise be another one than was served: its number is lacking,
 * and a peer has it. Everything but survey_index() blocks, and is for the pool; errors are those of errno, the files are as they
 * were then. */
#ifndef ORIGIND_SURVEY_H
#define ORIGIND_SURVEY_H

#include "originD/log/volume.h"

struct survey {
        const struct volume_track *t;
        uint32_t number;
        enum volume_check check;
        int mp4; /* open, for writing if it is to be mended; who opened it closes it. A mended one may be another file */
        uint64_t file_bytes;
        struct volume_record *believed; /* from the index file, in the file's order */
        size_t believed_count;
        struct volume_record *chunks; /* whole */
        size_t count, cap;
        uint64_t bad_bytes;           /* that are no chunk */
        bool holes;                   /* there are whole chunks behind such bytes */
        bool bad_init, new_index;     /* differs from what should be there */
        bool closed;                  /* it has its last record: */
        struct volume_sum sum;        /* bytes and crc of it */
        uint8_t *head;
};

int survey_volume(struct survey *s);

/* The chunks before the segment as the records have them, which have to be in order, and those it begins with that are `there` too,
 * byte by byte, in the same segment elsewhere (NULL: none): only for these the mp4 is looked at. ERR_CORRUPT. */
int survey_records(struct survey *s, uint32_t segment, const struct buf *there);

/* The checksum of the mp4, which is read whole. ERR_CORRUPT: it is not what was written: a chunk differs from its record. */
int survey_checksum(struct survey *s, uint32_t *crc);

/* path: of the mp4. Tells in out what was torn, damaged and lost. ERR_CORRUPT: no chunk is whole; all of it is set aside. */
int survey_mend(struct survey *s, const char *path, struct volume_found *out);

void survey_index(const struct survey *s, struct volume_found *out); /* out->index is the caller's to free */
void survey_free(struct survey *s);

#endif
