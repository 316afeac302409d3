/* store_impl.h - what the files of the store share, and nobody else calls.
 *
 *   store.c        its life: the folder, the tick, the end
 *   store_start.c  what a start finds goes into it
 *   store_lists.c  which sessions there are, and in which order
 *   store_claim.c  who may write */
#ifndef ORIGIND_STORE_IMPL_H
#define ORIGIND_STORE_IMPL_H

#include "originD/store.h"

/* ---- store_start.c ---- */

void store_start(struct store *st); /* begins */
void store_start_meanwhile(struct store *st, int64_t now_mono_us); /* while it goes on */
void store_retry_unreadable(struct store *st); /* after it: one of those that could not be read */

/* ---- store_lists.c ---- */

void store_unlink_session(struct store *st, struct session *s); /* out of all lists; the caller's from here on */

#endif
