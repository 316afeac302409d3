#include "common/daemon/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/daemon/config_names.h"
#include "common/daemon/config_secret.h"
#include "common/daemon/config_value.h"
#include "common/daemon/log.h"
#include "common/daemon/version.h"
#include "common/err.h"
#include "common/mem.h"
#include "proto/check.h"

#define FILE_MAX_BYTES (1 << 20)
#define GIVEN_SHOWN 80 /* bytes of a wrong value that an error repeats */
#define TOLD_MAX 64 /* things that are wrong, at a start */
#define FILE_SUFFIX "_file"
#define VARIABLE_PREFIX "FRESHET_"
#define MISTYPED_MAX 2   /* letters between a variable and what was probably meant */
#define MISTYPED_FROM 6 /* shorter names are too often near others by chance: FRESHET_BIN is no mistyped FRESHET_BIND */
#define SHOWN_BYTES 1024 /* of what a reload changed */

/* Where the value of a key came from. The later source overwrites the earlier one's. */
struct given {
        char *as_value; /* the source that gave the value itself; NULL: none did */
        char *as_file;  /* the source that gave path */
        char *path;
};

/* All sources are read into values; only when nothing was wrong do they become the daemon's fields. */
struct load {
        const char *program;
        const struct config_key *keys;
        size_t count;
        union config_value *values;
        struct given *given;
        int errors;
        bool reload;
        bool for_person; /* who asked whether all is well, by -n, reads plain text; at a start they are the log's last lines */
        char *told[TOLD_MAX]; /* lines of the log, kept until it is known of which node they are, and in which form they are wanted */
        int told_count;
};

struct arguments {
        bool help, version, check_only, ask_health, ask_ready;
        const char *file;
};

static char exposed_files[512]; /* that the last config_load() found, "key path" each; config_warn_exposed() */

static const union config_value *value_of(const struct load *l, const char *name, enum config_type type)
{
        for (size_t i = 0; i < l->count; i++) {
                if (strcmp(l->keys[i].name, name) == 0 && l->keys[i].type == type)
                        return &l->values[i];
        }
        return NULL;
}

/* Lines before the daemon's log_init() are of this node too, and in the form that is wanted. */
static void name_node(const struct load *l)
{
        const union config_value *given = value_of(l, "id", CONFIG_STRING), *format = value_of(l, "log_format", CONFIG_CHOICE);
        char id[64];
        config_node_id(id, given && given->text ? given->text : "");
        log_init(id, LOG_INFO);
        log_set_json(format && format->text && strcmp(format->text, "json") == 0 ? l->program : NULL);
}

static void __attribute__((format(printf, 2, 3))) complain(struct load *l, const char *fmt, ...)
{
        char text[512], quoted[600];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        l->errors++;
        if (l->reload) {
                log_error("msg=%s", log_quote(quoted, sizeof(quoted), text));
        } else if (l->for_person) {
                fprintf(stderr, "%s: %s\n", l->program, text);
        } else if (l->told_count < TOLD_MAX) {
                l->told[l->told_count++] = mem_strdup(text);
        }
}

static void tell(struct load *l)
{
        char quoted[600];
        for (int i = 0; i < l->told_count; i++) {
                log_fatal("role=%s msg=%s", l->program, log_quote(quoted, sizeof(quoted), l->told[i]));
                free(l->told[i]);
        }
        l->told_count = 0;
}

static void load_init(struct load *l, const char *program, const struct config_key *keys, bool reload)
{
        *l = (struct load){.program = program, .keys = keys, .reload = reload};
        while (keys[l->count].name)
                l->count++;
        l->values = mem_alloc(l->count * sizeof(*l->values));
        l->given = mem_alloc(l->count * sizeof(*l->given));
}

