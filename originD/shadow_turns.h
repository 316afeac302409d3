/* shadow_turns.h - whose turn it is: PUTs of two writers of one generation, a leader and its shadow (proto/store.h, PUT_SHADOW).
 *
 *   shadow_turns_open → shadow_turns_put(), shadow_turns_session_changed() → shadow_turns_stop (all who wait are answered) → shadow_turns_close
 * Three kinds of PUTs wait here. A shadow's, for SHADOW_TURNS_LEADER_MS, while the leader's of the same place is likely to come:
 * so every owner of the stream stores the leader's chunk as long as it is in time and connected. And one that the log did not
 * take since it goes on from another chunk than what stands there (ERR_NOT_YET), for SHADOW_TURNS_FIT_MS, until the place is
 * filled by the other writer. And one that has overtaken the one that its writer sent before it, for SHADOW_TURNS_ORDER_MS.
 * A shadow's that waited for one of the latter waits for the leader after it, for the leader's time begins when the place is the next
 * one. What stands where is the log's to say; a wrong guess here costs only time. Loop thread only. */
#ifndef ORIGIND_SHADOW_TURNS_H
#define ORIGIND_SHADOW_TURNS_H

#include "originD/session.h"

#define SHADOW_TURNS_LEADER_MS 30
/* Of sound that does not go on from the very bytes that stand before it: two encoders make it alike, but not always byte by
 * byte, and all owners are to store the same. */
#define SHADOW_TURNS_SOUND_MS 250
#define SHADOW_TURNS_FIT_MS 300
#define SHADOW_TURNS_ORDER_MS 300
#define SHADOW_TURNS_MAX 256 /* that wait, a session: all that two writers send at a time of SESSION_TRACKS_MAX tracks */

struct shadow_turns {
        uv_timer_t timer;
        int64_t leader_us, sound_us, fit_us, order_us; /* how long they wait */
        bool (*connected)(void *arg, const char *node); /* NULL: every node is */
        void *arg;
        int64_t next_us;           /* when the timer fires; INT64_MAX: never */
        struct turn *first, **last;
        bool stopping;
};

enum turn_waits { TURN_LEADER, TURN_FITS, TURN_ORDER }; /* for the leader's; to fit; for what its writer sent before it */

/* A chunk on its way into the log of its track; the caller's memory until done(). */
struct turn {
        struct chunk_append append; /* filled in but for done */
        struct session *session;
        char track[TRACK_NAME_MAX + 1]; /* there, and its log open, at shadow_turns_put() */
        /* As chunk_append's, but ERR_FENCED instead of ERR_NOT_YET, also: there is a newer writer by now; ERR_NOT_FOUND: the
         * session is over; ERR_FULL: too many wait; ERR_CANCELED: stopping. May come from inside the call. */
        void (*done)(struct turn *t, int status);

        struct shadow_turns *turns;
        struct turn *next;
        enum turn_waits waits;
        int64_t leader_since_us; /* from when on the leader's was waited for: the place was the next one */
        int64_t due_us;          /* so long it waits */
        int64_t fit_due_us;      /* 0: it did not wait to fit yet */
        int64_t order_due_us;    /* nor for what its writer sent before it */
        uint64_t seen_moves; /* of the session, when it was looked at last */
};

void shadow_turns_open(struct shadow_turns *ts, uv_loop_t *loop);
void shadow_turns_put(struct shadow_turns *ts, struct turn *t);
void shadow_turns_session_changed(struct shadow_turns *ts, struct session *s);
void shadow_turns_node_gone(struct shadow_turns *ts); /* a node is not connected any more: who waits for it need not */
void shadow_turns_stop(struct shadow_turns *ts);
void shadow_turns_close(struct shadow_turns *ts); /* nobody waits; freed by the loop */

/* Whether a writer of this generation may go on with the track: 0, ERR_NOT_FOUND, ERR_FENCED. To be asked again after every
 * wait. */
int shadow_turns_judge(struct session *s, const char *track, uint32_t generation);

#endif
