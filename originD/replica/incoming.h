/* incoming.h - one closed volume on its way here from another origin: written into a folder beside its track's, then put in
 * its place in one step.
 *
 *   incoming_init() on the loop;  then on the pool, in this order, each blocking:
 *   incoming_begin → incoming_add… (whole segments, rising) → incoming_check → incoming_install;  incoming_drop at any time
 *   incoming_free() on the loop, whatever came before; its files are then installed or dropped
 * Errors are those of errno (err_from_errno), and where it is said ERR_PROTO and ERR_CONFLICT. After an error only
 * incoming_drop() may follow. What lies in the folder from an earlier time is removed: it was never anybody's. */
#ifndef ORIGIND_INCOMING_H
#define ORIGIND_INCOMING_H

#include "originD/log/volume.h"

struct incoming {
        char *dir;    /* of the track */
        char *folder; /* of its own */
        struct init_info info;
        struct buf *init;
        struct volume_track track; /* of the folder and the two above */
        uint32_t number, crc;
        struct volume_files files;
        struct volume_sum sum;
};

void incoming_init(struct incoming *in, const struct volume_track *of, uint32_t number);
void incoming_free(struct incoming *in);

int incoming_begin(struct incoming *in);
int incoming_add(struct incoming *in, uint32_t segment, struct buf *bytes); /* ERR_PROTO: these are no chunks of the track's */
int incoming_check(struct incoming *in, const struct volume_sum *expected); /* ERR_CONFLICT: it came to something else */

/* In place of what is there of that name, which nobody may be reading. A crash leaves the old one, or the new one with or
 * without its index file. */
int incoming_install(struct incoming *in);
void incoming_drop(struct incoming *in);

#endif