static void load_free(struct load *l)
{
        for (size_t i = 0; i < l->count; i++) {
                config_value_free(&l->keys[i], &l->values[i]);
                free(l->given[i].as_value);
                free(l->given[i].as_file);
                free(l->given[i].path);
        }
        free(l->values);
        free(l->given);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static const struct config_key *find_key(const struct load *l, const char *name, size_t len, size_t *index)
{
        for (size_t i = 0; i < l->count; i++) {
                if (strlen(l->keys[i].name) == len && memcmp(l->keys[i].name, name, len) == 0) {
                        *index = i;
                        return &l->keys[i];
                }
        }
        return NULL;
}

/* The secret whose file is given under this name. */
static const struct config_key *find_file_key(const struct load *l, const char *name, size_t len, size_t *index)
{
        size_t suffix = strlen(FILE_SUFFIX);
        if (len <= suffix || memcmp(name + len - suffix, FILE_SUFFIX, suffix) != 0)
                return NULL;
        const struct config_key *key = find_key(l, name, len - suffix, index);
        return key && key->secret ? key : NULL;
}

#define NAME_COMPARED 48

/* Levenshtein distance of the first NAME_COMPARED bytes. */
static unsigned distance(const char *a, size_t a_len, const char *b)
{
        unsigned row[NAME_COMPARED + 1];
        size_t b_len = strnlen(b, NAME_COMPARED);
        a_len = a_len < NAME_COMPARED ? a_len : NAME_COMPARED;
        for (size_t j = 0; j <= b_len; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= a_len; i++) {
                unsigned diagonal = row[0];
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= b_len; j++) {
                        unsigned replace = diagonal + (a[i - 1] != b[j - 1]);
                        unsigned other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
                        diagonal = row[j];
                        row[j] = replace < other ? replace : other;
                }
        }
        return row[b_len];
}

static void complain_unknown(struct load *l, const char *name, size_t len, const char *source)
{
        unsigned nearest = NAME_COMPARED;
        char names[256] = "";
        for (size_t i = 0; i < l->count; i++) {
                unsigned d = distance(name, len, l->keys[i].name);
                nearest = d < nearest ? d : nearest;
        }
        for (size_t i = 0, used = 0; i < l->count && used < sizeof(names) - 1; i++) {
                if (distance(name, len, l->keys[i].name) == nearest)
                        used += (size_t)snprintf(names + used, sizeof(names) - used, " %s", l->keys[i].name);
        }
        complain(l, "unknown key \"%.*s\" (%s); nearest:%s; --help lists all", (int)(len < 64 ? len : 64), name, source,
                 names);
}

static void complain_value(struct load *l, const struct config_key *key, const char *given, const char *source)
{
        char allowed[256];
        bool cut = strlen(given) > GIVEN_SHOWN;
        complain(l, "%s: given %.*s%s (%s), allowed: %s", key->name, key->secret ? 8 : GIVEN_SHOWN,
                 key->secret ? "(secret)" : given, cut && !key->secret ? "…" : "", source,
                 config_value_allowed(key, allowed, sizeof(allowed)));
}

/* ---- sources ---------------------------------------------------------------------------------------------------- */

static void note_source(char **note, const char *source)
{
        free(*note);
        *note = mem_strdup(source);
}

/* The file is read when all sources have been: a later one may name another. */
static void take_path(struct load *l, size_t index, const char *path, const char *source)
{
        if (!*path) {
                complain(l, "%s" FILE_SUFFIX ": given \"\" (%s), allowed: the path of a file", l->keys[index].name, source);
                return;
        }
        note_source(&l->given[index].as_file, source);
        note_source(&l->given[index].path, path);
}

static void take_text(struct load *l, size_t index, const char *text, const char *source)
{
        const struct config_key *key = &l->keys[index];
        note_source(&l->given[index].as_value, source);
        if (config_value_from_text(key, text, &l->values[index]) != 0) {
                char *quoted = mem_printf("\"%s\"", text);
                complain_value(l, key, quoted, source);
                free(quoted);
        }
}

static void read_defaults(struct load *l)
{
        for (size_t i = 0; i < l->count; i++) {
                const char *text = l->keys[i].default_value;
                int err = config_value_from_text(&l->keys[i], text ? text : "", &l->values[i]);
                assert(err == 0); /* the table's default breaks the table's own bounds */
                (void)err;
        }
}

