/* copy_track.h - copies what one track lacks from another origin: cuts what the other's newer writers replaced, takes over
 * the eras, then goes segment after segment from the own end on, with several of them on their way at a time. Where that is in
 * the middle of a segment of which the other has a shadow's chunks and this origin the leader's, or the other way round (seen by no
 * chunk beginning there), it is cut back to the beginning of that segment first, unless somebody writes here: of two such origins
 * only one may give way.
 *
 * Before anything is cut the segment where the two part is fetched: what both have of it stays in the file, and what the other one
 * does not have any more is no reason to cut.
 *
 * A segment is a hole here when the other says that it never was, and all the others that can be asked say so too (absence.h). One that
 * was, and cannot be had, is passed over as lacking: its volume is brought later, by whoever has it whole (fills.h). Where the other
 * cannot say, the copy ends, and begins again later.
 *
 * The owner fills in the first part and calls copy_track_start(); done() comes once, later or from inside the call. Loop
 * thread only. */
#ifndef ORIGIND_COPY_TRACK_H
#define ORIGIND_COPY_TRACK_H

#include "originD/replica/absence.h"
#include "originD/replica/allowance.h"
#include "originD/replica/compare.h"
#include "originD/replica/peer_link.h"
#include "originD/replica/read_ahead.h"

struct copy_track {
        struct session_wait wait; /* first: session_save() gives it back */
        struct chunk_append append;
        struct store *store;
        struct peer_link *link;
        const char *peer;
        struct allowance *allowance; /* of what ended: what comes is taken off; NULL: as fast as it can */
        struct session *s; /* pinned by the owner */
        const struct peer_track *theirs; /* its eras end where its chunks do */
        struct track_lack lack;
        void (*done)(struct copy_track *c, int status); /* 0: all that `theirs` speaks of is here, or a writer was faster */
        void *arg;

        bool brought; /* something changed */
        bool missed;  /* something that was cannot be had from there now */
        uint64_t segments, bytes;

        /* private */
        bool stopping, is_over;
        bool starved;         /* only for want of the allowance nothing is under way */
        uint64_t counted;     /* of what came: it is taken off already */
        struct read_ahead ahead;
        uint64_t end_place;   /* so far `theirs` goes */
        uint32_t segment;
        struct buf *piece;    /* what was fetched of it */
        size_t at;
        bool piece_last, piece_moved;
        bool piece_inside;    /* the beginning of its segment is here already */
        bool probing;         /* whether the other has anything of the segment */
        unsigned holes;       /* one after the other */
        struct absence *absence; /* whether the segment is one is being asked */
        uint32_t missed_until; /* segments before it are known to be lacking, where they are not here */
        uint64_t uncut_bytes; /* of the file, before the cut */
        bool before_cut;      /* the segment that is first is what is to stand where it is cut, */
        bool behind_cut;      /* or what was cut goes on with it, */
        size_t kept;          /* behind so many bytes that stayed */
};

void copy_track_start(struct copy_track *c);
void copy_track_tick(struct copy_track *c); /* now and then, where there is an allowance: there may be more of it */
void copy_track_stop(struct copy_track *c); /* at any time: over now, or as soon as what is under way is back */

#endif
