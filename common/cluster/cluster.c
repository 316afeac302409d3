#include "common/cluster/cluster.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/cluster/cluster_certs.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/file_watch.h"
#include "common/mem.h"

#define RETRY_MS 2000

struct cluster {
        struct cluster_certs *certs; /* NULL: none are configured */
        struct file_watch *watch;
        uv_timer_t retry; /* while the files cannot be used: time alone may make them good, or a descriptor that is free again */
        char why[512];    /* they cannot be used; was told */
};

enum { NOT_AFTER, UNUSABLE, METRICS };
static struct metric metrics[METRICS] = {
        [NOT_AFTER] = {.name = "freshet_cluster_certificate_not_after_seconds", .type = METRIC_GAUGE,
                       .help = "When the certificate this node shows to the others ends, in seconds since 1970; 0: it has none."},
        [UNUSABLE] = {.name = "freshet_cluster_certificate_unusable", .type = METRIC_GAUGE,
                      .help = "1 while the files of cluster_cert, cluster_key and cluster_ca cannot be used and older ones are."},
};

/* ---- the rules -------------------------------------------------------------------------------------------------- */

static struct cluster_paths paths_of(const struct config_common *c)
{
        return (struct cluster_paths){.cert = c->cluster_cert, .key = c->cluster_key, .ca = c->cluster_ca};
}

int cluster_check(const void *fields, char *why, size_t why_cap)
{
        const struct config_common *c = fields;
        static const struct cluster_name anybody;
        struct cluster_paths paths = paths_of(c);
        struct cluster_certs *certs;
        unsigned given = (*c->cluster_cert != 0) + (*c->cluster_key != 0) + (*c->cluster_ca != 0);
        if (given == 0)
                return 0;
        if (given < 3) {
                snprintf(why, why_cap, "%s: not set, allowed: cluster_cert, cluster_key and cluster_ca all three, or none",
                         !*c->cluster_cert ? "cluster_cert" : !*c->cluster_key ? "cluster_key" : "cluster_ca");
                return ERR_CONFIG;
        }
        int err = cluster_certs_open(&certs, &paths, &anybody, why, why_cap);
        cluster_certs_unref(&certs);
        return err;
}

int cluster_check_listener(const void *fields, char *why, size_t why_cap)
{
        const struct config_common *c = fields;
        struct sockaddr_storage bind;
        int err = cluster_check(fields, why, why_cap);
        if (err != 0)
                return err;
        if (*c->cluster_cert || (address_parse(&bind, c->bind, 0) == 0 && address_is_loopback(&bind)))
                return 0;
        if (c->insecure && *c->cluster_token)
                return 0;
        snprintf(why, why_cap, "%s: not set, and bind=%s is not loopback, so anybody could be a node; allowed: cluster_cert, "
                 "cluster_key and cluster_ca, or insecure=true with a cluster_token",
                 c->insecure ? "cluster_token" : "cluster_cert", c->bind);
        return ERR_CONFIG;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void tell_end(struct cluster *c)
{
        char when[32];
        time_t end = (time_t)cluster_certs_not_after_s(c->certs);
        struct tm tm;
        metric_set(&metrics[NOT_AFTER], end);
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
        if (end - clock_wall_us() / US_PER_S < CLUSTER_CERT_SOON_S)
                log_warn("not_after=%s msg=\"cluster_cert ends soon: renew it (deploy/certs), the file is read again by itself\"", when);
        else
                log_info("not_after=%s msg=\"cluster_cert read\"", when);
}

static void on_retry(uv_timer_t *timer)
{
        cluster_reload(timer->data);
}

void cluster_reload(struct cluster *c)
{
        char why[sizeof(c->why)], quoted[600];
        if (!c->certs)
                return;
        bool was_bad = *c->why, good = cluster_certs_reload(c->certs, why, sizeof(why)) == 0;
        metric_set(&metrics[UNUSABLE], !good);
        if (good)
                tell_end(c);
        else if (strcmp(c->why, why) != 0)
                log_error("msg=\"the cluster's certificates changed and cannot be used, the ones from before are\" why=%s",
                          log_quote(quoted, sizeof(quoted), why));
        snprintf(c->why, sizeof(c->why), "%s", good ? "" : why);
        if (good)
                uv_timer_stop(&c->retry);
        else if (!was_bad)
                uv_timer_start(&c->retry, on_retry, RETRY_MS, RETRY_MS);
}

static void on_changed(void *arg)
{
        cluster_reload(arg);
}

static void open_certs(struct cluster *c, uv_loop_t *loop, const struct config_common *config, const struct node_identity *self)
{
        struct cluster_paths paths = paths_of(config);
        const char *watched[] = {paths.cert, paths.key, paths.ca};
        struct cluster_name name = {.role = self->role};
        char why[512], quoted[600];
        snprintf(name.id, sizeof(name.id), "%s", self->id);
        /* Before the files are read: a change between the two would not be told. */
        c->watch = file_watch_open(loop, watched, 3, on_changed, c);
        int err = cluster_certs_open(&c->certs, &paths, &name, why, sizeof(why));
        if (err != 0) {
                log_fatal("msg=%s", log_quote(quoted, sizeof(quoted), why));
                exit(err == ERR_NOT_YET ? 1 : 2);
        }
        tell_end(c);
}

struct cluster *cluster_open(uv_loop_t *loop, const struct config_common *config, struct node_identity *self)
{
        struct cluster *c = mem_alloc(sizeof(*c));
        metrics_register(metrics, METRICS);
        uv_timer_init(loop, &c->retry);
        uv_unref((uv_handle_t *)&c->retry);
        c->retry.data = c;
        if (*config->cluster_cert)
                open_certs(c, loop, config, self);
        else if (*config->cluster_token && config->insecure)
                log_warn("msg=\"insecure=true: what nodes say to each other is not encrypted\"");
        self->cluster_token = config->cluster_token;
        self->certs = c->certs;
        snprintf(self->zone, sizeof(self->zone), "%s", config->zone);
        return c;
}

static void on_closed(uv_handle_t *retry)
{
        free(retry->data);
}

void cluster_close(struct cluster *c)
{
        file_watch_close(c->watch);
        cluster_certs_unref(&c->certs);
        uv_close((uv_handle_t *)&c->retry, on_closed);
}