static void take_member(struct load *l, const char *name, json_t *given, const char *source)
{
        size_t index;
        const struct config_key *key = find_key(l, name, strlen(name), &index);
        if (!key && find_file_key(l, name, strlen(name), &index)) {
                if (json_is_string(given))
                        take_path(l, index, json_string_value(given), source);
                else
                        complain(l, "%s (%s): allowed: a string, the path of a file", name, source);
                return;
        }
        if (!key) {
                complain_unknown(l, name, strlen(name), source);
                return;
        }
        note_source(&l->given[index].as_value, source);
        if (config_value_from_json(key, given, &l->values[index]) == 0)
                return;
        char *text = json_dumps(given, JSON_COMPACT | JSON_ENCODE_ANY);
        complain_value(l, key, text ? text : "?", source);
        free(text);
}

static void read_json(struct load *l, const char *bytes, size_t len, const char *source)
{
        json_error_t error;
        json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
        if (!root) {
                complain(l, "%s line %d: %s", source, error.line, error.text);
                return;
        }
        if (!json_is_object(root))
                complain(l, "%s: allowed: one JSON object of keys and values", source);
        for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i))
                take_member(l, json_object_iter_key(i), json_object_iter_value(i), source);
        json_decref(root);
}

static void read_file(struct load *l, const char *path)
{
        FILE *f = fopen(path, "re");
        if (!f) {
                complain(l, "--config: given \"%s\": %s, allowed: a JSON file", path, strerror(errno));
                return;
        }
        char *bytes = mem_alloc(FILE_MAX_BYTES + 1);
        size_t len = fread(bytes, 1, FILE_MAX_BYTES + 1, f);
        if (ferror(f))
                complain(l, "--config: given \"%s\": %s, allowed: a JSON file", path, strerror(errno));
        else if (len > FILE_MAX_BYTES)
                complain(l, "--config: given \"%s\", allowed: at most %d bytes", path, FILE_MAX_BYTES);
        else
                read_json(l, bytes, len, path);
        fclose(f);
        free(bytes);
}

static char *variable_name(const char *key, const char *suffix)
{
        char *name = mem_printf(VARIABLE_PREFIX "%s%s", key, suffix);
        for (char *p = name; *p; p++)
                *p = (char)toupper((unsigned char)*p);
        return name;
}

/* The key that was probably meant by name; NULL: it is one, of this daemon or of another, or is like none. */
static const char *mistyped(const struct load *l, const char *name)
{
        size_t len = strlen(name), index;
        const char *meant = NULL;
        unsigned least = MISTYPED_MAX + 1;
        if (find_key(l, name, len, &index) || find_file_key(l, name, len, &index))
                return NULL;
        for (const char *const *key = config_names; *key; key++) {
                unsigned d = strlen(*key) < MISTYPED_FROM ? least : distance(name, len, *key);
                if (d < least) {
                        least = d;
                        meant = *key;
                }
        }
        return least == 0 ? NULL : meant;
}

/* Kubernetes tells every container of the services of its namespace: of one called freshet-web by FRESHET_WEB_PORT, which is no
 * mistyped FRESHET_WEB_ROOT. */
static bool tells_of_a_service(const char *variable)
{
        static const char *const begins[] = {"=tcp://", "=udp://", "=sctp://"};
        const char *value = strchr(variable, '=');
        for (size_t i = 0; value && i < sizeof(begins) / sizeof(begins[0]); i++) {
                if (strncmp(value, begins[i], strlen(begins[i])) == 0)
                        return true;
        }
        return false;
}

static void refuse_mistyped(struct load *l)
{
        size_t prefix = strlen(VARIABLE_PREFIX);
        for (char **v = environ; *v; v++) {
                size_t len = strcspn(*v, "=");
                if (len <= prefix || strncmp(*v, VARIABLE_PREFIX, prefix) != 0 || tells_of_a_service(*v))
                        continue;
                char *name = mem_printf("%.*s", (int)(len - prefix), *v + prefix);
                for (char *p = name; *p; p++)
                        *p = (char)tolower((unsigned char)*p);
                const char *meant = mistyped(l, name);
                char *variable = meant ? variable_name(meant, "") : NULL;
                if (meant)
                        complain(l, "%.*s: no key of any daemon is called so, probably meant: %s", (int)len, *v, variable);
                free(variable);
                free(name);
        }
}

