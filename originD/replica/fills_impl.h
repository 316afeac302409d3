/* fills_impl.h - what the files of filling in share, and nobody else calls.
 *
 *   fills.c         life, time, which volume is next
 *   fills_wanted.c  the sessions that lack volumes
 *   fills_bring.c   the way of one volume: who has it, its segments, into its place */
#ifndef ORIGIND_FILLS_IMPL_H
#define ORIGIND_FILLS_IMPL_H

#include "originD/replica/fills.h"
#include "originD/replica/incoming.h"
#include "originD/replica/read_ahead.h"

#define FILLS_AGAIN_US (2 * US_PER_S) /* after a volume could be had from nobody, */

/* A session that lacks volumes. */
struct wanted {
        char id[SESSION_ID_MAX + 1];
        int64_t epoch_us;
        int64_t not_before_us;
        unsigned failures;
        uint64_t below;      /* volumes from this number on could be had from nobody in this round */
        struct wanted *next; /* the newest first */
};

enum step { IDLE, LOADING, ASKING, FETCHING, WRITING, HIDING };

/* The volume that is on its way. */
struct fill {
        enum step step;
        struct session *s; /* pinned */
        char track[TRACK_NAME_MAX + 1], peer[NODE_ID_MAX + 1];
        uint32_t number;
        struct volume_sum expected; /* as the peer has it */
        struct eras eras;           /* likewise, as far as its end */
        struct incoming in;
        bool begun;       /* in is */
        size_t next_peer; /* of those that are up, to ask if this one fails */
        struct ahead_segment *adding; /* the one that is being written */
        int status;        /* of the pool's job */
        uint64_t replaced; /* bytes of what is here of it, once it is hidden */
        bool hidden;       /* the row is, and is to be taken */
        bool damaged;      /* something of it is here, and may be being read */
        unsigned refusals; /* that its peer had no time, one after the other */
        int64_t since_us;  /* it hides */
};

struct fills {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct peer_link *link;
        struct fills_options options;
        struct wanted *wanted;
        size_t wanted_count;
        uint64_t seen;      /* of the store's changes */
        struct fill now;
        struct read_ahead ahead; /* of its segments */
        unsigned under_way; /* a question to a peer or a job of the pool: 0 or 1 */
        uint64_t counted;   /* of what was fetched: it is taken off the allowance already */
        bool stopping;
};

/* ---- fills_wanted.c ---- */

bool fills_lacks(const struct volume_row *v);
struct wanted **fills_find_wanted(struct fills *f, const char *id);
void fills_forget(struct fills *f, const char *id);
void fills_look_at_changes(struct fills *f);

/* ---- fills_bring.c: of the volume in `now` ---- */

void fills_ask_peer(struct fills *f); /* it begins: the next of those that are up is asked for it */
void fills_bring(struct fills *f);    /* FETCHING: there may be more of the allowance */
void fills_hide(struct fills *f);     /* HIDING: readers may be gone */
void fills_put_off(struct fills *f);  /* its session waits, longer each time */
void fills_failed(struct fills *f, int status);
void fills_end_one(struct fills *f);
void fills_on_segment(void *fills);   /* read_ahead's */

#endif
