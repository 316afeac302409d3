/* clock.h - the two clocks. Wall time is for what other machines see (epochs, manifests, logs) and may be stepped by NTP;
 * monotonic time is for deadlines and intervals. Microseconds. Any thread. Pure code takes the time as an argument. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)

int64_t clock_wall_us(void); /* since 1970-01-01T00:00:00Z */
int64_t clock_mono_us(void);

/* "2026-01-31T12:34:56.789Z" into dst, cut to cap. Returns dst. */
#define CLOCK_ISO_MAX 32
char *clock_iso(char *dst, size_t cap, int64_t wall_us);

#endif
