#include "common/daemon/daemon.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/cluster/cluster.h"
#include "common/cluster/peers.h"
#include "common/daemon/descriptors.h"
#include "common/daemon/fatal.h"
#include "common/daemon/healthcheck.h"
#include "common/daemon/log.h"
#include "common/daemon/memory.h"
#include "common/daemon/metrics.h"
#include "common/daemon/notify.h"
#include "common/daemon/version.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"
#include "proto/message.h"

#define DAEMON_MAGIC 0x4441454d
#define TICK_MS 1000
#define WATCHDOG_SHARE 4 /* of the watchdog's time between two signs of life, at most */
#define ALARM_LATER_S 2 /* than the deadline */
#define OPENING_S 30     /* how long from now on systemd is to wait for sockets to open, told each tick */
#define CLOCK_OFF_US (250 * US_PER_MS) /* so far from the system's clock is worth a line */
#define CLOCK_AGREES_US (20 * US_PER_MS)

struct impl {
        uv_loop_t loop;
        uv_signal_t term, interrupt, hangup;
        uv_timer_t tick, deadline;
        struct admin *admin;
        struct cluster *cluster;
        char unguarded[512]; /* listeners that anybody who reaches them may use */
        char status[160];    /* what systemd was told last */
        int64_t started_us;  /* monotonic */
        bool opened;
        bool stopping, exiting;
        bool asked; /* to stop, by POST /api/drain: the signal that usually follows asks for no haste */
        bool clock_off; /* and it was told */
};

static char build_labels[256];
static struct metric build_info[] = {
        {.name = "freshet_build_info", .type = METRIC_GAUGE, .help = "Version and role of this process; always 1."},
};

static struct metric clock_metric[] = {
        {.name = "freshet_clock_offset_seconds", .type = METRIC_GAUGE, .scale = 1e-6,
         .help = "How far media's wall clock is ahead of the system's, which was stepped."},
};

enum { SEEN_READY, SEEN_CLOCK };
static struct metric seen[] = {
        [SEEN_READY] = {.name = "freshet_ready", .type = METRIC_GAUGE, .help = "1 when /readyz says so."},
        [SEEN_CLOCK] = {.name = "freshet_clock_seconds", .type = METRIC_GAUGE,
                        .help = "Media's wall clock, Unix time, up to a second ago."},
};

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void on_deadline(uv_timer_t *timer)
{
        const struct daemon *d = magic_check(timer->data, DAEMON_MAGIC);
        log_fatal("msg=\"not stopped within %lld ms\"", (long long)(d->drain_ms + DAEMON_STOP_DEADLINE_MS));
        _exit(1);
}

/* The loop stands still, in a call that waits for a thread or for a disk, and hears of no timer and no signal of libuv's. */
static void on_alarm(int signum)
{
        (void)signum;
        log_last("not stopped in time, and the loop stands still");
        _exit(1);
}

/* The deadline does not keep the loop alive, it only ends one that other handles keep. */
static void start_deadline(struct daemon *d)
{
        struct impl *m = d->impl;
        int64_t ms = d->drain_ms + DAEMON_STOP_DEADLINE_MS;
        if (uv_is_active((uv_handle_t *)&m->deadline))
                return;
        m->deadline.data = d;
        uv_timer_start(&m->deadline, on_deadline, (uint64_t)ms, 0);
        uv_unref((uv_handle_t *)&m->deadline);
        signal(SIGALRM, on_alarm);
        alarm((unsigned)(ms / 1000) + ALARM_LATER_S);
}

static void begin_stop(struct daemon *d)
{
        struct impl *m = d->impl;
        m->stopping = true;
        notify_send("STOPPING=1");
        start_deadline(d);
        d->stop(d->arg);
}

static void on_stop_signal(uv_signal_t *handle, int signum)
{
        struct daemon *d = magic_check(handle->data, DAEMON_MAGIC);
        struct impl *m = d->impl;
        if (m->asked) {
                m->asked = false;
                log_info("signal=%d msg=\"stopping already\"", signum);
                return;
        }
        if (m->stopping && d->hurry && !m->exiting) {
                void (*hurry)(void *arg) = d->hurry;
                d->hurry = NULL;
                log_info("signal=%d msg=\"a second signal: stopping sooner\"", signum);
                hurry(d->arg);
                return;
        }
        if (m->stopping) {
                log_fatal("signal=%d msg=\"a second signal: ending at once\"", signum);
                _exit(1);
        }
        log_info("signal=%d msg=\"stopping\"", signum);
        begin_stop(d);
}

