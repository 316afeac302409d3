/* tcp.h - what the kernel knows of a connection's sending side, and keeps there. Any thread; the descriptor must be open. */
#ifndef EDGED_WIRE_TCP_H
#define EDGED_WIRE_TCP_H

#include <stdint.h>

#define TCP_KBPS_MAX 1000000 /* a burst that a near peer takes at once measures memory */

uint64_t tcp_acked_bytes(int fd); /* acknowledged by the peer since the connection began; 0 if unknown */

struct tcp_path {
        uint64_t kbps;
        uint32_t rtt_us; /* smoothed */
};
/* The rate at which the peer acknowledged what was sent, kbit/s, at most TCP_KBPS_MAX, and the round trip; 0 if unknown. Of a connection
 * that always had more to send, what the path carries. Of one that had not, less: the most that was seen since it last had, and a burst
 * of some tens of kilobytes is enough for that to be near (tcp_rate.c of the kernel). */
void tcp_path(int fd, struct tcp_path *out);
int tcp_unsent_bytes(int fd); /* in the send queue, sent or not, and not acknowledged */

/* What the kernel keeps back, because it was told that more follows, leaves. It would for 200 ms otherwise, if nothing follows. */
void tcp_push(int fd);

#endif
