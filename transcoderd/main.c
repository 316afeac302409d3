/* transcoderd: coded frames in, the ladder's chunks out.
 *
 *   proxy ──MEDIA──► proxies.c ──► session.c ──► encode/ (decode, scale, encode, package) ──► push/ ──PUT──► origins */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster/cluster.h"
#include "common/daemon/config_list.h"
#include "common/daemon/daemon.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "transcoderd/api.h"
#include "transcoderd/proxies.h"
#include "transcoderd/session.h"
#include "transcoderd/stats.h"

#define STOP_LOOK_MS 20
#define STOP_MAX_US (10 * US_PER_S)
#define MEDIA_CONTEXTS 1024

struct config {
        struct config_common common;
        int64_t port, encoder_threads, decoder_threads, max_sessions, grace_ms, recent_ms;
        int64_t slate_after_ms, shed_after_ms, thumbs_s, chunk_ms;
        int64_t replicas, drain_ms, capacity_percent;
        char *origins, *quorum;
        json_t *ladder;
};

#define INT_KEY(key, def, least, most, what, text)                                                                     \
        {.name = #key, .type = CONFIG_INT, .offset = offsetof(struct config, key), .default_value = def, .min = least, \
         .max = most, .unit = what, .help = text}

static int check_chunk_ms(const void *value, char *why, size_t why_cap)
{
        if (chunk_ms_valid((uint64_t)*(const int64_t *)value))
                return 0;
        return config_refuse(why, why_cap, "allowed are %d and %d", CHUNK_MS_SHORT, CHUNK_MS);
}

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9290),
        INT_KEY(port, "9201", 1, 65535, "port", "nng port of OPEN, MEDIA and CLOSE, for proxies"),
        {.name = "origins", .type = CONFIG_STRING, .offset = offsetof(struct config, origins),
         .default_value = "127.0.0.1:9301", .min = 1, .max = 4095, .unit = "",
         .help = "PUT addresses of the origins: host:port[,host:port…]", .check = peers_check_names},
        INT_KEY(replicas, "2", 1, PUSH_REPLICAS_MAX, "origins", "that store each stream, as far as there are so many"),
        {.name = "quorum", .type = CONFIG_CHOICE, .offset = offsetof(struct config, quorum), .default_value = "all",
         .unit = "", .allowed = "all|1",
         .help = "which of the origins in step have to have stored a chunk before the proxy forgets its frames"},
        {.name = "ladder", .type = CONFIG_JSON, .offset = offsetof(struct config, ladder), .default_value = "[]",
         .unit = "", .help = "rungs, chunk_ms and thumbs_s per stream-name pattern; []: the default ladder", .check = ladder_check,
         .reloads = true},
        {.name = "chunk_ms", .type = CONFIG_INT, .offset = offsetof(struct config, chunk_ms), .default_value = "200",
         .min = CHUNK_MS_SHORT, .max = CHUNK_MS, .unit = "ms", .check = check_chunk_ms,
         .help = "of a chunk, 100 or 200, where ladder says nothing: of sessions that begin, the others keep theirs; "
                 "100 only when all nodes know it"},
        INT_KEY(encoder_threads, "1", 1, 16, "threads", "of each encoder"),
        INT_KEY(decoder_threads, "1", 1, 16, "threads", "of each session's decoder"),
        INT_KEY(max_sessions, "100", 1, 10000, "sessions", "at a time"),
        INT_KEY(capacity_percent, "100", 0, 1000, "%",
                "of what this machine was measured to encode in real time that new streams may cost in sum; 0: as many as max_sessions"),
        INT_KEY(grace_ms, "30000", 0, 600000, "ms", "slate for a lost broadcaster, before the session ends"),
        INT_KEY(drain_ms, "15000", 0, 600000, "ms",
                "at SIGTERM, for the proxies to open their streams elsewhere; then each is left to the next process"),
        INT_KEY(slate_after_ms, "1000", 100, 10000, "ms", "how late a frame may come before slate takes its place"),
        INT_KEY(shed_after_ms, "1000", 100, 600000, "ms", "how far encoding may be behind before frame rates are halved"),
        INT_KEY(thumbs_s, "5", 0, LADDER_THUMBS_MAX_S, "s",
                "between two still pictures of a stream, for posters and timelines, where ladder says nothing; 0: none are made"),
        INT_KEY(recent_ms, "10000", 1000, 60000, "ms", "of each track's chunks that are kept in memory, for an origin that comes back"),
        {.name = NULL, .check = cluster_check_listener},
};

static struct {
        struct daemon daemon;
        struct config config;
        struct mailbox mailbox; /* from the pipelines */
        struct reaper reaper;
        struct sessions sessions;
        struct peers *origins;
        struct rpc_server *media_server;
        uv_timer_t stop_timer;
        int64_t stop_by_us;
} t;

