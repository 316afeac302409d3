/* session.h - one broadcast in this transcoder: a claim at the origins, a pipeline, a push, and the proxy that feeds it.
 *
 *   CLAIMING  session_new(): the origins are asked
 *   QUEUED    its encoders are to be opened, when it is its turn (starts.h)
 *   LIVE      frames come
 *   GRACE     the proxy is silent or said that the broadcaster is lost: slate, until somebody opens the stream again
 *   DRAINING  the last chunks are being made
 *   ENDING    they are being stored, then END
 *   LEAVING   they are being stored, and no END follows: the session goes on elsewhere
 *   GONE      freed
 *
 * What happens sets a field; session_run() then makes the transitions that follow from it. session.c is the session's
 * life, beginnings.c says whose turn it is to begin, pace.c how fast each encodes, sessions.c has what goes for all; broadcaster.c says
 * which broadcaster is active; both know nothing of proxies.c, where what the proxies say comes in. Loop thread only.
 *
 * A node that is to leave (sessions_drain) says `draining` and goes on with what is fed, until the proxy has opened the
 * stream at another node, which shows here as ERR_FENCED, or drain_ms have passed: then it leaves the session as it is, to
 * the next process that the proxy finds. What has no broadcaster ends.
 *
 * A shadow (OPEN_BESIDE) encodes the session that another transcoder leads: it joins that one's generation instead of
 * claiming one, and never ENDs the session. It leads from when the proxy says so (session_lead) or opens it without
 * OPEN_BESIDE. */
#ifndef TRANSCODERD_SESSION_H
#define TRANSCODERD_SESSION_H

#include <stdbool.h>

#include "common/cluster/rpc.h"
#include "common/magic.h"
#include "common/mailbox.h"
#include "transcoderd/broadcaster.h"
#include "transcoderd/capacity.h"
#include "transcoderd/encode/pipeline.h"
#include "transcoderd/opens.h"
#include "transcoderd/push/chain.h"
#include "transcoderd/push/claim.h"
#include "transcoderd/push/push.h"
#include "transcoderd/push/recent.h"
#include "transcoderd/starts.h"

#define SESSION_SILENT_US (2 * INT64_C(1000000)) /* a proxy that says nothing for so long is gone */

struct sessions;
struct session;

/* A step returns the next state, or its own to wait. Steps never free s. */
struct state {
        const char *name;
        void (*enter)(struct session *s); /* may be NULL */
        const struct state *(*step)(struct session *s);
};

#define SESSION_MAGIC 0x53455353

struct session {
        uint32_t magic;
        struct session *next, **link;
        struct sessions *all;
        const struct state *state;
        unsigned round; /* of all sessions, in which it was run last */
        char stream[STREAM_ID_MAX + 1], id[SESSION_ID_MAX + 1], title[128], publisher[64];
        int64_t epoch_us, begun_us; /* begun, and all below but end_us: monotonic */
        struct media_clock clock;
        uint32_t generation;
        bool lockstep, shadow; /* another transcoder may encode it too; it leads */
        struct chain chain;    /* lockstep only */

        /* the proxies' side: proxies.c, broadcaster.c */
        struct rpc_request *opening; /* the OPEN that waits for the claim; NULL: answered */
        int64_t opening_skew_us, offered_epoch_us; /* by our clock */
        struct broadcaster active, standby; /* without a handle: nobody */
        uint8_t codecs[TRACK_KINDS];
        struct buf *config[TRACK_KINDS];
        bool config_due[TRACK_KINDS]; /* to be pushed before the next frame */
        bool break_due[TRACK_KINDS];  /* the next frame is another broadcaster's */
        uint64_t frames, bytes;       /* received */
        uint64_t chunks, chunk_bytes; /* made */

        /* the origins' side */
        struct claiming *claiming;
        struct claim claim;
        int claim_err;
        struct origin owner;
        struct claim_reply claimed;
        struct push *push;
        struct recent recent;

        struct pipeline *pipeline;
        struct start start;
        int64_t start_by_us; /* QUEUED until then, monotonic */
        bool goes_on;       /* another transcoder has it, or had it, as its proxy says or the origins: it has viewers */
        const char *full;   /* why it has no place here, unless the origins say that it goes on; NULL: it has one */
        int64_t cost;       /* pixels a second: at first what its configuration says, then what comes (cost.h) */
        struct pipeline_stats counted;
        int64_t counted_us, counted_end_us; /* when, and end_us then */
        double busy;        /* share of real time that its busiest encoder worked, of late: at 1 it falls behind */
        int64_t gave_way_us; /* when it was let go on for a little, while others are behind; monotonic */
        bool behind;
        int64_t behind_since_us; /* 0: it is not */

