/* cors.h - what answers say to browsers whose page came from another site (Fetch Standard, 3.2): everybody may read everything, with
 * whatever headers players send. The same at edges and origins, since players and CDNs ask either. Constant: any thread.
 *
 * Both lists end with a name that is NULL. Whose HTTP server it is adds them to its answers in its own way. */
#ifndef COMMON_CORS_H
#define COMMON_CORS_H

#define CORS_METHODS "GET, HEAD, OPTIONS"

struct cors_field {
        const char *name, *value;
};

extern const struct cors_field cors_all[]; /* of every answer, errors too: without it a player learns of no status */

/* Besides, of the answer to OPTIONS. Browsers ask once for all requests to an address, and remember it for as long as it
 * says, two hours at most in Chrome: the wait of a round trip is before a player's first segment only. */
extern const struct cors_field cors_preflight[];

#endif
