/* http_client.h - HTTP and HTTPS requests of a daemon to somebody else's server (webhooks), on the daemon's loop.
 *
 *   http_client_open()  →  http_client_ask() any number of times  →  http_client_close()
 *
 *   a request:  ask  →  done(), once, on a later turn of the loop; it is gone then
 *               ask  →  http_client_cancel(): done() is never called
 *
 * The other server is not ours: it may be slow, dead or hostile. So a request has a time for all of it, from the look-up
 * of the name to the last byte; an answer has a greatest length; requests under way are counted and bounded; redirects are
 * not followed (a webhook that moves is configured anew, and nobody sends us to an address inside our own network);
 * nothing but http: and https: is spoken, and proxies named in the environment are not asked. Certificates are verified.
 *
 * libcurl does the work: HTTP/1.1 with keep-alive, TLS, look-ups of names in a thread of its own. Writing that again for
 * a request now and then would be more code than the daemon it serves. Its multi interface is driven by the loop's polls
 * and one timer, so no call here blocks. Loop thread only. */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_client;
struct http_request;

struct http_client_limits {
        unsigned in_flight;  /* requests at once */
        size_t answer_bytes; /* of a body, and as much again of headers */
        const char *ca_file; /* PEM certificates that sign the servers'; NULL: the system's */
};

/* What is asked. Everything is copied. */
struct http_ask {
        const char *method; /* "GET", "POST" */
        const char *url;
        const char *const *headers; /* "Name: value", ends with NULL; NULL: none */
        const void *body;           /* of a POST; may be NULL */
        size_t body_len;
        int64_t timeout_ms;
};

/* What came of it; valid during done(). */
struct http_answer {
        int err;            /* 0: the server answered, with any status. ERR_TIMEOUT, ERR_REFUSED (nobody listens),
                               ERR_NOT_FOUND (no such host), ERR_DENIED (its certificate), ERR_LIMIT (too long an answer),
                               ERR_CLOSED, ERR_IO */
        const char *error;  /* the same in words, for a log line; "" without an error */
        int status;         /* 0 unless err is 0 */
        const char *body;   /* ends with a NUL that does not count; never NULL */
        size_t body_len;
        int64_t max_age_s;  /* of Cache-Control; 0 for no-store and no-cache; -1: it does not say */
};

void http_client_open(struct http_client **out, uv_loop_t *loop, const struct http_client_limits *limits);

/* 0 and, if out is not NULL, the request, to be canceled; ERR_FULL: in_flight are under way; ERR_CONFIG: no http or https
 * URL, or a header with a line end in it. done() is then not called. */
int http_client_ask(struct http_client *c, const struct http_ask *ask,
                    void (*done)(void *arg, const struct http_answer *answer), void *arg, struct http_request **out);
void http_client_cancel(struct http_request **r); /* nulls it; a pointer to NULL is fine. Not for one whose done() was called */
unsigned http_client_in_flight(const struct http_client *c);

/* Gives up what is under way without calling done(), which may itself call this. Nulls *c; NULL is fine. The memory goes
 * when the loop has run its close callbacks. */
void http_client_close(struct http_client **c);

/* 0, or ERR_CONFIG and a sentence in why: not an http or https URL with a host. Pure. */
int http_url_check(const char *url, char *why, size_t why_cap);

/* The URL without user, password, query and fragment, where secrets are: for a log line. Returns dst. */
char *http_url_shown(char *dst, size_t cap, const char *url);

#endif
