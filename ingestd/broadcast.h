/* broadcast.h - a broadcast as its relays know it: what is true whichever transcoder has it, and stays when it goes to another.
 *
 * The publication owns the timeline, the replay and the strings; the pair of relays (relay_roles.h) owns this. The session's id, epoch
 * and clock come with the answer to OPEN (broadcast_adopt()). Nothing here sends or waits. Loop thread only. */
#ifndef INGESTD_BROADCAST_H
#define INGESTD_BROADCAST_H

#include <stdbool.h>
#include <stdint.h>

#include "ingestd/replay.h"
#include "ingestd/timeline.h"
#include "proto/media.h"

#define RELAY_FINISH_MS 5000       /* at the end of a broadcast, for a frame to be taken of those that are left */
#define RELAY_FINISH_MOST_MS 30000 /* for all of them, once the next broadcast of its name waits, or a transcoder was lost after the end;
                                      no more than RELAY_FINISH_MS when the daemon leaves */
#define RELAY_STRAY_US 30000000    /* so long an OPEN that was not answered may still be taken */

/* What a publication says of its broadcast. Strings are borrowed for the life of the relays, and filled in before OPEN. */
struct relay_stream {
        const char *stream, *publisher, *encoder, *title;
        uint8_t role;        /* as the broadcaster asked: OPEN_PRIMARY, OPEN_BACKUP or OPEN_NOW */
        unsigned redundancy; /* transcoders that encode it: 1 or 2 */
};

/* Of two broadcasters of one stream one is active, and the other stands by. */
enum broadcast_place {
        PLACE_UNKNOWN, /* no transcoder has said so yet, or not since the session was led away */
        PLACE_ACTIVE,
        PLACE_STANDBY,
};

struct broadcast {
        struct relay_stream stream;
        struct timeline *timeline;
        struct replay *replay;

        char session[SESSION_ID_MAX + 1]; /* "" before the first one */
        uint32_t generation;              /* the newest that was heard of this session */
        char claimer[NODE_ID_MAX + 1];    /* the transcoder that claimed it */
        int64_t skew_us;                  /* the session's clock is ahead of our wall clock by this */
        bool said_apart;                  /* that the skew is not what OPEN said */
        enum broadcast_place place;
        int64_t stray_us;                 /* when an OPEN was left without an answer: it may have been taken; 0: none was */
        uint64_t sent;                    /* how far the leader, whichever it was, has sent frames */
        bool held;                        /* the broadcaster is not read from: that no frames come is not its silence */
        bool refused;                     /* no transcoder is to have it any more */
        enum close_reason finish;         /* why it ends; 0: it goes on */
        bool waited_for;                  /* the next broadcast of its name is there */
        int64_t finish_by_us, finish_most_us;
};

const char *broadcast_session(const struct broadcast *b); /* for the log */
bool broadcast_over(const struct broadcast *b);

/* The broadcast ends. From then on frames are sent as long as some are taken: for as long as that takes, unless the next broadcast of its
 * name waits, or this one has to be opened again: what is left may be what transcoders die of. */
void broadcast_finish(struct broadcast *b, enum close_reason why, int64_t now_us);
void broadcast_progress(struct broadcast *b, int64_t now_us); /* frames were taken */
void broadcast_wait_for(struct broadcast *b, int64_t now_us); /* before its end or after; the first time counts */
bool broadcast_overdue(const struct broadcast *b, int64_t now_us);

void broadcast_set_place(struct broadcast *b, enum broadcast_place place); /* counts those that stand by */

/* For OPEN. A session that has ended meanwhile is followed by one that begins with what is left in the replay: the epoch to offer. */
int64_t broadcast_epoch_us(const struct broadcast *b);
enum open_role broadcast_role(const struct broadcast *b);
void broadcast_fill_open(const struct broadcast *b, struct open *m); /* who it is; the codec configurations are borrowed */
bool broadcast_may_be_elsewhere(const struct broadcast *b, int64_t now_us); /* by an OPEN of ours that was not answered */

/* A transcoder has opened the broadcast, to which offered_epoch_us was offered: frames move to the epoch of its session, and time is told
 * by the clock of that. possible: there can be such a generation. now: monotonic. */
void broadcast_adopt(struct broadcast *b, const struct open_reply *m, int64_t offered_epoch_us, bool possible, int64_t now_us);

#endif
