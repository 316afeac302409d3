/* config_list.h - judging a configuration key that is a JSON list of objects, such as
 * [{"match": "sports-*", "key": "…"}]: what every such key has in common, and the words for it. Pure. */
#ifndef COMMON_DAEMON_CONFIG_LIST_H
#define COMMON_DAEMON_CONFIG_LIST_H

#include <jansson.h>
#include <stddef.h>

/* Puts the sentence into why. Returns ERR_CONFIG. */
int config_refuse(char *why, size_t why_cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* One entry, an object with no members but the list's; i is its place, for the sentence. 0 or config_refuse(). */
typedef int config_entry_check(const json_t *entry, size_t i, char *why, size_t why_cap);

/* For a config_key.check: json_field points at the json_t *. members: those an entry may have, "match|key"; most: entries.
 * NULL is an empty list. 0 or ERR_CONFIG. */
int config_check_list(const void *json_field, const char *members, size_t most, config_entry_check *check, char *why,
                      size_t why_cap);

/* The member "match" of an entry may be left out; else it is a string, a pattern (common/pattern.h). */
int config_check_match(const json_t *entry, size_t i, char *why, size_t why_cap);

#endif