static void apply_log_settings(struct daemon *d)
{
        enum log_level level;
        if (log_level_parse(d->config->log_level, &level))
                log_set_level(level);
        log_set_json(strcmp(d->config->log_format, "json") == 0 ? d->program : NULL);
}

/* One that is taken away off loopback would let strangers in, which only a start does, and only when it is told to. */
static void apply_admin_token(struct daemon *d)
{
        struct impl *m = d->impl;
        if (config_admin_may_open(d->config))
                admin_token(m->admin, d->config->admin_token);
        else
                log_error("key=admin_token msg=\"taken away, which would open the admin port to strangers: the one from before is "
                          "still asked for\"");
}

static void on_hangup(uv_signal_t *handle, int signum)
{
        struct daemon *d = magic_check(handle->data, DAEMON_MAGIC);
        struct impl *m = d->impl;
        char reloading[64];
        (void)signum;
        if (m->exiting)
                return;
        bool running = m->opened && !m->stopping; /* before READY there is nothing to be ready again for */
        snprintf(reloading, sizeof(reloading), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
        if (running)
                notify_send(reloading);
        if (config_reload(d->program, d->keys, d->config, d->argc, d->argv) == 0) {
                apply_log_settings(d);
                cluster_reload(m->cluster);
                apply_admin_token(d);
                if (d->reloaded)
                        d->reloaded(d->arg);
        }
        if (running)
                notify_send("READY=1");
}

/* A step of the system's clock is told once, and again when it has been followed. */
static void watch_clock(struct impl *m)
{
        int64_t offset_us = clock_offset_us();
        bool off = llabs(offset_us) > (m->clock_off ? CLOCK_AGREES_US : CLOCK_OFF_US);
        metric_set(&clock_metric[0], offset_us);
        if (off && !m->clock_off)
                log_warn("offset_ms=%lld msg=\"the system's clock was stepped: media time goes on as before and follows it by "
                         "%d ppm\"", (long long)(offset_us / US_PER_MS), CLOCK_SLEW_PPM);
        else if (!off && m->clock_off)
                log_info("offset_ms=%lld msg=\"media time and the system's clock agree again\"",
                         (long long)(offset_us / US_PER_MS));
        m->clock_off = off;
}

static void on_tick(uv_timer_t *timer)
{
        struct impl *m = ((struct daemon *)magic_check(timer->data, DAEMON_MAGIC))->impl;
        char text[64];
        admin_tick(m->admin);
        log_tick(clock_mono_us());
        metric_set(&seen[SEEN_CLOCK], clock_wall_us() / US_PER_S);
        watch_clock(m);
        descriptors_watch();
        if (!m->exiting)
                memory_look(&m->loop, clock_mono_us());
        notify_send("WATCHDOG=1");
        if (m->opened || m->stopping)
                return;
        snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", (long long)(OPENING_S * US_PER_S));
        notify_send(text);
}

/* ---- /api/ ------------------------------------------------------------------------------------------------------ */

static void api_node(void *arg, struct admin_call *call)
{
        const struct daemon *d = magic_check(arg, DAEMON_MAGIC);
        const struct impl *m = d->impl;
        char why[128];
        bool ready = admin_is_ready(m->admin, why, sizeof(why));
        const char *state = m->stopping ? "draining" : ready ? "ready" : m->opened ? "waiting" : "starting";
        call->answer = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:f, s:s, s:o}", "id", d->self.id, "role",
                                 d->program, "zone", d->self.zone, "version", version_number, "revision", version_revision,
                                 "state", state, "why", why, "uptime",
                                 (json_int_t)((clock_mono_us() - m->started_us) / US_PER_S), "pid", (int)getpid(), "load",
                                 d->self.load_permille / 1000.0, "log_level", log_level_name(log_level_now()), "peers",
                                 peers_json());
}

static void api_drain(void *arg, struct admin_call *call)
{
        struct daemon *d = magic_check(arg, DAEMON_MAGIC);
        struct impl *m = d->impl;
        if (!m->stopping) {
                log_info("by=admin msg=\"stopping\"");
                m->asked = true;
                begin_stop(d);
        }
        call->status = 202;
        call->answer = json_pack("{s:s}", "state", "draining");
}

static void api_log_level(void *arg, struct admin_call *call)
{
        enum log_level level = log_level_now();
        (void)arg;
        if (json_object_size(call->body)) {
                const char *name = admin_text(call, "level", 1, 16);
                if (!name)
                        return;
                if (!log_level_parse(name, &level)) {
                        admin_refuse(call, 400, "level: given \"%s\", allowed: one of debug|info|warn|error", name);
                        return;
                }
                log_set_level(level);
                log_info("log_level=%s by=admin msg=\"log level changed, until the next SIGHUP or start\"", name);
        }
        call->answer = json_pack("{s:s}", "level", log_level_name(level));
}

