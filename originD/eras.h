/* eras.h - which writer's bytes stand where in a track: its history of generations.
 *
 * Places are counted on the session's grid: segment · its chunks of a segment + chunk. An era begins with the first chunk that its writer
 * put into the track and lasts to the beginning of the next one. It is in session.json before that chunk is in the file, so
 * after a crash the last era may be one that has no chunk (its place lies at or beyond the end of the track); never the
 * other way round. Two copies of a track hold the same bytes as far as their eras are the same. Pure. */
#ifndef ORIGIND_ERAS_H
#define ORIGIND_ERAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/store.h"

#define ERAS_MAX 64 /* older ones merge: of what lies before the second era nothing is known then */

#define ERAS_PLACE_MAX (UINT64_C(1) * CHUNKS_MOST * UINT32_MAX + CHUNKS_MOST - 1)

struct era {
        uint64_t place;
        uint32_t generation;
        char node[NODE_ID_MAX + 1];
};

struct eras {
        struct era *list; /* rising places */
        size_t count;
};

static inline uint64_t eras_place(unsigned chunk_ms, uint32_t segment, uint8_t chunk)
{
        return (uint64_t)segment * chunks_of_segment(chunk_ms) + chunk;
}
static inline uint32_t eras_segment(unsigned chunk_ms, uint64_t place)
{
        return (uint32_t)(place / chunks_of_segment(chunk_ms));
}

void eras_free(struct eras *e);

/* The era that place lies in; NULL: nothing is known to be there. */
const struct era *eras_at(const struct eras *e, uint64_t place);

/* From place on it is this writer's; eras that were to begin there or later are forgotten. */
void eras_begin(struct eras *e, uint64_t place, uint32_t generation, const char *node);

void eras_cut(struct eras *e, uint64_t place); /* nothing begins at place or later */

/* From place on it is as in `from`. */
void eras_adopt(struct eras *e, const struct eras *from, uint64_t place);

/* In [begin, end) it is as in `from`, which has an era there. */
void eras_take(struct eras *e, const struct eras *from, uint64_t begin, uint64_t end);

/* Whether two copies hold different writers' bytes, or one of them none, somewhere before `until`; *place is the first. */
bool eras_part(const struct eras *a, const struct eras *b, uint64_t until, uint64_t *place);
bool eras_part_within(const struct eras *a, const struct eras *b, uint64_t from, uint64_t until, uint64_t *place);

int eras_older(const struct era *a, const struct era *b); /* < 0: a is; > 0: b is; 0: of one generation. NULL is oldest */

#endif
