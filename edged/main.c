/* edged: HTTP for viewers, from a cache that fetches each object once.
 *
 *   viewers ──HTTP──► wire/ ──► http.c ──► cache.c ──miss──► fill.c ──► upstream.c ──FETCH──► origins
 *   other edges ──FETCH──────────► serve.c ──┘                └──FETCH_OWNED──► siblings.c: the site's other edges */
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster/cluster.h"
#include "common/cluster/peers.h"
#include "common/daemon/daemon.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mailbox.h"
#include "common/networks.h"
#include "common/tls_server.h"
#include "common/tls_tickets.h"
#include "common/token_keys.h"
#include "edged/access.h"
#include "edged/addresses.h"
#include "edged/api.h"
#include "edged/audience.h"
#include "edged/crowd.h"
#include "edged/census.h"
#include "edged/cmsd.h"
#include "edged/fill.h"
#include "edged/follow.h"
#include "edged/http.h"
#include "edged/inquiry.h"
#include "edged/players.h"
#include "edged/respond.h"
#include "edged/serve.h"
#include "edged/siblings.h"
#include "edged/site.h"
#include "edged/site_loads.h"
#include "edged/stats.h"
#include "edged/tail.h"
#include "edged/upstream.h"
#include "edged/wire/wire.h"

#define HOUSEKEEPING_MS 1000
#define EXPIRY_LOOK_MS 250
#define DRAIN_LOOK_MS 20
#define HEAPS_MAX 2
#define FILLS_MAX 4096
/* Descriptors for nng, libuv, the listeners; for who is told that there is no room. */
#define FILES_BESIDE_VIEWERS (512 + WIRE_TURNED_MAX)

struct config {
        struct config_common common;
        int64_t http_port, https_port, fetch_port;
        char *https_certs, *https_ticket_secret;
        int64_t handshakes_per_s, handshakes_of_one_per_s;
        char *origins, *upstream_role, *siblings;
        int64_t sibling_late_ms;
        int64_t replicas, cache_bytes, object_max_bytes, http_threads, connections_max, connections_of_one;
        int64_t requests_of_one_per_s, misses_per_s, misses_of_one_per_s, max_waits, follow_tracks;
        char *proxy_from;
        int64_t hold_ms, header_deadline_ms, idle_ms, min_rate_bytes_s;
        int64_t drain_ms, finish_ms;
        bool tell_throughput, tell_viewers;
        int64_t uplink_mbits;
        char *web_root;
        char *view_jwks, *frame_ancestors;
        json_t *private_streams;
        json_t *sites;
        char *site;
        int64_t site_full_percent, steering_ttl_s;
};

#define INT(key, def, least, most, what, text)                                                                         \
        {.name = #key, .type = CONFIG_INT, .offset = offsetof(struct config, key), .default_value = def, .min = least, \
         .max = most, .unit = what, .help = text}

/* It becomes part of a header. */
static int check_sources(const void *value, char *why, size_t why_cap)
{
        for (const char *p = *(char *const *)value; *p; p++) {
                if (*p >= ' ' && *p < 0x7f && !strchr(";,\"\\", *p))
                        continue;
                snprintf(why, why_cap, "it must be sources as in a Content-Security-Policy, which have no ; , \" and \\");
                return ERR_CONFIG;
        }
        return 0;
}

/* Whoever has a ticket can try secrets, as fast as he likes. */
static int check_ticket_secret(const void *value, char *why, size_t why_cap)
{
        size_t len = strlen(*(char *const *)value);
        if (len == 0 || len >= TLS_TICKETS_SECRET_MIN)
                return 0;
        snprintf(why, why_cap, "it must have %d characters at least, made by chance", TLS_TICKETS_SECRET_MIN);
        return ERR_CONFIG;
}

