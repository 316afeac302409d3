/* tcp.h - what the kernel knows of a connection's sending side. Any thread; the descriptor must be open. */
#ifndef EDGED_TCP_H
#define EDGED_TCP_H

#include <stdint.h>

uint64_t tcp_acked_bytes(int fd); /* acknowledged by the peer since the connection began; 0 if unknown */
int tcp_unsent_bytes(int fd);     /* in the send queue, sent or not, and not acknowledged */

#endif
