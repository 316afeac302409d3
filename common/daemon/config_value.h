/* config_value.h - one value of a configuration key: made from text or JSON, judged, compared, described. For config.c.
 * Loop thread. */
#ifndef COMMON_DAEMON_CONFIG_VALUE_H
#define COMMON_DAEMON_CONFIG_VALUE_H

#include <jansson.h>

#include "common/daemon/config.h"

/* Laid out as the field in the daemon's struct: its address may be given to config_key.check. */
union config_value {
        int64_t number;
        char *text;
        bool flag;
        json_t *json;
};

/* 0, or ERR_CONFIG when the type or range is wrong: *v is then unchanged. The old value of *v is freed. */
int config_value_from_text(const struct config_key *key, const char *text, union config_value *v);
int config_value_from_json(const struct config_key *key, json_t *given, union config_value *v);

void config_value_load(const struct config_key *key, const void *fields, union config_value *v); /* borrows */
void config_value_store(const struct config_key *key, void *fields, const union config_value *v); /* hands over */
bool config_value_equal(const struct config_key *key, const union config_value *a, const union config_value *b);
void config_value_free(const struct config_key *key, union config_value *v);

/* As it would be written after --set key=. The caller frees it. */
char *config_value_text(const struct config_key *key, const union config_value *v);

/* "an integer from 1 to 65535 (port)". Returns dst. */
char *config_value_allowed(const struct config_key *key, char *dst, size_t cap);

#endif