/* What would end the process later, for -n too. */
static int check_start(const void *fields, char *why, size_t why_cap)
{
        const struct config *c = fields;
        char wrong[400];
        int err = cluster_check_listener(fields, why, why_cap);
        if (!err)
                err = site_loads_check_own(c->sites, c->site, why, why_cap);
        if (!err && *c->https_certs && tls_server_check(c->https_certs, wrong, sizeof(wrong))) {
                snprintf(why, why_cap, "https_certs: given \"%.80s\", %s", c->https_certs, wrong);
                return ERR_CONFIG;
        }
        return err ? err : token_keys_check("view_jwks", c->view_jwks, why, why_cap);
}

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9490),
        INT(http_port, "8080", 1, 65535, "port", "HTTP for viewers"),
        INT(https_port, "8443", 1, 65535, "port", "the same over TLS, opened when https_certs is set"),
        {.name = "https_certs", .type = CONFIG_STRING, .offset = offsetof(struct config, https_certs), .default_value = "", .min = 0,
         .max = 4096, .unit = "",
         .help = "directory of certificates and keys, each NAME.crt (or .pem) with NAME.key; watched for changes"},
        {.name = "https_ticket_secret", .type = CONFIG_STRING, .offset = offsetof(struct config, https_ticket_secret),
         .default_value = "",
         .min = 0, .max = 255, .unit = "", .secret = true, .reloads = true, .check = check_ticket_secret,
         .help = "the same at all edges of a site: who was at one of them is spared a handshake's signature at the others (TLS 1.3); "
                 "empty: each for itself"},
        INT(handshakes_per_s, "1000", 0, 1000000, "1/s", "handshakes of TLS, five seconds' worth at once; more are closed; 0: no bound"),
        INT(handshakes_of_one_per_s, "100", 0, 1000000, "1/s", "of them of one address; 0: no bound"),
        INT(fetch_port, "9402", 1, 65535, "port", "FETCH for other edges"),
        {.name = "origins", .type = CONFIG_STRING, .offset = offsetof(struct config, origins),
         .default_value = "127.0.0.1:9302", .min = 1, .max = 4095, .unit = "",
         .help = "FETCH addresses of the tier above, of all its nodes: host:port[,host:port…]", .check = peers_check_names},
        {.name = "upstream_role", .type = CONFIG_CHOICE, .offset = offsetof(struct config, upstream_role),
         .default_value = "originD", .unit = "", .allowed = "originD|edged", .help = "what the tier above is"},
        {.name = "siblings", .type = CONFIG_STRING, .offset = offsetof(struct config, siblings),
         .default_value = "", .min = 0, .max = 4095,
         .unit = "", .check = peers_check_names,
         .help = "FETCH addresses of all edges of this site, this one too: one of them fetches each object for all; empty: each for "
                 "itself"},
        INT(sibling_late_ms, "250", 50, 60000, "ms", "an edge of this site that does not answer for so long is passed over"),
        INT(replicas, "2", 1, PEERS_OWNERS_MAX, "origins",
            "that have each stream, as transcoderd's: those in this node's zone are asked first"),
        INT(cache_bytes, "536870912", 1 << 20, INT64_C(1) << 44, "bytes", "budget of the cache"),
        INT(object_max_bytes, "67108864", 1 << 16, INT64_C(1) << 32, "bytes", "largest object that is fetched"),
        INT(follow_tracks, "256", 0, FILLS_MAX / 2, "tracks",
            "whose next segment is fetched before a viewer asks, as long as they have viewers; 0: none"),
        INT(http_threads, "0", 0, WIRE_THREADS_MAX, "", "HTTP threads; 0: one a core"),
        INT(connections_max, "10000", 16, 1000000, "",
            "viewer connections at a time: who rests for longest is closed for one more, or it is told 503"),
        INT(connections_of_one, "0", 0, 1000000, "", "of them of one address (IPv6: of one /64), more are told 429; 0: a quarter"),
        INT(requests_of_one_per_s, "10000", 0, 1000000, "1/s",
            "requests of one address, a second's worth at once; more are told 429; 0: no bound"),
        INT(misses_per_s, "200", 0, 1000000, "1/s",
            "requests for what may not be there that are asked for above, five seconds' worth at once; more are told 503; 0: no bound"),
        INT(misses_of_one_per_s, "20", 0, 1000000, "1/s", "of them of one address; more are told 429; 0: no bound"),
        INT(max_waits, "1024", 16, 65536, "requests", "FETCHes of one edge that wait here at the same time; four times that of all"),
        {.name = "proxy_from", .type = CONFIG_STRING, .offset = offsetof(struct config, proxy_from), .default_value = "127.0.0.0/8,::1",
         .min = 0, .max = 4096, .unit = "", .check = networks_check,
         .help = "balancers before this edge, as 10.0.0.0/8,192.0.2.7: no bounds for one address hold for them, and X-Forwarded-For "
                 "says whose a request is"},
        INT(hold_ms, "4000", 100, 30000, "ms", "how long a request waits for bytes that are due"),
        INT(header_deadline_ms, "10000", 100, 600000, "ms",
            "a new connection must have sent its request by then; a request's body has as long"),
        INT(idle_ms, "30000", 1000, 600000, "ms", "a connection without a request is closed after this"),
        INT(min_rate_bytes_s, "2000", 0, 1 << 30, "bytes/s", "who reads an answer more slowly is closed"),
        {.name = "tell_viewers", .type = CONFIG_BOOL, .offset = offsetof(struct config, tell_viewers), .default_value = "false",
         .help = "tell everybody how many watch each stream, at this edge and its siblings (/api/viewers), and show it on the pages; "
                 "for where these are all edges"},
        {.name = "tell_throughput", .type = CONFIG_BOOL, .offset = offsetof(struct config, tell_throughput), .default_value = "false",
         .unit = "", .help = "tell players what their connections carry (CMSD-Dynamic, etp): not behind a proxy that ends them"},
        INT(uplink_mbits, "0", 0, 10000000, "Mbit/s",
            "what viewers may be sent in sum: from nine tenths on players are told to take less (mb) or go elsewhere (du), with "
            "tell_throughput; 0: not known"),
        INT(drain_ms, "5000", 0, 600000, "ms",
            "SIGTERM: new viewers are still served for so long, while load balancers see /readyz fail"),
        INT(finish_ms, "5000", 0, 600000, "ms", "after that: answers under way may take so long"),
        {.name = "web_root", .type = CONFIG_STRING, .offset = offsetof(struct config, web_root), .default_value = "",
         .min = 0, .max = 4095, .unit = "", .help = "folder of the web pages; empty: share/freshet/web or build/web"},
        {.name = "frame_ancestors", .type = CONFIG_STRING, .offset = offsetof(struct config, frame_ancestors),
         .default_value = "'self'", .min = 1, .max = 1024, .unit = "",
         .help = "who may show the pages in a frame, as CSP has it: 'none', 'self', https://example.org, *", .check = check_sources},
        {.name = "private", .type = CONFIG_JSON, .offset = offsetof(struct config, private_streams), .default_value = "[]",
         .unit = "", .help = "patterns of the streams that need a token: [\"staff-*\"]; [\"*\"]: all; []: none", .reloads = true,
         .check = access_check_patterns},
        {.name = "view_jwks", .type = CONFIG_STRING, .offset = offsetof(struct config, view_jwks), .default_value = "", .min = 0,
         .max = 4095, .unit = "",
         .help = "file of the keys that viewers' tokens are verified with (JWKS), read again when it changes; empty: none"},
        {.name = "sites", .type = CONFIG_JSON, .offset = offsetof(struct config, sites), .default_value = "[]", .unit = "",
         .check = site_loads_check,
         .help = "all sites, where players may be sent when one is full or gone: [{\"name\", \"url\"}], url as https://live.example.org; "
                 "originD's steering makes players ask"},
        {.name = "site", .type = CONFIG_STRING, .offset = offsetof(struct config, site), .default_value = "", .min = 0,
         .max = STEERING_NAME_MAX, .unit = "", .help = "this edge's, a name among sites"},
        INT(site_full_percent, "80", 1, 100, "%",
            "of connections_max or uplink_mbits: a site with more takes nobody, and sends viewers to others until it has less"),
        INT(steering_ttl_s, "30", 1, 3600, "s", "how often players ask which site to load from"),
        {.name = NULL, .check = check_start},
};

