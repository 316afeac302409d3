/* mend.h - what repair does to a session beyond what a writer does: begins it as another origin tells it, opens an ended
 * one for appending, ends it again, takes a track out. Loop thread only. */
#ifndef ORIGIND_MEND_H
#define ORIGIND_MEND_H

#include "originD/replica/catalog.h"

/* A session that is here not yet, live or ended, without tracks. NULL: it is not taken (too old, removed before, no room,
 * or the stream has a live one that is newer or is being written to). */
struct session *mend_begin(struct store *st, const struct peer_session *theirs);

/* The newer writer that another origin knows fences the one that is known here. */
void mend_generation(struct session *s, const struct peer_session *theirs);

/* Opens the logs of an ended session, which has been read (LOAD_DONE), for appending: done(arg, status) later. The session
 * stays ended for everybody else. */
void mend_open(struct session *s, void (*done)(void *arg, int status), void *arg);

/* Ends the logs again and notes where they end. Nothing is being appended. */
void mend_close(struct session *s);

/* After mend_open(): it goes on at another origin, so it does here. */
void mend_reopen(struct session *s);

/* Takes a track out whose log is idle; its file is written over by the next session_add_track(). */
void mend_drop_track(struct session *s, struct track *t);

#endif
