/* ingestd: RTMP in from broadcasters, their frames out to transcoders. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/cluster/cluster.h"
#include "common/cluster/peers.h"
#include "common/daemon/daemon.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/networks.h"
#include "common/tls_server.h"
#include "common/token_keys.h"
#include "ingestd/admission.h"
#include "ingestd/api.h"
#include "ingestd/publications.h"
#include "ingestd/publish_auth.h"
#include "ingestd/redundancy_config.h"
#include "ingestd/relay.h"
#include "ingestd/transcoders.h"
#include "ingestd/rtmp_server.h"
#include "ingestd/stats.h"

struct config {
        struct config_common common;
        struct publication_limits limits;
        struct admission_config admission;
        char *transcoders, *rtmps_certs, *proxy_from;
        int64_t rtmp_port, rtmps_port, max_connections, publish_timeout_ms, media_timeout_ms, gather_ms, leave_ms, drain_ms;
};

#define INT_KEY(field_name, field, def, lo, hi, u, h)                                                                  \
        {.name = field_name, .type = CONFIG_INT, .offset = offsetof(struct config, field), .default_value = def,       \
         .min = lo, .max = hi, .unit = u, .help = h}

#define RELOADED_INT_KEY(field_name, field, def, lo, hi, u, h)                                                         \
        {.name = field_name, .type = CONFIG_INT, .offset = offsetof(struct config, field), .default_value = def,       \
         .min = lo, .max = hi, .unit = u, .reloads = true, .help = h}

#define STRING_KEY(field_name, field, most)                                                                             \
        .name = field_name, .type = CONFIG_STRING, .offset = offsetof(struct config, field), .default_value = "",      \
        .min = 0, .max = most, .unit = ""

#define GUARDS "publish_key, publish_keys, publish_jwks or publish_webhook"

static bool on_loopback(const struct config *c)
{
        struct sockaddr_storage ss;
        return address_parse(&ss, c->common.bind, 0) == 0 && address_is_loopback(&ss);
}

/* What would end the process later, for -n too. A reload does not ask: what cannot be read then leaves what was read before, and must
 * not keep a key from being taken away. */
static int check_start(const void *fields, char *why, size_t why_cap)
{
        const struct config *c = fields;
        char wrong[400];
        int err = cluster_check(fields, why, why_cap);
        if (err)
                return err;
        if (!admission_guards(&c->admission) && !c->common.insecure && !on_loopback(c)) {
                snprintf(why, why_cap, "RTMP is to listen on %s, where strangers may reach it. Set " GUARDS
                         ", or insecure=true to let everybody publish", c->common.bind);
                return ERR_CONFIG;
        }
        if (token_keys_check("publish_jwks", c->admission.jwks, why, why_cap))
                return ERR_CONFIG;
        if (*c->rtmps_certs && tls_server_check(c->rtmps_certs, wrong, sizeof(wrong))) {
                snprintf(why, why_cap, "rtmps_certs: given \"%.80s\", %s", c->rtmps_certs, wrong);
                return ERR_CONFIG;
        }
        return 0;
}