#define EDGE_MAGIC 0x45444745

struct edge {
        uint32_t magic;
        struct daemon daemon;
        struct config config;
        struct mailbox mailbox;
        struct cache *cache;
        struct upstream *upstream;
        struct upstream *siblings; /* NULL: none are configured */
        struct fills *fills;
        struct follow *follow;
        struct serve *serve;
        struct http *http;
        struct site *site;
        struct access *access;
        struct census *census;
        struct inquiry *inquiry;
        struct addresses *addresses;
        struct audience *audience;
        struct crowd *crowd;
        struct site_loads *site_loads; /* NULL: no sites are configured */
        struct token_keys *token_keys;
        struct tls_server *tls; /* NULL: no HTTPS */
        uv_timer_t housekeeping, expiry, drain;
        enum { RUNNING, DRAINING, FINISHING } phase;
        int64_t phase_until_us;
};

static struct edge edge = {.magic = EDGE_MAGIC};

/* ---- readiness and housekeeping ------------------------------------------------------------------------------- */

/* Other edges, and this one as its own sibling (siblings.h), ask one that leaves or has nobody above last. */
static void show_readiness(struct edge *e)
{
        e->daemon.self.draining = e->phase != RUNNING || (e->upstream && e->upstream->ops->live(e->upstream) == 0);
        if (e->phase != RUNNING)
                daemon_ready(&e->daemon, false, "stopping");
        else if (!e->http)
                daemon_ready(&e->daemon, false, "starting");
        else if (e->upstream && e->upstream->ops->live(e->upstream) > 0)
                daemon_ready(&e->daemon, true, NULL);
        else
                daemon_ready(&e->daemon, false, "waiting for an origin");
}

