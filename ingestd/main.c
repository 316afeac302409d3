/* ingestd: RTMP in from broadcasters, their frames out to transcoders. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/err.h"
#include "common/log.h"
#include "common/peers.h"
#include "ingestd/ingest.h"
#include "ingestd/redundancy.h"
#include "ingestd/route.h"
#include "ingestd/rtmp_server.h"
#include "ingestd/stats.h"

struct config {
        struct config_common common;
        struct ingest_limits limits;
        char *transcoders;
        int64_t rtmp_port, max_connections, publish_timeout_ms, media_timeout_ms, gather_ms, drain_ms;
};

#define INT_KEY(field_name, field, def, lo, hi, u, h)                                                                  \
        {.name = field_name, .type = CONFIG_INT, .offset = offsetof(struct config, field), .default_value = def,       \
         .min = lo, .max = hi, .unit = u, .help = h}

/* clang-format off */
static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9190),
        INT_KEY("rtmp_port", rtmp_port, "1935", 1, 65535, "port", "RTMP port, for broadcasters"),
        {.name = "transcoders", .type = CONFIG_STRING, .offset = offsetof(struct config, transcoders),
         .default_value = "127.0.0.1:9201", .min = 0, .max = 4096, .unit = "", .check = peers_check_names,
         .help = "where transcoders listen, host:port[,host:port…]; a name stands for all its addresses"},
        {.name = "publish_key", .type = CONFIG_STRING, .offset = offsetof(struct config, limits.publish_key),
         .default_value = "", .min = 0, .max = 255, .unit = "", .secret = true, .reloads = true,
         .help = "what broadcasters append to the stream name as ?key=…; empty: anyone may publish"},
        INT_KEY("max_publishers", limits.max_publishers, "1000", 1, 100000, "streams", "published at the same time"),
        INT_KEY("max_connections", max_connections, "4096", 1, 200000, "connections",
                "RTMP connections, publishing or not"),
        INT_KEY("replay_bytes", limits.replay_bytes, "33554432", 1 << 20, INT64_C(1) << 32, "bytes",
                "a stream's frames kept for another transcoder; over it the oldest pictures go"),
        {.name = "redundancy", .type = CONFIG_JSON, .offset = offsetof(struct config, limits.redundancy),
         .default_value = "[]", .unit = "", .reloads = true, .check = redundancy_check,
         .help = "transcoders that encode a broadcast, 1 or 2, per stream-name pattern, e.g. "
                 "[{\"match\": \"sports-*\", \"transcoders\": 2}]; no match: 1"},
        INT_KEY("track_wait_ms", limits.track_wait_ms, "2000", 0, 10000, "ms",
                "how long the second of sound and picture is waited for when the stream begins"),
        INT_KEY("publish_timeout_ms", publish_timeout_ms, "10000", 100, 600000, "ms", "from connect to publish"),
        INT_KEY("media_timeout_ms", media_timeout_ms, "20000", 100, 600000, "ms",
                "a publisher silent for this long is lost"),
        INT_KEY("gather_ms", gather_ms, "10", 0, 100, "ms",
                "frames of all streams are sent on to this beat: longer saves CPU, shorter saves delay"),
        INT_KEY("drain_ms", drain_ms, "10000", 0, 600000, "ms",
                "at SIGTERM, how long broadcasters have to leave by themselves"),
        {.name = NULL},
};
/* clang-format on */

#define DRAIN_LOOK_MS 50

struct server {
        struct config config;
        struct daemon daemon;
        struct ingest ingest;
        struct route *route;
        struct rtmp_server *rtmp;
        bool stopping;
        uv_timer_t drain_timer;
        int64_t drained_by_us;
};

static void tell_ready(struct server *s)
{
        const char *why = s->stopping              ? "stopping"
                          : !s->rtmp               ? "opening"
                          : route_live(s->route) ? NULL
                                                   : "waiting for a transcoder";
        daemon_ready(&s->daemon, !why, why ? why : "");
}

static void on_live(void *arg, size_t transcoders)
{
        struct server *s = arg;
        if (!s->route) /* during route_open() */
                return;
        tell_ready(s);
        if (transcoders)
                ingest_poke(&s->ingest);
}

