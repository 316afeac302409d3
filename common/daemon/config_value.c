#include "common/daemon/config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

/* A row without bounds: min and max both 0. */
static bool in_range(const struct config_key *key, int64_t n)
{
        return (key->min == 0 && key->max == 0) || (n >= key->min && n <= key->max);
}

static bool is_choice(const char *allowed, const char *word)
{
        size_t len = strlen(word);
        for (const char *p = allowed; len && *p;) {
                size_t n = strcspn(p, "|");
                if (n == len && memcmp(p, word, n) == 0)
                        return true;
                p += n + (p[n] == '|');
        }
        return false;
}

static int set_number(const struct config_key *key, int64_t n, union config_value *v)
{
        if (!in_range(key, n))
                return ERR_CONFIG;
        v->number = n;
        return 0;
}

static int set_text(const struct config_key *key, const char *text, union config_value *v)
{
        bool ok = key->type == CONFIG_CHOICE ? is_choice(key->allowed, text) : in_range(key, (int64_t)strlen(text));
        if (!ok)
                return ERR_CONFIG;
        free(v->text);
        v->text = mem_strdup(text);
        return 0;
}

static int set_json(json_t *given, union config_value *v)
{
        if (!json_is_array(given) && !json_is_object(given))
                return ERR_CONFIG;
        json_incref(given);
        json_decref(v->json);
        v->json = given;
        return 0;
}

static int number_from_text(const struct config_key *key, const char *text, union config_value *v)
{
        char *end;
        errno = 0;
        long long n = strtoll(text, &end, 10);
        if (errno || end == text || *end || strspn(text, "-0123456789") != strlen(text))
                return ERR_CONFIG;
        return set_number(key, n, v);
}

int config_value_from_text(const struct config_key *key, const char *text, union config_value *v)
{
        switch (key->type) {
        case CONFIG_INT:
                return number_from_text(key, text, v);
        case CONFIG_STRING:
        case CONFIG_CHOICE:
                return set_text(key, text, v);
        case CONFIG_BOOL:
                if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
                        return ERR_CONFIG;
                v->flag = *text == 't';
                return 0;
        case CONFIG_JSON:
                break;
        }
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        int err = set_json(json, v);
        json_decref(json);
        return err;
}

int config_value_from_json(const struct config_key *key, json_t *given, union config_value *v)
{
        switch (key->type) {
        case CONFIG_INT:
                return json_is_integer(given) ? set_number(key, json_integer_value(given), v) : ERR_CONFIG;
        case CONFIG_STRING:
        case CONFIG_CHOICE:
                return json_is_string(given) ? set_text(key, json_string_value(given), v) : ERR_CONFIG;
        case CONFIG_BOOL:
                if (!json_is_boolean(given))
                        return ERR_CONFIG;
                v->flag = json_is_true(given);
                return 0;
        case CONFIG_JSON:
                break;
        }
        return set_json(given, v);
}

static size_t field_size(const struct config_key *key)
{
        switch (key->type) {
        case CONFIG_INT:
                return sizeof(int64_t);
        case CONFIG_BOOL:
                return sizeof(bool);
        case CONFIG_STRING:
        case CONFIG_CHOICE:
        case CONFIG_JSON:
                break;
        }
        return sizeof(void *);
}

void config_value_load(const struct config_key *key, const void *fields, union config_value *v)
{
        *v = (union config_value){0};
        memcpy(v, (const char *)fields + key->offset, field_size(key));
}

void config_value_store(const struct config_key *key, void *fields, const union config_value *v)
{
        memcpy((char *)fields + key->offset, v, field_size(key));
}

bool config_value_equal(const struct config_key *key, const union config_value *a, const union config_value *b)
{
        switch (key->type) {
        case CONFIG_INT:
                return a->number == b->number;
        case CONFIG_BOOL:
                return a->flag == b->flag;
        case CONFIG_STRING:
        case CONFIG_CHOICE:
                return strcmp(a->text, b->text) == 0;
        case CONFIG_JSON:
                break;
        }
        return json_equal(a->json, b->json);
}

void config_value_free(const struct config_key *key, union config_value *v)
{
        if (key->type == CONFIG_STRING || key->type == CONFIG_CHOICE)
                free(v->text);
        else if (key->type == CONFIG_JSON)
                json_decref(v->json);
        *v = (union config_value){0};
}

char *config_value_text(const struct config_key *key, const union config_value *v)
{
        switch (key->type) {
        case CONFIG_INT:
                return mem_printf("%" PRId64, v->number);
        case CONFIG_BOOL:
                return mem_strdup(v->flag ? "true" : "false");
        case CONFIG_STRING:
        case CONFIG_CHOICE:
                return mem_strdup(v->text);
        case CONFIG_JSON:
                break;
        }
        char *text = json_dumps(v->json, JSON_COMPACT);
        return text ? text : mem_strdup("?");
}

char *config_value_allowed(const struct config_key *key, char *dst, size_t cap)
{
        bool bounded = key->min != 0 || key->max != 0;
        const char *unit = key->unit ? key->unit : "";
        if (key->type == CONFIG_INT && bounded)
                snprintf(dst, cap, "an integer from %" PRId64 " to %" PRId64 "%s%s", key->min, key->max,
                         *unit ? " " : "", unit);
        else if (key->type == CONFIG_INT)
                snprintf(dst, cap, "an integer%s%s", *unit ? ", " : "", unit);
        else if (key->type == CONFIG_STRING && bounded)
                snprintf(dst, cap, "a string of %" PRId64 " to %" PRId64 " bytes", key->min, key->max);
        else if (key->type == CONFIG_CHOICE)
                snprintf(dst, cap, "one of %s", key->allowed);
        else
                snprintf(dst, cap, "%s",
                         key->type == CONFIG_STRING ? "a string"
                         : key->type == CONFIG_BOOL ? "true or false"
                                                    : "a JSON array or object");
        return dst;
}
