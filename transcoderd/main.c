/* transcoderd: coded frames in, the ladder's chunks out.
 *
 *   proxy ──MEDIA──► session.c ──► pipeline.c (decode, scale, encode, package) ──► push.c ──PUT──► origin */
#include <stddef.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/err.h"
#include "common/log.h"
#include "transcoderd/session.h"
#include "transcoderd/stats.h"

#define STOP_LOOK_MS 20
#define STOP_MAX_US (10 * US_PER_S)
#define MEDIA_CONTEXTS 1024

struct config {
        struct config_common common;
        int64_t port, fetch_port, encoder_threads, decoder_threads, max_sessions, grace_ms, slate_after_ms;
        char *origins;
        json_t *ladder;
};

#define INT(key, def, least, most, what, text)                                                                         \
        {.name = #key, .type = CONFIG_INT, .offset = offsetof(struct config, key), .default_value = def, .min = least, \
         .max = most, .unit = what, .help = text}

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9290),
        INT(port, "9201", 1, 65535, "port", "MEDIA from proxies"),
        INT(fetch_port, "9202", 1, 65535, "port", "FETCH of recent chunks"),
        {.name = "origins", .type = CONFIG_STRING, .offset = offsetof(struct config, origins),
         .default_value = "127.0.0.1:9301", .min = 1, .max = 4095, .unit = "",
         .help = "PUT addresses of the origins: host:port[,host:port…]", .check = peers_check_names},
        {.name = "ladder", .type = CONFIG_JSON, .offset = offsetof(struct config, ladder), .default_value = "[]",
         .unit = "", .help = "rungs per stream-name pattern; []: the default ladder", .check = ladder_check,
         .reloads = true},
        INT(encoder_threads, "1", 1, 16, "threads", "of each encoder"),
        INT(decoder_threads, "1", 1, 16, "threads", "of each session's decoder"),
        INT(max_sessions, "100", 1, 10000, "", "sessions at a time"),
        INT(grace_ms, "30000", 0, 3600000, "ms", "slate for a lost broadcaster, before the session ends"),
        INT(slate_after_ms, "1000", 100, 10000, "ms", "how late a frame may come before slate takes its place"),
        {.name = NULL},
};

static struct {
        struct daemon daemon;
        struct config config;
        struct mailbox mailbox;
        struct sessions sessions;
        struct rpc_server *server;
        uv_timer_t stop_timer;
        int64_t stop_by_us;
} t;

static void show_readiness(void *arg, struct peer *peer)
{
        (void)arg;
        (void)peer;
        if (t.sessions.draining)
                daemon_ready(&t.daemon, false, "stopping");
        else if (!t.server)
                daemon_ready(&t.daemon, false, "starting");
        else if (!t.sessions.origins || peers_live(t.sessions.origins) == 0)
                daemon_ready(&t.daemon, false, "waiting for an origin");
        else
                daemon_ready(&t.daemon, true, NULL);
}

static void on_stop_timer(uv_timer_t *timer)
{
        if (t.sessions.first && clock_mono_us() < t.stop_by_us)
                return;
        uv_close((uv_handle_t *)timer, NULL);
        rpc_server_close(t.server);
        peers_close(t.sessions.origins);
        sessions_stop(&t.sessions);
        mailbox_close(&t.mailbox);
        daemon_exit(&t.daemon, 0);
}

static void on_stop(void *arg)
{
        (void)arg;
        log_info("msg=stopping sessions=%u", t.sessions.count);
        t.daemon.self.draining = true;
        sessions_drain(&t.sessions);
        show_readiness(NULL, NULL);
        t.stop_by_us = clock_mono_us() + STOP_MAX_US;
        uv_timer_start(&t.stop_timer, on_stop_timer, 0, STOP_LOOK_MS);
}

int main(int argc, char **argv)
{
        stats_register();
        daemon_init(&t.daemon, "transcoderd", ROLE_TRANSCODERD, keys, &t.config, argc, argv, on_stop, NULL, NULL);
        const struct config *c = &t.config;
        mailbox_open(&t.mailbox, t.daemon.loop);
        uv_timer_init(t.daemon.loop, &t.stop_timer);
        struct sessions *ss = &t.sessions;
        *ss = (struct sessions){.loop = t.daemon.loop, .mailbox = &t.mailbox, .self = &t.daemon.self, .ladder = c->ladder,
                                .max_sessions = c->max_sessions, .grace_ms = c->grace_ms,
                                .slate_after_ms = c->slate_after_ms, .encoder_threads = c->encoder_threads,
                                .decoder_threads = c->decoder_threads};
        sessions_start(ss);
        int err = peers_open(&ss->origins, ss->loop, c->origins, ROLE_ORIGIND, ss->self, show_readiness, NULL);
        if (!err)
                err = rpc_server_open(&t.server, ss->loop, c->common.bind, (int)c->port, MEDIA_CONTEXTS, ss->self,
                                      sessions_handle, ss);
        if (err) {
                log_error("msg=\"cannot listen\" port=%lld error=\"%s\"", (long long)c->port, err_text(err));
                return 1;
        }
        show_readiness(NULL, NULL);
        log_info("msg=listening media=%lld origins=%s", (long long)c->port, c->origins);
        int status = daemon_run(&t.daemon);
        daemon_fini(&t.daemon, &t.config);
        return status;
}
