/* names.h - tells edges which streams, sessions and tracks this origin has: /names/INSTANCE/CHANGE (proto/names.h), made of the store's
 * order of changes, a page a call. A page of 4,000 sessions takes some two milliseconds; of live ones it tells
 * so many that their tracks are no more than that. Loop thread only. */
#ifndef ORIGIND_NAMES_H
#define ORIGIND_NAMES_H

#include "common/buf.h"
#include "originD/store.h"

/* instance, since: as in the key. settled: what other origins have is known too. The caller's to unref. */
struct buf *names_page(struct store *st, uint64_t instance, uint64_t since, bool settled);

/* Such a page would tell something. */
bool names_have_news(const struct store *st, uint64_t instance, uint64_t since);

#endif