static void api_set_log_level(void *arg, struct admin_call *call)
{
        if (json_object_size(call->body) == 0)
                admin_refuse(call, 400, "level: given nothing, allowed: one of debug|info|warn|error");
        else
                api_log_level(arg, call);
}

static const struct admin_route routes[] = {
        {"GET", "/api/node", NULL, api_node},
        {"POST", "/api/drain", NULL, api_drain},
        {"GET", "/api/log_level", NULL, api_log_level},
        {"PUT", "/api/log_level", "level", api_set_log_level},
};

void daemon_routes(struct daemon *d, const struct admin_route *more, size_t count, void *arg)
{
        struct impl *m = d->impl;
        admin_routes(m->admin, more, count, arg);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void open_signal(struct daemon *d, uv_signal_t *handle, uv_signal_cb cb, int signum)
{
        uv_signal_init(d->loop, handle);
        handle->data = d;
        uv_signal_start(handle, cb, signum);
}

static void open_loop(struct daemon *d)
{
        struct impl *m = d->impl;
        int rv = uv_loop_init(&m->loop);
        assert(rv == 0);
        (void)rv;
        d->loop = &m->loop;
        signal(SIGPIPE, SIG_IGN);
        signal(SIGXFSZ, SIG_IGN); /* what is beyond a limit of files is an error of the write, as a full disk is */
        open_signal(d, &m->term, on_stop_signal, SIGTERM);
        open_signal(d, &m->interrupt, on_stop_signal, SIGINT);
        open_signal(d, &m->hangup, on_hangup, SIGHUP);
        uv_timer_init(d->loop, &m->deadline);
        uv_timer_init(d->loop, &m->tick);
        m->deadline.data = m->tick.data = d;
        int64_t watchdog_ms = notify_watchdog_us() / US_PER_MS / WATCHDOG_SHARE;
        uint64_t tick_ms = watchdog_ms > 0 && watchdog_ms < TICK_MS ? (uint64_t)watchdog_ms : TICK_MS;
        uv_timer_start(&m->tick, on_tick, tick_ms, tick_ms);
}

static void open_admin(struct daemon *d)
{
        struct impl *m = d->impl;
        const struct config_common *c = d->config;
        snprintf(build_labels, sizeof(build_labels), "version=\"%s\",revision=\"%s\",role=\"%s\",protocol=\"%d\"",
                 version_number, version_revision, d->program, PROTO_VERSION);
        build_info[0].labels = build_labels;
        metric_set(&build_info[0], 1);
        metrics_register(build_info, 1);
        metrics_register(clock_metric, 1);
        metric_set(&seen[SEEN_CLOCK], clock_wall_us() / US_PER_S);
        metrics_register(seen, sizeof(seen) / sizeof(seen[0]));
        daemon_listener(d, "admin", c->admin_bind, *c->admin_token, "admin_token");
        int err = admin_open(&m->admin, d->loop, c->admin_bind, (int)c->admin_port, c->admin_token);
        if (err) {
                log_fatal("bind=%s port=%d msg=\"cannot open the admin port\" error=\"%s\"", c->admin_bind, (int)c->admin_port,
                          err_text(err));
                exit(1);
        }
        daemon_routes(d, routes, sizeof(routes) / sizeof(routes[0]), d);
}

static void ask_health(const struct config_common *c, bool ready)
{
        char why[256];
        bool good = healthcheck(c->admin_bind, (int)c->admin_port, ready ? "/readyz" : "/healthz", why, sizeof(why));
        fprintf(good ? stdout : stderr, "%s\n", why);
        exit(good ? 0 : 1);
}

void daemon_init(struct daemon *d, const char *program, enum node_role role, const struct config_key *keys, void *fields,
                 int argc, char **argv, void (*stop)(void *arg), void (*reloaded)(void *arg), void *arg)
{
        enum config_outcome outcome = config_load(program, keys, fields, argc, argv);
        if (outcome == CONFIG_EXIT_OK || outcome == CONFIG_EXIT_BAD || outcome == CONFIG_EXIT_LATER)
                exit(outcome == CONFIG_EXIT_OK ? 0 : outcome == CONFIG_EXIT_LATER ? 1 : 2);
        if (outcome != CONFIG_RUN)
                ask_health(fields, outcome == CONFIG_ASK_READY);
        *d = (struct daemon){
                .magic = DAEMON_MAGIC,
                .program = program,
                .keys = keys,
                .config = fields,
                .argc = argc,
                .argv = argv,
                .stop = stop,
                .reloaded = reloaded,
                .arg = arg,
                .impl = mem_alloc(sizeof(struct impl)),
        };
        descriptors_raise();
        memory_start();
        config_node_id(d->self.id, d->config->id);
        d->self.incarnation_us = clock_wall_us();
        d->self.role = role;
        ((struct impl *)d->impl)->started_us = clock_mono_us();
        log_init(d->self.id, LOG_INFO);
        fatal_watch();
        apply_log_settings(d);
        config_warn_exposed();
        notify_open();
        open_loop(d);
        ((struct impl *)d->impl)->cluster = cluster_open(d->loop, d->config, &d->self);
        daemon_listener(d, "nng", d->config->bind, *d->config->cluster_cert || *d->config->cluster_token,
                        "cluster_cert, or cluster_token");
        open_admin(d);
        log_info("role=%s version=%s revision=%s pid=%d admin=%s:%d msg=\"started\"", program, version_number, version_revision,
                 (int)getpid(), d->config->admin_bind, (int)d->config->admin_port);
}

void daemon_listener(struct daemon *d, const char *what, const char *bind, bool guarded, const char *keys)
{
        struct impl *m = d->impl;
        struct sockaddr_storage ss;
        size_t used = strlen(m->unguarded);
        bool loopback = address_parse(&ss, bind, 0) == 0 && address_is_loopback(&ss);
        if (guarded)
                return;
        if (!loopback && !d->config->insecure) {
                log_fatal("bind=%s msg=\"%s is to listen on %s, where strangers may reach it. Set %s, or insecure=true to let everybody "
                          "use it\"", bind, what, bind, keys);
                exit(2);
        }
        snprintf(m->unguarded + used, sizeof(m->unguarded) - used, "%s%s on %s (%s)", used ? ", " : "", what, bind, keys);
}

/* readiness in words, for systemctl status */
static void tell_status(struct daemon *d)
{
        struct impl *m = d->impl;
        char why[128], status[sizeof(m->status)];
        bool ready = admin_is_ready(m->admin, why, sizeof(why));
        snprintf(status, sizeof(status), "STATUS=%s", ready ? "ready" : why);
        if (strcmp(status, m->status) == 0)
                return;
        memcpy(m->status, status, sizeof(status));
        notify_send(status);
}

void daemon_ready(struct daemon *d, bool ready, const char *why)
{
        struct impl *m = d->impl;
        metric_set(&seen[SEEN_READY], ready);
        admin_ready(m->admin, ready, why);
        tell_status(d);
}

void daemon_opened(struct daemon *d)
{
        struct impl *m = d->impl;
        m->opened = true;
        notify_send("READY=1");
}

static void warn_unguarded(const struct impl *m)
{
        char quoted[sizeof(m->unguarded) + 64];
        if (*m->unguarded)
                log_warn("open=%s msg=\"no credentials are set for these: whoever reaches them may use them\"",
                         log_quote(quoted, sizeof(quoted), m->unguarded));
}

int daemon_run(struct daemon *d)
{
        struct impl *m = d->impl;
        warn_unguarded(m);
        if (!d->opens_later)
                daemon_opened(d);
        uv_run(d->loop, UV_RUN_DEFAULT);
        admin_detach(m->admin);
        uv_close((uv_handle_t *)&m->term, NULL);
        uv_close((uv_handle_t *)&m->interrupt, NULL);
        uv_close((uv_handle_t *)&m->hangup, NULL);
        uv_close((uv_handle_t *)&m->deadline, NULL);
        cluster_close(m->cluster);
        uv_run(d->loop, UV_RUN_DEFAULT);
        log_tick(INT64_MAX);
        log_info("status=%d msg=\"stopped\"", d->exit_status);
        return d->exit_status;
}

void daemon_exit(struct daemon *d, int status)
{
        struct impl *m = d->impl;
        if (m->exiting)
                return;
        m->exiting = m->stopping = true;
        d->exit_status = status;
        admin_quiesce(m->admin); /* what handlers look at is going */
        start_deadline(d);
        /* Signals are still heard, so that one more ends a loop that does not, but they no longer keep it alive. */
        uv_unref((uv_handle_t *)&m->term);
        uv_unref((uv_handle_t *)&m->interrupt);
        uv_unref((uv_handle_t *)&m->hangup);
        uv_close((uv_handle_t *)&m->tick, NULL);
}

void daemon_fini(struct daemon *d, void *fields)
{
        struct impl *m = d->impl;
        int rv = uv_loop_close(&m->loop);
        assert(rv == 0); /* a handle was left open */
        (void)rv;
        admin_close(m->admin);
        notify_close();
        config_free(d->keys, fields);
        free(m);
}
