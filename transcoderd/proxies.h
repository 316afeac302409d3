/* proxies.h - what the proxies say, OPEN, MEDIA and CLOSE, and what they are answered.
 *
 * An OPEN is answered at once when its session is there; one that begins a session, when that has its claim and its pipeline
 * (proxies_accept, proxies_refuse); one whose stream is just beginning or ending waits, 2.5 s at most, until that is over, and
 * so does one whose place is still held by the encoders of a session that has ended (proxies_retry, proxies_expire). MEDIA is answered as soon as the pipeline has its frames: next_seq says which it took,
 * stored_us which ones may be forgotten. Loop thread only. */
#ifndef TRANSCODERD_PROXIES_H
#define TRANSCODERD_PROXIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cluster/rpc.h"
#include "proto/media.h"

struct session;
struct sessions;

void proxies_handle(void *sessions, struct rpc_request *req); /* an rpc_handler */

void proxies_refuse(struct rpc_request *open, int status, const char *text);
/* The session that this OPEN began is there: its broadcaster is the active one. */
void proxies_accept(struct session *s, struct rpc_request *open, int64_t resume_us);
int64_t proxies_skew_us(const struct open *m); /* struct open_reply */

void proxies_retire(struct session *s, int status); /* it takes nothing from anybody any more; MEDIA is answered that */
void proxies_retry(struct sessions *ss, const char *stream); /* OPENs that wait are looked at again; NULL: of all streams */
void proxies_expire(struct sessions *ss, int64_t now_us);    /* those that waited too long are refused */

/* The stream cannot be encoded as it is: for BAN_US an OPEN of it is answered ERR_UNSUPPORTED and text, or the proxy would
 * open it again and again. */
void proxies_ban(struct sessions *ss, const char *stream, const char *text);

#endif
