/* events.h - what an operator wants to be told of a broadcast: it started, it ended, slate began and was over, another
 * transcoder went on with it.
 *
 * Every owner of a stream sees all of it in what it stores, so events are not sent between nodes: each owner finds them by
 * comparing a session with what was told of it so far (struct told). An event's id is made of the session, the kind and
 * what both owners agree on (a generation, a place on the grid of chunks), so two owners give the same event the same id, and so
 * does one that finds it again after a crash. Who sends them, and when, is webhooks.h. Pure. */
#ifndef ORIGIND_EVENTS_H
#define ORIGIND_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/store.h"

/* The word is the event's name in JSON and in the configuration. */
#define EVENT_KINDS(X)                                                                                                 \
        X(EVENT_STARTED, "started")                                                                                    \
        X(EVENT_ENDED, "ended")                                                                                        \
        X(EVENT_SLATE_BEGUN, "slate_begun")                                                                            \
        X(EVENT_SLATE_OVER, "slate_over")                                                                              \
        X(EVENT_FAILED_OVER, "failed_over")

enum event_kind {
#define X(kind, name) kind,
        EVENT_KINDS(X)
#undef X
        EVENT_COUNT
};

const char *event_name(enum event_kind kind);
bool event_kind_parse(const char *name, enum event_kind *out);

#define EVENT_ID_MAX (SESSION_ID_MAX + 40) /* 20260131T123456Z-1a2b3c4d.failed_over.3 */

struct event {
        enum event_kind kind;
        char id[EVENT_ID_MAX + 1];
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1], title[128];
        char node[NODE_ID_MAX + 1];   /* the transcoder that writes */
        char before[NODE_ID_MAX + 1]; /* failed_over: the one that did; otherwise "" */
        uint32_t generation;
        int64_t media_us, wall_us; /* where it lies in the broadcast; the same as a wall-clock time */
        bool by_writer;            /* ended: its transcoder said so; otherwise nobody wrote for the grace time and more */
};

/* A session as events see it. */
struct event_facts {
        const char *stream, *session, *title;
        int64_t epoch_us;
        bool stored;            /* there is a chunk */
        uint32_t generation;    /* of the newest chunk; 0: none */
        const char *node;       /* whose that is */
        int64_t generation_us;  /* media time of its first chunk */
        bool slate;             /* what the newest chunks stand for, as far as slate_us is known */
        int64_t slate_us;       /* media time since which that is so; -1: no chunk was stored since this process started */
        bool ended, by_writer;
        int64_t end_us;
};

/* What was told of a session: zero for a new one. */
struct told {
        bool started, slate, ended;
        uint32_t generation;
        char node[NODE_ID_MAX + 1];
};

/* Puts the events that told does not know into out, in their order, and into told. Returns how many. Of a session that had
 * ended before anything was told of it nothing is: it is a recording. */
size_t events_find(struct told *told, const struct event_facts *facts, struct event out[EVENT_COUNT]);

/* The body of a webhook's request; origin is the node that sends. The caller's to unref. */
struct buf *event_body(const struct event *e, const char *origin);

/* For the file that survives a crash. from: ERR_CORRUPT. */
json_t *event_to_json(const struct event *e);
int event_from_json(struct event *e, const json_t *j);
json_t *told_to_json(const struct told *t);
int told_from_json(struct told *t, const json_t *j);

/* `t=<seconds>,v1=<hex>`: v1 is HMAC-SHA256 with secret over the digits of t, a dot and the body. */
#define SIGNATURE_MAX 96
void event_sign(char dst[SIGNATURE_MAX], const char *secret, int64_t now_s, const void *body, size_t len_bytes);

#endif
