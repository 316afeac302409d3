/* magic.h - a number in a struct that travels through `void *`: who gets the pointer back makes sure that it is such a struct, and lives.
 *
 *   struct thing { uint32_t magic; … };                  the first field
 *   t->magic = THING_MAGIC;                              when it is made
 *   struct thing *t = magic_check(arg, THING_MAGIC);     when it comes back
 *   t->magic = 0;                                        before it is freed
 *
 * Another number is our own bug, so it ends the process, in release too. Any thread. */
#ifndef COMMON_MAGIC_H
#define COMMON_MAGIC_H

#include <assert.h>
#include <stdint.h>

static inline void *magic_check(void *p, uint32_t magic)
{
        assert(*(const uint32_t *)p == magic);
        return p;
}

#endif
