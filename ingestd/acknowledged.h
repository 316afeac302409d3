/* acknowledged.h - how far one transcoder has acknowledged the frames of the replay, and how far they were sent to it.
 *
 *   acknowledged_begin()     a handle was opened: nothing was sent yet, and the replay's head is frame 0 of that handle
 *   acknowledged_send()      a batch leaves
 *   acknowledged_read()      its answer says which frames the transcoder took, and which are to be sent again
 *   acknowledged_took()      and how long that answer came after the batch
 *   acknowledged_tell()      a batch leaves that is not answered by itself: the next one that is speaks for it
 *   acknowledged_ground()    of what is under way nothing is known any more: all that was not taken is sent again
 *   acknowledged_stay()      the broadcaster stands by: nothing is sent, wherever the replay begins by now
 *
 * Frames have the replay's numbers: head <= taken <= sent <= tail. Those before `taken` were taken, but only what the transcoder
 * says is stored lets go of a frame (replay_trim()). Pure: time is an argument. */
#ifndef INGESTD_ACKNOWLEDGED_H
#define INGESTD_ACKNOWLEDGED_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/media.h"

/* Batches of a stream under way to a transcoder that answers later than RELAY_FAR_US: so a frame waits for an eighth of a round trip,
 * and a lost packet is followed by others, by which TCP notices soon. */
#define RELAY_WINDOW 8
#define RELAY_FAR_US 40000

struct acknowledged {
        uint64_t taken;      /* all before this frame was taken */
        uint64_t sent;       /* and all before this one sent: the next one to send */
        uint64_t most_sent;  /* by this handle, ever: sent may have been set back since */
        uint64_t most_taken; /* likewise */
        uint64_t wire_zero;  /* the frame that was number 0 of this handle */
        uint32_t credit;     /* so many frames beyond taken may be under way */
        bool going_back;     /* of what is under way not all was taken: nothing is sent until all of it is answered */
        int64_t sent_us;     /* when the last batch left */
        int64_t answer_us;   /* how long an answer takes at least; 0: not known */
        int64_t asked_us;    /* when the last batch left that is answered */
        bool told;           /* batches left since */
};

void acknowledged_begin(struct acknowledged *a, uint64_t head);
void acknowledged_stay(struct acknowledged *a, uint64_t head, uint64_t seq); /* frame head has number seq of the handle */
void acknowledged_ground(struct acknowledged *a);

uint64_t acknowledged_seq(const struct acknowledged *a);  /* the number, by the handle, of the frame to be sent next */
uint64_t acknowledged_room(const struct acknowledged *a); /* so many more may be sent */
void acknowledged_send(struct acknowledged *a, unsigned frames, int64_t now_us);

/* What was told is known to be taken this much later at most. */
#define RELAY_TOLD_US 150000
/* Whether the next batch may be one that is only told: to a transcoder that is near, and has room for far more than the frames that wait,
 * so they will all be taken. */
bool acknowledged_may_tell(const struct acknowledged *a, uint64_t waiting, int64_t now_us);
void acknowledged_tell(struct acknowledged *a, unsigned frames);

/* False: seq lies beyond all that this handle was sent, so the answer that says it makes no sense. */
bool acknowledged_possible(const struct acknowledged *a, uint64_t seq);

enum acknowledged_verdict {
        ACK_TAKEN,
        ACK_OVERTAKEN, /* a later answer was read before this one, and said more: nothing changed */
        ACK_GONE,      /* the transcoder wants frames from before head: nothing changed */
};

struct acknowledgement {
        bool more;      /* frames were taken that were not taken before: what is taken back and taken again is no progress */
        bool stuck;     /* none of the batch was */
        uint64_t again; /* so many of the batch were not */
};

/* The answer to the batch that ended before frame `end`, with the number (by the handle) of the frame that the transcoder takes
 * next. *out is set with ACK_TAKEN. */
enum acknowledged_verdict acknowledged_read(struct acknowledged *a, uint64_t next_seq, uint64_t end, uint64_t head,
                                            struct acknowledgement *out);

/* After acknowledged_read(): acknowledged_ground() is due. aboard: batches that are under way. */
bool acknowledged_stranded(const struct acknowledged *a, unsigned aboard);

void acknowledged_took(struct acknowledged *a, int64_t took_us);

/* When another batch may leave while `aboard` of them are under way. INT64_MAX: when one is answered. */
int64_t acknowledged_next_us(const struct acknowledged *a, unsigned aboard);

#endif
