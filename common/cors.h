/* cors.h - what answers say to browsers whose page came from another site (Fetch Standard, 3.2): everybody may read everything, with
 * whatever headers players send. The same at edges and origins, since players and CDNs ask either.
 *
 * Any thread: it only adds headers to a response that is being made. */
#ifndef COMMON_CORS_H
#define COMMON_CORS_H

#include <microhttpd.h>

#define CORS_METHODS "GET, HEAD, OPTIONS"

void cors_allow(struct MHD_Response *r); /* of every answer, errors too: without it a player learns of no status */

/* Besides cors_allow(), of the answer to OPTIONS. Browsers ask once for all requests to an address, and remember it for as long as it
 * says, two hours at most in Chrome: the wait of a round trip is before a player's first segment only. */
void cors_preflight(struct MHD_Response *r);

#endif
