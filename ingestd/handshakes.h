/* handshakes.h - TLS handshakes of broadcasters that are not done yet: bounded in sum and for each address, at once and a second.
 *
 *   handshakes_begin()    a connection is there that will shake hands. When there are `most` already, the oldest gives way: an honest
 *                         handshake takes a round trip or two, one that is held open takes as long as it may
 *   handshakes_address()  whose it is: at once, or when a load balancer's header has come. Refused: that address has too many
 *   handshakes_work()     its first bytes have come. The answer costs a signature: up to a millisecond of the thread that carries
 *                         everybody's streams. Refused: too many a second, of this address or of all
 *   handshakes_end()      it is done, or closed; idempotent
 *
 * A flood of the port keeps others from coming for as long as it lasts, at most, and takes a bounded share of the thread from those that
 * publish. Addresses share their counters by a hash with a secret (newcomers.h). The time is passed in, monotonic.
 * Loop thread only; a struct handshake lies in its connection and is zero before it begins. */
#ifndef INGESTD_HANDSHAKES_H
#define INGESTD_HANDSHAKES_H

#include <stdbool.h>
#include <stdint.h>

#include "ingestd/newcomers.h"

struct handshake_limits {
        unsigned most, most_of_address;   /* at once */
        unsigned per_s, per_s_of_address; /* begun, as many at once after a second without */
};

/* clang-format off */
#define HANDSHAKE_LIMITS_DEFAULT {.most = 512, .most_of_address = 64, .per_s = 250, .per_s_of_address = 100}
/* clang-format on */

struct handshake {
        struct handshake *next, **link; /* in the order of their beginning; link NULL: it is none now */
        char address[64];               /* "": not known */
        bool worked;
};

struct handshakes {
        struct handshake_limits limits;
        struct handshake *first, **last;
        unsigned count;
        struct newcomers of_address;
        int64_t level_us; /* when the work that was let through is paid off */
        int64_t level_of_address_us[NEWCOMERS_SLOTS];
};

void handshakes_init(struct handshakes *h, const struct handshake_limits *limits);

/* NULL, or the oldest, which has to be closed; it is counted until it ends. */
struct handshake *handshakes_begin(struct handshakes *h, struct handshake *one);
bool handshakes_address(struct handshakes *h, struct handshake *one, const char *address);
bool handshakes_work(struct handshakes *h, struct handshake *one, int64_t now_us); /* true again for the same one */
void handshakes_end(struct handshakes *h, struct handshake *one);

#endif
