/* ondemand.h - a track of a recording as one file, for players and CDNs that know the on-demand profile of DASH only (ISO 23009-1, 8.3):
 *
 *   file   the init segment as it is stored; an index (sidx) that says where each ONDEMAND_SECONDS lie; the stored segments as they are
 *
 * A manifest names the index by its place, and is written without anything being read. So an index is as long as its seconds demand,
 * whatever of them is there: what is lacking makes the seconds before it last longer, and a `free` box stands for what is then not told.
 * The lengths of segments are in the indexes of their volumes, so nothing but these is read to lay the file out (layouts.h). Pure. */
#ifndef ORIGIND_ONDEMAND_H
#define ORIGIND_ONDEMAND_H

#include "originD/log/index.h"
#include "originD/session.h"

#define ONDEMAND_SECONDS 4 /* of an entry; twice as many, or four times, where an index could not name them all: after three days */

/* Of the track that ended, which seconds of [from, to) there can be: *end is behind the last one. Not which are here: that differs from
 * origin to origin and as time goes, and a manifest that names the index's place is kept for ever. false: none. */
bool ondemand_span(const struct session *s, const struct track *t, uint32_t from, uint32_t to, uint32_t *first, uint32_t *end);

/* What the index takes, with what stands for what is lacking. */
uint64_t ondemand_index_bytes(uint32_t first, uint32_t end);

/* An index that is being made: ondemand_begin() → ondemand_add() of each segment, rising → ondemand_header() → ondemand_free() */
struct ondemand {
        uint32_t first, end, step;
        uint64_t end_ticks;
        uint32_t *bytes; /* of each entry */
        size_t count;
};
void ondemand_begin(struct ondemand *o, uint32_t first, uint32_t end, uint64_t end_ticks); /* end_ticks: of the media; end > first */
/* ERR_PROTO: the row is not of [first, end); ERR_LIMIT: an entry is too long. */
int ondemand_add(struct ondemand *o, const struct index_row *row);
/* The file up to the first segment; the caller's to unref. ERR_NOT_FOUND: there was no segment. */
int ondemand_header(struct buf **out, const struct ondemand *o, const struct buf *init, const struct init_info *info);
void ondemand_free(struct ondemand *o);

#endif
