/* sp_frames.h - follows nng's framing in a stream of bytes: the eight bytes that begin a connection, then for each message its
 * length in eight bytes and the message. Pure; one owner.
 *
 *   {0} (or greeted: what begins the connection has passed)  →  sp_frames_feed() for all that comes, in order */
#ifndef COMMON_CLUSTER_SP_FRAMES_H
#define COMMON_CLUSTER_SP_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_frames {
        bool greeted;
        uint8_t head[8];
        unsigned got;  /* of head */
        uint64_t left; /* of the message */
};

enum sp_event { SP_NOTHING, SP_MESSAGE /* its length is known now */, SP_GARBAGE /* this is not nng's */ };

/* Takes bytes up to and with the first event, or all: how many it took. *len: the message's, for SP_MESSAGE. */
size_t sp_frames_feed(struct sp_frames *f, const uint8_t *data, size_t n, enum sp_event *event, uint64_t *len);

/* Whether the next byte begins a message. */
bool sp_frames_between(const struct sp_frames *f);

#endif
