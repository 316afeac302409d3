/* turnstile.h - streams that are begun from an address: so many at once, and so many a second; the rest waits in line for a moment.
 *
 *   turnstile_enter()   false: as many streams as one address may are published from it already; nothing to leave then
 *   turnstile_when()    when the stream may begin: now, or at a time for which it waits. The place in line is taken then, whether the
 *                       stream begins or not. TURNSTILE_NEVER: too many wait before it
 *   turnstile_leave()   the stream has ended, or never began: once for each that entered
 *
 * A session costs encoders and a place at the origins long before anything is known of its publisher. Where the port is open, or one key
 * is for all, nothing else stands between one address and all the transcoders. After an outage a hundred encoders behind one address come
 * at once, and wait here rather than there. Addresses share their counters by a hash with a secret (newcomers.h). Pure but for the
 * secret; the time is passed in, monotonic. */
#ifndef INGESTD_TURNSTILE_H
#define INGESTD_TURNSTILE_H

#include <stdbool.h>
#include <stdint.h>

#include "ingestd/newcomers.h"

#define TURNSTILE_WAIT_US INT64_C(4000000) /* less than publish_timeout_ms, and than what encoders wait for an answer */
#define TURNSTILE_NEVER INT64_MAX

struct turnstile {
        struct newcomers streams;          /* of an address, that are published or wait to be */
        int64_t paid_us[NEWCOMERS_SLOTS]; /* when what was begun from there is paid off */
};

void turnstile_init(struct turnstile *s);

/* most 0: any number. address: as in peer_address.h. */
bool turnstile_enter(struct turnstile *s, const char *address, unsigned most);
void turnstile_leave(struct turnstile *s, const char *address);

/* per_s a second, as many at once after a second without; 0: at once, always. */
int64_t turnstile_when(struct turnstile *s, const char *address, unsigned per_s, int64_t now_us);

#endif
