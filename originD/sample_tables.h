/* sample_tables.h - what the beginning of a progressive MP4 says of one track's samples (ISO/IEC 14496-12, 8.6, 8.7), made of the boxes
 * that the stored chunks begin with, in the order in which the chunks lie in the file. Pure; one thread at a time.
 *
 *   zeroed → sample_tables_add() for each chunk → sample_tables_end() → sample_tables_list(), any number of times → sample_tables_free()
 *
 * A sample lasts until the next one begins, whatever its own box says: that may be a guess (ARCHITECTURE.md, "Guesses"), and where
 * something is lacking the last picture before it stands. So sound and picture stay together behind a hole too.
 * Two bytes a sample (column.h), a third of what they take in the file. TABLES_MAX_BYTES at most: five days of sound, and more of
 * picture. */
#ifndef ORIGIND_SAMPLE_TABLES_H
#define ORIGIND_SAMPLE_TABLES_H

#include <stdbool.h>

#include "originD/column.h"
#include "originD/log/box.h"

#define TABLES_MAX_BYTES (40u << 20) /* of one track, in memory */
#define SAMPLE_TABLES_MAX 6
#define SAMPLE_TABLES_COLUMNS 9

/* So many samples, and what is the same of them. */
struct sample_runs {
        struct column counts, values;
        uint32_t count, value; /* the newest one, which may go on */
};

struct sample_tables {
        struct sample_runs durations, shifts; /* shown so long after they are decoded */
        struct column keys;           /* numbers of the samples that depend on no other */
        struct column firsts, counts; /* from this piece on so many samples each */
        struct column sizes, offsets; /* of samples; of pieces */
        uint32_t samples, pieces;     /* pieces: what the file calls chunks, runs of samples that lie together */
        uint32_t piece_samples;       /* of the newest piece */
        bool shifted;                 /* one of the shifts is none */
        bool ended;
        uint64_t start_ticks, end_ticks, last_ticks; /* last: when the newest sample begins */
};

/* head: as for box_chunk_parse_head(). at: where the chunk begins in the file, counted from wherever sample_tables_list() says.
 * ERR_PROTO: it is no chunk of the track. ERR_LIMIT: it does not fit. ERR_UNSUPPORTED: a hole of hours. The tables are good for
 * nothing then. */
int sample_tables_add(struct sample_tables *t, const struct init_info *init, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes,
                      uint64_t at);
int sample_tables_end(struct sample_tables *t); /* ERR_PROTO: there is no sample. ERR_LIMIT */
size_t sample_tables_bytes(const struct sample_tables *t); /* that they take in memory */
void sample_tables_free(struct sample_tables *t);

/* A table as it stands in the file: a box whose body is a few fields, and then the entries. It borrows the columns. */
struct sample_table {
        const char *type;
        uint8_t version;
        bool sized;               /* a field says that all are as long as another, which they are not (stsz) */
        unsigned of_one, columns; /* words of an entry; those of them that differ. The others are 1 */
        bool wide;                /* its one word is of 64 bits, and `base` is added */
        const struct column *column[2];
};

/* stts, ctts where pictures are not shown in their order, stss of pictures, stsc, stsz, co64. Returns how many. */
size_t sample_tables_list(const struct sample_tables *t, enum track_kind kind, struct sample_table out[SAMPLE_TABLES_MAX]);
uint64_t sample_table_bytes(const struct sample_table *t); /* of all entries */
/* Bytes [from, from + len) of the entries. */
void sample_table_read(const struct sample_table *t, uint64_t base, uint64_t from, uint8_t *dst, size_t len);

#endif
