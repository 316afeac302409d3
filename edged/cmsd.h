/* cmsd.h - what an edge says of itself and of a viewer's connection: Common Media Server Data, CTA-5006. Pure, but for cmsd_look().
 *
 *   CMSD-Dynamic: "edge-1";etp=2900;rtt=24;rd=310;mb=1800;du      CMSD-Static: ht=310
 *
 * etp and rtt are the kernel's of this connection, ht and rd how long the request was held until there was something to send, so that a
 * player does not take waiting for a slow network. du: this edge has little left, and players that know another one had better go
 * there; mb: the rate at which there is enough for all that are here. */
#ifndef EDGED_CMSD_H
#define EDGED_CMSD_H

#include <stdbool.h>
#include <stdint.h>

#include "edged/wire/send.h"

struct cmsd {
        const char *node;   /* who says so */
        uint64_t etp_kbps;  /* 0: not known */
        uint32_t rtt_us;    /* 0: not known */
        int64_t held_us;
        bool pressed;
        uint64_t most_kbps; /* 0: nobody knows */
};

/* Fields for one sending (send.h); "": there is nothing to say. Returns dst. */
const char *cmsd_fields(char dst[OUTPUT_EXTRA_MAX], const struct cmsd *c);

/* What the edge has, and what of it is in use. */
struct cmsd_load {
        int64_t now_us; /* monotonic */
        int64_t clients, clients_max;
        int64_t sent_bytes;    /* ever, to viewers */
        int64_t uplink_bits_s; /* may be sent in sum; 0: not known */
};

/* Once a second, loop thread: the load in thousandths, of what is nearest to its end. Pressed from 900 on, until it is below 800. */
unsigned cmsd_look(const struct cmsd_load *l);
/* Sets pressed and most_kbps, as of the last look. Any thread. */
void cmsd_add_press(struct cmsd *c);

#endif