static void show_readiness(void)
{
        if (t.sessions.draining)
                daemon_ready(&t.daemon, false, "stopping");
        else if (!t.media_server)
                daemon_ready(&t.daemon, false, "starting");
        else if (peers_live(t.origins) == 0)
                daemon_ready(&t.daemon, false, "waiting for an origin");
        else
                daemon_ready(&t.daemon, true, NULL);
}

static void on_origins_changed(void *arg, struct peer *peer)
{
        (void)arg;
        (void)peer;
        show_readiness();
        sessions_poke(&t.sessions);
}

/* ---- stopping ------------------------------------------------------------------------------------------------------- */

/* Whoever answers is closed after those who still have questions to answer, and callers before what they call. */
static void close_all(void)
{
        uv_close((uv_handle_t *)&t.stop_timer, NULL);
        sessions_stop(&t.sessions);
        peers_close(t.origins);
        rpc_server_close(t.media_server);
        reaper_close(&t.reaper); /* nobody is kept waiting by it any more; what it tells is still in the mailbox */
        mailbox_close(&t.mailbox);
        daemon_exit(&t.daemon, 0);
}

static void on_stop_timer(uv_timer_t *timer)
{
        if (t.sessions.first && clock_mono_us() < t.stop_by_us)
                return;
        if (t.sessions.first)
                log_warn("sessions=%u msg=\"not all is stored, stopping all the same\"", t.sessions.count);
        uv_timer_stop(timer);
        close_all();
}

static void on_stop(void *arg)
{
        (void)arg;
        t.daemon.self.draining = true;
        sessions_drain(&t.sessions);
        show_readiness();
        t.stop_by_us = t.sessions.leave_at_us + STOP_MAX_US;
        uv_timer_start(&t.stop_timer, on_stop_timer, 0, STOP_LOOK_MS);
}

/* ---- starting ------------------------------------------------------------------------------------------------------- */

static void set_up_sessions(void)
{
        const struct config *c = &t.config;
        t.sessions = (struct sessions){.loop = t.daemon.loop,
                                       .mailbox = &t.mailbox,
                                       .reaper = &t.reaper,
                                       .opens = {.again = proxies_again, .arg = &t.sessions},
                                       .origins = {&origins_over_peers, t.origins},
                                       .capacity = {.cpus = uv_available_parallelism(), .percent = c->capacity_percent},
                                       .starts = {.at_once = uv_available_parallelism() < 4 ? 1 : uv_available_parallelism() / 2},
                                       .self = &t.daemon.self,
                                       .ladder = &t.config.ladder,
                                       .replicas = c->replicas,
                                       .quorum_one = strcmp(c->quorum, "1") == 0,
                                       .drain_ms = c->drain_ms,
                                       .max_sessions = c->max_sessions,
                                       .grace_ms = c->grace_ms,
                                       .slate_after_ms = c->slate_after_ms,
                                       .shed_after_ms = c->shed_after_ms,
                                       .thumbs_s = c->thumbs_s,
                                       .chunk_ms = (uint8_t)c->chunk_ms,
                                       .recent_ms = c->recent_ms,
                                       .encoder_threads = c->encoder_threads,
                                       .decoder_threads = c->decoder_threads};
        sessions_start(&t.sessions);
}

static void must(int err, const char *what, int64_t port)
{
        if (!err)
                return;
        log_fatal("port=%lld error=\"%s\" msg=\"cannot %s\"", (long long)port, err_text(err), what);
        exit(1);
}

int main(int argc, char **argv)
{
        const struct config *c = &t.config;
        stats_register();
        daemon_init(&t.daemon, "transcoderd", ROLE_TRANSCODERD, keys, &t.config, argc, argv, on_stop, NULL, NULL);

        t.daemon.self.can = CAN_BE_TOLD | CAN_SHORT_GRID;
        t.daemon.drain_ms = c->drain_ms;
        mailbox_open(&t.mailbox, t.daemon.loop);
        must(reaper_open(&t.reaper, (size_t)c->max_sessions, &t.mailbox, sessions_have_room, &t.sessions), "start a thread", 0);
        uv_timer_init(t.daemon.loop, &t.stop_timer);
        must(peers_open(&t.origins, t.daemon.loop, c->origins, ROLE_ORIGIND, &t.daemon.self, on_origins_changed, NULL),
             "dial the origins", 0);
        set_up_sessions();
        api_open(&t.daemon, &t.sessions);
        must(rpc_server_open(&t.media_server, t.daemon.loop, c->common.bind, (int)c->port, MEDIA_CONTEXTS, &t.daemon.self,
                             proxies_handle, &t.sessions),
             "listen", c->port);
        log_info("media=%lld origins=%s msg=\"listening\"", (long long)c->port, c->origins);
        show_readiness();

        int status = daemon_run(&t.daemon);
        daemon_fini(&t.daemon, &t.config);
        return status;
}
