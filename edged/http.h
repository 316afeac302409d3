/* http.h - what viewers are answered: from a parsed request (wire/) to an answer, by way of who may have it, the cache, and the tier
 * above.
 *
 *   http_open → … http_sweep() about once a second, http_end_expired() more often … → http_drain → (a while) → http_quiesce → (until http_busy() is 0,
 *   or enough is enough) → cache_stop_waiting → http_close
 *
 * Never more than connections_max are served. When there is one more, whoever has asked for nothing for longest is closed for it; if all
 * are being answered, it is told 503 when it asks, and who is one of too many of his address 429. Beyond WIRE_TURNED_MAX that are being
 * told so a connection is given the 503 unasked, and closed.
 *
 * What is not in the cache is asked for above only if there is such a thing, or may be and somebody pays for it (census.h, addresses.h).
 *
 * All calls on the loop thread. Requests are answered on wire/'s threads: what is in the cache at once; what is being
 * fetched is held until the loop thread wakes it (cache.h). */
#ifndef EDGED_HTTP_H
#define EDGED_HTTP_H

#include <stdint.h>

#include "edged/access.h"
#include "edged/addresses.h"
#include "edged/audience.h"
#include "edged/crowd.h"
#include "edged/cache.h"
#include "edged/census.h"
#include "edged/site.h"
#include "edged/site_loads.h"
#include "edged/wire/conn.h"

struct http;
struct tls_server;

struct http_config {
        const char *bind; /* numeric address */
        int port;         /* 0: any free one */
        struct tls_server *tls; /* what speaks TLS at tls_port (0: any free one); must outlive http. NULL: nobody does */
        int tls_port;
        unsigned threads, connections_max;
        int64_t hold_us;
        const char *proxy_from; /* balancers (common/networks.h): their connections are as many as they like. Must outlive http */
        struct conn_limits limits;
        /* Who tells viewers what their connections carry (cmsd.h); NULL: nobody. Must outlive http. Only the end of a viewer's own
         * connection knows that: behind a proxy it would be what the proxy's carries. */
        const char *throughput_node;
        bool tells_viewers; /* /api/viewers */
        unsigned site_full_permille; /* steering.h */
        int64_t steering_ttl_s;
};

/* What it answers from, and by. All of it must outlive http; census and addresses NULL: whatever is asked for is asked for above;
 * audience NULL: nobody counts viewers; site_loads NULL: there are no sites to send players to. */
struct http_parts {
        struct cache *cache;
        struct site *site;
        struct access *access;
        struct census *census;
        struct addresses *addresses;
        struct audience *audience; /* of as many threads */
        struct crowd *crowd;       /* which it is a part of */
        struct site_loads *site_loads;
};

/* ERR_IO when the port cannot be had (logged). */
int http_open(struct http **out, const struct http_config *cfg, const struct http_parts *parts);
int http_port(const struct http *h);
void http_sweep(struct http *h, int64_t now_us);
void http_end_expired(struct http *h, int64_t real_us); /* several times a second, and after access_set() */
void http_end_cut(struct http *h); /* the cache has cut bytes off: who reads such is closed, by its own thread, in a moment */
void http_drain(struct http *h);   /* everybody is served, but who asks is told to connect anew, which leads elsewhere */
void http_quiesce(struct http *h); /* no new connections */
size_t http_busy(struct http *h);
void http_set_load(struct http *h, unsigned permille); /* how full this edge is: what /load says */
void http_close(struct http *h); /* cache_stop_waiting() was called; blocks until the threads have ended */

#endif
