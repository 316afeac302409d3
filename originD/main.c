/* originD: the source of truth. Claims and generations, the append-only store, manifests, FETCH, plain HTTP. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cluster/cluster.h"
#include "common/cluster/peers.h"
#include "common/daemon/config_list.h"
#include "common/daemon/daemon.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/magic.h"
#include "originD/api.h"
#include "originD/archive/archive.h"
#include "originD/archive/archiver.h"
#include "originD/archive/discards.h"
#include "originD/writers.h"
#include "originD/fetch.h"
#include "originD/http.h"
#include "originD/replica/peer_link.h"
#include "originD/replica/catch_up.h"
#include "originD/replica/fills.h"
#include "originD/scrub.h"
#include "originD/serve.h"
#include "originD/stats.h"
#include "originD/store.h"
#include "originD/webhooks.h"

#define CLAIM_CONTEXTS 1024 /* chunks of shadows wait for their leaders': those that are under way of each track */

struct config {
        struct config_common common;
        int64_t port, fetch_port, http_port;
        char *data_dir, *sync, *peers, *when_full, *public_url;
        bool steering;
        int64_t replicas, fill_bytes_s, scrub_bytes_s, volume_segments, retention_s, retention_bytes, min_free_bytes;
        int64_t max_sessions, max_waits;
        int64_t time_shift_s, latency_bound_ms, target_latency_ms, classic_s, update_s;
        json_t *webhooks, *recording, *archive;
        int64_t archive_after_s, archive_keep_s, archive_bytes_s;
};

#define INT_KEY(field, def, lo, hi, u, h)                                                                               \
        {.name = #field, .type = CONFIG_INT, .offset = offsetof(struct config, field), .default_value = def, .min = lo,  \
         .max = hi, .unit = u, .help = h}

