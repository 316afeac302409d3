/* session_json.h - the pieces of JSON that session.json and the list for other origins (peer_list.h) have in common. */
#ifndef ORIGIND_SESSION_JSON_H
#define ORIGIND_SESSION_JSON_H

#include <jansson.h>

#include "originD/eras.h"

json_t *eras_to_json(const struct eras *e); /* [[place, generation, node], …] */
int eras_from_json(struct eras *e, const json_t *list); /* ERR_CORRUPT: e is empty then */

#endif