static void read_environment(struct load *l)
{
        refuse_mistyped(l);
        for (size_t i = 0; i < l->count; i++) {
                const struct config_key *key = &l->keys[i];
                char *name = variable_name(key->name, ""), *file_name = variable_name(key->name, FILE_SUFFIX);
                const char *text = getenv(name), *path = key->secret ? getenv(file_name) : NULL;
                if (text)
                        take_text(l, i, text, name);
                if (path)
                        take_path(l, i, path, file_name);
                free(name);
                free(file_name);
        }
}

static void take_assignment(struct load *l, const char *text)
{
        const char *equals = strchr(text, '=');
        size_t index, len = equals ? (size_t)(equals - text) : strlen(text);
        if (!equals)
                complain(l, "--set: given \"%s\", allowed: key=value", text);
        else if (find_key(l, text, len, &index))
                take_text(l, index, equals + 1, "--set");
        else if (find_file_key(l, text, len, &index))
                take_path(l, index, equals + 1, "--set");
        else
                complain_unknown(l, text, len, "--set");
}

/* The value of an option that has one, as `--name value` or `--name=value`; moves *i on. NULL: another argument. */
static const char *option_value(struct load *l, const char *name, int argc, char **argv, int *i)
{
        size_t len = strlen(name);
        if (strncmp(argv[*i], name, len) != 0)
                return NULL;
        if (argv[*i][len] == '=')
                return argv[*i] + len + 1;
        if (argv[*i][len] != '\0')
                return NULL;
        if (*i + 1 < argc)
                return argv[++*i];
        complain(l, "%s: given nothing, allowed: %s", name, strcmp(name, "--set") == 0 ? "key=value" : "a file name");
        return "";
}

/* Run twice: first for the flags and the file, then, after file and environment, for the assignments. */
static void read_arguments(struct load *l, int argc, char **argv, struct arguments *a, bool assign)
{
        for (int i = 1; i < argc; i++) {
                int errors = l->errors;
                const char *arg = argv[i], *value;
                if ((value = option_value(l, "--config", argc, argv, &i)))
                        a->file = value;
                else if ((value = option_value(l, "--set", argc, argv, &i))) {
                        if (assign && l->errors == errors)
                                take_assignment(l, value);
                } else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
                        a->help = true;
                else if (strcmp(arg, "--version") == 0)
                        a->version = true;
                else if (strcmp(arg, "--healthcheck") == 0)
                        a->ask_health = true;
                else if (strcmp(arg, "--healthcheck=ready") == 0)
                        a->ask_ready = true;
                else if (strcmp(arg, "-n") == 0)
                        a->check_only = true;
                else
                        complain(l, "unknown argument \"%s\", allowed: --config FILE, --set key=value, -n, --help, --version, "
                                 "--healthcheck, --healthcheck=ready", arg);
        }
}

static void note_exposed(const char *key, const char *path)
{
        size_t used = strlen(exposed_files);
        snprintf(exposed_files + used, sizeof(exposed_files) - used, "%s%s" FILE_SUFFIX " %s", used ? ", " : "", key, path);
}

static void read_secret(struct load *l, size_t index)
{
        const struct config_key *key = &l->keys[index];
        const struct given *g = &l->given[index];
        char why[256];
        bool exposed = false;
        size_t most = key->type == CONFIG_JSON || key->max <= 0 ? FILE_MAX_BYTES : (size_t)key->max;
        char *text = config_secret_read(g->path, most, &exposed, why, sizeof(why));
        if (!text)
                complain(l, "%s" FILE_SUFFIX ": given \"%s\" (%s), but %s", key->name, g->path, g->as_file, why);
        else if (key->type == CONFIG_STRING && text[strcspn(text, "\r\n")])
                complain(l, "%s" FILE_SUFFIX ": given \"%s\" (%s), but it holds more than one line (an empty one counts)", key->name,
                         g->path, g->as_file);
        else if (config_value_from_text(key, text, &l->values[index]) != 0)
                complain_value(l, key, text, g->path);
        if (text && exposed && !l->reload)
                note_exposed(key->name, g->path);
        free(text);
}

static void read_secrets(struct load *l)
{
        for (size_t i = 0; i < l->count; i++) {
                const struct given *g = &l->given[i];
                if (g->as_file && g->as_value)
                        complain(l, "%s: given itself (%s) and as a file (%s), allowed: one of the two", l->keys[i].name,
                                 g->as_value, g->as_file);
                else if (g->as_file)
                        read_secret(l, i);
        }
}

