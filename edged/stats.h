/* stats.h - what edged counts. Rows are atomics: any thread counts. Registered once, before the sockets open. */
#ifndef EDGED_STATS_H
#define EDGED_STATS_H

#include <stdbool.h>

#include "common/daemon/metrics.h"

#define STATS_RESULTS(X) X(HIT, "hit") X(MISS, "miss") X(JOINED, "joined") X(STALE, "stale") X(LOCAL, "local")

enum stats_result {
#define X(name, text) RESULT_##name,
        STATS_RESULTS(X)
#undef X
        RESULTS
};

/* Why we closed a connection that the other side would have kept. */
#define STATS_CLOSES(X)                                                                                                \
        X(SLOW_HEADERS, "slow_headers") /* no request, or no end of it or its body, within header_deadline_ms */       \
        X(SLOW_READER, "slow_reader")   /* below min_rate_bytes_s */                                                   \
        X(IDLE, "idle")                 /* keep-alive over */                                                          \
        X(UNREAD, "no_request")         /* it came and went: nothing was sent, or not all of a request */              \
        X(BROKEN, "broken_upstream")    /* the rest of a growing object will not come */                               \
        X(EXPIRED, "token_expired")     /* in the middle of an answer */                                               \
        X(REVOKED, "token_revoked")     /* the key of the token was taken away */                                      \
        X(PINNED, "pinned")             /* it kept what nobody else finds any more, when that was more than a share of the cache */ \
        X(DISPLACED, "displaced")       /* it rested for longest when another one wanted to connect, and there was no room */

enum stats_close {
#define X(name, text) CLOSE_##name,
        STATS_CLOSES(X)
#undef X
        CLOSES
};

/* Why a viewer of a private stream was not let in; several of access.h's faults are one of these. */
#define STATS_REFUSALS(X)                                                                                              \
        X(MISSING, "missing") X(EXPIRED, "expired") X(NOT_YET, "not_yet") X(OTHER, "other_stream")                     \
        X(KEY, "not_genuine") X(MALFORMED, "malformed") X(BUSY, "busy")

enum stats_refusal {
#define X(name, text) REFUSED_##name,
        STATS_REFUSALS(X)
#undef X
        REFUSALS
};

/* Why a request was answered without a question to the tier above. */
#define STATS_SPARED(X)                                                                                                \
        X(UNKNOWN, "unknown") /* there is no such stream or session */                                                 \
        X(FAR, "far")         /* no segment of it is there, or will be soon */                                         \
        X(RATE, "requests")   /* one address asked too often, for whatever */                                          \
        X(ONE, "address")     /* one address asked too often for what is not there */                                  \
        X(ALL, "edge")        /* all of them together did */

enum stats_spared {
#define X(name, text) SPARED_##name,
        STATS_SPARED(X)
#undef X
        SPARED
};

/* Why a connection was told to try again later, or, without TLS to tell it in, closed. */
#define STATS_TURNED(X)                                                                                                \
        X(FULL, "connections_max") X(SHARE, "connections_of_one") X(SHAKES, "handshakes_per_s")                        \
        X(SHAKES_ONE, "handshakes_of_one_per_s")

enum stats_turned {
#define X(name, text) TURNED_##name,
        STATS_TURNED(X)
#undef X
        TURNED
};

/* What became of a handshake of TLS that was let begin. */
#define STATS_SHAKES(X) X(FULL, "full") X(RESUMED, "resumed") X(FAILED, "failed")

enum stats_shake {
#define X(name, text) SHAKEN_##name,
        STATS_SHAKES(X)
#undef X
        SHAKES
};

/* What became of one FETCH to the tier above. */
#define STATS_FETCHES(X)                                                                                               \
        X(OK, "ok") X(NOT_YET, "not_yet") X(NOT_FOUND, "not_found") X(FULL, "full") X(LOST, "lost") X(BAD, "bad")      \
        X(SPARE, "spare") /* good, but another node's answer was there first */

enum stats_fetch {
#define X(name, text) FETCHED_##name,
        STATS_FETCHES(X)
#undef X
        FETCHES
};

/* What became of a second FETCH for the same bytes (hedge.h). */
#define STATS_HEDGES(X)                                                                                                \
        X(WON, "won")       /* its answer was taken */                                                                 \
        X(LOST, "lost")     /* the first one's was, or neither had anything */                                         \
        X(DENIED, "denied") /* not sent: over the budget */

enum stats_hedge {
#define X(name, text) HEDGED_##name,
        STATS_HEDGES(X)
#undef X
        HEDGES
};

extern struct metric stats_sites_gone;
extern struct metric stats_known_sessions, stats_census_sure, stats_connections_max, stats_pinned;
extern struct metric stats_by_kernel; /* connections whose answers the kernel encrypts */
extern struct metric stats_sent; /* bytes of bodies, to viewers */
extern struct metric stats_cache_bytes, stats_cache_objects, stats_evicted, stats_clients, stats_held, stats_aborted_fills,
        stats_served;
extern struct metric stats_upstream_bytes[]; /* 0: from nodes of this one's zone, 1: from others */
extern struct metric stats_upstream_resting, stats_upstream_passed_over;
extern struct metric stats_upstream_p95[]; /* by enum hedge_kind; µs */
extern struct histogram stats_request_seconds, stats_glass;

void stats_register(void);
void stats_request(enum stats_result result, unsigned status, int64_t us);
void stats_close(enum stats_close why);
void stats_refuse(unsigned fault); /* access.h */
void stats_bad(unsigned fault);    /* wire/parse.h */
void stats_spare(enum stats_spared why);
void stats_turn_away(enum stats_turned why);
int64_t stats_spared(enum stats_spared why); /* so far */
int64_t stats_bads(void);
int64_t stats_turned(enum stats_turned why);
void stats_shake(enum stats_shake what);
void stats_fetch(int status, bool wanted); /* 0 or ERR_*; not wanted: another answer was there first */
void stats_hedge(enum stats_hedge what);
void stats_steer(bool here); /* a player was told where to go */
int64_t stats_requests(enum stats_result result); /* so far, whatever their status */

/* The word of one of these, as in the metric's label. */
enum stats_words { WORDS_RESULT, WORDS_CLOSE, WORDS_SPARED, WORDS_TURNED };
const char *stats_word(enum stats_words of, unsigned which);

#endif
