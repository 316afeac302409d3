/* access.h - who may watch which stream: private streams, tokens, and what has been verified already. Knows nothing of
 * HTTP: strings go in, a decision comes out, and the time is passed in.
 *
 *   access_open → access_set (again when configuration or keys change) → … → access_close     loop thread
 *   access_memory_open → access_is_private, access_check, access_list → access_memory_close   one for each HTTP thread
 *
 * A stream is private when its id fits one of the patterns of `private`. Then a request needs a token (common/jwt.h) with
 * sub "view" and a path that fits the stream. All others are public, and what token they come with is not even looked at.
 * A token comes in one of three forms; the first that is there counts:
 *   in the URL   /t/<token>/live/…       relative URLs keep it, so players need to know nothing of tokens
 *   Bearer       Authorization: Bearer <token>
 *   cookie       freshet_token=<token>   for players on pages of the same site
 *
 * What an answer may be kept by follows from the form (respond.c): one with the token in its URL may be kept by a shared
 * cache for ACCESS_SHARED_S, never beyond the token's end; the others only by the viewer's own browser.
 *
 * Memory. Verifying a signature takes longer than serving a cached segment, so each thread remembers the tokens it has
 * verified: whole tokens are compared, at most tokens_max are kept, the one that was unused longest goes. Use, stream and
 * time are judged anew each time. Tokens that are not genuine are not kept among them, so that strangers push nobody out:
 * a small table of their hashes spares verifying the same ones again, and beyond ACCESS_FAILURES_PER_S new ones a second
 * tokens that are not known yet get "busy" until that second is over. Who was let in before does not notice.
 *
 * Threads. access_set() makes a new set of rules that never changes; a memory takes it over with its next question and then
 * forgets tokens whose key is gone. */
#ifndef EDGED_ACCESS_H
#define EDGED_ACCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/jwt.h"

#define ACCESS_PATTERNS_MAX 64
#define ACCESS_COOKIE "freshet_token"
#define ACCESS_SHARED_S 60
#define ACCESS_FAILURES_PER_S 1000 /* signatures checked in vain, a thread: ES256 takes up to a tenth of its time */
#define ACCESS_FAILURES_KEPT 1024  /* power of two */

enum access_form { ACCESS_PUBLIC, ACCESS_IN_URL, ACCESS_IN_HEADER };
#define ACCESS_FORMS 3

/* ACCESS_OK, or an enum jwt_fault, or one of the others below. */
enum access_fault { ACCESS_OK, ACCESS_MISSING = JWT_FAULT_COUNT, ACCESS_BUSY, ACCESS_FAULTS };
unsigned access_status(unsigned fault);    /* HTTP status: 401, 403 or 503 */
const char *access_text(unsigned fault);   /* for people; constant, needs no escaping in JSON */

struct access_token {
        const char *text; /* NULL: there is none */
        size_t len;
        enum access_form form;
};

/* The token in a header's value (which may be NULL), pointing into it. */
struct access_token access_bearer(const char *authorization);
struct access_token access_cookie(const char *cookies);

/* What let a request in: kept while its answer is sent, to be ended when it is over. */
struct access_pass {
        enum access_form form;
        int64_t until_s; /* since 1970; public: INT64_MAX */
        struct jwt_key_id key;
        char path[JWT_PATH_MAX + 1]; /* streams it is for; "": none that are private */
};
extern const struct access_pass access_nothing; /* that of a public request */

struct access;
struct access *access_open(void);
void access_close(struct access *a); /* after every memory */

/* private_streams: a list of patterns, judged by access_check_patterns() before; copied. keys: a reference is taken; NULL:
 * nobody has a token. */
void access_set(struct access *a, const json_t *private_streams, struct jwt_keys *keys);
bool access_has_private(struct access *a);
bool access_key_is_valid(struct access *a, struct jwt_key_id key);

/* config_key.check of `private` */
int access_check_patterns(const void *value, char *why, size_t why_cap);

struct access_memory;
struct access_memory *access_memory_open(struct access *a, unsigned tokens_max);
void access_memory_close(struct access_memory *m);

bool access_any_private(struct access_memory *m);
bool access_is_private(struct access_memory *m, const char *stream);

/* stream NULL: any stream (for lists). now_us is the system's clock: tokens are made elsewhere. *pass is set when it is
 * ACCESS_OK. */
unsigned access_check(struct access_memory *m, const struct access_token *token, const char *stream, int64_t now_us,
                      struct access_pass *pass);

/* The list of /api/streams or /api/recordings without the private ones that do not fit path (a pass's); malloc, the caller's. NULL:
 * nothing is private, the list may be sent as it is. What is no such list becomes an empty one. */
char *access_list(struct access_memory *m, const char *json, size_t len, const char *path, size_t *out_len);

/* Changes with access_set(): what was made by access_list() of an earlier one is void. */
unsigned access_generation(struct access_memory *m);

struct access_counts { /* since the memory was opened; for tests */
        unsigned known, verified, failed; /* tokens: found in the memory, verified, verified in vain */
};
struct access_counts access_counts(const struct access_memory *m);

#endif
