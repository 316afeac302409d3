/* ask.h - one request of a viewer, and the route that answers it. What http.c and the files of routes/ share; nobody else includes it.
 *
 *   http.c finds the route of the path ──► prepare ──► body … ──► begin ──► go_on, more … ──► end
 *
 * A route answers one kind of path (path.h), and there is one table of them (http.c). A new kind is a new file here, with its struct
 * route and, if it remembers something of a request, its struct in the union below. It answers by ask_say() or has the request held
 * (wire_hold), as wire.h says; what the tier above has it finds by lookup.h. All calls on the thread of the connection. */
#ifndef EDGED_ROUTES_ASK_H
#define EDGED_ROUTES_ASK_H

#include <stdatomic.h>

#include "edged/access.h"
#include "edged/cache.h"
#include "edged/cmcd.h"
#include "edged/http.h"
#include "edged/listing.h"
#include "edged/path.h"
#include "edged/players.h"
#include "edged/respond.h"
#include "edged/wire/wire.h"

/* What a thread remembers from one request to the next. */
struct http_thread {
        struct access_memory *tokens;
        struct listing listing;
};

#define TOLD (SPARED + TURNED + 1) /* what is told in the log now and then; the last one is bad requests */

struct http {
        struct http_config cfg;
        struct http_parts parts;
        struct wire *wire;
        atomic_uint load_permille;
        atomic_uint tails; /* answers without an end that are under way */
        int64_t told_us; /* when it was logged last that somebody was refused something */
        int64_t told[TOLD];
        struct http_thread threads[];
};

struct ask;

/* Only begin has to be there. Without go_on and leave nothing of the route is ever held, without more none of its answers grows. */
struct route {
        bool takes_posts;             /* others are told 405 */
        void (*prepare)(struct ask *a); /* once, before its body or its answer */
        void (*body)(struct ask *a, const char *bytes, size_t len);
        void (*begin)(struct ask *a);
        void (*go_on)(struct ask *a);
        ssize_t (*more)(struct ask *a, struct buf **piece, size_t *off, bool *last);
        bool (*leave)(struct ask *a);
        bool (*lost)(struct ask *a);
        void (*end)(struct ask *a); /* with what wire_ops.end is told: counts it, lets go of what it holds */
};

/* object.c */
struct object_ask {
        enum cache_result cached;
        bool is_list; /* what is asked for has a part for everybody and parts for who has a token */
        bool part_is_first;
        uint64_t part_from, part_bytes; /* of a part: where it lies in the object */
        enum cmcd_result reported; /* what came with the request, */
        enum players_way way;      /* and how */
        struct cmcd_report report;
};

/* tail.c */
struct tail_ask {
        struct tail *tail; /* NULL: it has not begun */
};

/* recording.c */
struct recording_ask {
        struct object *ahead; /* the piece after the one that is being sent; NULL: none */
        uint64_t identity;
        uint64_t from, len; /* of the file: what is wanted, */
        uint64_t sent;      /* and handed on of it, which counts as it goes */
        uint64_t size;
        uint32_t seconds, watched_s; /* of a track on demand: how long it lasts, 0: nobody says; counted of them as watched */
};

/* reports.c */
struct report_ask {
        unsigned fault; /* why its reports are not taken (access.h) */
        bool hears;     /* they are */
        struct cmcd_lines lines;
};

struct ask {
        struct request request;
        struct http *http;
        const struct route *route;
        struct path path;
        struct access_pass pass;
        enum stats_result result;
        bool spared;         /* its address asks too often */
        uint64_t sent_bytes; /* of an answer that grows: handed on */
        /* What it is answered with or waits for: of a tail the init segment, and then where it is at; of a recording its facts, and then the piece
         * that is being sent. A reference, which its route lets go of at the end; NULL: none, or the next one is to be found. */
        struct object *object;
        struct waiter waiter;
        bool was_held;
        int64_t answered_us; /* of an answer without an end: when it began; 0: of others it is their end that counts */
        union {
                struct object_ask of; /* route_object */
                struct tail_ask tail;  /* route_tail */
                struct recording_ask recording;
                struct report_ask report;
        };
};

struct http_thread *ask_thread(struct ask *a);

/* --- what it is answered --- */

void ask_say(struct ask *a, struct answer *answer);      /* borrowed */
void ask_say_once(struct ask *a, struct answer *answer); /* takes the caller's reference */
void ask_say_error(struct ask *a, enum respond_error e);
void ask_refuse(struct ask *a, unsigned fault); /* access.h: counted */
void ask_spare(struct ask *a, enum stats_spared why); /* nothing is asked for above: counted */

/* --- waiting for its object --- */

/* Until it has more than `have` bytes, or ends, or the time is over (waiter.expired). false: it has by now, or nobody waits any more. */
bool ask_hold(struct ask *a, uint64_t have, int64_t deadline_us);
/* As object_piece(), of an answer that goes on. 0: it is held until there is more. */
ssize_t ask_take(struct ask *a, uint64_t at, struct buf **piece, size_t *off, bool *last);
bool ask_leave(struct ask *a); /* route.leave of those that hold */
void ask_say_failed(struct ask *a, int failure, int64_t again_us); /* why it could not be had, and that to ask sooner is in vain: as its view says */

/* --- its fields --- */

const char *ask_field(const struct ask *a, enum parse_field f); /* NULL: it has none */
bool ask_has_already(const struct ask *a, const char *etag);
bool ask_is_changed(const struct ask *a, const char *etag); /* it is of this version that nothing is wanted */

/* It asks for a playlist that is to have something that may not be there yet. */
bool ask_is_version(const struct ask *a);

/* --- who asks --- */

/* Who came by a balancer is who it says, in the last such header if there are several; if it says nobody, nobody. */
void ask_who(const struct ask *a, struct address *out);

/* Whether who asks may see the stream; NULL: of any stream, by a token of any. Then the answer may be sent as long as the token is
 * good, and pass says for whom. ACCESS_OK, or why not. */
unsigned ask_admit(struct ask *a, const char *stream);
unsigned ask_for_token(struct ask *a, const char *stream); /* likewise, also if the stream is public */

/* --- the routes --- */

extern const struct route route_object;                                               /* object.c: what the tier above has */
extern const struct route route_tail;                                                 /* tail.c: a track in one answer */
extern const struct route route_recording;                                            /* recording.c: a recording as one file */
extern const struct route route_reports;                                              /* reports.c: what players tell */
extern const struct route route_site, route_time, route_steering, route_load;         /* local.c: what this edge knows by itself */
extern const struct route route_viewers;                                              /* viewers.c: how many there are */
extern const struct route route_bad, route_long, route_unknown;                       /* local.c: paths that there are not */

#endif
