/* opens.h - what is remembered of OPENs: those that wait, the streams that could not be encoded, the handles that were given out.
 *
 * An OPEN waits, OPENS_WAIT_US at most, when what comes before it takes a moment: its stream's session is just beginning or just
 * ending, the encoders of one that has ended are at their last picture, or many streams begin at once. Whoever sees that over says
 * opens_look(), or opens_look_turn(), which hands it to again(), as if it came anew. It knows of no session. Loop thread only. */
#ifndef TRANSCODERD_OPENS_H
#define TRANSCODERD_OPENS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cluster/rpc.h"
#include "proto/media.h"

#define OPENS_WAIT_US (2000 * INT64_C(1000)) /* with the 500 ms until the tick looks less than a proxy waits for the answer */
#define OPENS_WAITING_MAX 64
#define OPENS_TURN_MAX 32 /* of them: the others are kept for streams that are here already */
#define OPENS_RETIRED_MAX 256
#define OPENS_BANS_MAX 64
#define OPENS_BAN_US (5 * INT64_C(1000000)) /* longer than a proxy needs to open again, shorter than a broadcaster to change */

struct opens {
        void (*again)(void *arg, struct rpc_request *req, int64_t until_us); /* until_us: of opens_wait(), no later */
        void *arg;
        /* private */
        uint64_t last_handle;
        struct {
                struct rpc_request *req; /* NULL: free */
                char stream[STREAM_ID_MAX + 1];
                int64_t until_us;
                bool turn; /* not for its stream, but for its turn */
        } waiting[OPENS_WAITING_MAX];
        struct {
                uint64_t handle;
                int status; /* what its MEDIA is answered */
        } retired[OPENS_RETIRED_MAX];
        unsigned retired_next;
        struct {
                char stream[STREAM_ID_MAX + 1]; /* "": free */
                int status;
                char text[128];
                int64_t until_us;
        } bans[OPENS_BANS_MAX];
        unsigned bans_next;
};

void opens_refuse(struct rpc_request *open, int status, const char *text);

void opens_wait(struct opens *o, struct rpc_request *open, const char *stream, int64_t until_us); /* or ERR_FULL */
/* Until it is its turn among those that begin; or ERR_FULL, as after OPENS_WAIT_US. */
void opens_wait_turn(struct opens *o, struct rpc_request *open, const char *stream, int64_t until_us);
void opens_look_turn(struct opens *o); /* the one of these that waits longest, again */
void opens_look(struct opens *o, const char *stream); /* those of this stream again; NULL: of all */
void opens_expire(struct opens *o, int64_t now_us);   /* those that waited too long are refused; INT64_MAX: all */

/* The stream could not be encoded: for OPENS_BAN_US an OPEN of it is answered with this status and text, or the proxy would open it
 * again and again. ERR_UNSUPPORTED: nowhere, as it is; the broadcaster is told. ERR_FULL: not here; the proxy asks another node. */
void opens_ban(struct opens *o, const char *stream, int status, const char *text);
int opens_banned(const struct opens *o, const char *stream, const char **text); /* that status; 0: it may be opened */

uint64_t opens_handle(struct opens *o); /* a new one */
void opens_retire(struct opens *o, uint64_t handle, int status);
int opens_retired(const struct opens *o, uint64_t handle); /* ERR_NOT_FOUND: not, or long ago */

#endif