static void on_nodes_changed(void *arg)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        show_readiness(e);
        if (e->fills)
                fills_nodes_changed(e->fills);
        if (e->inquiry)
                inquiry_nodes_changed(e->inquiry);
}

/* What was paid for is there, or nobody can say: that was no stranger's fault. */
static void on_too_deep(void *arg, struct object *o)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        if (e->serve)
                serve_turn_away(e->serve, o);
}

static void on_settled(void *arg, struct object *o, const struct key *key, bool there)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        if (there)
                census_saw(e->census, key);
        if (o->charge.paid)
                addresses_pay_back(e->addresses, &o->charge.by);
        o->charge.paid = false;
}

static void on_left(void *arg, struct object *o, const struct key *key, bool grew)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        follow_left(e->follow, o, key, grew, clock_mono_us());
}

static void on_housekeeping(uv_timer_t *timer)
{
        struct edge *e = magic_check(timer->data, EDGE_MAGIC);
        show_readiness(e); /* a node that asked here may be one to ask again by now (upstream.h) */
        http_sweep(e->http, clock_mono_us());
        metric_set(&stats_cache_bytes, (int64_t)cache_bytes(e->cache));
        metric_set(&stats_cache_objects, (int64_t)cache_objects(e->cache));
        metric_set(&stats_pinned, (int64_t)cache_pinned(e->cache));
        metric_set(&stats_known_sessions, (int64_t)census_sessions(e->census));
        metric_set(&stats_census_sure, census_is_sure(e->census));
        struct cmsd_load load = {.now_us = clock_mono_us(), .clients = metric_get(&stats_clients),
                                 .clients_max = e->config.connections_max,
                                 .sent_bytes = metric_get(&stats_sent), .uplink_bits_s = e->config.uplink_mbits * 1000000};
        e->daemon.self.load_permille = cmsd_look(&load);
        http_set_load(e->http, e->daemon.self.load_permille);
        if (e->site_loads) {
                site_loads_set_own(e->site_loads, e->daemon.self.load_permille);
                metric_set(&stats_sites_gone, site_loads_gone(e->site_loads, load.now_us));
        }
        audience_look(e->audience, load.now_us);
        crowd_look(e->crowd, load.now_us);
}

