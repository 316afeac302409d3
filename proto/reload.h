/* reload.h - what a player of HLS asks of a playlist with the query (`_HLS_msn`, `_HLS_part`, `_HLS_skip`): the name of a version
 * (key.h), of which there is one for all spellings. Edges and origins both are asked so. Pure; any thread. */
#ifndef PROTO_RELOAD_H
#define PROTO_RELOAD_H

#include "proto/key.h"

/* query: "?a=b&c", up to a '#' or the end; "": nothing is asked. k, a KEY_PLAYLIST that is not classic, becomes the version's. NULL; or
 * in words why there is none, and k is half changed then. */
const char *reload_take(struct key *k, const char *query);

#endif
