/* publish_webhook.h - asks somebody else's HTTP server whether a broadcaster may publish.
 *
 *   publish_webhook_ask()     a POST goes out; done() is called once, on a later turn of the loop
 *   publish_webhook_cancel()  done() is not called
 *
 * The body is JSON: {"stream", "app", "address", "encoder", "role": "primary"|"backup", "secure": true by RTMPS, "query": what
 * was given besides ("a=1&b=2")}, and "key": what was given as key or token, only where the daemon does not check that itself.
 * Any 2xx allows, a 4xx refuses, with the text of the answer's {"reason": …}; all else (no answer in time, 5xx, a redirect,
 * too many under way, and the 4xx that only say "not now": 408, 425, 429) is no answer: nobody who begins is let in by that,
 * and nobody has guessed wrong or is ended by it. The log has a line when answers stop coming, and one when they come again.
 *
 * A yes is remembered for as long as its Cache-Control: max-age says, or else `cache_s`, at most WEBHOOK_CACHE_MAX_S, for the
 * same question from the same address (whatever its port). A no never is. Both tables are bounded. Loop thread only. */
#ifndef INGESTD_PUBLISH_WEBHOOK_H
#define INGESTD_PUBLISH_WEBHOOK_H

#include <stdbool.h>
#include <uv.h>

#include "ingestd/publish_request.h"

#define WEBHOOK_IN_FLIGHT 64
#define WEBHOOK_ANSWER_MAX 16384
#define WEBHOOK_CACHED_MAX 256
#define WEBHOOK_CACHE_MAX_S 3600

/* Read at each use, so that a reload takes effect. */
struct publish_webhook_config {
        char *url; /* "": there is none */
        int64_t timeout_ms;
        int64_t cache_s; /* for answers that do not say */
};

enum webhook_verdict { WEBHOOK_ALLOWS, WEBHOOK_REFUSES, WEBHOOK_FAILS };

struct publish_webhook;
struct webhook_call;
/* reason: a sentence for the encoder, cleaned and cut; "" if there is none. */
typedef void webhook_done(void *arg, enum webhook_verdict verdict, const char *reason);

struct publish_webhook *publish_webhook_new(uv_loop_t *loop, const struct publish_webhook_config *config);
void publish_webhook_close(struct publish_webhook **w); /* cancels what is under way; nulls *w; NULL is fine */

/* A yes that is remembered. */
bool publish_webhook_knows(struct publish_webhook *w, const struct publish_request *r, bool with_key, int64_t now_us);

/* NULL: too many are under way, and done() will not be called. */
struct webhook_call *publish_webhook_ask(struct publish_webhook *w, const struct publish_request *r, bool with_key,
                                         webhook_done *done, void *arg);
void publish_webhook_cancel(struct webhook_call **call); /* nulls it; a pointer to NULL is fine */

void publish_webhook_forget(struct publish_webhook *w); /* what is remembered: after a reload */

/* A config_key.check for `publish_webhook`: "" or an http or https URL. */
int publish_webhook_check(const void *value, char *why, size_t why_cap);

void publish_webhook_register_metrics(void);

#endif
