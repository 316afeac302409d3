/* addresses.h - what viewers of one address may have at once: connections, requests, misses, and handshakes of TLS. An IPv6 address
 * stands for its /64.
 *
 * A miss is a question to the tier above for what may not be there (census.h says PERHAPS), or for another page of recordings. It is paid
 * for before it is asked, and paid back when something was found: so who asks for what there is pays nothing, however many he is, and who
 * asks for what there is not has ADDRESSES_BURST_S seconds' worth at once and then as many a second as the rate says. One account an
 * address, and one for all.
 *
 * Who comes from a balancer that the operator named has no address here (struct address all zero): only the account for all counts.
 *
 * A handshake of TLS is paid for likewise, out of accounts of their own, and never paid back.
 *
 * Requests are those of all its connections, whatever they ask for: a second's worth at once, and then as many a second as the rate says.
 *
 * What is remembered is one entry for each address that has connections, and of ADDRESSES_KEPT that have none any more what they have
 * spent. Any thread; one mutex, taken once a connection, once a handshake and once a miss, and by no request that is answered from the
 * cache. */
#ifndef EDGED_ADDRESSES_H
#define EDGED_ADDRESSES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESSES_KEPT 4096
#define ADDRESSES_BURST_S 5

struct address {
        uint8_t bytes[16];
};

/* *out all zero: it is neither IPv4 nor IPv6. */
void address_of(struct address *out, const struct sockaddr *peer);
/* The last of X-Forwarded-For's, which is what the nearest balancer saw. false: it is none. */
bool address_forwarded(struct address *out, const char *header);
bool address_is_none(const struct address *a);

struct addresses_config {
        unsigned connections;                  /* of one address */
        unsigned requests_of_one_s;         /* a second; 0: as many as there are */
        unsigned misses_of_one_s, misses_s; /* likewise */
        unsigned shakes_of_one_s, shakes_s; /* likewise */
};

enum addresses_says { ADDRESSES_YES, ADDRESSES_ONE_FULL, ADDRESSES_ALL_FULL };

struct addresses;
struct addresses *addresses_open(const struct addresses_config *cfg);
void addresses_close(struct addresses *as);

/* One connection more; false: it has its share already. *count is how many the address has, valid and up to date until this one leaves;
 * NULL where there is no address. */
bool addresses_enter(struct addresses *as, const struct address *a, atomic_uint **count);
void addresses_leave(struct addresses *as, const struct address *a); /* of one that entered */

/* One request more, of a connection that entered and got count (NULL: yes). false: its address has had its share. */
bool addresses_ask(struct addresses *as, atomic_uint *count, int64_t now_us);

enum addresses_says addresses_pay(struct addresses *as, const struct address *a, int64_t now_us); /* not YES: nothing is paid */
enum addresses_says addresses_shake(struct addresses *as, const struct address *a, int64_t now_us); /* likewise */
void addresses_pay_back(struct addresses *as, const struct address *a);

#endif
