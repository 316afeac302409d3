/* address.h - numeric addresses of the configuration, as sockets want them. Pure. */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

int address_parse(struct sockaddr_storage *ss, const char *text, int port); /* IPv4 or IPv6; ERR_CONFIG: it is neither */
socklen_t address_len(const struct sockaddr_storage *ss);
bool address_is_loopback(const struct sockaddr_storage *ss); /* 127.0.0.0/8, ::1, and the former written as IPv6 */
void address_to_loopback(struct sockaddr_storage *ss);       /* 0.0.0.0 and ::, which stand for all addresses of the machine */

#endif
