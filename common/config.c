#include "common/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_value.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/check.h"

#ifndef FRESHET_VERSION
#define FRESHET_VERSION "unknown"
#endif

#define FILE_MAX_BYTES (1 << 20)
#define GIVEN_SHOWN 80 /* bytes of a wrong value that an error repeats */

/* All sources are read into values; only when nothing was wrong do they become the daemon's fields. */
struct load {
        const char *program;
        const struct config_key *keys;
        size_t count;
        union config_value *values;
        int errors;
        bool to_log; /* at reload; otherwise stderr */
};

struct arguments {
        bool help, version, check_only;
        const char *file;
};

static void __attribute__((format(printf, 2, 3))) complain(struct load *l, const char *fmt, ...)
{
        char text[512], quoted[600];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        l->errors++;
        if (l->to_log)
                log_error("msg=%s", log_quote(quoted, sizeof(quoted), text));
        else
                fprintf(stderr, "%s: %s\n", l->program, text);
}

static void load_init(struct load *l, const char *program, const struct config_key *keys, bool to_log)
{
        *l = (struct load){.program = program, .keys = keys, .to_log = to_log};
        while (keys[l->count].name)
                l->count++;
        l->values = mem_alloc(l->count * sizeof(*l->values));
}

static void load_free(struct load *l)
{
        for (size_t i = 0; i < l->count; i++)
                config_value_free(&l->keys[i], &l->values[i]);
        free(l->values);
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

static void take_text(struct load *l, size_t index, const char *text, const char *source)
{
        const struct config_key *key = &l->keys[index];
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
        if (!key) {
                complain_unknown(l, name, strlen(name), source);
                return;
        }
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

static void read_environment(struct load *l)
{
        for (size_t i = 0; i < l->count; i++) {
                char *name = mem_printf("FRESHET_%s", l->keys[i].name);
                for (char *p = name; *p; p++)
                        *p = (char)toupper((unsigned char)*p);
                const char *text = getenv(name);
                if (text)
                        take_text(l, i, text, name);
                free(name);
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
                else if (strcmp(arg, "-n") == 0)
                        a->check_only = true;
                else
                        complain(l, "unknown argument \"%s\", allowed: --config FILE, --set key=value, -n, --help, --version",
                                 arg);
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
        if (l->errors == 0)
                judge_values(l);
        return l->errors ? ERR_CONFIG : 0;
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

static void print_help(const struct load *l)
{
        printf("usage: %s [--config FILE] [--set key=value]… [-n] [--help] [--version]\n\n"
               "Later wins: defaults, FILE (a JSON object), environment FRESHET_<KEY>, --set. -n only checks.\n"
               "SIGHUP reads all again; keys marked * take effect then, the others at a restart.\n\n",
               l->program);
        for (size_t i = 0; i < l->count; i++) {
                const struct config_key *key = &l->keys[i];
                char allowed[256];
                printf("%s%s = %s%s%s\n        %s\n        %s\n", key->name, key->reloads ? " *" : "",
                       key->default_value && *key->default_value ? key->default_value : "\"\"",
                       key->unit && *key->unit ? " " : "", key->unit ? key->unit : "", key->help,
                       config_value_allowed(key, allowed, sizeof(allowed)));
        }
}

/* ---- entry ------------------------------------------------------------------------------------------------------ */

static enum config_outcome finish_load(struct load *l, const struct arguments *a, void *fields)
{
        if (a->help)
                print_help(l);
        else if (a->version)
                printf("%s %s\n", l->program, FRESHET_VERSION);
        if (a->help || a->version || a->check_only)
                return CONFIG_EXIT_OK;
        for (size_t i = 0; i < l->count; i++) {
                config_value_store(&l->keys[i], fields, &l->values[i]);
                l->values[i] = (union config_value){0};
        }
        return CONFIG_RUN;
}

enum config_outcome config_load(const char *program, const struct config_key *keys, void *fields, int argc, char **argv)
{
        struct load l;
        struct arguments a = {0};
        load_init(&l, program, keys, false);
        enum config_outcome outcome = CONFIG_EXIT_BAD;
        if (read_all(&l, argc, argv, &a) == 0)
                outcome = finish_load(&l, &a, fields);
        load_free(&l);
        return outcome;
}

static void take_over(struct load *l, void *fields)
{
        for (size_t i = 0; i < l->count; i++) {
                const struct config_key *key = &l->keys[i];
                union config_value old;
                config_value_load(key, fields, &old);
                if (config_value_equal(key, &old, &l->values[i]))
                        continue;
                if (!key->reloads) {
                        log_warn("key=%s msg=\"changed, which needs a restart to take effect\"", key->name);
                        continue;
                }
                config_value_store(key, fields, &l->values[i]);
                l->values[i] = old; /* freed with the rest */
                log_info("key=%s msg=\"changed\"", key->name);
        }
}

int config_reload(const char *program, const struct config_key *keys, void *fields, int argc, char **argv)
{
        struct load l;
        struct arguments a = {0};
        load_init(&l, program, keys, true);
        int err = read_all(&l, argc, argv, &a);
        if (err == 0)
                take_over(&l, fields);
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
