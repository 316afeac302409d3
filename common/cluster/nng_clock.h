/* nng_clock.h - a third thing about nng 1.5 that is mended from outside (nng_fix.h): as Debian builds it, all its timers go by the
 * system's clock. When that is set back by a day, no request times out and no lost connection is dialed anew for a day; set forwards,
 * whatever waits has waited long enough at once.
 *
 * nng asks clock_gettime() what time it is, and waits by pthread_cond_timedwait(), through their symbols. So this program has functions
 * of these names: called from nng they are those of the monotonic clock, called from anywhere else what they always are. Where the
 * symbols are bound otherwise (a libnng linked statically) nothing changes. With a sanitizer nothing does either: it watches the same
 * two. Any thread. */
#ifndef COMMON_CLUSTER_NNG_CLOCK_H
#define COMMON_CLUSTER_NNG_CLOCK_H

#include <stdbool.h>

/* Links this file in. Whether nng goes by the monotonic clock. */
bool nng_clock_is_steady(void);

#endif
