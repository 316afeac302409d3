/* relay.h - one way to a transcoder: OPEN, MEDIA batch by batch, CLOSE (proto/media.h), and another transcoder whenever
 * one fails. A publication has one, which leads, or two (relay_pair.h). Of the one that leads:
 *
 *   IDLE      relay_new()
 *   SEEKING                    walks the ring for the one that has the stream, then for one that takes it; waits and
 *                              begins again when none does
 *   OPENING                    OPEN is under way
 *   LIVE                       frames are in the replay buffer. One batch is in flight, the next one gathers meanwhile; to a
 *             transcoder that is far away there are several
 *             While another broadcaster of the stream is active it stands by: empty batches, and the buffer is trimmed
 *             to what that one has stored, so that this one goes on from there when it is told to
 *   CLOSING                    what is left has been sent, CLOSE is under way
 *   DONE                       relay_free() is due
 *
 * From LIVE any failure leads back to SEEKING, if there is no shadow to lead, and OPEN on the next transcoder is
 * followed by all that the buffer holds. relay_finish() may be called in every state.
 *
 * A shadow is IDLE while there is no leader to go beside, and goes from LIVE or SEEKING back to IDLE when there is none
 * any more; LEAVING is CLOSE_LEAVE under way. It is DONE when the publication ends.
 *
 * Calls and their answers go over struct relay_link, so that tests can be the transcoder. Loop thread only. */
#ifndef INGESTD_RELAY_H
#define INGESTD_RELAY_H

#include <stdbool.h>
#include <uv.h>

#include "ingestd/beat.h"
#include "ingestd/generations.h"
#include "ingestd/relay_link.h"
#include "ingestd/replay.h"
#include "ingestd/timeline.h"

/* Batches of a stream under way to a transcoder that answers later than RELAY_FAR_US: so a frame waits for an eighth of a round trip,
 * and a lost packet is followed by others, by which TCP notices soon. */
#define RELAY_WINDOW 8
#define RELAY_FAR_US 40000
#define RELAY_CLOSE_MS 2000    /* deadline of CLOSE; that of MEDIA is in beat.h */
#define RELAY_OPEN_MS 3000     /* of OPEN: the transcoder asks its origins meanwhile */
#define RELAY_ASK_MS 500       /* of OPEN_IF_HELD */
#define RELAY_KEEPALIVE_MS 500 /* an empty batch when there is nothing to send */
#define RELAY_STANDBY_MS 200 /* likewise while another broadcaster is active: as late as it hears that it is to go on  \
                              */
#define RELAY_FOLLOW_MS 500  /* after the loss of a transcoder, the active broadcaster's time to find the next one */
#define RELAY_FINISH_MS 5000       /* at the end of a stream, for a frame to be taken of those that are left */
#define RELAY_FINISH_MOST_MS 30000 /* for all of them; no more than RELAY_FINISH_MS when the daemon leaves */
#define RELAY_STRAY_US 30000000 /* so long an OPEN that was not answered may still be taken */
#define RELAY_CANDIDATES 16     /* transcoders that are tried before waiting */

struct relay;

/* What all relays of a daemon share. */
struct relays {
        uv_loop_t *loop;
        const struct relay_link *link;
        void *link_arg;
        unsigned gather_ms; /* frames wait so long for others; 0: not at all */
        bool leaving;       /* the daemon ends */
        struct beat beat;
        struct generations generations;
};
void relays_open(struct relays *rs);  /* the fields before beat are set */
void relays_close(struct relays *rs); /* no relay is left */

#endif
