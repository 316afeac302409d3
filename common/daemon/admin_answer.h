/* admin_answer.h - the answers of the admin port, in the few forms it has. For admin.c; on the connection's thread. Each queues one
 * answer and returns what libmicrohttpd's handler is to return. */
#ifndef COMMON_DAEMON_ADMIN_ANSWER_H
#define COMMON_DAEMON_ADMIN_ANSWER_H

#include <jansson.h>
#include <microhttpd.h>
#include <stddef.h>

/* Takes data, which is malloc'd. header: one more, with its value; NULL: none. */
enum MHD_Result admin_answer_bytes(struct MHD_Connection *conn, unsigned status, const char *type, char *data, size_t len,
                                   const char *header, const char *value);
enum MHD_Result admin_answer_text(struct MHD_Connection *conn, unsigned status, const char *text); /* and a newline */
/* Takes json. */
enum MHD_Result admin_answer_json(struct MHD_Connection *conn, unsigned status, json_t *json, const char *header, const char *value);
enum MHD_Result admin_answer_error(struct MHD_Connection *conn, unsigned status, const char *why); /* {"error": why} */

#endif