        /* what happened; steps look at these */
        bool answered;        /* the claim */
        bool lost;            /* the proxy said that the broadcaster is */
        bool stop;            /* to be ended */
        bool failed;          /* the pipeline cannot go on */
        bool drained, ended;
        const char *given_up; /* without END: why */
        bool handed_over;     /* given up as it should be */
        int64_t grace_until_us, drain_until_us, end_until_us;
        int64_t end_us;       /* media time up to which there are chunks */
};

#define SESSIONS_MAGIC 0x53535353

struct sessions {
        uint32_t magic;
        uv_loop_t *loop;
        struct mailbox *mailbox;
        struct reaper *reaper;
        struct origins origins;
        const struct node_identity *self;
        json_t *const *ladder; /* the configuration's field: a reload replaces it */
        int64_t replicas; /* origins that are to store each stream */
        bool quorum_one;  /* push.h */
        int64_t drain_ms, max_sessions, grace_ms, slate_after_ms, recent_ms, encoder_threads, decoder_threads;
        int64_t shed_after_ms;
        int64_t thumbs_s;
        uint8_t chunk_ms; /* of sessions that begin here, where the ladder says nothing */
        struct opens opens; /* again and arg are set */
        struct capacity capacity; /* cpus and percent are set */
        struct starts starts;     /* at_once is set */
        /* private */
        struct session *first;
        unsigned count;
        uv_timer_t ticker, starter;
        int64_t pixels; /* encoded since the last tick */
        unsigned begun; /* starts, by then */
        unsigned rounds;
        bool draining;
        int64_t ticked_us;   /* monotonic; 0: not yet */
        int64_t leave_at_us; /* draining: what is still fed is left then */
};

void sessions_start(struct sessions *ss); /* the fields before private ones are set */
void sessions_poke(struct sessions *ss);  /* the origins' state changed */
void sessions_have_room(void *sessions);  /* a pipeline has closed */
void sessions_drain(struct sessions *ss); /* every session is handed over, left or ended; no new ones */
void sessions_stop(struct sessions *ss);  /* at once, without END */
void sessions_tick(struct sessions *ss, int64_t now_us); /* every 500 ms; monotonic */

const char *sessions_closed(const struct sessions *ss);             /* NULL, or why no stream at all has a place here */
/* NULL, or why a stream of this cost may not begin here. What another node encoded that does no more may go on all the same: a node
 * that is busy is better for it than none. What its proxy does not know of the origins do, so they are asked for what is live. */
const char *sessions_full(const struct sessions *ss, int64_t cost);
void session_tell_full(const char *stream, const char *publisher, int64_t cost, const char *why);
unsigned sessions_new_ones(const struct sessions *ss); /* that have no encoders yet, and do not go on from elsewhere */
/* Asks the origins; NULL when none is up. opening is answered later: its proxy waits until start_by_us, monotonic, for encoders to be
 * opened, and asks elsewhere then. full: NULL, or why it has a place only if it goes on; a text that stays. */
struct session *session_new(struct sessions *ss, const struct open *m, struct rpc_request *opening, int64_t start_by_us, int64_t cost,
                            const char *full);
struct session *session_find(struct sessions *ss, const char *stream);
int64_t session_now_us(const struct session *s);   /* media time */
/* Frames that its broadcaster's proxy may send now. What is far from its time, a film that comes faster than real time or a backlog
 * that is replayed, gets none while much of it is not stored yet; and a film next to none while the encoding of other sessions is
 * behind. */
uint32_t session_credit(struct session *s);
bool session_takes_opens(const struct session *s); /* LIVE, GRACE; in other states an OPEN has to wait */

/* Whether a proxy that knows of this generation has seen a newer writer than this one, or may have: of a session that nobody
 * fed, what its owners answered to CLAIM may be older than that writer. It is to be claimed anew. */
bool session_is_stale(const struct session *s, uint32_t generation);
bool session_is_beside(const struct session *s, const struct open *m); /* m, with OPEN_BESIDE, is of this very session */
void session_lead(struct session *s);              /* a shadow's: it leads from now on */
void session_leave(struct session *s);             /* without END, at once: another one goes on. session_run() follows */
void session_run(struct session *s);               /* may free it */

#endif
