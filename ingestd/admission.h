/* admission.h - who may publish: decides on a broadcaster before a byte of it is relayed, and again for as long as it publishes.
 *
 *   admission_open()   ADMISSION_ALLOWED, or ADMISSION_REFUSED with the reason in words, or ADMISSION_PENDING: it waits for its
 *                      turn, or the webhook was asked, and events->allowed() or events->refused() follows, once, on a later turn of
 *                      the loop
 *   events->refused()  for one that was allowed: it must go. From admission_reloaded() or from a timer, never from inside open
 *   admission_close()  it is gone, or was let go; no events after that
 *
 * What is configured must be satisfied: a key or a token when any of publish_key, publish_keys and publish_jwks is set
 * (publish_auth.h), and then the webhook, when that is set (publish_webhook.h). An address that gave too many wrong keys is refused
 * whatever it shows (guesses.h). An address begins so many streams a second, and has so many at once (turnstile.h): before the webhook is
 * asked, and long before a transcoder hears of the stream.
 *
 * While it publishes: when the keys were read again, and once a second for the time that tokens give, what it was let in by is
 * looked at again. With `recheck_s` the webhook is asked again, and a refusal ends the broadcast; no answer does not, since a
 * webhook that is down would then end all of them. Loop thread only. */
#ifndef INGESTD_ADMISSION_H
#define INGESTD_ADMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "ingestd/publish_request.h"
#include "ingestd/publish_webhook.h"

/* Read at each use, so that a reload takes effect. */
struct admission_config {
        char *key;    /* publish_key */
        json_t *keys; /* publish_keys */
        char *jwks;   /* path; "": none */
        struct publish_webhook_config webhook;
        int64_t recheck_s; /* 0: never */
        int64_t streams_of_address; /* at once; 0: any number */
        int64_t starts_per_s;       /* of an address; 0: any number */
        bool closed;       /* where nothing is configured any more nobody may begin, instead of everybody */
};

enum admission_verdict { ADMISSION_ALLOWED, ADMISSION_REFUSED, ADMISSION_PENDING };

struct admission_events {
        void (*allowed)(void *arg);
        void (*refused)(void *arg, const char *text);
};

struct admission;
struct admission_case; /* one broadcaster that asked */

/* ERR_CONFIG: the JWKS cannot be used, which was logged; *out is then NULL. */
int admission_new(struct admission **out, uv_loop_t *loop, const struct admission_config *config);
void admission_free(struct admission **a); /* after the last case was closed; nulls it; NULL is fine */

/* request is copied. text: why not. *out is NULL when it was refused. */
enum admission_verdict admission_open(struct admission_case **out, struct admission *a, const struct publish_request *request,
                                      const struct admission_events *events, void *arg, char *text, size_t text_cap);
void admission_close(struct admission_case **c); /* nulls it; a pointer to NULL is fine */

/* The configuration was read again. The file of token keys is watched by itself. */
void admission_reloaded(struct admission *a);

/* Strangers are kept out: something is configured. */
bool admission_guards(const struct admission_config *config);

void admission_register_metrics(void);

#endif
