/* mem.h - allocation that does not fail.
 *
 * Every size asked for here is bounded by a limit that was checked before, so running out means that the machine is out
 * of memory: the process says so and aborts, and its peers take over. Free with free(). Any thread. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

_Noreturn void mem_out(const char *of_what); /* says that there is no memory for it, and aborts: for allocations of libraries */
void *mem_alloc(size_t len_bytes);               /* zeroed */
void *mem_resize(void *old, size_t len_bytes);   /* what grows is not zeroed */
char *mem_strdup(const char *s);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
