/* peer_address.h - a broadcaster's address, as text for people and as bytes for tables. Pure. */
#ifndef INGESTD_PEER_ADDRESS_H
#define INGESTD_PEER_ADDRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* "192.0.2.1:4000", "[2001:db8::1]:4000", or "?" for what is neither IPv4 nor IPv6. Returns dst. */
char *peer_address_text(char *dst, size_t cap, const struct sockaddr *peer);
/* The same of AF_INET's four bytes or AF_INET6's sixteen. */
void peer_address_show(char *dst, size_t cap, int family, const void *address, unsigned port);

/* Who it is, of such a text: an IPv4 address, or the /64 of an IPv6 one, which one person has; the port does not count. What
 * cannot be read is all one. */
void peer_address_key(uint8_t out[16], const char *text);

#endif
