#include "common/cors.h"

#include <stddef.h>

/* Of what is not on the Fetch Standard's own list of harmless response headers: what players and those who look into them read. */
#define EXPOSED                                                                                                        \
        "Accept-Ranges, Age, CMSD-Dynamic, CMSD-Static, Content-Length, Content-Range, Date, ETag, Retry-After, WWW-Authenticate, X-Cache"

/* CMCD: statistics of a player, which it may send in four headers instead of the query (CTA-5004, 2.1). Beyond this list anything is
 * allowed that a player's maker thought of, but old browsers do not know "*", and nobody takes it for Authorization. */
#define TAKEN                                                                                                          \
        "Accept, Authorization, Cache-Control, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status, Content-Type, "   \
        "If-Match, If-Modified-Since, If-None-Match, If-Range, Pragma, Range, X-Requested-With, *"

const struct cors_field cors_all[] = {{"Access-Control-Allow-Origin", "*"},
                                      {"Access-Control-Expose-Headers", EXPOSED},
                                      {"Timing-Allow-Origin", "*"},
                                      {NULL, NULL}};

const struct cors_field cors_preflight[] = {{"Access-Control-Allow-Methods", CORS_METHODS},
                                            {"Access-Control-Allow-Headers", TAKEN},
                                            {"Access-Control-Max-Age", "86400"},
                                            {NULL, NULL}};
