/* webhooks.h - tells operators' servers of events (events.h): signed POSTs, each at least once, though any one process dies.
 *
 *   webhooks_open         reads what the last process had not delivered
 *   webhooks_store_ready  the store has its sessions: what happened to them and was not told is found
 *   webhooks_session_changed, webhooks_peers_changed, webhooks_configure
 *   webhooks_stop         nothing is sent any more, what waits goes to the disk (store_stop() waits for that)
 *   webhooks_close        after that, and after the link is closed
 *
 * Who sends. Every owner of a stream finds every event. The first of the stream's ring, of the origins that are up, sends
 * at once. The others keep it for HOLD_US and ask their peers every POLL_US what is settled ("/peer/events"): settled there is settled
 * here. What is not settled by then, or is theirs because the first one is gone, they send themselves. So an event is
 * sent once as long as nobody dies, and at least once when somebody does; its id is the same each time.
 *
 * What survives. DATA_DIR/events.json holds what waits, what was told of each live session and what was settled lately. It is
 * written after an event is found; when a crash comes between, the event is found again in what is stored. (Not so slate
 * that began and was over within the death of the only origin.) A file that cannot be read, or not all of it, is kept as
 * events.json.unreadable-TIME, and is never written over.
 *
 * What is bounded. WEBHOOKS_WAITING_MAX events wait, for WEBHOOKS_AGE_MAX_US at most; what goes then is counted and logged. A server that
 * does not answer, or answers 5xx, 408, 425 or 429, is asked again after an exponential pause with full jitter, up to
 * WEBHOOKS_PAUSE_MAX_US; an event it refuses (any other status but 2xx) is given up after WEBHOOKS_REFUSALS_MAX times and holds up only
 * its own stream. Events of one stream are sent in their order. Loop thread only. */
#ifndef ORIGIND_WEBHOOKS_H
#define ORIGIND_WEBHOOKS_H

#include <jansson.h>

#include "common/http_client.h"
#include "originD/replica/peer_link.h"
#include "originD/store.h"

#define WEBHOOKS_MAX 8
#define WEBHOOKS_WAITING_MAX 4096
#define WEBHOOKS_IN_FLIGHT_MAX 8 /* of one webhook */
#define WEBHOOKS_AGE_MAX_US (86400 * US_PER_S)
#define WEBHOOKS_TIMEOUT_MS 5000
#define WEBHOOKS_PAUSE_US (500 * US_PER_MS)
#define WEBHOOKS_PAUSE_MAX_US (60 * US_PER_S)
#define WEBHOOKS_REFUSALS_MAX 10
#define WEBHOOKS_HOLD_US (10 * US_PER_S)
#define WEBHOOKS_POLL_US (2 * US_PER_S)
#define WEBHOOKS_QUIET_US (4 * US_PER_S) /* after a start with peers: what they have settled is heard first */
#define WEBHOOKS_SETTLED_MAX 512

struct webhooks;

/* How a request is made: http_client.h, or a test. */
struct webhooks_transport {
        int (*ask)(struct http_client *c, const struct http_ask *ask,
                   void (*done)(void *arg, const struct http_answer *answer), void *arg, struct http_request **out);
        void (*cancel)(struct http_request **r);
        struct http_client *client;
};

struct webhooks_options {
        const char *self, *data_dir; /* outlive it */
        struct webhooks_transport transport;
        uint64_t random; /* a seed, not 0 */
        int64_t now_us;  /* monotonic */
};

/* A config_key.check: [{"url", "secret", "events": ["started", …]}]; secret and events may be left out. */
int webhooks_check(const void *json_field, char *why, size_t why_cap);

void webhooks_open(struct webhooks **out, uv_loop_t *loop, struct store *st, const struct webhooks_options *options);
void webhooks_configure(struct webhooks *w, const json_t *config); /* was checked, is copied; what waits for others goes */
void webhooks_store_ready(struct webhooks *w);
void webhooks_link(struct webhooks *w, struct peer_link *link);
void webhooks_peers_changed(struct webhooks *w);
void webhooks_session_changed(struct webhooks *w, struct session *s);

/* Sends what is due; its timer calls it. Both clocks: monotonic, and the store's age_clock.h, by which events grow old. */
void webhooks_run(struct webhooks *w, int64_t now_us, int64_t age_now_us);

/* What "/peer/events" answers; the caller's to unref. */
struct buf *webhooks_settled(struct webhooks *w);

void webhooks_stop(struct webhooks *w);
void webhooks_close(struct webhooks *w); /* freed by the loop */

int64_t webhooks_pause_us(unsigned failures, uint64_t random);

#endif
