/* serve_impl.h - what the two files of serve.h have of each other: serve_look.c says what there is here for a question, and reads it;
 * serve.c who waits, whose turn it is, and who asks elsewhere. Loop thread only. */
#ifndef ORIGIND_SERVE_IMPL_H
#define ORIGIND_SERVE_IMPL_H

#include "originD/serve.h"

#define JSON_TYPE "application/json"

/* A look at a question: answered (or on its way to be), nothing to say yet, the disk must be asked and it is not r's turn, it is
 * being asked (whoever asks waits for that), or there is no such thing here. */
enum look { LOOK_DONE, LOOK_WAIT, LOOK_TURN, LOOK_LOADING, LOOK_NONE };

/* serve.c */
void serve_reply(struct serve_request *r, const struct serve_answer *a); /* r may be gone */
void serve_resolve(struct serve *sv, struct serve_request *r);           /* looks at it anew; likewise */
void serve_list_goes_on(struct serve *sv); /* the list of streams is made in turns of the loop, and then given to those who wait */

/* serve_look.c */
enum look serve_look(struct serve *sv, struct serve_request *r);
bool serve_make_list(struct serve *sv); /* a step; true: it is made */
enum look serve_look_peer(struct serve *sv, struct serve_request *r); /* what only nodes may ask */
enum look serve_look_error(struct serve_request *r, int status);      /* answers it */
struct session *serve_current_session(struct serve *sv, const char *stream_id); /* the live one, or the newest that can be played */
struct session *serve_wanted_session(struct serve *sv, const struct key *k);

#endif
