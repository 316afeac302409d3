/* index_cache.h - the indexes of closed volumes that somebody asked for, in a bound for the whole process.
 *
 *   LOADING  index_cache_add();  then index_cache_ready(), or index_cache_drop()
 *   READY    index_cache_use() whenever it is looked at; the one that was unused longest goes when there are too many bytes
 *   gone     index_cache_drop(), or gone() was called: the owner forgets it
 * Loop thread only. */
#ifndef ORIGIND_INDEX_CACHE_H
#define ORIGIND_INDEX_CACHE_H

#include <stdbool.h>

#include "originD/log/index.h"

#define INDEX_CACHE_BYTES (24u << 20)

struct cached_index {
        bool ready;
        bool pinned; /* stays whatever the bound */
        struct index index;
        void *owner;
        uint32_t number;
        void (*gone)(void *owner, uint32_t number);
        struct cached_index *newer, *older; /* of those that are ready */
};

struct cached_index *index_cache_add(void *owner, uint32_t number, void (*gone)(void *owner, uint32_t number));
void index_cache_ready(struct cached_index *c, struct index *index); /* takes the rows */
void index_cache_use(struct cached_index *c);
void index_cache_drop(struct cached_index **c); /* gone() is not called */

#endif