/* Viewers of each stream, for /metrics. */
static void list_viewers(void *arg, metric_put put, void *to)
{
        static const char *const kinds[AUDIENCE_KINDS] = {[AUDIENCE_PICTURE] = "picture", [AUDIENCE_SOUND] = "sound"};
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        struct audience_row rows[AUDIENCE_STREAMS + 1];
        char labels[METRIC_LABELS_MAX];
        size_t count = audience_rows(e->audience, rows);
        for (size_t i = 0; i < count; i++) {
                for (int of = 0; of < AUDIENCE_KINDS; of++) {
                        snprintf(labels, sizeof(labels), "stream=\"%.64s\",of=\"%s\",zone=\"%.64s\"", rows[i].stream, kinds[of],
                                 e->daemon.self.zone);
                        put(to, labels, rows[i].tenths[of]);
                }
        }
}

/* ---- private streams ------------------------------------------------------------------------------------------ */

static void end_expired(struct edge *e)
{
        if (e->http && access_has_private(e->access))
                http_end_expired(e->http, clock_wall_us());
}

static void on_expiry(uv_timer_t *timer)
{
        end_expired(magic_check(timer->data, EDGE_MAGIC));
}

static void apply_access(struct edge *e)
{
        size_t patterns = json_array_size(e->config.private_streams);
        struct jwt_keys *now = token_keys_now(e->token_keys);
        access_set(e->access, e->config.private_streams, now);
        if (patterns > 0 && !now)
                log_warn("msg=\"private is set, and view_jwks is not: nobody can watch these streams\" patterns=%zu", patterns);
        end_expired(e);
}

static void on_keys_changed(void *arg)
{
        apply_access(magic_check(arg, EDGE_MAGIC));
}

static void on_reloaded(void *arg)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        if (!e->token_keys) /* closed: this is the end */
                return;
        token_keys_reload(e->token_keys, e->config.view_jwks);
        if (e->tls) {
                tls_server_set_ticket_secret(e->tls, e->config.https_ticket_secret);
                tls_server_reload(e->tls);
        }
        apply_access(e);
}

static int open_access(struct edge *e)
{
        int err = token_keys_open(&e->token_keys, e->daemon.loop, "view_jwks", e->config.view_jwks, on_keys_changed, e);
        if (err)
                return err;
        e->access = access_open();
        apply_access(e);
        return 0;
}

/* ---- the end: look gone, refuse new viewers, let answers finish, wake who waits, close from the outside in ----------- */

static void close_everything(struct edge *e)
{
        cache_stop_waiting(e->cache);
        http_close(e->http);
        e->http = NULL;
        tls_server_close(&e->tls);
        serve_close(e->serve);
        e->serve = NULL;
        inquiry_stop(e->inquiry);
        fills_stop(e->fills);
        upstream_close(e->upstream);
        siblings_close(&e->siblings);
        inquiry_close(e->inquiry);
        mailbox_close(&e->mailbox);
        fills_stop(e->fills); /* those that were still in the mailbox */
        fills_close(e->fills);
        token_keys_close(&e->token_keys);
        site_loads_stop(e->site_loads);
        uv_close((uv_handle_t *)&e->housekeeping, NULL);
        uv_close((uv_handle_t *)&e->expiry, NULL);
        uv_close((uv_handle_t *)&e->drain, NULL);
        daemon_exit(&e->daemon, 0);
}

static void finish_answers(struct edge *e)
{
        e->phase = FINISHING;
        e->phase_until_us = clock_mono_us() + e->config.finish_ms * US_PER_MS;
        log_info("msg=\"no new viewers\" clients=%lld held=%lld", (long long)metric_get(&stats_clients),
                 (long long)metric_get(&stats_held));
        http_quiesce(e->http);
}

static void on_drain(uv_timer_t *timer)
{
        struct edge *e = magic_check(timer->data, EDGE_MAGIC);
        if (e->phase == DRAINING && clock_mono_us() >= e->phase_until_us)
                finish_answers(e);
        if (e->phase == DRAINING || (http_busy(e->http) > 0 && clock_mono_us() < e->phase_until_us))
                return;
        uv_timer_stop(timer);
        uv_timer_stop(&e->housekeeping);
        uv_timer_stop(&e->expiry);
        close_everything(e);
}

static void on_stop(void *arg)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        log_info("msg=stopping clients=%lld drain_ms=%lld", (long long)metric_get(&stats_clients),
                 (long long)e->config.drain_ms);
        e->phase = DRAINING;
        e->phase_until_us = clock_mono_us() + e->config.drain_ms * US_PER_MS;
        show_readiness(e);
        http_drain(e->http);
        uv_timer_start(&e->drain, on_drain, 0, DRAIN_LOOK_MS);
}

