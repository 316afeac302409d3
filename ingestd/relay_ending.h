/* relay_ending.h - a relay tells its transcoder that it is no longer needed, or that the broadcast is over: LEAVING, CLOSING. */
#ifndef INGESTD_RELAY_ENDING_H
#define INGESTD_RELAY_ENDING_H

#include "ingestd/relay_state.h"

void relay_leave(struct relay *r);      /* LIVE or STANDBY, not busy: CLOSE_LEAVE. left() comes later */
void relay_end_stream(struct relay *r); /* likewise: CLOSE. What is left is not sent any more */
void relay_end_idle(struct relay *r);   /* IDLE: there is nobody to be told */
void relay_say_untaken(const struct relay *r); /* the broadcast ends without what is left, which is counted */

#endif