static int check_public_url(const void *value, char *why, size_t why_cap)
{
        const char *url = *(char *const *)value;
        size_t len = strlen(url);
        if (len && url[len - 1] == '/')
                return config_refuse(why, why_cap, "no slash at its end");
        return len ? http_url_check(url, why, why_cap) : 0;
}

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9390),
        INT_KEY(port, "9301", 1, 65535, "port", "nng port of CLAIM, PUT and END, for transcoders"),
        INT_KEY(fetch_port, "9302", 1, 65535, "port", "nng port of FETCH, for edges"),
        INT_KEY(http_port, "8081", 0, 65535, "port", "HTTP port other CDNs pull from; 0: off"),
        {.name = "data_dir", .type = CONFIG_STRING, .offset = offsetof(struct config, data_dir), .default_value = "./data",
         .min = 1, .max = 255, .unit = "", .help = "folder of the recordings"},
        {.name = "peers", .type = CONFIG_STRING, .offset = offsetof(struct config, peers), .default_value = "", .max = 1000,
         .check = peers_check_names, .unit = "",
         .help = "FETCH addresses of the other origins, host:port[,host:port…]; this node may be among them"},
        INT_KEY(replicas, "2", 1, 16, "origins", "that have each recording, as transcoderd's"),
        INT_KEY(fill_bytes_s, "50000000", 0, INT64_MAX, "bytes/s",
            "how fast old media is copied from other origins; 0: volumes behind the end are not"),
        INT_KEY(scrub_bytes_s, "5000000", 0, INT64_MAX, "bytes/s",
            "how fast what is stored is read again and compared with its checksums; 0: it is not"),
        INT_KEY(retention_s, "86400", 0, 3153600000, "s", "age at which a recording that ended is removed; 0: never"),
        INT_KEY(retention_bytes, "0", 0, INT64_MAX, "bytes", "when there is more, the oldest recordings go; 0: no bound"),
        INT_KEY(min_free_bytes, "268435456", 0, INT64_MAX, "bytes",
            "with less free, see when_full; where nothing can go, writes are refused and the node is not ready"),
        INT_KEY(volume_segments, "600", VOLUME_SEGMENTS_MIN, VOLUME_SEGMENTS_MAX, "segments",
            "of a file of a track; for sessions that begin from now on"),
        {.name = "recording", .type = CONFIG_JSON, .offset = offsetof(struct config, recording), .default_value = "[]", .unit = "",
         .check = retention_check_config,
         .help = "what is kept, by stream, the first that fits: "
                 "[{\"match\", \"rewind\": \"all\"|seconds, \"live\": \"all\"|\"none\"|seconds, \"after_s\", \"after_bytes\"}]"},
        {.name = "when_full", .type = CONFIG_CHOICE, .offset = offsetof(struct config, when_full), .default_value = "remove",
         .allowed = "remove|refuse", .unit = "",
         .help = "below min_free_bytes: the oldest media goes before writes are refused, recordings and, of what is live, what is "
                 "behind time_shift_s; or nothing goes"},
        {.name = "archive", .type = CONFIG_JSON, .offset = offsetof(struct config, archive), .default_value = "{}", .unit = "",
         .secret = true, .check = s3_config_check,
         .help = "object store (S3's API) that closed volumes go to: "
                 "{\"endpoint\", \"bucket\", \"region\", \"access_key\", \"secret_key\"}, if "
                 "wanted \"prefix\", \"path_style\", \"session_token\", \"ca_file\"; {}: none"},
        INT_KEY(archive_after_s, "600", 0, 3153600000, "s", "age at which a closed volume is copied to the archive"),
        INT_KEY(archive_keep_s, "3600", 0, 3153600000, "s", "age at which a volume that the archive has is removed here"),
        INT_KEY(archive_bytes_s, "20000000", 0, INT64_MAX, "bytes/s", "how fast volumes are sent to the archive; 0: they are not"),
        INT_KEY(max_sessions, "256", 1, 100000, "sessions", "live at the same time"),
        INT_KEY(max_waits, "1536", 16, 8192, "requests",
            "FETCHes of one connection, or one HTTP client's address, that wait at the same time"),
        INT_KEY(time_shift_s, "60", 2, 86400, "s", "how far back a live viewer can go, where recording says nothing else"),
        INT_KEY(latency_bound_ms, "100", 0, 60000, "ms", "from capture to the origin: what availability times allow for"),
        INT_KEY(target_latency_ms, "500", 200, 60000, "ms",
            "how far behind availability players aim to be: latency_bound_ms more from the capture"),
        INT_KEY(classic_s, "4", 2, KEY_JOINED_MAX, "s",
            "of a segment in the manifests for old players (classic.m3u8, classic.mpd): so many stored seconds are joined"),
        INT_KEY(update_s, "2", 1, 3600, "s", "how often players look for a changed manifest"),
        {.name = "public_url", .type = CONFIG_STRING, .offset = offsetof(struct config, public_url), .default_value = "", .max = 255,
         .unit = "", .check = check_public_url,
         .help = "where viewers find the edges, as https://live.example.org: manifests name the clock there, for players that ask only "
                 "whole addresses (GStreamer); empty: /time of whoever gave the manifest"},
        {.name = "steering", .type = CONFIG_BOOL, .offset = offsetof(struct config, steering), .default_value = "false", .unit = "",
         .help = "manifests tell players to ask which site to load from: for edges that have sites"},
        {.name = "sync", .type = CONFIG_CHOICE, .offset = offsetof(struct config, sync), .default_value = "none",
         .allowed = "none|segment", .unit = "", .help = "what is forced to the disk before it is answered: nothing, or each segment"},
        {.name = "webhooks", .type = CONFIG_JSON, .offset = offsetof(struct config, webhooks), .default_value = "[]",
         .unit = "", .reloads = true, .check = webhooks_check, .secret = true,
         .help = "who is told of streams: [{\"url\", \"secret\", \"events\"}], events of "
                 "started|ended|slate_begun|slate_over|failed_over"},
        {.name = NULL, .check = cluster_check_listener},
};

#define ORIGIN_MAGIC 0x4f524947

struct origin {
        uint32_t magic;
        struct config config;
        struct daemon daemon;
        struct store store;
        struct serve serve;
        struct writers writers;
        struct catch_up *catch_up;
        struct fills *fills;
        struct allowance old_media; /* of both */
        struct scrub *scrub;
        struct s3_config object_store;
        bool archives; /* one is configured: set before any thread asks */
        struct archive *archive; /* NULL, like the next two: none is configured */
        struct discards *discards;
        struct archiver *archiver;
        struct peer_link *link; /* NULL: no peers */
        struct webhooks *webhooks;
        struct http_client *http_client; /* the webhooks' */
        struct rpc_server *claim_server, *fetch_server;
        struct http *http;
        bool reading_open, open, settled, caught_up, stopping;
        unsigned closing; /* parts that have not stopped yet */
};

