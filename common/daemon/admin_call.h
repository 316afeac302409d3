/* admin_call.h - one request of /api/ on its way through its handler (admin.h has the routes). One thread at a time has it; the handler
 * runs on the loop. */
#ifndef COMMON_DAEMON_ADMIN_CALL_H
#define COMMON_DAEMON_ADMIN_CALL_H

#include <jansson.h>
#include <stddef.h>

struct admin_call {
        const json_t *body; /* an object that has no members but the route's; of GET: an empty one */
        json_t *answer;     /* what the handler made, all of it its own; NULL: {} */
        unsigned status;    /* 200 unless the handler says otherwise */
        char error[256];    /* with a status of 400 and above: {"error": …} is answered instead */
};
typedef void admin_handler(void *arg, struct admin_call *call); /* loop thread; answers before it returns */

void admin_refuse(struct admin_call *call, unsigned status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The member, a string of least to most bytes. NULL: it is missing or something else, and the call is refused. Borrowed. */
const char *admin_text(struct admin_call *call, const char *name, size_t least, size_t most);

#endif
