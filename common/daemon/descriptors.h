/* descriptors.h - how many file descriptors there may be, and for whom the last of them are kept.
 *
 * A process that has none left can save nothing, reach no other node and answer no probe. So strangers get none of the last ones, the
 * reserve: a quarter of the limit, DESCRIPTORS_RESERVE_MOST at most. The kernel always gives the lowest number that is free, so the
 * number of what accept() returned says whether it lies in the reserve, without counting anything.
 *
 *   descriptors_raise    at start, before sockets open (daemon_init() does it): the soft limit becomes the hard one
 *   descriptors_watch    each second, loop thread (the daemon's tick does it): metrics, and a line when there are few, or none
 *   all others           any thread, after descriptors_raise(); before it, everybody may have everything */
#ifndef COMMON_DAEMON_DESCRIPTORS_H
#define COMMON_DAEMON_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

#define DESCRIPTORS_RESERVE_MOST 4096

/* So many connections of a port may wait to be accepted; the kernel allows net.core.somaxconn of them, 4096 by itself. Beyond that it
 * drops what comes, and who came asks again after a second: a crowd that comes at once would keep out a probe that comes with it. */
#define DESCRIPTORS_BACKLOG 4096

void descriptors_raise(void);
void descriptors_watch(void);

/* Whether a stranger may have fd, which accept() returned. false: it lies in the reserve. Then the refusal is counted and told, and the
 * caller closes fd at once. port: what it came to ("RTMP"), peer: its address. */
bool descriptors_admit(int fd, const char *port, const char *peer);

/* How many there are that are not kept back: for those who can do with fewer, and ask again each time, for the limit may change. */
unsigned descriptors_beside_reserve(void);

/* How many of the `wanted` connections of configuration key `key` are possible when a connection needs `each` and `beside` are kept for
 * all else, or the reserve, if that is more; a line in the log when that is fewer. */
unsigned descriptors_connections(const char *key, int64_t wanted, int64_t beside, double each);

#endif
