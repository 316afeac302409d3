/* networks.h - lists of addresses and networks in the configuration: "10.0.0.0/8,192.0.2.7,2001:db8::/32"; "" has nobody. Pure. */
#ifndef COMMON_NETWORKS_H
#define COMMON_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

int networks_check(const void *value, char *why, size_t why_cap); /* a config_key.check; value points at a char * */

/* An IPv4 address inside IPv6 (::ffff:…) is taken as the former. text was checked. */
bool networks_have(const char *text, const struct sockaddr *peer);

/* IPv4 as ::ffff:…; false: it is neither. */
bool networks_address(uint8_t out[16], const struct sockaddr *peer);

#endif
