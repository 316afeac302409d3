#include "ingestd/relay_ending.h"

#include <inttypes.h>

#include "common/daemon/log.h"
#include "ingestd/stats.h"

#define CLOSE_MS 2000 /* deadline of CLOSE; that of MEDIA is in shipment.h */

static void send_close(struct relay *r, enum relay_state next, enum close_reason why)
{
        struct close_stream m = {.handle = r->handle, .reason = (uint8_t)why};
        relay_set_state(r, next);
        relay_call(r, message_new(MSG_CLOSE, close_stream_encode, &m), CLOSE_MS);
}

void relay_leave(struct relay *r)
{
        send_close(r, RELAY_LEAVING, CLOSE_LEAVE);
}

/* What was sent to one that is lost may be stored, as far as anybody here knows. */
static uint64_t untaken(const struct relay *r)
{
        uint64_t from = r->state == RELAY_LIVE ? r->ack.taken : r->broadcast->sent, tail = relay_replay(r)->tail;
        from = from > relay_replay(r)->head ? from : relay_replay(r)->head;
        return from < tail && r->broadcast->place != PLACE_STANDBY ? tail - from : 0;
}

void relay_say_untaken(const struct relay *r)
{
        stats_add(STAT_UNTAKEN_FRAMES, (int64_t)untaken(r));
        log_warn("session=%s stream=%s frames=%" PRIu64 " msg=\"no transcoder took the end of the stream\"",
                 broadcast_session(r->broadcast), r->broadcast->stream.stream, untaken(r));
}

void relay_end_idle(struct relay *r)
{
        if (untaken(r) > 0) /* it was not its turn yet */
                relay_say_untaken(r);
        relay_become_done(r);
}

void relay_end_stream(struct relay *r)
{
        if (untaken(r) > 0)
                relay_say_untaken(r);
        send_close(r, RELAY_CLOSING, r->broadcast->finish);
}
