/* volumes.h - the row of a track's closed volumes: 56 bytes each, so that a day of a track is 8 KB. On the disk: volumes_file.h.
 *
 * The list is the loop's; volumes_find() blocks and is for the pool. */
#ifndef ORIGIND_VOLUMES_H
#define ORIGIND_VOLUMES_H

#include "originD/log/volume.h"

enum volume_state {
        VOLUME_HERE,
        VOLUME_DAMAGED, /* a segment that is not in its index, or not to its end, was lost: others may have it */
        VOLUME_LACKING, /* it is not here: others may have it */
        VOLUME_ARCHIVED, /* whole, but only its index is here: its bytes are in the archive (archive/archiver.h) */
        VOLUME_STATES
};

struct cached_index;

struct volume_row {
        uint32_t number;
        uint8_t state;
        bool closing; /* its last record is on its way to the disk, or its files change */
        bool copied;  /* HERE: the archive has it too */
        bool wanted;  /* its file is needed here: it is brought, and stays */
        int64_t wanted_until_us; /* likewise for a while, by the machine's clock (monotonic); it may be over */
        struct volume_sum sum; /* crc 0: not known, for it has no last record (yet) */
        struct cached_index *index; /* NULL: not read */
};

static inline bool volume_wanted(const struct volume_row *row, int64_t now_mono_us)
{
        return row->wanted || now_mono_us < row->wanted_until_us;
}

/* Whether it counts in what its track comes to: where its bytes are does not matter. */
static inline bool volume_counts(const struct volume_row *row)
{
        return row->state != VOLUME_LACKING;
}

struct volumes {
        struct volume_row *rows; /* rising numbers */
        size_t count;
        uint64_t changes; /* counts them: who changes a row in its place counts too, so that it is saved */
};

struct volume_row *volumes_get(const struct volumes *v, uint32_t number); /* NULL: none */
struct volume_row *volumes_insert(struct volumes *v, const struct volume_row *row); /* in place of one of that number */
void volumes_remove(struct volumes *v, uint32_t number);
size_t volumes_below(const struct volumes *v, uint64_t number); /* so many rows are of volumes before it */
void volumes_free(struct volumes *v);

/* What is on the disk of a track. */
struct volumes_found {
        struct volumes closed;
        bool open; /* the last one is to be gone on with (its files are whole, and closed again): */
        uint32_t number;
        struct volume_found last;
};

/* Looks into the folder: known (from TRACK/volumes) volumes are believed, others are opened, and with `append` the last one is
 * opened for that. A known volume that is gone is lacking; one that is archived is HERE if its file is there, and is what it was.
 * Errors as volume_open(); ERR_NOT_FOUND: there is no such folder,
 * for certain. Nothing is held then. */
int volumes_find(const struct volume_track *t, const struct volumes *known, bool append, struct volumes_found *out);
void volumes_found_free(struct volumes_found *f);

/* Makes the folder and its init.mp4. A folder that is there already is set aside, unless it is the same and has no volume. */
int volumes_begin(const char *dir, const struct buf *init);

/* init.mp4, or what the first volume that can be read begins with. ERR_NOT_FOUND: there is no folder, for certain; ERR_CORRUPT. */
int volumes_read_init(const char *dir, struct init_info *info, struct buf **init);

#endif
