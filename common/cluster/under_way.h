/* under_way.h - the messages that are on their way to one port, of all its connections: so many bytes together. Pure.
 *
 *   under_way_begin()    its length is known, and memory for it is about to be there
 *   under_way_arrived()  it is whole: whether it is taken soon is not its sender's to hasten
 *   under_way_ended()    its connection was shut down; its memory is still there until that is noticed
 *   under_way_end()      it was taken, or its memory has gone; idempotent
 *
 * Beyond `most` bytes those that have come for longest go: who begins a message and does not go on is the first. What goes counts until
 * it is gone, and when UNDER_WAY_GOING_MAX wait for that, the next message is one too many. Whoever has a message owns the struct, zeroed
 * at first. */
#ifndef COMMON_CLUSTER_UNDER_WAY_H
#define COMMON_CLUSTER_UNDER_WAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNDER_WAY_GOING_MAX (64u << 20)

struct message_under_way {
        struct message_under_way *next, **link; /* in the order of their beginning; link NULL: it is not coming */
        size_t bytes;                           /* 0: there is none */
        bool ended;
};

struct under_way {
        uint64_t most, bytes, ended_bytes; /* ended_bytes: of those that go */
        struct message_under_way *first, **last;
};

void under_way_init(struct under_way *u, uint64_t most);
void under_way_begin(struct under_way *u, struct message_under_way *m, size_t bytes); /* m has none */
void under_way_arrived(struct under_way *u, struct message_under_way *m);
void under_way_ended(struct under_way *u, struct message_under_way *m);
void under_way_end(struct under_way *u, struct message_under_way *m);

struct message_under_way *under_way_excess(const struct under_way *u); /* the one that has to go, or NULL */
bool under_way_full(const struct under_way *u);                        /* the one that has just begun must not */

#endif
