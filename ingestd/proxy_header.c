#include "ingestd/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/err.h"
#include "ingestd/peer_address.h"

#define V2_FIXED 16
#define V2_TCP4 12 /* two addresses and two ports */
#define V2_TCP6 36

static const uint8_t v2_signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
static const char v1_signature[6] = "PROXY ";

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21 };

/* Version 1 -------------------------------------------------------------------------------------------------------- */

static bool v1_port(const char *text, unsigned *port)
{
        size_t len = strspn(text, "0123456789");
        if (len == 0 || len > 5 || text[len] || (len > 1 && *text == '0'))
                return false;
        *port = (unsigned)atoi(text);
        return *port <= 65535;
}

/* A line without its end. */
static enum proxy_header_result v1_parse(struct proxy_header *h, const char *line)
{
        char protocol[8], from[64], to[64], from_port[8], to_port[8], more;
        uint8_t address[16], other[16];
        unsigned port, other_port;
        if (strncmp(line, "PROXY UNKNOWN", 13) == 0 && (line[13] == '\0' || line[13] == ' '))
                return PROXY_HEADER_DONE;
        if (strchr(line, '\t') || strstr(line, "  ") ||
            sscanf(line, "PROXY %7s %63s %63s %7s %7s%c", protocol, from, to, from_port, to_port, &more) != 5)
                return PROXY_HEADER_BAD;
        int family = strcmp(protocol, "TCP4") == 0 ? AF_INET : strcmp(protocol, "TCP6") == 0 ? AF_INET6 : 0;
        if (!family || inet_pton(family, from, address) != 1 || inet_pton(family, to, other) != 1 ||
            !v1_port(from_port, &port) || !v1_port(to_port, &other_port))
                return PROXY_HEADER_BAD;
        peer_address_show(h->address, sizeof(h->address), family, address, port);
        return PROXY_HEADER_DONE;
}

/* With the byte that was just added. */
static enum proxy_header_result v1_step(struct proxy_header *h)
{
        if (h->len <= sizeof(v1_signature))
                return h->bytes[h->len - 1] == (uint8_t)v1_signature[h->len - 1] ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
        if (h->bytes[h->len - 1] == '\0')
                return PROXY_HEADER_BAD;
        if (h->bytes[h->len - 1] == '\n') {
                char line[PROXY_HEADER_V1_MAX + 1];
                if (h->bytes[h->len - 2] != '\r')
                        return PROXY_HEADER_BAD;
                memcpy(line, h->bytes, h->len - 2);
                line[h->len - 2] = '\0';
                return v1_parse(h, line);
        }
        return h->len == PROXY_HEADER_V1_MAX ? PROXY_HEADER_BAD : PROXY_HEADER_MORE;
}

/* Version 2 -------------------------------------------------------------------------------------------------------- */

static unsigned v2_wanted(const struct proxy_header *h)
{
        unsigned family = h->bytes[13];
        if (h->bytes[12] != COMMAND_PROXY)
                return 0;
        return family == FAMILY_TCP4 ? V2_TCP4 : family == FAMILY_TCP6 ? V2_TCP6 : 0;
}

static void v2_take_address(struct proxy_header *h)
{
        struct reader r;
        unsigned wanted = v2_wanted(h);
        reader_init(&r, h->bytes + V2_FIXED, wanted);
        if (wanted == V2_TCP4) {
                const uint8_t *from = reader_bytes(&r, 4);
                reader_skip(&r, 4);
                peer_address_show(h->address, sizeof(h->address), AF_INET, from, reader_u16(&r));
        } else if (wanted == V2_TCP6) {
                const uint8_t *from = reader_bytes(&r, 16);
                reader_skip(&r, 16);
                peer_address_show(h->address, sizeof(h->address), AF_INET6, from, reader_u16(&r));
        }
}

static enum proxy_header_result v2_step(struct proxy_header *h)
{
        if (h->len <= sizeof(v2_signature))
                return h->bytes[h->len - 1] == v2_signature[h->len - 1] ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
        if (h->len < V2_FIXED)
                return PROXY_HEADER_MORE;
        unsigned wanted = v2_wanted(h), len = (unsigned)h->bytes[14] << 8 | h->bytes[15];
        if (h->len == V2_FIXED) {
                bool known = h->bytes[12] == COMMAND_LOCAL || h->bytes[12] == COMMAND_PROXY;
                if (!known || len < wanted || V2_FIXED + len > PROXY_HEADER_MAX)
                        return PROXY_HEADER_BAD;
                h->skip = len - wanted;
        }
        if (h->len < V2_FIXED + wanted)
                return PROXY_HEADER_MORE;
        h->local = h->bytes[12] == COMMAND_LOCAL;
        v2_take_address(h);
        return h->skip ? PROXY_HEADER_MORE : PROXY_HEADER_DONE;
}

static bool v2_whole(const struct proxy_header *h)
{
        return h->len >= V2_FIXED && h->bytes[0] == v2_signature[0] && h->len == V2_FIXED + v2_wanted(h);
}

enum proxy_header_result proxy_header_read(struct proxy_header *h, const uint8_t **p, const uint8_t *end)
{
        enum proxy_header_result result = PROXY_HEADER_MORE;
        while (result == PROXY_HEADER_MORE && *p < end) {
                if (v2_whole(h)) { /* but for what is skipped */
                        unsigned n = (size_t)(end - *p) < h->skip ? (unsigned)(end - *p) : h->skip;
                        *p += n;
                        h->skip -= n;
                        return h->skip ? PROXY_HEADER_MORE : PROXY_HEADER_DONE;
                }
                h->bytes[h->len++] = *(*p)++;
                result = h->bytes[0] == v2_signature[0] ? v2_step(h) : v1_step(h);
        }
        return result;
}

/* Who sends one ---------------------------------------------------------------------------------------------------- */

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

int proxy_from_check(const void *value, char *why, size_t why_cap)
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

static bool peer_bytes(uint8_t out[16], const struct sockaddr *peer)
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

bool proxy_from_has(const char *text, const struct sockaddr *peer)
{
        uint8_t address[16];
        const char *entry;
        size_t len;
        struct network network;
        if (!*text || !peer_bytes(address, peer))
                return false;
        while (next_entry(&text, &entry, &len)) {
                if (parse_network(&network, entry, len) && inside(&network, address))
                        return true;
        }
        return false;
}
