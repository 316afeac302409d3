/* http.h - plain HTTP, for any CDN that pulls: the URL space of architecture.md through the same questions as FETCH.
 *
 * libmicrohttpd's one thread parses and writes; a question goes to the loop by mailbox while its connection is suspended,
 * and the answer resumes it. A segment that is still growing is sent as it comes. Clients that are too slow, in asking or
 * in taking the answer, are cut off by a deadline.
 *   http_open  →  http_stop(done)  →  done, on the loop: no thread of it is left  →  loop has ended  →  http_free */
#ifndef ORIGIND_HTTP_H
#define ORIGIND_HTTP_H

#include <uv.h>

#include "originD/serve.h"

struct http;

int http_open(struct http **out, uv_loop_t *loop, const char *bind, int port, struct serve *serve); /* ERR_IO: address taken */
void http_stop(struct http *h, void (*done)(void *arg), void *arg); /* after serve_stop() */
void http_free(struct http **h);

#endif