static void on_gone(void *arg, const struct rpc_client *client)
{
        struct server *s = arg;
        ingest_lose(&s->ingest, client);
}

static const struct route_events route_events = {.live = on_live, .gone = on_gone};

/* The last publication has said CLOSE, or given up. */
static void on_emptied(void *arg)
{
        struct server *s = arg;
        if (!s->stopping || s->rtmp)
                return;
        struct route *route = s->route;
        route_close(route);
        relays_close(&s->ingest.relays);
        daemon_exit(&s->daemon, 0);
}

/* What is still connected is lost to us, not to its session: that waits for the grace time. The relays hand over what was
 * received, and say so. */
static void close_rtmp(struct server *s)
{
        log_info("publishers=%u msg=\"%s\"", s->ingest.live,
                 s->ingest.live ? "closing what did not leave" : "all broadcasters have left");
        uv_close((uv_handle_t *)&s->drain_timer, NULL);
        rtmp_server_close(&s->rtmp);
        if (s->ingest.count == 0)
                on_emptied(s);
}

static void on_drain_timer(uv_timer_t *timer)
{
        struct server *s = timer->data;
        if (s->ingest.live == 0 || clock_mono_us() >= s->drained_by_us)
                close_rtmp(s);
}

static void stop(void *arg)
{
        struct server *s = arg;
        s->stopping = true;
        s->daemon.self.draining = true;
        tell_ready(s);
        rtmp_server_stop_accepting(s->rtmp);
        log_info("publishers=%u msg=\"stopping: no new connections\"", s->ingest.live);
        unsigned asked = rtmp_server_ask_reconnect(s->rtmp);
        log_info("asked=%u drain_ms=%" PRId64 " msg=\"broadcasters that can were asked to reconnect\"", asked,
                 s->config.drain_ms);
        s->drained_by_us = clock_mono_us() + s->config.drain_ms * US_PER_MS;
        uv_timer_start(&s->drain_timer, on_drain_timer, 0, DRAIN_LOOK_MS);
}

static int open_sockets(struct server *s)
{
        const struct config *c = &s->config;
        int err = route_open(&s->route, s->daemon.loop, c->transcoders, &s->daemon.self, &route_events, s);
        if (err) {
                log_error("transcoders=%s error=\"%s\" msg=\"cannot look for transcoders\"", c->transcoders,
                          err_text(err));
                return err;
        }
        s->ingest.relays.link_arg = s->route;
        struct rtmp_limits limits = RTMP_LIMITS_DEFAULT;
        limits.connections = (unsigned)c->max_connections;
        limits.publish_us = c->publish_timeout_ms * US_PER_MS;
        limits.media_us = c->media_timeout_ms * US_PER_MS;
        err = rtmp_server_open(&s->rtmp, s->daemon.loop, c->common.bind, (int)c->rtmp_port, &s->ingest, &limits);
        if (err)
                log_error("bind=%s port=%" PRId64 " error=\"%s\" msg=\"cannot open the RTMP port\"", c->common.bind,
                          c->rtmp_port, err_text(err));
        return err;
}

int main(int argc, char **argv)
{
        static struct server s;
        daemon_init(&s.daemon, "ingestd", ROLE_INGESTD, keys, &s.config, argc, argv, stop, NULL, &s);
        srand((unsigned)clock_wall_us());
        rtmp_server_register_metrics();
        stats_register();
        s.ingest = (struct ingest){
                .limits = &s.config.limits,
                .relays = {.loop = s.daemon.loop, .link = &route_link, .gather_ms = (unsigned)s.config.gather_ms},
                .emptied = on_emptied,
                .arg = &s,
                .wall_us = clock_wall_us,
                .mono_us = clock_mono_us,
        };
        relays_open(&s.ingest.relays);
        uv_timer_init(s.daemon.loop, &s.drain_timer);
        s.drain_timer.data = &s;
        s.daemon.drain_ms = s.config.drain_ms;
        if (open_sockets(&s))
                return 1;
        tell_ready(&s);
        log_info("bind=%s rtmp_port=%d msg=\"listening\"", s.config.common.bind, rtmp_server_port(s.rtmp));
        int status = daemon_run(&s.daemon);
        daemon_fini(&s.daemon, &s.config);
        return status;
}