static void tell_space(struct origin *o)
{
        char words[SPACE_WORDS_MAX];
        space_words(&o->store, words);
        daemon_ready(&o->daemon, !*words, words);
}

static void tell_ready(struct origin *o)
{
        if (o->stopping)
                daemon_ready(&o->daemon, false, "stopping");
        else if (!o->open)
                daemon_ready(&o->daemon, false, "reading what is stored");
        else if (!o->settled)
                daemon_ready(&o->daemon, false, "comparing with peers");
        else if (!o->caught_up)
                daemon_ready(&o->daemon, false, "catching up with peers");
        else
                tell_space(o);
}

static void fail(const char *what, int64_t port, int err)
{
        log_fatal("msg=\"cannot listen for %s\" port=%lld error=\"%s\"", what, (long long)port, err_text(err));
        _exit(1);
}

static void open_for_writers(struct origin *o)
{
        const struct config *c = &o->config;
        int rc = rpc_server_open(&o->claim_server, o->daemon.loop, c->common.bind, (int)c->port, CLAIM_CONTEXTS,
                                 &o->daemon.self, writers_handle, &o->writers);
        if (rc)
                fail("writers", c->port, rc);
        writers_watch(&o->writers, o->claim_server);
}

/* What was stored here may be yesterday's: until it is compared with what the peers have, nobody is told of what may go on. */
static void open_for_readers(struct origin *o)
{
        const struct config *c = &o->config;
        if (o->reading_open)
                return;
        o->reading_open = true;
        if (*c->peers)
                serve_unsettled(&o->serve);
        int rc = rpc_server_open(&o->fetch_server, o->daemon.loop, c->common.bind, (int)c->fetch_port,
                             (unsigned)c->max_waits * (ASKERS_WAITS_FACTOR + 1), &o->daemon.self, fetch_handle, &o->serve);
        if (rc)
                fail("FETCH", c->fetch_port, rc);
        rc = c->http_port ? http_open(&o->http, o->daemon.loop, c->common.bind, (int)c->http_port, &o->serve) : 0;
        if (rc)
                fail("HTTP", c->http_port, rc);
}

static const char *elsewhere(void *arg, const struct key *key, const struct session *than, unsigned nth)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        const char *peer = catch_up_elsewhere(o->catch_up, key, than, &nth);
        const struct session *s = NULL;
        if (!peer && !than && (key->kind == KEY_SEGMENT || key->kind == KEY_PICTURE))
                s = store_session(&o->store, key->session);
        return s ? fills_elsewhere(o->fills, s, key, nth) : peer;
}

static void settled(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        o->settled = true;
        serve_settled(&o->serve);
        writers_settled(&o->writers);
        tell_ready(o);
}

static void caught_up(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        o->caught_up = true;
        tell_ready(o);
}

static void peers_are_others(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        catch_up_peers_changed(o->catch_up);
        webhooks_peers_changed(o->webhooks);
}

static void open_peers(struct origin *o)
{
        if (!*o->config.peers) {
                o->settled = o->caught_up = true;
                return;
        }
        writers_unsettled(&o->writers);
        struct catch_up_events re = {.settled = settled, .caught_up = caught_up, .arg = o};
        o->old_media.bytes_s = o->config.fill_bytes_s;
        struct catch_up_options ro = {.self = o->daemon.self.id, .zone = o->daemon.self.zone, .replicas = (size_t)o->config.replicas,
                                      .old = o->config.fill_bytes_s ? &o->old_media : NULL};
        catch_up_open(&o->catch_up, o->daemon.loop, &o->store, &ro, &re);
        int rc = peer_link_open(&o->link, o->daemon.loop, o->config.peers, &o->daemon.self, peers_are_others, o);
        assert(rc == 0); /* the names were checked */
        catch_up_link(o->catch_up, o->link);
        struct fills_options fo = {.allowance = &o->old_media};
        fills_open(&o->fills, o->daemon.loop, &o->store, &fo);
        fills_link(o->fills, o->link);
        webhooks_link(o->webhooks, o->link);
        if (o->discards)
                discards_link(o->discards, o->link);
        o->writers.catch_up = o->catch_up;
        o->serve.elsewhere = (struct serve_elsewhere){.who = elsewhere, .arg = o, .link = o->link};
}

static void removing_here(void *arg, const char *stream, const char *session)
{
        const struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        if (o->archives)
                discards_note(o->config.data_dir, stream, session);
}

static void removed_here(void *arg, const char *stream, const char *session)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        if (o->discards)
                discards_add(o->discards, stream, session);
}

