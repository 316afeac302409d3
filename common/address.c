#include "common/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/err.h"

int address_parse(struct sockaddr_storage *ss, const char *text, int port)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
        memset(ss, 0, sizeof(*ss));
        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                v4->sin_port = htons((uint16_t)port);
                return 0;
        }
        if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
                return ERR_CONFIG;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return 0;
}

socklen_t address_len(const struct sockaddr_storage *ss)
{
        return ss->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

bool address_is_loopback(const struct sockaddr_storage *ss)
{
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)ss)->sin6_addr;
        if (ss->ss_family == AF_INET)
                return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

void address_to_loopback(struct sockaddr_storage *ss)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
        struct in6_addr *v6 = &((struct sockaddr_in6 *)ss)->sin6_addr;
        if (ss->ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
                v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(v6))
                *v6 = in6addr_loopback;
}
