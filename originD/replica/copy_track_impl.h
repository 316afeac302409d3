/* copy_track_impl.h - what the files of a track's copy share, and nobody else calls.
 *
 *   copy_track.c     how it begins: its init segment, its eras, where it is cut, where it goes on; and its end
 *   copy_segments.c  segment after segment from there on */
#ifndef ORIGIND_COPY_TRACK_IMPL_H
#define ORIGIND_COPY_TRACK_IMPL_H

#include "originD/replica/copy_track.h"

/* ---- copy_track.c ---- */

struct track *copy_track_mine(const struct copy_track *c); /* NULL: it is not here, or not any more */

/* So many segments the other has begun; all of them are whole but for the last one, where its end lies inside of it. */
uint32_t copy_track_their_end(const struct copy_track *c, uint32_t *whole);

void copy_track_over(struct copy_track *c, int status);
void copy_track_failed(struct copy_track *c, int status); /* the same, and it is counted */
void copy_track_fetch_cut(struct copy_track *c); /* what is to stand at lack.cut_segment, and what is behind that */
void copy_track_cut(struct copy_track *c, const struct ahead_segment *there); /* it came */

/* ---- copy_segments.c ---- */

void copy_track_ask_segment(struct copy_track *c); /* c->segment, from where this origin's end is on. It may be on its way already */
void copy_track_go_on(struct copy_track *c); /* asks for what is next, as far as it may, and takes what is there of the first segment */
void copy_track_on_segment(void *copy_track); /* read_ahead's */

#endif
