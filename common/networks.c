#include "common/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

/* Addresses of both families as 16 bytes; IPv4 ones have the prefix of IPv6's mapped addresses. */
struct network {
        uint8_t address[16];
        unsigned bits;
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_network(struct network *out, const char *text, size_t len)
{
        char address[INET6_ADDRSTRLEN + 1];
        const char *slash = memchr(text, '/', len);
        size_t n = slash ? (size_t)(slash - text) : len;
        if (n >= sizeof(address))
                return false;
        memcpy(address, text, n);
        address[n] = '\0';
        bool four = inet_pton(AF_INET, address, out->address + 12) == 1;
        if (four)
                memcpy(out->address, mapped, sizeof(mapped));
        else if (inet_pton(AF_INET6, address, out->address) != 1)
                return false;
        unsigned most = four ? 32 : 128, bits = most;
        if (slash) {
                size_t digits = strspn(slash + 1, "0123456789");
                bits = (unsigned)atoi(slash + 1);
                if (digits == 0 || digits > 3 || digits != len - n - 1 || bits > most)
                        return false;
        }
        out->bits = bits + (four ? 96 : 0);
        return true;
}

/* The next entry of a comma-separated list, spaces around it cut off; false at the end. */
static bool next_entry(const char **p, const char **entry, size_t *len)
{
        if (!**p)
                return false;
        size_t n = strcspn(*p, ",");
        *entry = *p;
        *len = n;
        *p += n + ((*p)[n] == ',');
        while (*len && **entry == ' ')
                (*entry)++, (*len)--;
        while (*len && (*entry)[*len - 1] == ' ')
                (*len)--;
        return true;
}

int networks_check(const void *value, char *why, size_t why_cap)
{
        const char *p = *(char *const *)value, *entry;
        size_t len;
        struct network network;
        while (next_entry(&p, &entry, &len)) {
                if (parse_network(&network, entry, len))
                        continue;
                snprintf(why, why_cap, "\"%.*s\" is no address; allowed: addresses and networks like "
                         "192.0.2.7,10.0.0.0/8,2001:db8::/32", (int)(len < 64 ? len : 64), entry);
                return ERR_CONFIG;
        }
        return 0;
}

bool networks_address(uint8_t out[16], const struct sockaddr *peer)
{
        if (peer->sa_family == AF_INET) {
                memcpy(out, mapped, sizeof(mapped));
                memcpy(out + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
                return true;
        }
        if (peer->sa_family != AF_INET6)
                return false;
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
        return true;
}

static bool inside(const struct network *n, const uint8_t address[16])
{
        unsigned whole = n->bits / 8, rest = n->bits % 8;
        if (memcmp(n->address, address, whole) != 0)
                return false;
        return rest == 0 || ((n->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool networks_have(const char *text, const struct sockaddr *peer)
{
        uint8_t address[16];
        const char *entry;
        size_t len;
        struct network network;
        if (!*text || !networks_address(address, peer))
                return false;
        while (next_entry(&text, &entry, &len)) {
                if (parse_network(&network, entry, len) && inside(&network, address))
                        return true;
        }
        return false;
}