static void judge_values(struct load *l)
{
        for (size_t i = 0; i < l->count; i++) {
                const struct config_key *key = &l->keys[i];
                char why[256] = "";
                if (!key->check || key->check(&l->values[i], why, sizeof(why)) == 0)
                        continue;
                if (key->type == CONFIG_STRING && !key->secret)
                        complain(l, "%s: given \"%.*s\", %s", key->name, GIVEN_SHOWN, l->values[i].text, why);
                else
                        complain(l, "%s: %s", key->name, why);
        }
}

static int read_all(struct load *l, int argc, char **argv, struct arguments *a)
{
        read_arguments(l, argc, argv, a, false);
        if (l->errors || a->help || a->version)
                return l->errors ? ERR_CONFIG : 0;
        read_defaults(l);
        if (a->file)
                read_file(l, a->file);
        read_environment(l);
        read_arguments(l, argc, argv, a, true);
        read_secrets(l);
        if (l->errors == 0)
                judge_values(l);
        return l->errors ? ERR_CONFIG : 0;
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

static void print_help(const struct load *l)
{
        printf("usage: %s [--config FILE] [--set key=value]… [-n] [--healthcheck[=ready]] [--help] [--version]\n\n"
               "Later wins: defaults, FILE (a JSON object), environment FRESHET_<KEY>, --set. -n only checks.\n"
               "--healthcheck, with the configuration of a daemon that runs, asks it for /healthz (=ready: /readyz): 0 or 1.\n"
               "SIGHUP reads all again; keys marked * take effect then, the others at a restart.\n"
               "Keys marked + are secrets: <key>_file is the path of a file that holds the value, in all sources.\n\n",
               l->program);
        for (size_t i = 0; i < l->count; i++) {
                const struct config_key *key = &l->keys[i];
                char allowed[256];
                printf("%s%s%s = %s%s%s\n        %s\n        %s\n", key->name, key->reloads ? " *" : "", key->secret ? " +" : "",
                       key->default_value && *key->default_value ? key->default_value : "\"\"",
                       key->unit && *key->unit ? " " : "", key->unit ? key->unit : "", key->help,
                       config_value_allowed(key, allowed, sizeof(allowed)));
        }
}

/* ---- entry ------------------------------------------------------------------------------------------------------ */

bool config_admin_may_open(const struct config_common *c)
{
        struct sockaddr_storage ss;
        return *c->admin_token || c->insecure || (address_parse(&ss, c->admin_bind, 0) == 0 && address_is_loopback(&ss));
}

/* What daemon_listener() would end the process for: every daemon's keys begin with struct config_common. */
static int check_admin(const struct config_common *c, char *why, size_t why_cap)
{
        if (config_admin_may_open(c))
                return 0;
        snprintf(why, why_cap, "admin_token: not set, and admin_bind=%s is not loopback, so strangers may reach it; allowed: an "
                 "admin_token, or insecure=true", c->admin_bind);
        return ERR_CONFIG;
}

static enum config_outcome finish_load(struct load *l, const struct arguments *a, void *fields)
{
        if (a->help)
                print_help(l);
        else if (a->version)
                printf("%s %s (%s)\n", l->program, version_number, version_revision);
        if (a->help || a->version)
                return CONFIG_EXIT_OK;
        for (size_t i = 0; i < l->count; i++) {
                config_value_store(&l->keys[i], fields, &l->values[i]);
                l->values[i] = (union config_value){0};
        }
        char why[512] = "";
        const struct config_key *end = &l->keys[l->count];
        bool asked_only = a->ask_ready || a->ask_health;
        int err = asked_only ? 0 : check_admin(fields, why, sizeof(why));
        if (!err && !asked_only && end->check)
                err = end->check(fields, why, sizeof(why));
        if (err)
                complain(l, "%s", why);
        if (err || a->check_only) {
                config_free(l->keys, fields);
                return !err ? CONFIG_EXIT_OK : err == ERR_NOT_YET ? CONFIG_EXIT_LATER : CONFIG_EXIT_BAD;
        }
        return a->ask_ready ? CONFIG_ASK_READY : a->ask_health ? CONFIG_ASK_HEALTH : CONFIG_RUN;
}

/* Known before all else is read: what is wrong may be the first argument. */
static bool is_for_person(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "-n") == 0 || strncmp(argv[i], "--healthcheck", strlen("--healthcheck")) == 0)
                        return true;
        }
        return isatty(STDERR_FILENO);
}

