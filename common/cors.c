#include "common/cors.h"

/* Of what is not on the Fetch Standard's own list of harmless response headers: what players and those who look into them read. */
#define EXPOSED                                                                                                        \
        "Accept-Ranges, CMSD-Dynamic, Content-Length, Content-Range, Date, ETag, Retry-After, WWW-Authenticate, X-Cache"

/* CMCD: statistics of a player, which it may send in four headers instead of the query (CTA-5004, 2.1). Beyond this list anything is
 * allowed that a player's maker thought of, but old browsers do not know "*", and nobody takes it for Authorization. */
#define TAKEN                                                                                                          \
        "Accept, Authorization, Cache-Control, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status, Content-Type, "   \
        "If-Modified-Since, If-None-Match, If-Range, Pragma, Range, X-Requested-With, *"

void cors_allow(struct MHD_Response *r)
{
        MHD_add_response_header(r, "Access-Control-Allow-Origin", "*");
        MHD_add_response_header(r, "Access-Control-Expose-Headers", EXPOSED);
        MHD_add_response_header(r, "Timing-Allow-Origin", "*");
}

void cors_preflight(struct MHD_Response *r)
{
        MHD_add_response_header(r, "Access-Control-Allow-Methods", CORS_METHODS);
        MHD_add_response_header(r, "Access-Control-Allow-Headers", TAKEN);
        MHD_add_response_header(r, "Access-Control-Max-Age", "86400");
}
