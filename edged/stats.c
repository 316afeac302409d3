#include "edged/stats.h"

#include <stddef.h>

#include "common/err.h"
#include "edged/access.h"
#include "edged/hedge.h"
#include "edged/wire/parse.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define STATUSES(X, result)                                                                                            \
        X(result, 200) X(result, 204) X(result, 206) X(result, 304) X(result, 400) X(result, 401) X(result, 403)        \
        X(result, 404) X(result, 405) X(result, 411) X(result, 412) X(result, 413) X(result, 414) X(result, 416) X(result, 417) X(result, 429)       \
        X(result, 431) X(result, 501) X(result, 503) X(result, 505)
static const unsigned statuses[] = {
#define X(result, status) status,
        STATUSES(X, 0)
#undef X
};

#define REQUEST_ROW(result, status)                                                                                    \
        {.name = "edged_requests_total",                                                                               \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Answered requests, by where the answer came from",                                                   \
         .labels = "result=\"" result "\",status=\"" #status "\""},
static struct metric requests[RESULTS * COUNT(statuses)] = {
#define X(word, text) STATUSES(REQUEST_ROW, text)
        STATS_RESULTS(X)
#undef X
};

static struct metric closed[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_closed_total",                                                                                 \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Connections closed by us",                                                                           \
         .labels = "reason=\"" text "\""},
        STATS_CLOSES(X)
#undef X
};

static struct metric refused[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_refused_total",                                                                                \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Requests for private streams that were refused, by what was wrong with the token",                   \
         .labels = "reason=\"" text "\""},
        STATS_REFUSALS(X)
#undef X
};

static struct metric bad[] = {
#define X(word, status, label, words)                                                                                  \
        {.name = "edged_bad_requests_total",                                                                           \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Requests that were not HTTP as it has to be, or more of it than is taken: answered, and their connections closed", \
         .labels = "reason=\"" label "\""},
        PARSE_FAULTS(X)
#undef X
};

static struct metric spared[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_spared_total",                                                                                 \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Requests answered 404, 429 or 503 without a question to the tier above, by why",                     \
         .labels = "reason=\"" text "\""},
        STATS_SPARED(X)
#undef X
};

static struct metric turned[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_turned_away_total",                                                                            \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Viewers' connections that were told to try again later, or closed before TLS, by the limit that was reached",              \
         .labels = "reason=\"" text "\""},
        STATS_TURNED(X)
#undef X
};

static struct metric shakes[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_tls_handshakes_total",                                                                         \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Handshakes of TLS with viewers; resumed: by a ticket, without a signature",                          \
         .labels = "result=\"" text "\""},
        STATS_SHAKES(X)
#undef X
};

struct metric stats_by_kernel = {.name = "edged_tls_by_kernel_total",
                                 .type = METRIC_COUNTER,
                                 .help = "Viewers' connections with TLS whose answers the kernel encrypts (kTLS)"};

static struct metric fetches[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_upstream_fetches_total",                                                                       \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "FETCH requests to the tier above",                                                                   \
         .labels = "result=\"" text "\""},
        STATS_FETCHES(X)
#undef X
};

static struct metric hedges[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_hedges_total",                                                                                 \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Second FETCH requests, to another node than one that is slow to answer",                             \
         .labels = "result=\"" text "\""},
        STATS_HEDGES(X)
#undef X
};

#define STEERED(site)                                                                                                  \
        {.name = "edged_steered_total",                                                                                \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Players that asked which site to load from, by where they were sent",                                \
         .labels = "site=\"" site "\""}
static struct metric steered[2] = {STEERED("other"), STEERED("own")};

#define P95(kind)                                                                                                      \
        {.name = "edged_upstream_p95_seconds",                                                                         \
         .type = METRIC_GAUGE,                                                                                         \
         .help = "Recent 95th percentile of how long the tier above takes to answer; 0: too few answers yet",          \
         .labels = "kind=\"" kind "\"",                                                                                \
         .scale = 1e-6}
struct metric stats_upstream_p95[HEDGE_KINDS] = {[HEDGE_THERE] = P95("there"), [HEDGE_GROWING] = P95("growing")};