/* clang-format off */
static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9190),
        INT_KEY("rtmp_port", rtmp_port, "1935", 1, 65535, "port", "RTMP port, for broadcasters"),
        INT_KEY("rtmps_port", rtmps_port, "1936", 1, 65535, "port", "RTMP over TLS, opened when rtmps_certs is set"),
        {STRING_KEY("rtmps_certs", rtmps_certs, 4096),
         .help = "directory of certificates and keys, each NAME.crt (or .pem) with NAME.key; watched for changes"},
        {STRING_KEY("proxy_from", proxy_from, 4096), .check = networks_check, .reloads = true,
         .help = "addresses and networks, comma-separated, of load balancers, which have to send a PROXY header (v1 or v2)"},
        {.name = "transcoders", .type = CONFIG_STRING, .offset = offsetof(struct config, transcoders),
         .default_value = "127.0.0.1:9201", .min = 0, .max = 4096, .unit = "", .check = peers_check_names,
         .help = "where transcoders listen, host:port[,host:port…]; a name stands for all its addresses"},
        {STRING_KEY("publish_key", admission.key, 255), .secret = true, .reloads = true,
         .help = "what broadcasters append to the stream name as ?key=…, for every stream"},
        {.name = "publish_keys", .type = CONFIG_JSON, .offset = offsetof(struct config, admission.keys), .default_value = "[]",
         .unit = "", .secret = true, .reloads = true, .check = publish_keys_check,
         .help = "keys per stream-name pattern, e.g. [{\"match\": \"sports-*\", \"key\": \"…\"}]; any that fits is enough"},
        {STRING_KEY("publish_jwks", admission.jwks, 4096), .reloads = true,
         .help = "file of keys (JWKS: HS256, ES256) for signed tokens, ?token=…; watched for changes"},
        {STRING_KEY("publish_webhook", admission.webhook.url, 2048), .secret = true, .reloads = true,
         .check = publish_webhook_check,
         .help = "URL that is asked by POST, 2xx: may publish; asked after keys and tokens. All empty: anyone may publish"},
        RELOADED_INT_KEY("publish_webhook_timeout_ms", admission.webhook.timeout_ms, "5000", 100, 60000, "ms",
                "for its answer; without one nobody new is let in"),
        RELOADED_INT_KEY("publish_webhook_cache_s", admission.webhook.cache_s, "0", 0, WEBHOOK_CACHE_MAX_S, "s",
                "how long its yes is remembered if it has no Cache-Control: max-age"),
        RELOADED_INT_KEY("publish_webhook_recheck_s", admission.recheck_s, "0", 0, 86400, "s",
                "it is asked again so often while a stream is published; 0: never"),
        RELOADED_INT_KEY("publishers_of_address", admission.streams_of_address, "200", 0, 65534, "streams",
                "of them from one address (IPv6: a /64); 0: any number. A balancer without PROXY header is one address"),
        RELOADED_INT_KEY("publishes_of_address_per_s", admission.starts_per_s, "10", 0, 100000, "streams/s",
                "begun from one address; more wait for 4 s at most; 0: any number"),
        INT_KEY("max_publishers", limits.max_publishers, "1000", 1, 100000, "streams", "published at the same time"),
        INT_KEY("max_connections", max_connections, "4096", 1, 200000, "connections",
                "RTMP connections, publishing or not"),
        INT_KEY("replay_bytes", limits.replay_bytes, "33554432", 1 << 20, INT64_C(1) << 32, "bytes",
                "a stream's frames kept for another transcoder; over it the oldest pictures go"),
        INT_KEY("replay_total_bytes", limits.replay_total_bytes, "4294967296", 1 << 20, INT64_C(1) << 40, "bytes",
                "the same of all streams together; over it the oldest pictures of one of those that keep most go"),
        {.name = "redundancy", .type = CONFIG_JSON, .offset = offsetof(struct config, limits.redundancy),
         .default_value = "[]", .unit = "", .reloads = true, .check = redundancy_config_check,
         .help = "transcoders that encode a broadcast, 1 or 2, per stream-name pattern, e.g. "
                 "[{\"match\": \"sports-*\", \"transcoders\": 2}]; no match: 1"},
        INT_KEY("track_wait_ms", limits.track_wait_ms, "2000", 0, 10000, "ms",
                "how long the second of sound and picture is waited for when the stream begins"),
        INT_KEY("publish_timeout_ms", publish_timeout_ms, "10000", 100, 600000, "ms", "from connect to publish"),
        INT_KEY("media_timeout_ms", media_timeout_ms, "20000", 100, 600000, "ms",
                "a publisher silent for this long is lost"),
        INT_KEY("gather_ms", gather_ms, "10", 0, 100, "ms",
                "broadcasters are read, and their frames sent on, to this beat: longer saves CPU, shorter saves delay; 0: at once"),
        INT_KEY("leave_ms", leave_ms, "0", 0, 600000, "ms",
                "at SIGTERM, how long broadcasters are still accepted while /readyz says 503: for a load balancer to see it"),
        INT_KEY("drain_ms", drain_ms, "10000", 0, 600000, "ms",
                "at SIGTERM and after leave_ms, how long broadcasters have to leave by themselves"),
        {.name = NULL, .check = check_start},
};
/* clang-format on */

#define DRAIN_LOOK_MS 50
#define KEPT_BYTES_A_PUBLISHER ((size_t)256 << 10) /* of messages that are not at their end */
#define KEPT_BYTES_LEAST ((size_t)64 << 20)
#define FILES_BESIDE_BROADCASTERS 128 /* descriptors for the admin port, webhooks, nng, files that are read again */

