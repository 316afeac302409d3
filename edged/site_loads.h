/* site_loads.h - the sites that viewers may be sent to, and how full each is.
 *
 *   site_loads_open → … site_loads_set_own() about once a second … → site_loads_stop → site_loads_close
 *
 * Each site is asked for "/load" at the address that players use, once in SITE_LOADS_ASK_MS, on a new connection each time: the balancer
 * there gives it to any of its edges, and what they answer is averaged over the last few. So what is measured is what a player would
 * meet, and no tier above needs to know of sites. One that says 503 or 429 is full; one that has not answered for SITE_LOADS_GONE_MS is
 * gone. This edge's own site is there whatever it hears, and at least as full as this edge.
 *
 * The loop thread asks; any thread calls site_loads_look(), which takes no lock. */
#ifndef EDGED_SITE_LOADS_H
#define EDGED_SITE_LOADS_H

#include <jansson.h>
#include <uv.h>

#include "edged/steering.h"

#define SITE_LOADS_ASK_MS 1000
#define SITE_LOADS_GONE_MS 4000

struct site_loads;

/* config_key.check of `sites`: [{"name", "url"}], names that are part of no other's, whole addresses without a path. */
int site_loads_check(const void *value, char *why, size_t why_cap);
/* `site` is one of them, or there are none; for check_start(). */
int site_loads_check_own(const json_t *sites, const char *own, char *why, size_t why_cap);

/* NULL: no sites are configured. sites was checked; it and own may go afterwards. */
struct site_loads *site_loads_open(uv_loop_t *loop, const json_t *sites, const char *own);
void site_loads_set_own(struct site_loads *l, unsigned load_permille);
size_t site_loads_look(struct site_loads *l, int64_t now_us, struct steering_site out[STEERING_SITES_MAX], size_t *own); /* how many */
unsigned site_loads_gone(struct site_loads *l, int64_t now_us);
const char *site_loads_sources(const struct site_loads *l); /* their addresses with blanks between, as CSP has it; "" for NULL */
void site_loads_stop(struct site_loads *l);  /* loop thread, while the loop runs; NULL is fine */
void site_loads_close(struct site_loads *l); /* the loop has run its close callbacks; nobody looks any more; NULL is fine */

#endif