#define UPSTREAM_BYTES(zone)                                                                                           \
        {.name = "edged_upstream_bytes_total",                                                                         \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Bytes that came from the tier above, from nodes of this one's zone and of others",                   \
         .labels = "zone=\"" zone "\""}
struct metric stats_upstream_bytes[2] = {UPSTREAM_BYTES("own"), UPSTREAM_BYTES("other")};

struct metric stats_upstream_resting = {.name = "edged_upstream_resting",
                                        .type = METRIC_GAUGE,
                                        .help = "Nodes above that are asked next to nothing, since they had too much to do"};
struct metric stats_upstream_passed_over = {
        .name = "edged_upstream_passed_over_total",
        .type = METRIC_COUNTER,
        .help = "Times that a node above was not asked, since it had as much to do as it keeps up with"};

struct metric stats_sites_gone = {
        .name = "edged_sites_gone", .type = METRIC_GAUGE, .help = "Sites that do not answer at the address that viewers are sent to"};

struct metric stats_known_sessions = {
        .name = "edged_known_sessions", .type = METRIC_GAUGE, .help = "Sessions, live and recorded, that the tier above has told of"};
struct metric stats_census_sure = {
        .name = "edged_names_current",
        .type = METRIC_GAUGE,
        .help = "1: what the tier above has is known as of now, and nothing else is asked for; 0: it is not, and misses are bounded by rate"};
struct metric stats_connections_max = {
        .name = "edged_connections_max", .type = METRIC_GAUGE, .help = "Viewer connections that there may be at a time"};
struct metric stats_cache_bytes = {.name = "edged_cache_bytes", .type = METRIC_GAUGE, .help = "Bytes of cached objects"};
struct metric stats_pinned = {.name = "edged_pinned_bytes",
                              .type = METRIC_GAUGE,
                              .help = "Bytes of objects that were evicted and are still being read by somebody"};
struct metric stats_cache_objects = {.name = "edged_cache_objects", .type = METRIC_GAUGE, .help = "Objects in the cache"};
struct metric stats_evicted = {
        .name = "edged_cache_evicted_total", .type = METRIC_COUNTER, .help = "Objects evicted to keep the byte budget"};
struct metric stats_sent = {
        .name = "edged_sent_bytes_total", .type = METRIC_COUNTER, .help = "Bytes of answers' bodies that viewers were sent"};
struct metric stats_clients = {.name = "edged_clients", .type = METRIC_GAUGE, .help = "Open viewer connections"};
struct metric stats_held = {
        .name = "edged_held_requests", .type = METRIC_GAUGE, .help = "Requests that wait for bytes of the tier above"};
struct metric stats_aborted_fills = {
        .name = "edged_failed_fills_total", .type = METRIC_COUNTER, .help = "Objects that could not be fetched to their end"};
struct metric stats_served = {
        .name = "edged_served_fetches_total", .type = METRIC_COUNTER, .help = "FETCH requests of other edges answered"};

struct histogram stats_request_seconds = {
        .name = "edged_request_seconds",
        .help = "From a request's header to the last byte of its answer handed to the kernel",
        .bounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
};

struct histogram stats_glass = {
        .name = "edged_glass_seconds",
        .help = "From the capture of a segment's beginning until it came to this edge, of segments that were waited for",
        .bounds = {0.1, 0.15, 0.17, 0.18, 0.2, 0.22, 0.25, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 5, 10},
};

void stats_register(void)
{
        metrics_register(requests, COUNT(requests));
        metrics_register(closed, COUNT(closed));
        metrics_register(refused, COUNT(refused));
        metrics_register(bad, COUNT(bad));
        metrics_register(spared, COUNT(spared));
        metrics_register(turned, COUNT(turned));
        metrics_register(shakes, COUNT(shakes));
        metrics_register(&stats_by_kernel, 1);
        metrics_register(&stats_known_sessions, 1);
        metrics_register(&stats_census_sure, 1);
        metrics_register(&stats_connections_max, 1);
        metrics_register(fetches, COUNT(fetches));
        metrics_register(hedges, COUNT(hedges));
        metrics_register(steered, COUNT(steered));
        metrics_register(&stats_sites_gone, 1);
        metrics_register(stats_upstream_p95, HEDGE_KINDS);
        metrics_register(stats_upstream_bytes, COUNT(stats_upstream_bytes));
        metrics_register(&stats_upstream_resting, 1);
        metrics_register(&stats_upstream_passed_over, 1);
        metrics_register(&stats_cache_bytes, 1);
        metrics_register(&stats_cache_objects, 1);
        metrics_register(&stats_pinned, 1);
        metrics_register(&stats_evicted, 1);
        metrics_register(&stats_clients, 1);
        metrics_register(&stats_sent, 1);
        metrics_register(&stats_held, 1);
        metrics_register(&stats_aborted_fills, 1);
        metrics_register(&stats_served, 1);
        metrics_register_histogram(&stats_request_seconds);
        metrics_register_histogram(&stats_glass);
}

void stats_request(enum stats_result result, unsigned status, int64_t us)
{
        for (size_t i = 0; i < COUNT(statuses); i++) {
                if (statuses[i] == status)
                        metric_add(&requests[(size_t)result * COUNT(statuses) + i], 1);
        }
        histogram_observe(&stats_request_seconds, us);
}

int64_t stats_requests(enum stats_result result)
{
        int64_t sum = 0;
        for (size_t i = 0; i < COUNT(statuses); i++)
                sum += metric_get(&requests[(size_t)result * COUNT(statuses) + i]);
        return sum;
}

void stats_close(enum stats_close why)
{
        metric_add(&closed[why], 1);
}

void stats_refuse(unsigned fault)
{
        enum stats_refusal why = fault == ACCESS_MISSING                         ? REFUSED_MISSING
                                 : fault == ACCESS_BUSY                          ? REFUSED_BUSY
                                 : fault == JWT_EXPIRED                          ? REFUSED_EXPIRED
                                 : fault == JWT_NOT_YET                          ? REFUSED_NOT_YET
                                 : fault == JWT_USE || fault == JWT_STREAM       ? REFUSED_OTHER
                                 : fault == JWT_KEY || fault == JWT_SIGNATURE    ? REFUSED_KEY
                                                                                 : REFUSED_MALFORMED;
        metric_add(&refused[why], 1);
}

void stats_bad(unsigned fault)
{
        metric_add(&bad[fault - 1], 1); /* the first fault is none */
}

int64_t stats_bads(void)
{
        int64_t sum = 0;
        for (size_t i = 0; i < COUNT(bad); i++)
                sum += metric_get(&bad[i]);
        return sum;
}

void stats_spare(enum stats_spared why)
{
        metric_add(&spared[why], 1);
}

void stats_turn_away(enum stats_turned why)
{
        metric_add(&turned[why], 1);
}

void stats_shake(enum stats_shake what)
{
        metric_add(&shakes[what], 1);
}

int64_t stats_spared(enum stats_spared why)
{
        return metric_get(&spared[why]);
}

int64_t stats_turned(enum stats_turned why)
{
        return metric_get(&turned[why]);
}

void stats_fetch(int status, bool wanted)
{
        enum stats_fetch what = status == 0               ? wanted ? FETCHED_OK : FETCHED_SPARE
                                : status == ERR_NOT_YET   ? FETCHED_NOT_YET
                                : status == ERR_NOT_FOUND ? FETCHED_NOT_FOUND
                                : status == ERR_FULL      ? FETCHED_FULL
                                : status == ERR_PROTO     ? FETCHED_BAD
                                                          : FETCHED_LOST;
        metric_add(&fetches[what], 1);
}

void stats_hedge(enum stats_hedge what)
{
        metric_add(&hedges[what], 1);
}

void stats_steer(bool here)
{
        metric_add(&steered[here], 1);
}

#define X(word, text) text,
static const char *const result_words[] = {STATS_RESULTS(X)};
static const char *const close_words[] = {STATS_CLOSES(X)};
static const char *const spared_words[] = {STATS_SPARED(X)};
static const char *const turned_words[] = {STATS_TURNED(X)};
#undef X

const char *stats_word(enum stats_words of, unsigned which)
{
        static const char *const *const words[] = {[WORDS_RESULT] = result_words, [WORDS_CLOSE] = close_words,
                                                   [WORDS_SPARED] = spared_words, [WORDS_TURNED] = turned_words};
        return words[of][which];
}
