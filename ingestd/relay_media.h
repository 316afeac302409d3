/* relay_media.h - a relay sends the replay's frames, and reads what becomes of them: LIVE, STANDBY. What goes to one transcoder goes
 * together (shipment.h); how far it was taken is acknowledged.h's. */
#ifndef INGESTD_RELAY_MEDIA_H
#define INGESTD_RELAY_MEDIA_H

#include "ingestd/relay_state.h"

extern const struct shipment_ops relay_media_shipment;

void relay_become_live(struct relay *r, bool standby);
void relay_send(struct relay *r);      /* not busy: the next batch, now, be it an empty one */
void relay_media_due(struct relay *r); /* LIVE: there are frames to send */

/* What these states do. */
void relay_media_live_timer(struct relay *r);
void relay_media_standby_timer(struct relay *r);
void relay_media_live_answered(struct relay *r, const struct media_reply *m, const struct shipment_batch *of);
void relay_media_standby_answered(struct relay *r, const struct media_reply *m, const struct shipment_batch *of);

#endif