/* A second SIGTERM ends the phase that is. */
static void on_hurry(void *arg)
{
        struct edge *e = magic_check(arg, EDGE_MAGIC);
        e->phase_until_us = 0;
}

/* ---- the beginning -------------------------------------------------------------------------------------------- */

static void on_cut(void *arg)
{
        (void)arg;
        if (edge.http)
                http_end_cut(edge.http);
}

static unsigned threads_wanted(const struct config *c)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        if (c->http_threads > 0)
                return (unsigned)c->http_threads;
        return cores < 1 ? 1 : cores > WIRE_THREADS_MAX ? WIRE_THREADS_MAX : (unsigned)cores;
}

static void open_timer(struct edge *e, uv_timer_t *timer)
{
        uv_timer_init(e->daemon.loop, timer);
        timer->data = e;
}

static int open_cache(struct edge *e)
{
        const struct config *c = &e->config;
        struct cache_config cfg = {.budget_bytes = (size_t)c->cache_bytes, .fills_max = FILLS_MAX};
        struct fill_config fill = {.hold_us = c->hold_ms * US_PER_MS, .object_max_bytes = (uint64_t)c->object_max_bytes,
                                   .settled = on_settled, .too_deep = on_too_deep, .left = on_left, .arg = e,
                                   .sibling_late_ms = (unsigned)c->sibling_late_ms};
        struct cache_ops ops = {.fill = fill_begin, .detach = respond_detach, .cut = on_cut};
        enum node_role role = strcmp(c->upstream_role, "edged") == 0 ? ROLE_EDGED : ROLE_ORIGIND;
        mailbox_open(&e->mailbox, e->daemon.loop);
        int err = upstream_open(&e->upstream, e->daemon.loop, c->origins, role, (size_t)c->replicas, &e->daemon.self,
                                on_nodes_changed, e);
        if (err) {
                log_error("msg=\"cannot watch the tier above\" error=\"%s\"", err_text(err));
                return err;
        }
        if (*c->siblings && (err = siblings_open(&e->siblings, e->daemon.loop, c->siblings, &e->daemon.self)) != 0) {
                log_error("msg=\"cannot watch the edges of this site\" error=\"%s\"", err_text(err));
                return err;
        }
        fill.siblings = e->siblings;
        e->census = census_open();
        inquiry_open(&e->inquiry, e->daemon.loop, e->upstream, e->census);
        fills_open(&e->fills, e->daemon.loop, &fill, e->upstream);
        e->cache = cache_open(&cfg, &ops, e->fills, &e->mailbox);
        e->follow = follow_open(e->cache, e->census, (unsigned)c->follow_tracks);
        return 0;
}

