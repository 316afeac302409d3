/* session_impl.h - the inside of sessions: session.c has the life of one, beginnings.c whose turn it is to begin and whether there is
 * room, pace.c how fast each encodes and what its proxy may send, sessions.c what goes for all of them. Included by nothing else. */
#ifndef TRANSCODERD_SESSION_IMPL_H
#define TRANSCODERD_SESSION_IMPL_H

#include "transcoderd/session.h"

/* session.c */
bool session_asks(const struct session *s);      /* CLAIMING */
bool session_is_queued(const struct session *s); /* QUEUED */

/* beginnings.c. Of a session in QUEUED: whether its encoders are opened now; it is one of those that begin then. Otherwise
 * session_run() follows when it may be. */
bool beginnings_turn(struct session *s, int64_t now_us);
void beginnings_end(struct session *s); /* they are open, or will not be; idempotent */
void beginnings_look(uv_timer_t *starter);
int64_t beginnings_promised(const struct sessions *ss); /* pixels a second of all sessions that encode, or are to */

/* pace.c, of a session with a pipeline */
void pace_count(struct session *s); /* what it has encoded since the last time */
void pace_watch(struct session *s); /* after that: whether it is behind */

#endif
