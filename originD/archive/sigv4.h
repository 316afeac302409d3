/* sigv4.h - AWS Signature Version 4: the Authorization header of a request to an object store. Pure; any thread.
 *
 * What is signed is a text made of the request (its canonical form), so both sides must write it alike: the path as it goes
 * over the wire, encoded once; the query's pairs and the headers sorted. Everything else of the request may be changed on the way
 * unseen, so all headers that mean something are to be among those given. */
#ifndef ORIGIND_ARCHIVE_SIGV4_H
#define ORIGIND_ARCHIVE_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#define SIGV4_PAIRS_MAX 16
#define SIGV4_CANONICAL_MAX 8192
#define SIGV4_AUTHORIZATION_MAX 1024
#define SIGV4_DATE_MAX 17   /* "20150830T123600Z" and a NUL */
#define SIGV4_SHA256_MAX 65 /* hexadecimal, and a NUL */

struct sigv4_pair {
        const char *name, *value;
};

struct sigv4_request {
        const char *method;
        const char *path;                /* begins with a slash; already percent-encoded */
        const struct sigv4_pair *query;  /* not encoded, in any order */
        size_t query_count;
        const struct sigv4_pair *headers; /* names in lower case, each once, in any order; "host" and "x-amz-date" among them */
        size_t header_count;
        const char *payload_sha256; /* hexadecimal, or a word like UNSIGNED-PAYLOAD */
};

struct sigv4_keys {
        const char *access_key, *secret_key, *region, *service;
};

/* "20150830T123600Z": what x-amz-date says. */
void sigv4_date(char dst[SIGV4_DATE_MAX], int64_t real_us);

void sigv4_sha256(char dst[SIGV4_SHA256_MAX], const void *data, size_t len_bytes);

/* The value of Authorization. date: that of x-amz-date. ERR_LIMIT: too many pairs, or the text does not fit. */
int sigv4_authorization(char dst[SIGV4_AUTHORIZATION_MAX], const struct sigv4_request *r, const struct sigv4_keys *keys,
                        const char *date);

/* s, percent-encoded as SigV4 wants it (RFC 3986; slash: left as it is), behind the n bytes of dst. The new length, or cap when
 * it does not fit. */
size_t sigv4_encode(char *dst, size_t cap, size_t n, const char *s, int keep_slash);

#endif
