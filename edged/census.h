/* census.h - which streams, sessions and tracks there are, as the tier above tells (proto/names.h): what is none of them is asked for
 * nowhere, however often strangers ask here.
 *
 *   census_open → census_take … census_forget, census_settle (inquiry.h) → census_close
 *
 * Each node above tells its own list, and a name is there as long as one of them says so. While a list is not as of now (the node has
 * just come up, or its answers are late) a name that no other list has may be there all the same: then the census is not sure.
 *
 * A name costs some 70 bytes, a live one's details 200 more: 100,000 recordings are 9 MB.
 * The loop thread changes it, any thread asks; one mutex, which is not taken for what is in the cache. */
#ifndef EDGED_CENSUS_H
#define EDGED_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/key.h"
#include "proto/names.h"

#define CENSUS_SOURCES 64           /* nodes above */
#define CENSUS_SESSIONS_MAX 2000000 /* what is told beyond is not known, and the census then never sure */
#define CENSUS_NEAR_SEGMENTS 15 /* beyond the live edge a segment is due soon: originD waits for 5, the rest is clocks */
#define CENSUS_FAR_SEGMENTS 120 /* and from here on it is not asked for: more than a clock is behind before it leaps (common/clock.h) */

#define CENSUS_PAST_SEGMENTS 30 /* so far behind the live edge: by a clock, and what comes may be behind that */

enum census_says {
        CENSUS_THERE,   /* it is, or will be in a moment */
        CENSUS_PERHAPS, /* to be found out: within the bounds of addresses.h */
        CENSUS_UNKNOWN, /* there is no such stream or session */
        CENSUS_FAR,     /* a segment before the first, or far beyond the last; a playlist that is to have one beyond those near */
        CENSUS_PAST     /* a playlist that is to have a segment of long ago: any one has */
};

struct census *census_open(void);
void census_close(struct census *c);

/* What node `source` told, at wall_us. 0, and *head is the page's; ERR_PROTO: it is no page. Rows before the bad one are taken then,
 * which does no harm. */
int census_take(struct census *c, unsigned source, const struct buf *page, int64_t wall_us, struct names_page *head);
void census_forget(struct census *c, unsigned source); /* that node is gone for good, or another one gets its number */
void census_settle(struct census *c, bool sure);       /* whether the list of every node that is up is as of now */
bool census_is_sure(const struct census *c);           /* any thread */

/* Of media, KEY_ENTRY to KEY_PIECE; all else is THERE. Any thread. */
enum census_says census_ask(struct census *c, const struct key *key, int64_t wall_us);
/* Of a session that is live: the first segment that there is, and the one that is being made by the clock, which may lack its first bytes
 * yet. false: it is over, or not known. Any thread. */
bool census_edge(struct census *c, const struct key *key, int64_t wall_us, uint32_t *first, uint32_t *last);
/* An object of that track was found: it is known from now on. Loop thread. */
void census_saw(struct census *c, const struct key *key);

size_t census_sessions(struct census *c);

/* The same list for the tier below, as originD's names.h has it. Loop thread; the caller's to unref. */
struct buf *census_page(struct census *c, uint64_t instance, uint64_t since, int64_t wall_us);
/* There is something to tell: also, as long as that lasts, that it is not sure, or the tier below would be. */
bool census_has_news(struct census *c, uint64_t instance, uint64_t since);

#endif