/* Before anything is read from there. */
static void open_archive(struct origin *o)
{
        char why[200];
        int rc = s3_config_read(&o->object_store, o->config.archive, why, sizeof(why));
        assert(rc == 0); /* it was checked */
        if (s3_config_is_off(&o->object_store))
                return;
        o->object_store.send_bytes_s = o->config.archive_bytes_s;
        o->archives = true;
        o->serve.archive = o->archive = archive_open(o->daemon.loop, &o->object_store);
}

/* What goes there, and what is removed there, is known when all that is stored is. */
static void begin_archiving(struct origin *o)
{
        const struct config *c = &o->config;
        if (!o->archive)
                return;
        struct discards_options od = {.store = &o->store, .peers = *c->peers};
        discards_open(&o->discards, o->daemon.loop, o->archive, &od);
        struct archiver_options ao = {.after_us = c->archive_after_s * US_PER_S, .keep_us = c->archive_keep_s * US_PER_S,
                                      .copies = c->archive_bytes_s > 0, .discards = o->discards};
        archiver_open(&o->archiver, o->daemon.loop, &o->store, o->archive, &ao);
        log_info("msg=\"volumes go to the archive\" endpoint=%s bucket=%s prefix=\"%s\" after_s=%lld keep_s=%lld bytes_s=%lld",
                 o->object_store.endpoint, o->object_store.bucket, o->object_store.prefix, (long long)c->archive_after_s,
                 (long long)c->archive_keep_s, (long long)c->archive_bytes_s);
}

/* An origin that does not see what it has would tell others that it is not there, and write over it. */
static void store_ready(void *arg, int status)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        if (o->stopping)
                return;
        if (status) {
                log_fatal("msg=\"cannot use data_dir\" path=%s error=\"%s\"", o->config.data_dir, err_text(status));
                _exit(1);
        }
        webhooks_store_ready(o->webhooks);
        open_for_readers(o);
        begin_archiving(o);
        open_peers(o);
        struct scrub_options so = {.bytes_s = o->config.scrub_bytes_s, .random = (uint64_t)clock_wall_us()};
        scrub_open(&o->scrub, o->daemon.loop, &o->store, &so);
        open_for_writers(o);
        o->open = true;
        log_info("msg=\"open\" port=%lld fetch_port=%lld http_port=%lld data_dir=%s", (long long)o->config.port,
                 (long long)o->config.fetch_port, (long long)o->config.http_port, o->config.data_dir);
        tell_ready(o);
        daemon_opened(&o->daemon);
}

/* A start that takes long: recordings can be watched, and without peers what was live, as soon as they are known. */
static void store_slow(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        if (o->stopping)
                return;
        open_for_readers(o);
        log_info("msg=\"open for reading, what is stored is still being looked at\" fetch_port=%lld http_port=%lld",
                 (long long)o->config.fetch_port, (long long)o->config.http_port);
}

static void session_changed(void *arg, struct session *s)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        serve_changed(&o->serve, s);
        writers_session_changed(&o->writers, s);
        webhooks_session_changed(o->webhooks, s);
        if (o->catch_up)
                catch_up_session_changed(o->catch_up, s);
}

static void space_changed(void *arg, int why_not)
{
        (void)why_not;
        tell_ready(magic_check(arg, ORIGIN_MAGIC));
}

/* The last write is on the disk and answered; no HTTP thread is left. */
static void part_stopped(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        if (--o->closing)
                return;
        if (o->claim_server)
                rpc_server_close(o->claim_server);
        if (o->fetch_server)
                rpc_server_close(o->fetch_server);
        if (o->fills)
                fills_close(o->fills);
        if (o->scrub)
                scrub_close(o->scrub);
        if (o->archiver)
                archiver_close(o->archiver);
        if (o->discards)
                discards_close(o->discards);
        s3_config_free(&o->object_store);
        if (o->catch_up)
                catch_up_close(o->catch_up);
        writers_close(&o->writers);
        webhooks_close(o->webhooks);
        http_client_close(&o->http_client);
        store_close(&o->store);
        serve_close(&o->serve);
        daemon_exit(&o->daemon, 0);
}