#define SERVER_MAGIC 0x494e4744

struct server {
        uint32_t magic;
        struct config config;
        struct daemon daemon;
        struct publications publications;
        struct transcoders *transcoders;
        struct tls_server *tls; /* NULL: no RTMPS */
        struct admission *admission;
        struct rtmp_server *rtmp;
        bool stopping, rtmp_closed;
        uv_timer_t drain_timer; /* leaving, then draining */
        int64_t drained_by_us;
};

static void tell_ready(struct server *s)
{
        const char *why = s->stopping              ? "stopping"
                          : !s->rtmp               ? "opening"
                          : transcoders_live(s->transcoders) ? NULL
                                                   : "waiting for a transcoder";
        daemon_ready(&s->daemon, !why, why ? why : "");
}

static void on_live(void *arg, size_t transcoders)
{
        struct server *s = magic_check(arg, SERVER_MAGIC);
        if (!s->transcoders) /* during transcoders_open() */
                return;
        tell_ready(s);
        if (transcoders)
                publications_poke(&s->publications);
}

static void on_gone(void *arg, const struct rpc_client *client)
{
        struct server *s = magic_check(arg, SERVER_MAGIC);
        publications_lose(&s->publications, client);
}

static const struct transcoders_events transcoders_events = {.live = on_live, .gone = on_gone};

/* When the last publication has said CLOSE, or given up, and the last connection is closed. */
static void finish(struct server *s)
{
        if (!s->rtmp_closed || s->publications.count > 0)
                return;
        admission_free(&s->admission);
        tls_server_close(&s->tls);
        transcoders_close(s->transcoders);
        relays_close(&s->publications.relays);
        daemon_exit(&s->daemon, 0);
}

static void on_emptied(void *arg)
{
        finish(magic_check(arg, SERVER_MAGIC));
}

static void on_rtmp_closed(void *arg)
{
        struct server *s = magic_check(arg, SERVER_MAGIC);
        s->rtmp_closed = true;
        finish(s);
}

/* What is still connected is lost to us, not to its session: that waits for the grace time. The relays hand over what was
 * received, and say so. */
static void close_rtmp(struct server *s)
{
        log_info("publishers=%u msg=\"%s\"", s->publications.live,
                 s->publications.live ? "closing what did not leave" : "all broadcasters have left");
        uv_close((uv_handle_t *)&s->drain_timer, NULL);
        s->publications.relays.leaving = true;
        rtmp_server_close(&s->rtmp);
}

static void on_drain_timer(uv_timer_t *timer)
{
        struct server *s = magic_check(timer->data, SERVER_MAGIC);
        if (s->publications.live == 0 || clock_mono_us() >= s->drained_by_us)
                close_rtmp(s);
}

static void drain(struct server *s)
{
        rtmp_server_stop_accepting(s->rtmp);
        log_info("publishers=%u msg=\"stopping: no new connections\"", s->publications.live);
        unsigned asked = rtmp_server_ask_reconnect(s->rtmp);
        log_info("asked=%u drain_ms=%" PRId64 " msg=\"broadcasters that can were asked to reconnect\"", asked,
                 s->config.drain_ms);
        s->drained_by_us = clock_mono_us() + s->config.drain_ms * US_PER_MS;
        uv_timer_start(&s->drain_timer, on_drain_timer, 0, DRAIN_LOOK_MS);
}

static void on_leave_timer(uv_timer_t *timer)
{
        drain(magic_check(timer->data, SERVER_MAGIC));
}

/* A load balancer has to see that this node leaves before it refuses anybody. */
static void stop(void *arg)
{
        struct server *s = magic_check(arg, SERVER_MAGIC);
        s->stopping = true;
        s->daemon.self.draining = true;
        tell_ready(s);
        if (s->config.leave_ms == 0) {
                drain(s);
                return;
        }
        log_info("leave_ms=%" PRId64 " msg=\"stopping: broadcasters are still accepted\"", s->config.leave_ms);
        uv_timer_start(&s->drain_timer, on_leave_timer, (uint64_t)s->config.leave_ms, 0);
}

static void reloaded(void *arg)
{
        struct server *s = magic_check(arg, SERVER_MAGIC);
        if (s->rtmp_closed)
                return;
        if (s->tls)
                tls_server_reload(s->tls);
        admission_reloaded(s->admission);
}

