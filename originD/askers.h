/* askers.h - who asks, and what each has of what there is little of: places to wait in, and turns at the disk.
 *
 * An asker is a connection of nng, or an address that HTTP comes from. A question (struct asking, a part of it that is the
 * asker's) may wait, for what is to come or for its turn, and may have a turn:
 *   askers_wait()   it waits: refused to who has as many as one may have, or (when all are taken) its even share of them
 *   askers_read()   it wants to read from the disk: at once, or it stands in line. A line is an asker's, and lines have their
 *                   turns round robin: who asks a lot waits for itself
 *   askers_next()   whose turn it is now
 *   askers_yield()  its turn is over though nothing was read, or no more is; it may want another one
 *   askers_keep()   it was read: the turn is over, the bytes are in memory until whoever asked has taken them
 *   askers_leave()  answered, and taken: all that it had is free again. Harmless for one that has nothing
 * Loop thread only, but nothing here knows of the loop, or of time. */
#ifndef ORIGIND_ASKERS_H
#define ORIGIND_ASKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* READ_LIVE: of what live viewers are at, most of it in the kernel's memory. READ_OLD: all else that is here. READ_ARCHIVE: what is
 * in an object store, which may take seconds. Two for each of the pool's two
 * threads, so that none is idle while the loop has an answer sent, and half of that for one asker, so that what it asks for,
 * however slow, leaves a thread to the others. A turn holds a segment of at most SEGMENT_MAX_BYTES. */
enum read_kind { READ_LIVE, READ_OLD, READ_ARCHIVE, READ_KINDS };
#define READS_AT_ONCE 4
#define READS_OF_ONE 2

/* Bytes that were read for somebody and are not taken yet. Who has so many has no turn: HTTP clients may be slow, and are many. */
#define READ_BYTES_MAX (256u << 20)
#define READ_BYTES_OF_ONE (64u << 20)

#define ASKERS_WAITS_FACTOR 4 /* so many askers may have all that one may have */
#define ASKER_BUCKETS 256

struct asking {
        struct asker *asker; /* NULL: it has nothing */
        bool waiting;
        enum asking_state { ASKING_NOTHING, ASKING_IN_LINE, ASKING_READS } state;
        enum read_kind kind;
        size_t bytes; /* kept */
        struct asking *next, **prev; /* in line */
};

struct asker {
        struct asker *next; /* of the bucket */
        uint64_t id;
        size_t waiting, questions, bytes;
        struct asker_line {
                struct asking *first, **last;
                unsigned reading;
                struct asker *next_in_turn, *prev_in_turn; /* a ring of those with somebody in line */
        } lines[READ_KINDS];
};

struct askers {
        size_t waits_of_one;
        size_t waiting, count, bytes;
        struct {
                unsigned reading;
                size_t in_line;
                struct asker *next; /* of the ring; NULL: nobody is in line */
        } kinds[READ_KINDS];
        struct asker *buckets[ASKER_BUCKETS];
};

void askers_init(struct askers *a, size_t waits_of_one);
bool askers_wait(struct askers *a, struct asking *q, uint64_t id);
/* true: it reads. Otherwise it is in line; it is to wait already. */
bool askers_read(struct askers *a, struct asking *q, enum read_kind kind);
struct asking *askers_next(struct askers *a, enum read_kind kind); /* NULL: nobody, or not yet */
void askers_no_wait(struct askers *a, struct asking *q); /* it waits no more; its turn stays */
void askers_yield(struct askers *a, struct asking *q); /* harmless for one that does not read */
void askers_keep(struct askers *a, struct asking *q, size_t bytes);
void askers_leave(struct askers *a, struct asking *q);

#endif
