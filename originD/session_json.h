/* session_json.h - the pieces of JSON that session.json and the list for other origins (catalog.h) have in common. */
#ifndef ORIGIND_SESSION_JSON_H
#define ORIGIND_SESSION_JSON_H

#include <jansson.h>

#include "originD/session.h"

/* Members of an object; *bad is set when they are missing, of another type, or too large. The first one's key is noted for
 * session_from_json(). */
uint64_t json_number(const json_t *j, const char *key, uint64_t max, int *bad);
void json_text(const json_t *j, const char *key, char *dst, size_t cap, int *bad);
int json_hex(const json_t *j, const char *key, uint64_t *out); /* of 16 digits; not 0: it is none */
json_t *json_title(const char *title); /* "" for one that is not UTF-8 */

/* The grid of a session, which is only told where it is not the usual one: CHUNK_MS. */
void session_grid_to_json(json_t *j, uint8_t chunk_ms);
uint8_t session_grid_from_json(const json_t *j, int *bad);

json_t *session_sum_to_json(const struct session_sum *sum);
void session_sum_from_json(struct session_sum *sum, const json_t *j, int *bad);
json_t *eras_to_json(const struct eras *e); /* [[place, generation, node], …] */
int eras_from_json(struct eras *e, const json_t *list); /* ERR_CORRUPT: e is empty then */

#endif
