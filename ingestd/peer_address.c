#include "ingestd/peer_address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void peer_address_show(char *dst, size_t cap, int family, const void *address, unsigned port)
{
        char ip[INET6_ADDRSTRLEN] = "?";
        inet_ntop(family, address, ip, sizeof(ip));
        snprintf(dst, cap, family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
}

char *peer_address_text(char *dst, size_t cap, const struct sockaddr *peer)
{
        if (peer->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const void *)peer;
                peer_address_show(dst, cap, AF_INET, &in->sin_addr, ntohs(in->sin_port));
        } else if (peer->sa_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const void *)peer;
                peer_address_show(dst, cap, AF_INET6, &in6->sin6_addr, ntohs(in6->sin6_port));
        } else {
                snprintf(dst, cap, "?");
        }
        return dst;
}

void peer_address_key(uint8_t out[16], const char *text)
{
        char ip[INET6_ADDRSTRLEN + 1];
        bool six = *text == '[';
        memset(out, 0, 16);
        snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text + six, six ? "]" : ":"), text + six);
        if (six && inet_pton(AF_INET6, ip, out) == 1)
                memset(out + 8, 0, 8);
        else if (!six && inet_pton(AF_INET, ip, out + 12) == 1)
                out[10] = out[11] = 0xff;
}
