/* catch_up_impl.h - what the files of catching up share, and nobody else calls.
 *
 *   catch_up.c           life, time, who waits, the copies under way
 *   catch_up_lacks.c     the list of what peers have more
 *   catch_up_partners.c  what each peer tells, and how it is compared with what is here */
#ifndef ORIGIND_CATCH_UP_IMPL_H
#define ORIGIND_CATCH_UP_IMPL_H

#include "originD/replica/catalog.h"
#include "originD/replica/catch_up.h"
#include "originD/replica/copy_session.h"

/* A session that a peer has more of. */
struct lack {
        char id[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1], peer[NODE_ID_MAX + 1];
        int64_t epoch_us;
        bool live;
        bool exact; /* somebody asked for this one: to be looked at now, and to the last chunk */
        bool again; /* it was asked for while it was being copied */
        bool told;  /* by the last list of this peer */
        bool foreign; /* not to be here: only known */
        int64_t not_before_us;
        unsigned failures;
        struct copy_session *copy; /* under way */
        struct catch_up *catch_up;
        struct lack *next, *next_of_bucket;
};
#define LACK_BUCKETS 1024 /* by stream: for every question that waits it is asked what lacks, fifty times a second */

struct partner {
        char id[NODE_ID_MAX + 1];
        int64_t incarnation_us;
        bool long_parts; /* it knows them: it says so, or has a session with such; of one that is away what is known of it */
        bool up, compared; /* compared: in full, since it came up */
        bool heard_of_live; /* since it came up: of each session that is live here it has told what it is there */
        int64_t heard_us;  /* it answered last */
        enum { ASKS_NOTHING, ASKS_ENDED, ASKS_LIVE, ASKS_ONE } asking; /* the list that is being fetched */
        char (*untold)[SESSION_ID_MAX + 1]; /* live here, not there: asked for one by one, the last one first */
        size_t untold_count, untold_room;
        struct live_round { /* the pages of what is live there, as long as they are asked for, and what is known behind the last one */
                bool all;          /* not only what moved: what is not told is not live there */
                bool failed;
                uint64_t since, next; /* moves there: asked from, and to ask from when all pages were read; 0: all is to be told */
                int64_t before_ms; /* where the next page begins; the first: INT64_MAX, "" */
                char before[SESSION_ID_MAX + 1];
                int64_t all_us, spent_us; /* when all of it was asked for last, and what taking it in has cost this loop */
        } live;
        uint64_t since;    /* what ended there is known up to this change of its */
        bool more;         /* than could be noted: it stays there until there is room */
        bool pages_left;   /* of what ended: what is live is looked at in between */
        bool forgotten;    /* what it told; an answer that is on its way does not know that */
        bool starts;       /* it does not know itself yet what it has: nobody waits for that */
        int64_t asked_us, asked_live_us;
        struct catch_up *catch_up;
        uint8_t *text;
        size_t len;
};

struct catch_up {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct peer_link *link;
        struct catch_up_options options;
        struct catch_up_events events;
        struct ring *ring; /* all origins seen since the start, this one too; their nodes are strings */
        bool settled, caught_up, stopping;
        int64_t opened_us;
        struct partner partners[PEERS_UP_MAX];
        size_t partner_count;
        struct lack *lacks; /* live ones first, then by epoch, the newest first */
        struct lack *by_stream[LACK_BUCKETS]; /* in the same order */
        size_t lack_count, foreign_count, copying;
        struct lack *copies[CATCH_UP_COPIES_MAX]; /* those of them that are copied now, in any order */
        struct catch_up_wait *waits;
};

/* ---- catch_up_lacks.c ---- */

/* NULL: there are too many. */
struct lack *catch_up_note_lack(struct catch_up *r, const char *peer, const char *id, const char *stream, int64_t epoch_us, bool live,
                                bool foreign);
void catch_up_forget_lack(struct catch_up *r, struct lack *l);
void catch_up_move_lack(struct catch_up *r, struct lack *l); /* to where it is now, when what it is ordered by has changed */
const struct lack *catch_up_lacks_like(const struct catch_up *r, const char *stream); /* of the stream and others, by next_of_bucket */

/* ---- catch_up_partners.c ---- */

void catch_up_begin_comparing(struct partner *p);

/* ---- catch_up.c ---- */

void catch_up_start_copies(struct catch_up *r);
void catch_up_stop_copies_of(struct catch_up *r, const char *peer);
void catch_up_check_settled(struct catch_up *r);

#endif
