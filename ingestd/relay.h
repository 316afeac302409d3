/* relay.h - one way to a transcoder: OPEN, MEDIA batch by batch, CLOSE (proto/media.h), and another transcoder whenever
 * one fails. A publication has one, which leads, or two (relay_roles.h).
 *
 *   IDLE      relay_new()
 *   ASKING                     walks the ring for the transcoder that has the stream
 *   SEEKING                    walks it for one that takes the stream; waits and begins again when none does
 *   FOLLOWING                  as ASKING, after the session was led to another transcoder: for that one
 *   RECLAIMING                 as SEEKING, after FOLLOWING in vain: for one where no other broadcaster has our place
 *   LIVE                       the replay's frames are sent. One batch is in flight, the next one gathers meanwhile; to a
 *             transcoder that is far away there are several
 *   STANDBY                    another broadcaster of the stream is active: batches are empty, and the replay is trimmed to what
 *             that one has stored, so that this one goes on from there when the transcoder says so
 *   LEAVING                    CLOSE_LEAVE is under way: the transcoder is no longer needed, the broadcast goes on
 *   CLOSING                    what is left has been sent, CLOSE is under way
 *   DONE                       relay_free() is due
 *
 * The four that walk the ring wait for their timer, or for the answer to OPEN. What each state does about each event is in the
 * table of relay.c; what a relay does otherwise when it leads than as a shadow is in its struct relay_role. relay_finish() may be
 * called in every state.
 *
 * Calls and their answers go over struct transcoder_link, so that tests can be the transcoder. Loop thread only. */
#ifndef INGESTD_RELAY_H
#define INGESTD_RELAY_H

#include "ingestd/relay_state.h"

void relays_open(struct relays *rs);  /* the fields before shipments are set */
void relays_close(struct relays *rs); /* no relay is left */

struct relay *relay_new(struct relays *rs, struct relay_pair *p, struct broadcast *b, const struct relay_role *role,
                        const struct relay_events *events);
void relay_free(struct relay *r); /* DONE only */

void relay_kick(struct relay *r);                                /* a frame is in the replay */
void relay_poke(struct relay *r);                                /* other transcoders may be there */
void relay_lose(struct relay *r, const struct rpc_client *gone); /* its connection is no longer ours to use */
void relay_finish(struct relay *r);                              /* the broadcast ends: broadcast_finish() was called */

#endif
