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
