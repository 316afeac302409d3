/* cache_fill.h - the steps by which a fill makes an object of the cache: from FILLING to COMPLETE, MISSING or FAILED (object.h), once.
 *
 *   cache_append()          as often as bytes come
 *   cache_due()             nothing comes before then, as a node has said
 *   cache_expire_waiters()  now and then
 *   cache_complete(), cache_missing(), cache_fail()  the end: one of them, once. The fill's reference stays the fill's
 *
 * Each wakes those for whom it brings what they wait for. Loop thread only. */
#ifndef EDGED_CACHE_FILL_H
#define EDGED_CACHE_FILL_H

#include "edged/cache.h"

/* The first append names type and whether it will be immutable. ERR_NOSPACE: no room even after evicting, or too many
 * pieces. The object is then unchanged. Takes its own reference of bytes. */
int cache_append(struct object *o, struct buf *bytes, const char *type, bool immutable);
/* The same, if there are bytes, and then it is COMPLETE: nobody ever sees the one without the other. */
int cache_complete(struct object *o, struct buf *last, const char *type, bool immutable, uint32_t ttl_ms, int64_t now_us);
void cache_missing(struct object *o, uint32_t ttl_ms, int64_t now_us);
/* again_us: there is no use in asking before then; 0: nobody can say, and the moment that is told above has to do. */
void cache_fail(struct object *o, int why, int64_t again_us, int64_t now_us);
void cache_due(struct object *o, int64_t due_us); /* it is FILLING; when it fails the note that stands for it says so too */
/* Wakes the waiters of o whose deadline passed, and all of them once there is a stale object to give them. */
void cache_expire_waiters(struct object *o, int64_t now_us);

#endif
