/* memory.h - gives the memory that was freed back to the system.
 *
 * glibc keeps what is freed in the middle of its heaps: a daemon that needed 600 MB for a moment would have them until it ends, and
 * after a few such moments on several daemons of a machine the kernel would end one of them. memory_look() compares what is resident
 * with what is in use; when much lies between, malloc_trim() gives it back.
 *
 * Measured (150 connections that hold 60 messages of 64 kB each, then close; 40 broadcasts of 3 s, all at once, on a transcoder):
 *   glibc as it is 582 MB, 483 MB   two arenas 585 MB, 741 MB   every 64 or 128 kB by mmap() 25 MB, 169 MB
 *   jemalloc with its thread 22 MB, 74 MB   without 175 MB, 505 MB   mimalloc 558 MB, -   malloc_trim() 13 MB, 59 MB
 * It costs 0.1 ms a megabyte that goes, in which threads that allocate from the same arena wait. So it is done on a thread of the
 * pool, and only when it is worth it: what comes back at once is no more than page faults. */
#ifndef COMMON_DAEMON_MEMORY_H
#define COMMON_DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define MEMORY_LOOK_US INT64_C(5000000)
#define MEMORY_SPARE_LEAST ((size_t)32 << 20)

/* Loop thread, as often as one likes: it looks once in MEMORY_LOOK_US (monotonic), on another thread. The loop does not end before
 * that has. */
void memory_look(uv_loop_t *loop, int64_t now_us);

/* Bytes that are resident but in no use; 0: not known. Any thread; it takes each arena's lock for a moment. */
size_t memory_spare(size_t *used_bytes);
bool memory_is_much(size_t spare_bytes, size_t used_bytes); /* pure: more than MEMORY_SPARE_LEAST and a quarter of what is used */

/* If it is much, gives it back. How many bytes went. Any thread, one at a time. */
size_t memory_give_back(void);

void memory_register_metrics(void); /* at start, once */

#endif
