/* relay_roles.h - which of a broadcast's two relays leads, and what the one does otherwise than the other.
 *
 * The leader has the session opened, follows it, and decides what becomes of the broadcast when no transcoder takes it. The
 * shadow has another transcoder encode the leader's session (OPEN_BESIDE) for as long as the leader is live and active. What
 * becomes of it is nothing to the publication: it is sought anew until there is one. Of the states of relay.h a shadow is IDLE
 * while there is no leader to go beside, and returns there from SEEKING or LIVE when there is none any more. It is never ASKING,
 * FOLLOWING, RECLAIMING, STANDBY or CLOSING.
 *
 * When the leader loses its transcoder the two swap roles: the shadow goes on with the session, from its own next frame on, by
 * telling its transcoder that it leads; the other one seeks a transcoder beside it. So nothing is opened and nothing replayed.
 * When there is no live shadow the leader seeks its next transcoder as it would alone. Loop thread only. */
#ifndef INGESTD_RELAY_ROLES_H
#define INGESTD_RELAY_ROLES_H

#include "common/daemon/told.h"
#include "ingestd/relay_state.h"

#define RELAY_FOLLOW_MS 500 /* after the loss of a transcoder, the active broadcaster's time to find the next one */

/* What the publication is told. */
struct relay_pair_events {
        /* The transcoder will not have this stream: reason is an enum rtmp_close_reason. The relays do nothing any more. */
        void (*refused)(void *arg, int reason, const char *code, const char *text);
        void (*done)(void *arg);
        /* A transcoder has taken frames, or another one is to: relay_pair_place() may be another. */
        void (*taken)(void *arg);
};

/* How often something that ought not to has happened lately. */
struct relay_limit {
        int64_t since_us;
        unsigned times;
};

struct relay_pair {
        struct relays *all;
        struct broadcast broadcast;
        const struct relay_pair_events *events;
        void *arg;
        struct relay *leader, *shadow; /* shadow is NULL without redundancy; a swap exchanges them */

        int64_t followed_us;           /* when the session's clock was compared with HELLO's word, monotonic */
        int64_t fresh_us;              /* when the last frame came; 0: never */
        int64_t moved_us;              /* when the leader moved away from one that drains; 0: never */
        struct relay_limit turned_out; /* the leader lost the session, or the transcoder forgot it, with no shadow to lead */
        struct relay_limit swaps;      /* for the same reasons */
        struct told told_refused;      /* that no transcoder opened it, for this reason: */
        int told_status;
        bool said_alone;     /* that there is no second transcoder */
        int shadows_counted; /* in the gauge */
        bool done;
};

void relay_roles_begin(struct relay_pair *p); /* makes the leader, and a shadow if there is to be one; the other fields are set */
void relay_roles_changed(struct relay_pair *p); /* the leader, or what is to become of the broadcast: the shadow follows */

#endif
