/* webhooks_impl.h - what the files of webhooks.h share, each of which is one noun of it:
 *
 *   webhooks_config.c  which webhooks there are, and what each wants
 *   webhooks_queue.c   the events that wait, and those that are settled
 *   webhooks_file.c    both on the disk
 *   webhooks_peers.c   which origin sends, and what the others have settled
 *   webhooks_send.c    a delivery: when it is due, the request, its answer, the pause after it
 *   webhooks.c         what happens to sessions, life
 *
 * Loop thread only. */
#ifndef ORIGIND_WEBHOOKS_IMPL_H
#define ORIGIND_WEBHOOKS_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/clock.h"
#include "originD/events.h"
#include "originD/stats.h"
#include "originD/webhooks.h"

struct hook {
        char *url, *secret;
        uint64_t key; /* of the URL: what a peer and the file call it */
        bool wants[EVENT_COUNT];
        unsigned in_flight, failures;
        int64_t not_before_us;
};

/* One event on its way to one webhook. */
struct delivery {
        struct delivery *next;
        struct event event;
        uint64_t hook;
        int64_t found_us, since_us; /* when it was put in: monotonic, and by age_clock.h, for the file */
        int64_t not_before_us;
        unsigned refusals;
        struct http_request *request; /* under way */
        struct webhooks *w;
};

struct settled {
        char id[EVENT_ID_MAX + 1];
        uint64_t hook;
};

struct partner {
        char id[NODE_ID_MAX + 1];
        int64_t asked_us;
        bool asking;
        struct webhooks *w;
};

struct webhooks {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct webhooks_options options;
        struct hook hooks[WEBHOOKS_MAX];
        size_t hook_count;
        struct delivery *first, **last;
        size_t waiting;
        struct settled settled[WEBHOOKS_SETTLED_MAX]; /* a ring */
        size_t settled_next, settled_count;
        struct peer_link *link;
        struct ring *ring; /* this origin and those that are up */
        struct partner partners[PEERS_UP_MAX];
        json_t *told; /* of the file, until webhooks_store_ready() */
        uint64_t random;
        char *path;
        uint64_t config_hash;
        bool store_ready, stopping, dirty, saving, save_failed;
        bool unread; /* the file holds what could not be read, and could not be set aside: it is not written over */
};

/* ---- webhooks_config.c */
struct hook *webhooks_hook(struct webhooks *w, uint64_t key); /* NULL: it is not configured any more */
void webhooks_drop_hooks(struct webhooks *w);
void webhooks_drop_unwanted(struct webhooks *w); /* of what waits */

/* ---- webhooks_queue.c */
void webhooks_add(struct webhooks *w, const struct event *e, uint64_t hook, int64_t now_us, int64_t age_now_us); /* unless it is settled */
void webhooks_remove(struct webhooks *w, struct delivery *d); /* cancels its request; d is freed */
void webhooks_give_up(struct webhooks *w, struct delivery *d, enum stat_id counter, const char *why); /* the same, counted and logged */
void webhooks_note_settled(struct webhooks *w, const char *id, uint64_t hook);
bool webhooks_is_settled(const struct webhooks *w, const char *id, uint64_t hook);

/* ---- webhooks_file.c */
void webhooks_save(struct webhooks *w); /* when something has changed; on the thread pool */
void webhooks_read_file(struct webhooks *w); /* before the loop runs */
void webhooks_read_settled(struct webhooks *w, const json_t *list); /* a peer's too */

/* ---- webhooks_peers.c */
bool webhooks_is_first(const struct webhooks *w, const char *stream); /* of those that are up: it sends at once */
void webhooks_ask_peers(struct webhooks *w, int64_t now_us);

#endif
