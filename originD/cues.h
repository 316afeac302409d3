/* cues.h - what was said beside a session's picture (common/cue.h), as the chunks of its video tracks have it in their boxes.
 *
 * Players of DASH find it in the segments; those of HLS are told in the playlist. So a session remembers the newest CUES_MAX, in the order
 * of their times, in session.json and with its tracks: of one that ended only while it is loaded. What gives way is in the segments still.
 * Every rung says the same, so the first one that is stored counts. Loop thread. */
#ifndef ORIGIND_CUES_H
#define ORIGIND_CUES_H

#include <jansson.h>
#include <stdbool.h>

#include "common/cue.h"
#include "originD/m3u8.h"

#define CUES_MAX 256
#define CUES_BYTES (32u << 10) /* of their bodies */

struct cues; /* NULL: nothing was said */

/* Takes what a chunk says. Returns how many were new; *forgotten: how many gave way for them. */
size_t cues_take(struct cues **c, const uint8_t *chunk, size_t len_bytes, size_t *forgotten);
void cues_free(struct cues **c);

json_t *cues_to_json(const struct cues *c); /* NULL: none */
/* Adds what is not known. What makes no sense is left out, and nothing else. Returns how many were new. */
size_t cues_from_json(struct cues **c, const json_t *list);

/* As lines of a media playlist, of those that are not over at from_us. timed: with IDs that end with their time. */
void cues_write(const struct cues *c, struct m3u8 *out, int64_t epoch_us, int64_t from_us, bool timed);

#endif
