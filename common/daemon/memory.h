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
 * pool, and only when it is worth it: what comes back at once is no more than page faults.
 *
 * malloc_trim() gives back what lies free between pieces that are in use, but not the end of a heap unless that is the main one. glibc
 * cuts that end when memory is freed there and more than its trim threshold is free, which by itself grows to 64 MiB, a whole heap: six
 * threads that freed 45 MiB each kept all 270 MiB for ever. memory_start() says 8 MiB, and that pieces of 4 MiB are not of a heap at all:
 * they go when they are freed, as glibc does it by itself until the first of them was. An encoder that is opened anew has page
 * faults for both, 2 to 5 ms of a processor's time (720p, 1080p).
 *
 * What a try leaves behind is mostly what cannot go, stacks of threads and the like, and alone not worth the next try. But it may as well
 * have been freed during the try. So another try follows, after a pause that grows as long as tries are in vain.
 *
 *   memory_start → memory_look … */
#ifndef COMMON_DAEMON_MEMORY_H
#define COMMON_DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define MEMORY_LOOK_US INT64_C(5000000)
#define MEMORY_SPARE_LEAST ((size_t)32 << 20)
#define MEMORY_HEAP_END_MOST (8 << 20)
#define MEMORY_MAPPED_LEAST (4 << 20)
#define MEMORY_PAUSE_MOST_US INT64_C(60000000)

/* Once, before there are other threads. */
void memory_start(void);

/* Loop thread, as often as one likes: it looks once in MEMORY_LOOK_US (monotonic), on another thread. The loop does not end before
 * that has. */
void memory_look(uv_loop_t *loop, int64_t now_us);

/* Bytes that are resident but in no use; 0: not known. Any thread; it takes each arena's lock for a moment. */
size_t memory_spare(size_t *used_bytes);
bool memory_is_much(size_t spare_bytes, size_t used_bytes); /* pure: more than MEMORY_SPARE_LEAST and a quarter of what is used */

/* When a try is worth it. Pure; {0} at first. */
struct memory_tries {
        size_t stays;               /* was spare after the last try */
        int64_t pause_us, again_us; /* when another one follows even if no more is spare */
};
bool memory_worth_a_try(struct memory_tries *t, size_t spare_bytes, size_t used_bytes, int64_t now_us);
void memory_tried(struct memory_tries *t, size_t left_bytes, size_t used_bytes, int64_t now_us);

/* If it is worth it, gives back what is spare. How many bytes went. Any thread, one at a time. */
size_t memory_give_back(int64_t now_us);

#endif
