/* respond.h - what edged says: answers for objects, parts of them, and errors.
 *
 * One answer may be on its way to any number of viewers at once. So a whole object has one for each X-Cache word and each
 * form of access, made when it is first needed and kept in the object (a hit allocates nothing), and errors are made once at
 * the start.
 *
 * form decides by whom an answer may be kept: that of a public stream by anybody, that of a private one by a shared cache
 * under its URL for ACCESS_SHARED_S when the token is in the URL, otherwise by the viewer's own browser.
 * Any thread after respond_open(). "borrowed": give it to wire_answer() and leave it alone; "owned": answer_unref() it then. */
#ifndef EDGED_RESPOND_H
#define EDGED_RESPOND_H

#include <stdbool.h>
#include <stdint.h>

#include "edged/access.h"
#include "edged/cache.h"
#include "edged/stats.h"
#include "edged/wire/answer.h"
#include "edged/wire/parse.h"

#define RESPOND_ERRORS(X)                                                                                              \
        X(AHEAD, 400, "that playlist is too far ahead")                                                                  \
        X(NOT_FOUND, 404, "there is no such thing here")                                                               \
        X(MISSING, 404, "no such stream, session, track or segment")                                                   \
        X(OVER, 404, "the broadcast is over, or has not begun")                                                        \
        X(METHOD, 405, "only GET, HEAD and OPTIONS are possible")                                                      \
        X(CHANGED, 412, "this is another version than the one that was asked for")                                      \
        X(LONG, 414, "the path is too long")                                                                           \
        X(REPORT, 413, "a report comes with its Content-Length, which is 65536 at most")                               \
        X(NO_ORIGIN, 503, "no origin answers; try again")                                                              \
        X(NOT_YET, 503, "due, but not there in time; try again")                                                       \
        X(BUSY, 503, "too many different objects are being fetched; try again")                                        \
        X(RATE, 429, "this address asks too often; try again in a second")                                             \
        X(MISSES_OF_ONE, 429, "this address asked too often for what is not there; try again in a second")             \
        X(MISSES, 503, "too many requests for what may not be there; try again in a second")                           \
        X(SHARE, 429, "this address has as many connections as one may have; close some, or try again in a second")    \
        X(TAILS, 503, "as many answers without an end are under way as there may be; ask for segments")                \
        X(FULL, 503, "this edge has as many connections as it may have; try again in a second")

enum respond_error {
#define X(name, status, text) RESPOND_##name,
        RESPOND_ERRORS(X)
#undef X
        RESPOND_ERROR_COUNT
};

void respond_open(void);
void respond_close(void); /* after wire_close() */

struct answer *respond_error(enum respond_error e, enum stats_result result); /* borrowed */
/* The same with another Retry-After than a second. Owned. */
struct answer *respond_error_until(enum respond_error e, enum stats_result result, int64_t retry_us);
struct answer *respond_fault(enum parse_fault f);                                                        /* borrowed */
struct answer *respond_bad(const char *why);                                                    /* owned, 400 */
struct answer *respond_refusal(unsigned fault); /* borrowed, access.h */
struct answer *respond_preflight(void);                                                         /* borrowed, 204 */
struct answer *respond_heard(void);                                                             /* borrowed, 204: to a report */
struct answer *respond_time(int64_t wall_us);                                                   /* owned, 200 */
struct answer *respond_json(char *text); /* takes text, malloc'd; of this moment, for who asked. Owned, 200 */

/* o is COMPLETE and has `body`.
 * A text (respond_is_text) is gzipped when the first viewer comes who takes it so, once, and kept with the object like its answers. That
 * form has a tag of its own: respond_gzip() is it, or NULL, when there is none (it is short, or another thread makes it just now). */
bool respond_is_text(const struct object *o);
const char *respond_gzip(struct object *o, struct buf *body);

enum respond_coding { RESPOND_PLAIN, RESPOND_GZIP }; /* GZIP: respond_gzip() had a tag */
struct answer *respond_whole(struct object *o, struct buf *body, enum respond_coding coding, enum cache_result result,
                             enum access_form form); /* borrowed, 200 */
struct answer *respond_part(struct object *o, struct buf *body, enum cache_result result, enum access_form form,
                                  uint64_t from, uint64_t len);                                   /* owned, 206 */
struct answer *respond_unsatisfiable(struct object *o, struct buf *body, enum cache_result result); /* owned, 416 */
struct answer *respond_same(struct object *o, const char *tag, enum cache_result result, enum access_form form); /* owned, 304 */

/* A list made for this viewer (takes text, malloc'd) in place of o's: owned, 200. text NULL: he has it already: owned, 304. */
struct answer *respond_list(struct object *o, char *text, size_t len, const char *etag, enum cache_result result,
                                  enum access_form form);

/* The same of a part that has a name of its own: owned, 200. */
struct answer *respond_view(struct object *o, struct buf *body, enum cache_result result, enum access_form form, uint64_t from, uint64_t len);

/* o is FILLING with len > 0: its type is known. Owned, 200. */
struct answer *respond_growing_part(struct object *o, enum cache_result result, enum access_form form, uint64_t from, uint64_t len);
struct answer *respond_growing(struct object *o, enum cache_result result, enum access_form form);
/* The head of an answer without an end, whose first bytes are init's. Nobody is to keep it. Owned, 200. */
struct answer *respond_tail(struct object *init, enum access_form form);

/* CORS and, unless it is LOCAL, X-Cache. For answers made elsewhere (site.c). */
void respond_common(struct answer *a, enum stats_result result);

enum stats_result respond_result(enum cache_result result);

void respond_detach(void *attached); /* a cache_ops.detach */

#endif
