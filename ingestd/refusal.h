/* refusal.h - why a broadcaster may not publish: one table for what its encoder shows, for the log and for the counter.
 *
 * A row is X(ID, label, text): REFUSAL_ID, ingestd_refused_total{reason="label"}, and the sentence where nothing more exact is
 * known. No text holds anything of a key or token. Counters are atomics: any thread. */
#ifndef INGESTD_REFUSAL_H
#define INGESTD_REFUSAL_H

#define REFUSAL_MAP(X)                                                                                                 \
        X(NO_KEY, "no_key", "a publishing key or token is needed: STREAM?key=… or STREAM?token=…")                     \
        X(WRONG_KEY, "wrong_key", "wrong publishing key")                                                              \
        X(BAD_TOKEN, "bad_token", "the token is not valid for this")                                                   \
        X(EXPIRED_TOKEN, "expired_token", "the token has expired")                                                     \
        X(GUESSING, "guessing", "too many wrong keys came from this address; try again in a minute")                   \
        X(STREAMS, "streams", "as many streams as one address may are published from this one already")                \
        X(RATE, "rate", "too many streams are begun from this address at once; try again in a moment")                 \
        X(WEBHOOK, "webhook", "publishing was refused")                                                                \
        X(WEBHOOK_FAILED, "webhook_failed", "it cannot be found out whether this may be published; try again soon")    \
        X(REVOKED, "revoked", "the key or token of this broadcast is no longer valid")                                 \
        X(OVER, "over", "the time that the token gave this broadcast is over")

enum refusal {
        REFUSAL_NONE, /* go on */
#define X(id, label, text) REFUSAL_##id,
        REFUSAL_MAP(X)
#undef X
        REFUSALS
};

const char *refusal_text(enum refusal r);
void refusal_count(enum refusal r);
void refusal_register(void); /* the counters with common/daemon/metrics.h; at start, once */

#endif
