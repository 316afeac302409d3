/* copy_session.h - makes one session here what it is at another origin: what is lacking is FETCHed and appended.
 *
 *   copy_session_start → done() exactly once, later → (freed)
 *   copy_session_stop    it ends as soon as what it has under way is back
 *
 * In passes: ask what the other has now, its volumes page by page, the newest first; of each track that lacks something, all of them
 * at a time, cut what the other's newer writers replaced, take over the eras, then segment after segment from the own end on. A pass that
 * finds nothing lacking ends it, and the session too if it ended there. A writer may go on meanwhile: the log's order decides, nothing is
 * stored twice. Loop thread only. */
#ifndef ORIGIND_COPY_SESSION_H
#define ORIGIND_COPY_SESSION_H

#include "originD/replica/allowance.h"
#include "originD/replica/peer_link.h"
#include "originD/store.h"

#define COPY_LOAD_WAIT_MS 3000 /* so long a peer may take to read a recording's tracks, when it is asked for one by its name */

struct copy_session;

/* 0: as far as could be told, this has all that the other has. */
typedef void copy_session_done(void *arg, int status);

/* exact: also for what is only moments behind. again: it failed before and that was told. old: what is copied of one that ended
 * there is taken off it; NULL: it comes as fast as it can. NULL: the other is not up, done() does not come. */
struct copy_session *copy_session_start(struct store *st, struct peer_link *link, const char *peer, const char *session,
                                        bool exact, bool again, struct allowance *old, copy_session_done *done, void *arg);
void copy_session_tick(struct copy_session *c); /* now and then */
void copy_session_changed(struct copy_session *c, const struct session *s);
void copy_session_stop(struct copy_session *c);

#endif
