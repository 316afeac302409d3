/* retention.h - which recordings go: the oldest ended ones, by age and by bytes; never a live session. Loop thread. */
#ifndef ORIGIND_RETENTION_H
#define ORIGIND_RETENTION_H

#include "originD/store.h"

/* Removes what options ask for now. Returns how many. */
size_t retention_sweep(struct store *st, int64_t now_wall_us);

#endif
