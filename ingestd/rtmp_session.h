/* rtmp_session.h - one broadcaster's RTMP connection as a state machine: bytes and time in, bytes and frames out.
 *
 *   hello → confirm → connect → ready → begin → live → ready …      the table of states is in rtmp_session.c
 *                               ready → deciding → begin            while the webhook is asked
 *
 *   rtmp_session_new()    →  hello
 *   rtmp_session_feed()   bytes from the peer; rtmp_session_tick() at least once a second
 *   ops->close()          called once, when the session wants its connection closed: from inside feed, tick, close or an
 *                         event of the publication. From then on feed and tick do nothing.
 *   rtmp_session_end()    ends the publication. Not from inside ops->close(), which may stand on the publication's stack
 *   rtmp_session_free()   after end, once
 *
 * While it is being decided whether the broadcaster may publish, what it sends is kept and not looked at: at most
 * RTMP_EARLY_MAX bytes, and ops->pause() asks for its socket not to be read meanwhile. Nor is that of a publisher that is held back
 * (hold.h), which has no deadline for as long.
 *
 * One turn of the loop has so many messages of a connection looked at, or thousands of tiny ones, 64 kB of them, would keep all others
 * waiting. What is left is kept likewise, and ops->behind() asks for rtmp_session_go_on() in the next turn.
 *
 * No sockets and no clock of its own, so that it is tested and fuzzed in memory. Loop thread only. */
#ifndef INGESTD_RTMP_SESSION_H
#define INGESTD_RTMP_SESSION_H

#include "ingestd/rtmp_session_setup.h"

struct rtmp_session;

struct rtmp_session *rtmp_session_new(const struct rtmp_session_setup *setup);
void rtmp_session_turn(struct rtmp_session *s); /* a turn of the loop begins, before it is fed or goes on */
void rtmp_session_feed(struct rtmp_session *s, const uint8_t *data, size_t len_bytes, int64_t now_us);
void rtmp_session_go_on(struct rtmp_session *s, int64_t now_us);
void rtmp_session_tick(struct rtmp_session *s, int64_t now_us);

/* The connection is gone or must go; nothing more is said to the peer. When it hung up after it had ended its stream, the
 * reason becomes RTMP_CLOSE_STOPPED. */
void rtmp_session_close(struct rtmp_session *s, enum rtmp_close_reason reason);
/* False: it does not understand that. Ending its stream is then no end of the broadcast. */
bool rtmp_session_ask_reconnect(struct rtmp_session *s);
/* The broadcaster's own, which a load balancer told; before the first byte is fed. */
void rtmp_session_set_address(struct rtmp_session *s, const char *address);

void rtmp_session_end(struct rtmp_session *s); /* idempotent */
void rtmp_session_free(struct rtmp_session **s);

bool rtmp_session_live(const struct rtmp_session *s); /* a publication is running */
const char *rtmp_session_address(const struct rtmp_session *s);
uint64_t rtmp_session_ignored(const struct rtmp_session *s);  /* messages that carried nothing of use */
size_t rtmp_session_kept_bytes(const struct rtmp_session *s); /* of what the peer sent: unfinished, or not looked at yet */

#endif
