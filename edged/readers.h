/* readers.h - who looks at the cache's table without its lock, so that nobody frees what he looks at.
 *
 *   a reader   if (readers_enter()) { … look, and take a reference of what was found … readers_leave(); }
 *   the owner  takes an object out of the table, and has given back every reference → readers_mark() → frees it when readers_passed(mark)
 *
 * Epochs: each thread has a place, in which it writes the time that it has read from one clock, and 0 when it leaves. A mark moves the
 * clock on. When no place has a time of before the mark, nobody who looked then looks still; whoever came later cannot find what was
 * taken out. Entering is a store to a line that only this thread writes, leaving one more: no lock, nothing that threads contend for.
 *
 * The order that this needs, "place before pointer" on one side and "pointer before place" on the other, is that of sequentially
 * consistent atomics: the place, the clock, and the pointers of the table are such. Places are of the process; a thread has its own from
 * its first look until it ends. Do not enter twice. */
#ifndef EDGED_READERS_H
#define EDGED_READERS_H

#include <stdbool.h>
#include <stdint.h>

#define READERS_MAX 512 /* threads at a time; who is one more takes the lock */

bool readers_enter(void); /* false: there is no place for this thread */
void readers_leave(void);

uint64_t readers_mark(void);            /* any thread */
bool readers_passed(uint64_t mark); /* any thread */

#endif
