#include "common/daemon/config_list.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/pattern.h"

int config_refuse(char *why, size_t why_cap, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(why, why_cap, fmt, ap);
        va_end(ap);
        return ERR_CONFIG;
}

/* Whether name is one of the words of "match|key". */
static bool is_among(const char *members, const char *name)
{
        size_t len = strlen(name);
        for (const char *word = members; *word; word += strcspn(word, "|"), word += *word == '|') {
                if (strcspn(word, "|") == len && memcmp(word, name, len) == 0)
                        return true;
        }
        return false;
}

static int check_members(const json_t *entry, size_t i, const char *members, char *why, size_t why_cap)
{
        const char *name;
        json_t *value;
        if (!json_is_object(entry))
                return config_refuse(why, why_cap, "entry %zu: is not an object with %s", i, members);
        json_object_foreach((json_t *)entry, name, value)
        {
                if (!is_among(members, name))
                        return config_refuse(why, why_cap, "entry %zu: unknown key \"%.64s\", allowed are %s", i, name, members);
        }
        return 0;
}

int config_check_list(const void *json_field, const char *members, size_t most, config_entry_check *check, char *why,
                      size_t why_cap)
{
        const json_t *list = *(json_t *const *)json_field;
        if (!list)
                return 0;
        if (!json_is_array(list))
                return config_refuse(why, why_cap, "is not an array of objects with %s", members);
        if (json_array_size(list) > most)
                return config_refuse(why, why_cap, "has %zu entries, allowed are at most %zu", json_array_size(list), most);
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *entry = json_array_get(list, i);
                int err = check_members(entry, i, members, why, why_cap);
                if (!err)
                        err = check(entry, i, why, why_cap);
                if (err)
                        return err;
        }
        return 0;
}

int config_check_match(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        const json_t *match = json_object_get(entry, "match");
        if (match && !json_is_string(match))
                return config_refuse(why, why_cap, "entry %zu: \"match\" is not a string", i);
        if (match && !pattern_possible(json_string_value(match)))
                return config_refuse(why, why_cap, "entry %zu: \"match\" is \"%.64s\", which no stream's name can fit, allowed are "
                                                   "letters, digits, _ - and * ? [a-z]", i, json_string_value(match));
        return 0;
}
