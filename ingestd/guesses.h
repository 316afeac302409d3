/* guesses.h - how many wrong keys have come from an address lately: those who try keys are slowed down.
 *
 * An address that gave GUESSES_AT_ONCE wrong keys is not listened to until the first of them is GUESS_EVERY_US old. Then it has one more
 * try each GUESS_EVERY_US. A right key from there has to wait too: where many broadcasters share an address (a balancer without the PROXY
 * protocol), one that guesses stands in the way of new ones. Those that publish already go on.
 *
 * Addresses of IPv6 count by their /64 (peer_address.h). The table is bounded: when it is full, the address that gave the
 * fewest is forgotten. Pure: time is passed in (monotonic). */
#ifndef INGESTD_GUESSES_H
#define INGESTD_GUESSES_H

#include <stdbool.h>
#include <stdint.h>

#define GUESSES_AT_ONCE 10
#define GUESS_EVERY_US INT64_C(6000000)
#define GUESSES_ADDRESSES_MAX 512

struct guesses {
        struct {
                uint8_t address[16];
                int64_t level_us; /* when all of its guesses are forgotten; 0: free */
        } at[GUESSES_ADDRESSES_MAX];
};

/* address: "192.0.2.1:4000", "[2001:db8::1]:4000", with or without a port; what cannot be read counts as one address. */
bool guesses_may_try(const struct guesses *g, const char *address, int64_t now_us);
void guesses_wrong(struct guesses *g, const char *address, int64_t now_us);

#endif