static int open_sockets(struct edge *e)
{
        const struct config *c = &e->config;
        struct http_config http = {.bind = c->common.bind,
                                   .port = (int)c->http_port,
                                   .tls_port = (int)c->https_port,
                                   .threads = threads_wanted(c),
                                   .connections_max = descriptors_connections("connections_max", c->connections_max,
                                                                              FILES_BESIDE_VIEWERS, 1),
                                   .proxy_from = c->proxy_from,
                                   .hold_us = c->hold_ms * US_PER_MS,
                                   .limits = {.header_us = c->header_deadline_ms * US_PER_MS,
                                              .idle_us = c->idle_ms * US_PER_MS,
                                              .min_rate_bytes_s = (uint64_t)c->min_rate_bytes_s},
                                   .tells_viewers = c->tell_viewers,
                                   .throughput_node = c->tell_throughput ? e->daemon.self.id : NULL,
                                   .site_full_permille = (unsigned)c->site_full_percent * 10,
                                   .steering_ttl_s = c->steering_ttl_s};
        unsigned quarter = http.connections_max / 4, of_one = (unsigned)c->connections_of_one;
        struct addresses_config addresses = {.connections = of_one ? of_one : quarter,
                                             .requests_of_one_s = (unsigned)c->requests_of_one_per_s,
                                             .misses_of_one_s = (unsigned)c->misses_of_one_per_s,
                                             .misses_s = (unsigned)c->misses_per_s,
                                             .shakes_of_one_s = (unsigned)c->handshakes_of_one_per_s,
                                             .shakes_s = (unsigned)c->handshakes_per_s};
        e->addresses = addresses_open(&addresses);
        metric_set(&stats_connections_max, http.connections_max);
        e->audience = audience_open(http.threads);
        e->crowd = crowd_open(e->audience, e->siblings);
        static struct metric_rows viewers = {
                .name = "edged_viewers",
                .type = METRIC_GAUGE,
                .help = "Who watches a stream here, by the pictures and sounds that are fetched; stream \"\": those beyond the first 128",
                .scale = 0.1,
                .list = list_viewers};
        viewers.arg = e;
        metrics_register_rows(&viewers);
        struct http_parts parts = {.cache = e->cache, .site = e->site, .access = e->access, .census = e->census,
                                   .addresses = e->addresses,
                                   .audience = e->audience, .crowd = e->crowd, .site_loads = e->site_loads};
        int err = serve_open(&e->serve, e->daemon.loop, c->common.bind, (int)c->fetch_port, &e->daemon.self, e->cache, e->census,
                             e->upstream, (unsigned)c->max_waits);
        if (err) {
                log_error("msg=\"cannot listen for other edges\" port=%lld error=\"%s\"", (long long)c->fetch_port,
                          err_text(err));
                return err;
        }
        serve_tell_viewers(e->serve, e->crowd);
        struct tls_server_config tls = {.directory = c->https_certs, .alpn = (const char *const[]){"http/1.1", NULL}, .tickets = true,
                                        .ticket_secret = c->https_ticket_secret, .kernel = true};
        if (*c->https_certs && (err = tls_server_open(&e->tls, e->daemon.loop, &tls)) != 0)
                return err;
        http.tls = e->tls;
        return http_open(&e->http, &http, &parts);
}

int main(int argc, char **argv)
{
        struct edge *e = &edge;
        /* Messages of a megabyte come by nng's thirteen threads. With a heap for each, up to eight a core, what those keep for the next
         * one was once as much as a cache of 64 MiB; who is served what is cached needs no heap. */
        mallopt(M_ARENA_MAX, HEAPS_MAX);
        stats_register();
        siblings_register();
        players_register();
        tail_register();
        tls_server_register_metrics();
        daemon_init(&e->daemon, "edged", ROLE_EDGED, keys, &e->config, argc, argv, on_stop, on_reloaded, e);
        e->daemon.drain_ms = e->config.drain_ms + e->config.finish_ms;
        e->daemon.hurry = on_hurry;
        e->site_loads = site_loads_open(e->daemon.loop, e->config.sites, e->config.site);
        e->site = site_open(e->config.web_root, e->config.frame_ancestors, site_loads_sources(e->site_loads));
        if (open_access(e) != 0)
                return 2;
        if (open_cache(e) != 0 || open_sockets(e) != 0)
                return 1;
        api_open(&e->daemon, e->fills, e->config.cache_bytes);
        open_timer(e, &e->housekeeping);
        open_timer(e, &e->expiry);
        open_timer(e, &e->drain);
        uv_timer_start(&e->housekeeping, on_housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
        uv_timer_start(&e->expiry, on_expiry, EXPIRY_LOOK_MS, EXPIRY_LOOK_MS);
        show_readiness(e);
        log_info("msg=listening http=%lld https=%lld fetch=%lld threads=%u", (long long)e->config.http_port,
                 (long long)(e->tls ? e->config.https_port : 0), (long long)e->config.fetch_port, threads_wanted(&e->config));
        int status = daemon_run(&e->daemon);
        follow_close(e->follow);
        cache_close(e->cache);
        census_close(e->census);
        addresses_close(e->addresses);
        crowd_close(e->crowd);
        audience_close(e->audience);
        site_close(e->site);
        site_loads_close(e->site_loads);
        access_close(e->access);
        daemon_fini(&e->daemon, &e->config);
        return status;
}