static int listen_on(struct server *s, const char *what, int64_t port, struct tls_server *tls)
{
        const char *bind = s->config.common.bind;
        int err = rtmp_server_listen(s->rtmp, bind, (int)port, tls);
        if (err)
                log_error("bind=%s port=%" PRId64 " error=\"%s\" msg=\"cannot open the %s port\"", bind, port, err_text(err), what);
        else
                log_info("bind=%s port=%" PRId64 " msg=\"listening for %s\"", bind, port, what);
        return err;
}

/* A picture that is on its way is a few hundred kilobytes, if it is a keyframe, and seldom all of them have one at once. */
static size_t live_bytes(size_t publishers)
{
        size_t bytes = publishers * KEPT_BYTES_A_PUBLISHER;
        return bytes > KEPT_BYTES_LEAST ? bytes : KEPT_BYTES_LEAST;
}

static int open_sockets(struct server *s)
{
        const struct config *c = &s->config;
        int err = transcoders_open(&s->transcoders, s->daemon.loop, c->transcoders, &s->daemon.self, &transcoders_events, s);
        if (err) {
                log_error("transcoders=%s error=\"%s\" msg=\"cannot look for transcoders\"", c->transcoders,
                          err_text(err));
                return err;
        }
        s->publications.relays.link_arg = s->transcoders;
        daemon_listener(&s->daemon, "RTMP", c->common.bind, admission_guards(&c->admission), GUARDS);
        s->config.admission.closed = !c->common.insecure && !on_loopback(c);
        struct rtmp_server_setup setup = {.publications = &s->publications, .limits = RTMP_LIMITS_DEFAULT, .proxy_from = &c->proxy_from,
                                          .closed = on_rtmp_closed, .arg = s};
        setup.limits.connections = descriptors_connections("max_connections", c->max_connections, FILES_BESIDE_BROADCASTERS, 1);
        setup.limits.publish_us = c->publish_timeout_ms * US_PER_MS;
        setup.limits.media_us = c->media_timeout_ms * US_PER_MS;
        setup.limits.live_bytes = live_bytes((size_t)c->limits.max_publishers);
        err = admission_new(&s->admission, s->daemon.loop, &c->admission);
        if (err)
                return err;
        setup.admission = s->admission;
        setup.shipments = c->gather_ms ? &s->publications.relays.shipments : NULL;
        if (*c->rtmps_certs && (err = tls_server_open(&s->tls, s->daemon.loop, &(struct tls_server_config){.directory = c->rtmps_certs})))
                return err;
        rtmp_server_open(&s->rtmp, s->daemon.loop, &setup);
        err = listen_on(s, "RTMP", c->rtmp_port, NULL);
        if (err == 0 && s->tls)
                err = listen_on(s, "RTMPS", c->rtmps_port, s->tls);
        return err;
}

int main(int argc, char **argv)
{
        static struct server s = {.magic = SERVER_MAGIC};
        daemon_init(&s.daemon, "ingestd", ROLE_INGESTD, keys, &s.config, argc, argv, stop, reloaded, &s);
        srand((unsigned)clock_wall_us());
        rtmp_server_register_metrics();
        admission_register_metrics();
        tls_server_register_metrics();
        stats_register();
        s.publications = (struct publications){
                .magic = PUBLICATIONS_MAGIC,
                .limits = &s.config.limits,
                .relays = {.loop = s.daemon.loop, .link = &transcoders_link, .gather_ms = (unsigned)s.config.gather_ms},
                .emptied = on_emptied,
                .arg = &s,
                .wall_us = clock_wall_us,
                .mono_us = clock_mono_us,
        };
        budget_init(&s.publications.replays, (size_t)s.config.limits.replay_total_bytes);
        relays_open(&s.publications.relays);
        api_open(&s.daemon, &s.publications);
        uv_timer_init(s.daemon.loop, &s.drain_timer);
        s.drain_timer.data = &s;
        s.daemon.drain_ms = s.config.leave_ms + s.config.drain_ms;
        if (open_sockets(&s))
                return 1;
        tell_ready(&s);
        int status = daemon_run(&s.daemon);
        daemon_fini(&s.daemon, &s.config);
        return status;
}