static void stop(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        o->stopping = true;
        o->daemon.self.draining = true;
        tell_ready(o);
        writers_stop(&o->writers);
        serve_stop(&o->serve);
        webhooks_stop(o->webhooks);
        if (o->catch_up)
                catch_up_stop(o->catch_up);
        if (o->fills)
                fills_stop(o->fills);
        if (o->scrub)
                scrub_stop(o->scrub);
        if (o->discards)
                discards_stop(o->discards);
        if (o->link)
                peer_link_close(o->link);
        o->closing = 1;
        if (o->archive) {
                if (o->archiver)
                        archiver_stop(o->archiver);
                o->closing++;
                o->serve.archive = NULL;
                archive_close(&o->archive, part_stopped, o);
        }
        if (o->http) {
                o->closing++;
                http_stop(o->http, part_stopped, o);
        }
        store_stop(&o->store);
}

static void reloaded(void *arg)
{
        struct origin *o = magic_check(arg, ORIGIN_MAGIC);
        webhooks_configure(o->webhooks, o->config.webhooks);
}

static struct buf *settled_events(void *arg)
{
        return webhooks_settled(((struct origin *)magic_check(arg, ORIGIN_MAGIC))->webhooks);
}

static void open_webhooks(struct origin *o)
{
        struct http_client_limits limits = {.in_flight = WEBHOOKS_MAX * WEBHOOKS_IN_FLIGHT_MAX, .answer_bytes = 4096};
        http_client_open(&o->http_client, o->daemon.loop, &limits);
        struct webhooks_options wo = {
                .self = o->daemon.self.id, .data_dir = o->config.data_dir, .random = (uint64_t)clock_wall_us() | 1,
                .now_us = clock_mono_us(),
                .transport = {.ask = http_client_ask, .cancel = http_client_cancel, .client = o->http_client}};
        webhooks_open(&o->webhooks, o->daemon.loop, &o->store, &wo);
        webhooks_configure(o->webhooks, o->config.webhooks);
        o->serve.events = (struct serve_events){.settled = settled_events, .arg = o};
}

int main(int argc, char **argv)
{
        static struct origin o = {.magic = ORIGIN_MAGIC};
        daemon_init(&o.daemon, "originD", ROLE_ORIGIND, keys, &o.config, argc, argv, stop, reloaded, &o);
        o.daemon.self.can = CAN_SHORT_GRID | CAN_LONG_PARTS;
        stats_register();
        stat_set(STAT_MIN_FREE_BYTES, o.config.min_free_bytes);
        tell_ready(&o);

        struct store_options so = {.data_dir = o.config.data_dir,
                                   .retention_us = o.config.retention_s * 1000000,
                                   .retention_bytes = o.config.retention_bytes,
                                   .min_free_bytes = o.config.min_free_bytes,
                                   .recording = o.config.recording,
                                   .time_shift_us = o.config.time_shift_s * 1000000,
                                   .refuse_when_full = strcmp(o.config.when_full, "refuse") == 0,
                                   .live_max = o.config.max_sessions,
                                   .volume_segments = (uint32_t)o.config.volume_segments,
                                   .sync_segments = strcmp(o.config.sync, "segment") == 0};
        struct store_events se = {.ready = store_ready, .slow = store_slow, .changed = session_changed, .space = space_changed,
                                  .idle = part_stopped, .removing = removing_here, .removed = removed_here,
                                  .volume_removed = removed_here, .arg = &o};
        struct manifest_options mo = {.latency_bound_ms = o.config.latency_bound_ms,
                                      .target_latency_ms = o.config.target_latency_ms,
                                      .time_shift_s = o.config.time_shift_s,
                                      .classic_s = o.config.classic_s,
                                      .update_s = o.config.update_s,
                                      .steering = o.config.steering,
                                      .public_url = o.config.public_url};
        writers_open(&o.writers, o.daemon.loop, &o.store);
        serve_open(&o.serve, o.daemon.loop, &o.store, &mo, (size_t)o.config.max_waits);
        open_archive(&o);
        so.has_archive = o.archive != NULL;
        int rc = store_open(&o.store, o.daemon.loop, &so, &se);
        if (rc) {
                if (rc != ERR_CONFLICT)
                        log_error("msg=\"cannot use data_dir\" path=%s error=\"%s\"", so.data_dir, strerror(errno));
                return 1;
        }
        open_webhooks(&o);
        api_open(&o.daemon, &o.store);
        o.daemon.opens_later = true;
        int status = daemon_run(&o.daemon);
        disk_stop();
        http_free(&o.http);
        daemon_fini(&o.daemon, &o.config);
        return status;
}
