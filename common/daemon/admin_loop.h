/* admin_loop.h - requests of the admin port that the loop answers: the connection's thread hands one over by mailbox and waits.
 *
 *   admin_loop_new      any thread; who asks is told that it is stopping until it is attached
 *   admin_loop_attach   loop thread
 *   admin_loop_ask      a connection's thread; at most ADMIN_CALLS_MAX at a time, and no longer than ADMIN_CALL_MS
 *   admin_loop_quiesce  loop thread: no handler runs any more; those who ask are told so
 *   admin_loop_detach   loop thread, once it has nothing else to do; then let it run its close callbacks
 *   admin_loop_free     after that, when nobody asks any more */
#ifndef COMMON_DAEMON_ADMIN_LOOP_H
#define COMMON_DAEMON_ADMIN_LOOP_H

#include <stdatomic.h>
#include <uv.h>

#include "common/daemon/admin_call.h"

#define ADMIN_CALL_MS 2000
#define ADMIN_CALLS_MAX 16

struct admin_loop;

struct admin_loop *admin_loop_new(void);
void admin_loop_attach(struct admin_loop *l, uv_loop_t *loop);

/* Runs handle(arg, call) on the loop. Takes body. 0: *answer is what it said; decref its answer. Else ERR_FULL, ERR_TIMEOUT or ERR_CLOSED
 * (it is stopping), and the handler runs no more if it has not begun. */
int admin_loop_ask(struct admin_loop *l, admin_handler *handle, void *arg, json_t *body, struct admin_call *answer);

/* ADMIN_CALL_MS; a test that may run on a slow machine gives more. */
extern _Atomic int64_t admin_loop_call_ms;

void admin_loop_quiesce(struct admin_loop *l);
void admin_loop_detach(struct admin_loop *l);
void admin_loop_free(struct admin_loop *l);

#endif
