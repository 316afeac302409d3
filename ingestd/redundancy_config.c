/* The configuration key `redundancy` is an array. The first entry whose `match` (a shell pattern; left out: every
 * stream) fits the stream's id decides; if none does, or the array is empty, it is 1.
 *
 *     [{"match": "sports-*", "transcoders": 2}]
 *
 *   transcoders    1: one encodes the broadcast, and another takes it over when that one dies
 *                  2: two encode it side by side, and nothing is waited for when one dies */
#include "ingestd/redundancy_config.h"

#include "common/daemon/config_list.h"
#include "common/pattern.h"

#define LEAST 1
#define MOST 2
#define ENTRIES_MAX 256

static int check_entry(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        const json_t *n = json_object_get(entry, "transcoders");
        if (!n)
                return config_refuse(why, why_cap, "entry %zu: \"transcoders\" is missing, allowed is 1 to 2", i);
        if (!json_is_integer(n))
                return config_refuse(why, why_cap, "entry %zu: \"transcoders\" is not an integer, allowed is 1 to 2", i);
        if (json_integer_value(n) < LEAST || json_integer_value(n) > MOST)
                return config_refuse(why, why_cap, "entry %zu: \"transcoders\" is %lld, allowed is 1 to 2", i,
                                     (long long)json_integer_value(n));
        return config_check_match(entry, i, why, why_cap);
}

int redundancy_config_check(const void *json_field, char *why, size_t why_cap)
{
        return config_check_list(json_field, "match|transcoders", ENTRIES_MAX, check_entry, why, why_cap);
}

unsigned redundancy_config_for_stream(const json_t *config, const char *stream)
{
        const json_t *entry = pattern_first(config, stream);
        return entry ? (unsigned)json_integer_value(json_object_get(entry, "transcoders")) : LEAST;
}
