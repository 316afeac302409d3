/* The configuration key `redundancy` is an array. The first entry whose `match` (a shell pattern; left out: every
 * stream) fits the stream's id decides; if none does, or the array is empty, it is 1.
 *
 *     [{"match": "sports-*", "transcoders": 2}]
 *
 *   transcoders    1: one encodes the broadcast, and another takes it over when that one dies
 *                  2: two encode it side by side, and nothing is waited for when one dies */
#include "ingestd/redundancy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/pattern.h"

#define LEAST 1
#define MOST 2

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t why_cap, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(why, why_cap, fmt, ap);
        va_end(ap);
        return ERR_CONFIG;
}

static int check_entry(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        const char *key;
        json_t *value;
        if (!json_is_object(entry))
                return refuse(why, why_cap, "entry %zu: is not an object", i);
        json_object_foreach((json_t *)entry, key, value)
        {
                if (strcmp(key, "match") != 0 && strcmp(key, "transcoders") != 0)
                        return refuse(why, why_cap, "entry %zu: unknown key \"%.64s\", allowed are match|transcoders",
                                      i, key);
        }
        const json_t *match = json_object_get(entry, "match"), *n = json_object_get(entry, "transcoders");
        if (match && !json_is_string(match))
                return refuse(why, why_cap, "entry %zu: \"match\" is not a string", i);
        if (!n)
                return refuse(why, why_cap, "entry %zu: \"transcoders\" is missing, allowed is 1 to 2", i);
        if (!json_is_integer(n))
                return refuse(why, why_cap, "entry %zu: \"transcoders\" is not an integer, allowed is 1 to 2", i);
        if (json_integer_value(n) < LEAST || json_integer_value(n) > MOST)
                return refuse(why, why_cap, "entry %zu: \"transcoders\" is %lld, allowed is 1 to 2", i,
                              (long long)json_integer_value(n));
        return 0;
}

int redundancy_check(const void *json_field, char *why, size_t why_cap)
{
        const json_t *config = *(json_t *const *)json_field;
        if (!config)
                return 0;
        if (!json_is_array(config))
                return refuse(why, why_cap, "is not an array of {\"match\", \"transcoders\"}");
        for (size_t i = 0; i < json_array_size(config); i++) {
                int err = check_entry(json_array_get(config, i), i, why, why_cap);
                if (err)
                        return err;
        }
        return 0;
}

unsigned redundancy_for_stream(const json_t *config, const char *stream)
{
        const json_t *entry = pattern_first(config, stream);
        return entry ? (unsigned)json_integer_value(json_object_get(entry, "transcoders")) : LEAST;
}
