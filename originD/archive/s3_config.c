/* The archive's configuration: which object store, and the keys for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/http_client.h"
#include "common/mem.h"
#include "originD/archive/s3.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* 1 when s is made of letters, digits and what is in more. */
static bool only(const char *s, const char *more)
{
        for (; *s; s++)
                if (!strchr(letters, *s) && !strchr(more, *s))
                        return false;
        return true;
}

/* What makes a value unfit, or NULL. */
static const char *bucket_fault(const char *s)
{
        size_t n = strlen(s);
        return n < 3 || n > 63 ? "must have 3 to 63 characters" : only(s, ".-_") ? NULL : "may hold letters, digits, '.' and '-' only";
}

static const char *region_fault(const char *s)
{
        return *s && only(s, "-") ? NULL : "must be letters, digits and '-', as in \"eu-central-1\"";
}

static const char *prefix_fault(const char *s)
{
        if (s[0] == '/' || strstr(s, "//") || strstr(s, "..") || !only(s, "._-/"))
                return "may hold letters, digits, '.', '_', '-' and single slashes, and does not begin with one";
        return strlen(s) > 200 ? "is longer than 200 characters" : NULL;
}

static const char *key_fault(const char *s)
{
        for (const char *p = s; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return "holds a character that no key has";
        return strlen(s) > 128 ? "is longer than 128 characters" : *s ? NULL : "is empty";
}

static const char *token_fault(const char *s)
{
        return *s && key_fault(s) && strlen(s) <= 128 ? key_fault(s) : strlen(s) > 4096 ? "is longer than 4096 characters" : NULL;
}

static const char *file_fault(const char *s)
{
        return strlen(s) > 1000 ? "is longer than 1000 characters" : NULL;
}

/* https://host[:port], a slash at most behind it. */
static const char *endpoint_fault(const char *s)
{
        char why[160];
        const char *host = strstr(s, "://");
        if (http_url_check(s, why, sizeof(why)) || !host)
                return "must be a URL like https://s3.eu-central-1.amazonaws.com";
        host += 3;
        size_t n = strcspn(host, "/?#");
        if (memchr(host, '@', n))
                return "must not hold a user or password";
        return n > 255 ? "is longer than a host's name can be" : host[n] && strcmp(host + n, "/") != 0 ? "must be a host alone, without a path (see prefix)" : NULL;
}

struct row {
        const char *name;
        size_t offset;
        bool must;
        const char *(*fault)(const char *s);
};

#define ROW(name, must, fault) {#name, offsetof(struct s3_config, name), must, fault}
static const struct row rows[] = {
        ROW(endpoint, true, endpoint_fault), ROW(bucket, true, bucket_fault),     ROW(region, true, region_fault),
        ROW(prefix, false, prefix_fault),    ROW(access_key, true, key_fault),    ROW(secret_key, true, key_fault),
        ROW(session_token, false, token_fault), ROW(ca_file, false, file_fault),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static char **field(struct s3_config *c, const struct row *r)
{
        return (char **)(void *)((char *)c + r->offset);
}

static const struct row *find_row(const char *name)
{
        for (size_t i = 0; i < ROWS; i++)
                if (strcmp(rows[i].name, name) == 0)
                        return &rows[i];
        return NULL;
}

/* Says what is wrong without the value: it may be the secret, in a wrong place. */
static int read_member(struct s3_config *c, const char *name, const json_t *v, char *why, size_t cap)
{
        const struct row *r = find_row(name);
        if (strcmp(name, "path_style") == 0) {
                if (!json_is_boolean(v)) {
                        snprintf(why, cap, "path_style must be true or false");
                        return ERR_CONFIG;
                }
                c->path_style = json_is_true(v);
                return 0;
        }
        if (!r) {
                snprintf(why, cap, "\"%.32s\" is not a member of it", only(name, "_-") ? name : "?");
                return ERR_CONFIG;
        }
        const char *s = json_string_value(v), *fault;
        if (!s || strlen(s) != json_string_length(v))
                fault = "must be a string";
        else
                fault = r->fault(s);
        if (fault) {
                snprintf(why, cap, "%s %s", name, fault);
                return ERR_CONFIG;
        }
        *field(c, r) = mem_strdup(s);
        return 0;
}

/* No slash at the endpoint's end, one at the prefix's. */
static void settle(struct s3_config *c)
{
        size_t n = strlen(c->endpoint);
        if (n && c->endpoint[n - 1] == '/')
                c->endpoint[n - 1] = '\0';
        n = strlen(c->prefix);
        if (n && c->prefix[n - 1] != '/') {
                char *longer = mem_printf("%s/", c->prefix);
                free(c->prefix);
                c->prefix = longer;
        }
}

int s3_config_read(struct s3_config *out, const json_t *j, char *why, size_t why_cap)
{
        const char *name;
        json_t *v;
        int err = 0;
        *out = (struct s3_config){.path_style = true};
        if (!json_is_object(j)) {
                snprintf(why, why_cap, "must be an object: {\"endpoint\": …, \"bucket\": …, …}, or {} for none");
                err = ERR_CONFIG;
        }
        json_object_foreach((json_t *)(uintptr_t)j, name, v) { /* none in what is no object */
                if (!err)
                        err = read_member(out, name, v, why, why_cap);
        }
        for (size_t i = 0; i < ROWS && !err && json_object_size(j); i++)
                if (rows[i].must && !*field(out, &rows[i])) {
                        snprintf(why, why_cap, "%s is missing", rows[i].name);
                        err = ERR_CONFIG;
                }
        if (!err && json_object_size(j) && !out->path_style && strchr(out->bucket, '_')) {
                snprintf(why, why_cap, "bucket cannot be a part of a host's name: path_style must be true");
                err = ERR_CONFIG;
        }
        if (err)
                s3_config_free(out);
        for (size_t i = 0; i < ROWS; i++)
                if (!*field(out, &rows[i]))
                        *field(out, &rows[i]) = mem_strdup("");
        settle(out);
        return err;
}

bool s3_config_is_off(const struct s3_config *c)
{
        return !c->endpoint || !c->endpoint[0];
}

void s3_config_free(struct s3_config *c)
{
        for (size_t i = 0; i < ROWS; i++) {
                char **at = field(c, &rows[i]);
                if (*at)
                        explicit_bzero(*at, strlen(*at)); /* two of them are secrets */
                free(*at);
                *at = NULL;
        }
        c->path_style = true;
}

int s3_config_check(const void *value, char *why, size_t why_cap)
{
        struct s3_config c;
        int err = s3_config_read(&c, *(json_t *const *)value, why, why_cap);
        s3_config_free(&c);
        return err;
}