enum config_outcome config_load(const char *program, const struct config_key *keys, void *fields, int argc, char **argv)
{
        struct load l;
        struct arguments a = {0};
        exposed_files[0] = '\0';
        load_init(&l, program, keys, false);
        l.for_person = is_for_person(argc, argv);
        enum config_outcome outcome = CONFIG_EXIT_BAD;
        int err = read_all(&l, argc, argv, &a);
        name_node(&l);
        if (err == 0)
                outcome = finish_load(&l, &a, fields);
        tell(&l);
        load_free(&l);
        return outcome;
}

void config_warn_exposed(void)
{
        char quoted[sizeof(exposed_files) + 64];
        if (*exposed_files)
                log_warn("files=%s msg=\"everybody on this machine can read these secrets\"",
                         log_quote(quoted, sizeof(quoted), exposed_files));
}

/* ---- reload ----------------------------------------------------------------------------------------------------- */

/* What a reload says in one line: "key=value key=value …"; of secrets the key alone. */
static void show(char *list, const struct config_key *key, const union config_value *v)
{
        size_t used = strlen(list), cap = SHOWN_BYTES - used;
        char *value = v && !key->secret ? config_value_text(key, v) : NULL;
        snprintf(list + used, cap, "%s%s%s%.*s", used ? " " : "", key->name, value ? "=" : "", GIVEN_SHOWN, value ? value : "");
        free(value);
}

static void take_over(struct load *l, void *fields)
{
        char changed[SHOWN_BYTES] = "", restart[SHOWN_BYTES] = "", quoted[SHOWN_BYTES + 256];
        for (size_t i = 0; i < l->count; i++) {
                const struct config_key *key = &l->keys[i];
                union config_value old;
                config_value_load(key, fields, &old);
                if (config_value_equal(key, &old, &l->values[i]))
                        continue;
                if (!key->reloads) {
                        show(restart, key, NULL);
                        continue;
                }
                show(changed, key, &l->values[i]);
                config_value_store(key, fields, &l->values[i]);
                l->values[i] = old; /* freed with the rest */
        }
        if (*changed)
                log_info("changed=%s msg=\"configuration read again\"", log_quote(quoted, sizeof(quoted), changed));
        if (*restart)
                log_warn("keys=%s msg=\"changed too, but these need a restart to take effect\"",
                         log_quote(quoted, sizeof(quoted), restart));
        if (!*changed && !*restart)
                log_info("msg=\"configuration read again: nothing changed\"");
}

int config_reload(const char *program, const struct config_key *keys, void *fields, int argc, char **argv)
{
        struct load l;
        struct arguments a = {0};
        load_init(&l, program, keys, true);
        int err = read_all(&l, argc, argv, &a);
        if (err == 0)
                take_over(&l, fields);
        else
                log_error("errors=%d msg=\"configuration read again, but not taken: everything stays as it was\"", l.errors);
        load_free(&l);
        return err;
}

void config_free(const struct config_key *keys, void *fields)
{
        for (const struct config_key *key = keys; key->name; key++) {
                union config_value v;
                config_value_load(key, fields, &v);
                config_value_free(key, &v);
                config_value_store(key, fields, &v);
        }
}

void config_node_id(char id[64], const char *configured)
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

int config_check_id(const void *value, char *why, size_t why_cap)
{
        const char *id = *(char *const *)value;
        if (!*id || node_id_valid(id))
                return 0;
        snprintf(why, why_cap, "allowed: at most 63 of A-Z a-z 0-9 . _ -");
        return ERR_CONFIG;
}

int config_check_zone(const void *value, char *why, size_t why_cap)
{
        const char *zone = *(char *const *)value;
        if (!*zone || zone_valid(zone))
                return 0;
        snprintf(why, why_cap, "allowed: at most 31 of A-Z a-z 0-9 . _ -");
        return ERR_CONFIG;
}
