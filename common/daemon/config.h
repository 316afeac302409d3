/* config.h - configuration of a daemon: one table of keys makes the reader, the errors, --help and the reference.
 *
 * Sources, the later wins: defaults, the JSON file of --config, environment FRESHET_<KEY> (upper case), --set key=value.
 * An unknown key, a key given twice in the file, a wrong type or a value out of range is refused with the key, what was
 * given and what is allowed. A variable that is no key of any daemon (config_names.h), but nearly one, is refused too: a typing
 * mistake in it would otherwise go unnoticed.
 *
 * A secret can be given as a file instead, from every source: <key>_file is a path, and what the file holds, without the
 * newline at its end, is the value (config_secret.h). Giving both is refused.
 *
 * Loop thread; the struct a table points into is read-only for others after start. */
#ifndef COMMON_DAEMON_CONFIG_H
#define COMMON_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
        CONFIG_INT,    /* int64_t, in [min, max] */
        CONFIG_STRING, /* char *, length in [min, max] bytes */
        CONFIG_CHOICE, /* char *, one of the words in `allowed` ("debug|info|warn|error") */
        CONFIG_BOOL,   /* bool */
        CONFIG_JSON,   /* json_t * (jansson), array or object; `check` judges it */
};

struct config_key {
        const char *name;
        enum config_type type;
        size_t offset;             /* of the field in the daemon's struct */
        const char *default_value; /* as it would be written after --set key= */
        int64_t min, max;
        const char *unit; /* "ms", "bytes", … or "" */
        const char *help;
        const char *allowed;
        bool reloads; /* SIGHUP takes a new value; others keep the old one and log that a restart is needed */
        /* Extra judgement of a value: 0, or ERR_CONFIG with a sentence in why. value points at the field. May be NULL. */
        int (*check)(const void *value, char *why, size_t why_cap);
        bool secret; /* never printed; may come from a file, as <name>_file */
};

/* Keys every daemon has; put it first into the daemon's struct as `struct config_common common`, at offset 0. */
struct config_common {
        char *id;        /* node id; default: host name */
        char *log_level, *log_format;
        char *bind;       /* address every socket listens on but the admin port */
        char *admin_bind; /* address of that one */
        int64_t admin_port;
        char *admin_token; /* what /metrics and /api/ of the admin port ask for; empty: nothing */
        bool insecure;     /* listeners off loopback may do without credentials */
        char *cluster_token; /* shared secret of the cluster; empty: peers are not asked for a proof */
        char *cluster_cert, *cluster_key, *cluster_ca; /* paths of PEM files; empty: plain TCP between nodes */
        char *zone;          /* what fails together with this node; told in HELLO */
};

