/* sample_tables.h - what the beginning of a progressive MP4 says of one track's samples (ISO/IEC 14496-12, 8.6, 8.7), made of the boxes that
 * the stored chunks begin with, in the order in which the chunks lie in the file. Pure; one thread at a time.
 *
 *   zeroed → sample_tables_add() for each chunk → sample_tables_end() → sample_tables_write(), any number of times → sample_tables_free()
 *
 * A sample lasts until the next one begins, whatever its own box says: that may be a guess (ARCHITECTURE.md, "Guesses"), and where something
 * is lacking the last picture before it stands. So sound and picture stay together behind a hole too.
 * Some 6 bytes a sample, TABLES_MAX_BYTES at most: a day and a half of sound and as much of picture. */
#ifndef ORIGIND_SAMPLE_TABLES_H
#define ORIGIND_SAMPLE_TABLES_H

#include <stdbool.h>

#include "originD/log/box.h"

#define TABLES_MAX_BYTES (40u << 20) /* of one track */

/* A table as it stands in the file, but for the order of bytes. */
struct sample_table {
        uint32_t *words;
        size_t count, cap;
};

struct sample_tables {
        struct sample_table durations; /* pairs: so many samples that last so long */
        struct sample_table shifts;    /* pairs: so many samples that are shown so long after they are decoded */
        struct sample_table keys;      /* numbers of the samples that depend on no other */
        struct sample_table chunks;    /* triples: from this chunk on so many samples each */
        struct sample_table sizes, offsets; /* offsets: 64 bits each */
        uint32_t samples, pieces;      /* pieces: what the file calls chunks, runs of samples that lie together */
        bool shifted;                  /* one of the shifts is none */
        bool ended;
        uint64_t start_ticks, end_ticks, last_ticks; /* last: when the newest sample begins */
};

/* head: as for box_chunk_parse_head(). at: where the chunk begins in the file, counted from wherever sample_tables_write() says. ERR_PROTO: it is
 * no chunk of the track. ERR_LIMIT: it does not fit. ERR_UNSUPPORTED: a hole of hours. The tables are good for
 * nothing then. */
int sample_tables_add(struct sample_tables *t, const struct init_info *init, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes,
                      uint64_t at);
int sample_tables_end(struct sample_tables *t); /* ERR_PROTO: there is no sample. ERR_LIMIT */

/* stts, ctts where pictures are not shown in their order, stss of pictures, stsc, stsz, co64. base: is added to each `at`. */
void sample_tables_write(struct writer *w, const struct sample_tables *t, enum track_kind kind, uint64_t base);
void sample_tables_free(struct sample_tables *t);

#endif
