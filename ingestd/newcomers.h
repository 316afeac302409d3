/* newcomers.h - connections that have not been let in yet, bounded for each address: one that opens connections and says nothing does not
 * take the places of all others.
 *
 *   newcomers_enter()   false: this address has as many as it may; nothing to leave then
 *   newcomers_leave()   the connection publishes now, or is gone: once for each that entered
 *
 * Addresses share counters by a hash with a secret, so that nobody can choose with whom. Pure but for the secret. */
#ifndef INGESTD_NEWCOMERS_H
#define INGESTD_NEWCOMERS_H

#include <stdbool.h>
#include <stdint.h>

#define NEWCOMERS_SLOTS 4096

struct newcomers {
        unsigned most; /* an address */
        uint64_t secret;
        uint16_t count[NEWCOMERS_SLOTS];
};

void newcomers_init(struct newcomers *n, unsigned most);
bool newcomers_enter(struct newcomers *n, const char *address); /* as in peer_address.h */
void newcomers_leave(struct newcomers *n, const char *address);
unsigned newcomers_slot(const struct newcomers *n, const char *address); /* where else something is counted by the same hash */

#endif
