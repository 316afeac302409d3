#include "common/daemon.h"

#include <assert.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/admin.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "proto/message.h"

#ifndef FRESHET_VERSION
#define FRESHET_VERSION "unknown"
#endif

#define TICK_MS 1000
#define CLOCK_OFF_US (250 * US_PER_MS) /* so far from the system's clock is worth a line */
#define CLOCK_AGREES_US (20 * US_PER_MS)

struct impl {
        uv_loop_t loop;
        uv_signal_t term, interrupt, hangup;
        uv_timer_t tick, deadline;
        struct admin *admin;
        bool stopping, exiting;
        bool clock_off; /* and it was told */
};

static char build_labels[160];
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
        const struct daemon *d = timer->data;
        log_error("msg=\"not stopped within %lld ms\"", (long long)(d->drain_ms + DAEMON_STOP_DEADLINE_MS));
        _exit(1);
}

/* The deadline does not keep the loop alive, it only ends one that other handles keep. */
static void start_deadline(struct daemon *d)
{
        struct impl *m = d->impl;
        if (uv_is_active((uv_handle_t *)&m->deadline))
                return;
        m->deadline.data = d;
        uv_timer_start(&m->deadline, on_deadline, (uint64_t)d->drain_ms + DAEMON_STOP_DEADLINE_MS, 0);
        uv_unref((uv_handle_t *)&m->deadline);
}

static void on_stop_signal(uv_signal_t *handle, int signum)
{
        struct daemon *d = handle->data;
        struct impl *m = d->impl;
        if (m->stopping && d->hurry && !m->exiting) {
                void (*hurry)(void *arg) = d->hurry;
                d->hurry = NULL;
                log_info("signal=%d msg=\"a second signal: stopping sooner\"", signum);
                hurry(d->arg);
                return;
        }
        if (m->stopping) {
                log_error("signal=%s msg=\"a second signal: ending at once\"", strsignal(signum));
                _exit(1);
        }
        log_info("signal=%d msg=\"stopping\"", signum);
        m->stopping = true;
        start_deadline(d);
        d->stop(d->arg);
}

static void apply_log_level(struct daemon *d)
{
        enum log_level level;
        if (log_level_parse(d->config->log_level, &level))
                log_set_level(level);
}

static void on_hangup(uv_signal_t *handle, int signum)
{
        struct daemon *d = handle->data;
        (void)signum;
        if (((struct impl *)d->impl)->exiting)
                return;
        if (config_reload(d->program, d->keys, d->config, d->argc, d->argv) != 0)
                return;
        apply_log_level(d);
        log_info("msg=\"configuration read again\"");
        if (d->reloaded)
                d->reloaded(d->arg);
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
        struct impl *m = ((struct daemon *)timer->data)->impl;
        admin_tick(m->admin);
        metric_set(&seen[SEEN_CLOCK], clock_wall_us() / US_PER_S);
        watch_clock(m);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

/* A host name is used as it is but for characters that an id does not have. */
static void choose_id(char id[64], const char *configured)
{
        if (*configured) {
                snprintf(id, 64, "%s", configured);
                return;
        }
        if (gethostname(id, 64) != 0 || !*id)
                snprintf(id, 64, "node");
        id[63] = '\0';
        for (char *p = id; *p; p++) {
                if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
                        *p = '-';
        }
}

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
        open_signal(d, &m->term, on_stop_signal, SIGTERM);
        open_signal(d, &m->interrupt, on_stop_signal, SIGINT);
        open_signal(d, &m->hangup, on_hangup, SIGHUP);
        uv_timer_init(d->loop, &m->deadline);
        uv_timer_init(d->loop, &m->tick);
        m->deadline.data = m->tick.data = d;
        uv_timer_start(&m->tick, on_tick, TICK_MS, TICK_MS);
}

static void open_admin(struct daemon *d)
{
        struct impl *m = d->impl;
        snprintf(build_labels, sizeof(build_labels), "version=\"%s\",role=\"%s\",protocol=\"%d\"", FRESHET_VERSION,
                 d->program, PROTO_VERSION);
        build_info[0].labels = build_labels;
        metric_set(&build_info[0], 1);
        metrics_register(build_info, 1);
        metrics_register(clock_metric, 1);
        metric_set(&seen[SEEN_CLOCK], clock_wall_us() / US_PER_S);
        metrics_register(seen, sizeof(seen) / sizeof(seen[0]));
        int err = admin_open(&m->admin, d->config->bind, (int)d->config->admin_port);
        if (err == 0)
                return;
        log_error("bind=%s port=%d msg=\"cannot open the admin port\" error=\"%s\"", d->config->bind,
                  (int)d->config->admin_port, err_text(err));
        exit(1);
}

void daemon_init(struct daemon *d, const char *program, enum node_role role, const struct config_key *keys, void *fields,
                 int argc, char **argv, void (*stop)(void *arg), void (*reloaded)(void *arg), void *arg)
{
        enum config_outcome outcome = config_load(program, keys, fields, argc, argv);
        if (outcome != CONFIG_RUN)
                exit(outcome == CONFIG_EXIT_OK ? 0 : 2);
        *d = (struct daemon){
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
        choose_id(d->self.id, d->config->id);
        d->self.incarnation_us = clock_wall_us();
        d->self.role = role;
        d->self.cluster_token = d->config->cluster_token;
        snprintf(d->self.zone, sizeof(d->self.zone), "%s", d->config->zone);
        log_init(d->self.id, LOG_INFO);
        apply_log_level(d);
        open_loop(d);
        open_admin(d);
        log_info("role=%s version=%s pid=%d admin=%s:%d msg=\"started\"", program, FRESHET_VERSION, (int)getpid(),
                 d->config->bind, (int)d->config->admin_port);
}

void daemon_ready(struct daemon *d, bool ready, const char *why)
{
        struct impl *m = d->impl;
        metric_set(&seen[SEEN_READY], ready);
        admin_ready(m->admin, ready, why);
}

int daemon_run(struct daemon *d)
{
        struct impl *m = d->impl;
        uv_run(d->loop, UV_RUN_DEFAULT);
        uv_close((uv_handle_t *)&m->term, NULL);
        uv_close((uv_handle_t *)&m->interrupt, NULL);
        uv_close((uv_handle_t *)&m->hangup, NULL);
        uv_close((uv_handle_t *)&m->deadline, NULL);
        uv_run(d->loop, UV_RUN_DEFAULT);
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
        config_free(d->keys, fields);
        free(m);
}
