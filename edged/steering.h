/* steering.h - which site a player is to load from: the steering manifest that DASH (ETSI TS 103 998) and HLS players ask for now and
 * then.
 *
 * A site is all edges behind one address. Its viewers stay there while it is not full, for it is the nearest one. Of a full site (its
 * load is full_permille or more) so many of those who ask are sent elsewhere as are too many, and all who come anew; each to a site that
 * is not full, drawn by how much room it has, so that a crowd does not move from one full site to the next. One that was sent away comes
 * back when there is plenty of room at home, a quarter of them at a time. A site that does not answer is named last.
 *
 * The manifest of a stream knows one place, STEERING_BASE: wherever it was loaded from. Sites are told as clones of it with another host,
 * so whatever is in a path (a token) goes along, and origins need to know of no site.
 *
 * Pure; any thread. chance is drawn by the caller. */
#ifndef EDGED_STEERING_H
#define EDGED_STEERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEERING_SITES_MAX 16
#define STEERING_NAME_MAX 32
#define STEERING_BASE "here"     /* as originD's manifests have it */
#define STEERING_NOWHERE SIZE_MAX /* a player that comes anew, or does not say */

struct steering_site {
        const char *name, *host; /* host[:port] */
        unsigned load_permille;
        bool there; /* it answers */
};

/* Of the pathways that a player says it used (`_DASH_pathway`, `_HLS_pathway`) the last: an index of sites, own for STEERING_BASE,
 * STEERING_NOWHERE for anything else. target: a request's, with its query. */
size_t steering_from(const char *target, const struct steering_site *sites, size_t count, size_t own);

/* Where it is to go: an index of sites. own: the site that answers, which is there. */
size_t steering_choose(const struct steering_site *sites, size_t count, size_t own, size_t from, unsigned full_permille, uint64_t chance);

/* The player speaks HLS: it says so with each question. */
bool steering_is_hls(const char *target);

/* The steering manifest as JSON: the chosen site first, the others by their load, those that do not answer last. HLS players replace the
 * name of the host and keep the port (hls.js 1.7), DASH players replace both (dash.js 5.2), so only they are told ports. malloc'd. */
char *steering_text(const struct steering_site *sites, size_t count, size_t chosen, bool is_hls, int64_t ttl_s);

#endif
