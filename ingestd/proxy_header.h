/* proxy_header.h - what a load balancer says first on a connection that it passes on: whose it is (HAProxy's PROXY protocol,
 * version 1 as a line of text and version 2 in binary). Which peers are such balancers says proxy_from (common/networks.h).
 *
 *   struct proxy_header h = {0}  →  proxy_header_read() for every piece of input, until it is no longer MORE
 *
 * A header may name the broadcaster (TCP over IPv4 or IPv6), or nobody: v1 UNKNOWN, v2 LOCAL (the balancer's own health
 * check) and families that are no TCP. h.address is then "", and the balancer's own address stands. What v2 brings besides
 * (TLVs: TLS details, checksums, ids) is skipped. Pure, byte by byte if need be; never takes a byte beyond the header. */
#ifndef INGESTD_PROXY_HEADER_H
#define INGESTD_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PROXY_HEADER_MAX 4096 /* bytes of a header with all that is skipped */
#define PROXY_HEADER_V1_MAX 107

struct proxy_header {
        char address[64]; /* "192.0.2.1:4000", "[2001:db8::1]:4000"; "": the header names nobody */
        bool local;       /* v2 LOCAL: the balancer speaks for itself */
        /* … private below */
        uint8_t bytes[PROXY_HEADER_V1_MAX]; /* of a v2 header only its fixed part and the addresses */
        unsigned len;
        unsigned skip; /* bytes of a v2 header still to come that nobody wants */
};

enum proxy_header_result {
        PROXY_HEADER_MORE, /* all input is used up */
        PROXY_HEADER_DONE, /* *p stands behind the header */
        PROXY_HEADER_BAD,  /* no such header; not to be asked again */
};

enum proxy_header_result proxy_header_read(struct proxy_header *h, const uint8_t **p, const uint8_t *end);

#endif
