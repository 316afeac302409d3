/* round.h - one round of the nodes that may have an object: who was asked, and what they said.
 *
 * A node that fails, or has nothing, or not yet, is passed over in this round for the next in the stream's order: of two owners one may
 * be behind. MISSING is only what every node that was asked said, and what none has ever said to be due: one that is starting says "not
 * yet" of a name that nobody else has, since what it stores may be the only copy, and a 404 would be remembered here and by players.
 * When one of them waited for bytes as long as it was allowed to, the next round follows at once. Pure. */
#ifndef EDGED_ROUND_H
#define EDGED_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "edged/upstream.h"

#define ROUND_NODES_MAX 4

struct round {
        struct node_set tried;
        unsigned not_found, too_deep;
        bool waited;
        bool busy; /* somebody was not asked, having too much to do: what the others lack it may have */
        uint32_t missing_ttl_ms; /* the shortest of those that said so */
};

enum round_verdict {
        ROUND_NOBODY,  /* there is nobody to ask */
        ROUND_MISSING, /* all say that there is no such thing */
        ROUND_TOO_DEEP, /* all say that they ask nobody further for it */
        ROUND_AGAIN,   /* at once */
        ROUND_PAUSE,
};

void round_begin(struct round *r);
bool round_is_full(const struct round *r);
/* status: ERR_NOT_FOUND for ttl_ms; ERR_LIMIT; anything else is no answer to go by. */
void round_heard(struct round *r, uint64_t node, int status, uint32_t ttl_ms);
enum round_verdict round_end(const struct round *r, bool was_due);

#endif