/* The rows of struct config_common for a daemon whose struct begins with it. */
#define CONFIG_COMMON_KEYS(default_admin_port)                                                                         \
        {.name = "id", .type = CONFIG_STRING, .offset = offsetof(struct config_common, id), .default_value = "",       \
         .min = 0, .max = 63, .unit = "", .help = "node id, unique in the cluster; empty: the host name",             \
         .check = config_check_id},                                                                                    \
        {.name = "log_level", .type = CONFIG_CHOICE, .offset = offsetof(struct config_common, log_level),              \
         .default_value = "info", .unit = "", .allowed = "debug|info|warn|error", .help = "least level that is logged", \
         .reloads = true},                                                                                             \
        {.name = "log_format", .type = CONFIG_CHOICE, .offset = offsetof(struct config_common, log_format),            \
         .default_value = "logfmt", .unit = "", .allowed = "logfmt|json", .help = "how a line of the log is written",   \
         .reloads = true},                                                                                             \
        {.name = "bind", .type = CONFIG_STRING, .offset = offsetof(struct config_common, bind),                        \
         .default_value = "127.0.0.1", .min = 1, .max = 255, .unit = "", .help = "address every socket but the admin port listens on"}, \
        {.name = "admin_bind", .type = CONFIG_STRING, .offset = offsetof(struct config_common, admin_bind),            \
         .default_value = "127.0.0.1", .min = 1, .max = 255, .unit = "", .help = "address the admin port listens on"}, \
        {.name = "admin_port", .type = CONFIG_INT, .offset = offsetof(struct config_common, admin_port),               \
         .default_value = #default_admin_port, .min = 1, .max = 65535, .unit = "port",                                 \
         .help = "HTTP port of /healthz /readyz /metrics /api/"},                                                      \
        {.name = "admin_token", .type = CONFIG_STRING, .offset = offsetof(struct config_common, admin_token),          \
         .default_value = "", .min = 0, .max = 255, .unit = "", .secret = true, .reloads = true,                       \
         .help = "what /metrics and /api/ ask for as Authorization: Bearer …; empty: nothing is asked for"},          \
        {.name = "insecure", .type = CONFIG_BOOL, .offset = offsetof(struct config_common, insecure),                  \
         .default_value = "false", .unit = "",                                                                         \
         .help = "listen on addresses that are not loopback without credentials all the same"},                        \
        {.name = "cluster_token", .type = CONFIG_STRING, .offset = offsetof(struct config_common, cluster_token),      \
         .default_value = "", .min = 0, .max = 255, .unit = "",                                                        \
         .help = "secret all nodes share; empty: peers are not asked for a proof", .secret = true},                    \
        {.name = "cluster_cert", .type = CONFIG_STRING, .offset = offsetof(struct config_common, cluster_cert),        \
         .default_value = "", .min = 0, .max = 1000, .unit = "",                                                       \
         .help = "PEM file of this node's certificate: TLS between nodes, with cluster_key and cluster_ca"},          \
        {.name = "cluster_key", .type = CONFIG_STRING, .offset = offsetof(struct config_common, cluster_key),          \
         .default_value = "", .min = 0, .max = 1000, .unit = "", .help = "PEM file of the key that belongs to it"},    \
        {.name = "cluster_ca", .type = CONFIG_STRING, .offset = offsetof(struct config_common, cluster_ca),            \
         .default_value = "", .min = 0, .max = 1000, .unit = "",                                                       \
         .help = "PEM file of the authority (or several) whose certificates nodes show"},                             \
        {.name = "zone", .type = CONFIG_STRING, .offset = offsetof(struct config_common, zone), .default_value = "",   \
         .min = 0, .max = 31, .unit = "", .help = "what fails together with this node: a rack, a building",           \
         .check = config_check_zone}

int config_check_zone(const void *value, char *why, size_t why_cap);
int config_check_id(const void *value, char *why, size_t why_cap);
void config_node_id(char id[64], const char *configured); /* "": the host's name, but for characters that an id does not have */

bool config_admin_may_open(const struct config_common *c); /* strangers are kept from the admin port, or are to be let in */

/* Fills *fields (zeroed by the caller) from argv and environment. Keys end with a row whose name is NULL; its check, if there is one,
 * judges all fields together: value is then fields. A reload does not ask it.
 * CONFIG_RUN, or CONFIG_ASK_HEALTH and CONFIG_ASK_READY (--healthcheck, --healthcheck=ready): *fields is filled.
 * CONFIG_EXIT_OK (--help, --version, -n) and CONFIG_EXIT_BAD (told by lines of the log, with -n or at a terminal in plain text; exit
 * status 2): it is untouched.
 * CONFIG_EXIT_LATER likewise, exit status 1: the last row's check said ERR_NOT_YET, what is wrong may be right at another time. */
enum config_outcome { CONFIG_RUN, CONFIG_EXIT_OK, CONFIG_EXIT_BAD, CONFIG_EXIT_LATER, CONFIG_ASK_HEALTH, CONFIG_ASK_READY };
enum config_outcome config_load(const char *program, const struct config_key *keys, void *fields, int argc, char **argv);

/* Reads all sources again. Only keys with `reloads` change; anything wrong is logged and leaves every field as it was.
 * Says in one line each what changed (values of secrets are not shown), and what is changed but needs a restart; when there
 * is neither it says that. Old strings and json of changed keys are freed. ERR_CONFIG or 0. */
int config_reload(const char *program, const struct config_key *keys, void *fields, int argc, char **argv);

/* Logs one warning that names the files of secrets which everybody on this machine can read, if config_load() met any. Those
 * on a read-only mount are left out: there an engine set the mode (Docker's and Kubernetes' secrets). After log_init(). */
void config_warn_exposed(void);

void config_free(const struct config_key *keys, void *fields);

#endif
