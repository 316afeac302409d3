/* pages.h - bytes that the kernel can be given by reference: what is sent to many is copied once, and then never again (sendfile).
 *
 * They lie in a file without a name (memfd), each body from the beginning of a page on, and are mapped for whoever wants to read them. A
 * place in that file is used once: its pages are given back with the last reference of the buf, and nothing is ever written there again.
 * So what a socket still holds of them stays as it was, for as long as it holds it, and nobody has to wait for that. A file has room for
 * 2^63 bytes, which are never used up.
 *
 * Bounded: PAGES_BODIES_MAX, since each is a mapping of its own and the kernel allows 65,530 of them by itself. What is more, what is
 * small, and what the kernel has no room for lies in ordinary memory, and is copied for each who asks. Any thread. */
#ifndef EDGED_PAGES_H
#define EDGED_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/buf.h"

#define PAGES_LEAST (16 << 10) /* what is smaller is copied in less time than the second system call takes */
#define PAGES_BODIES_MAX 32768

/* All of the parts in one, count > 0: in pages, if they are worth it. One reference, the caller's; where there is nothing to copy it is
 * one of the only part. */
struct buf *pages_join(struct buf *const *parts, unsigned count);

/* Where b lies; false: not in pages. The descriptor is no caller's to close. */
bool pages_find(const struct buf *b, int *fd, off_t *at); /* either may be NULL */

unsigned pages_bodies(void); /* that there are */
size_t pages_bytes(size_t len); /* that so many take: whole pages */

#endif
