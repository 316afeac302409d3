/* walk.h - one relay's walk over the ring: which transcoders it has tried, and how long it waits before the next round.
 *
 *   walk_reset()    nobody was tried, and no round was in vain
 *   walk_next()     the best transcoder that was not tried in this round; NULL: the round is over
 *   walk_note()     this one was tried
 *   walk_again()    the next round begins; says how long to wait before that
 *
 * Pure: who stands on the ring, and chance, are arguments. */
#ifndef INGESTD_WALK_H
#define INGESTD_WALK_H

#include <stddef.h>

#include "ingestd/transcoder_link.h"

struct walk {
        char tried[TRANSCODER_CANDIDATES][64]; /* addresses */
        unsigned tried_count;
        unsigned rounds; /* over all transcoders, in vain; of a shadow also those that were live for a moment */
};

void walk_reset(struct walk *w);
void walk_begin(struct walk *w); /* a round, now: nobody was tried in it */
void walk_note(struct walk *w, const char *address);

/* found[0…count) is the ring's order. The result points into it. */
const struct transcoder_candidate *walk_next(const struct walk *w, const struct transcoder_candidate *found, size_t count);

/* Takes the transcoder of this address out of found. Returns how many are left. */
size_t walk_without(struct transcoder_candidate *found, size_t count, const char *address);

/* Exponential backoff with full jitter, so that the streams of a cluster that was dead do not all come back at one instant.
 * Never 0. chance: any number, each as likely as the other. */
unsigned walk_wait_ms(const struct walk *w, unsigned chance);
unsigned walk_again(struct walk *w, unsigned chance);

#endif
