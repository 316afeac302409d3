/* s3.h - a client of an object store that speaks the API of S3: put a file, read a range, look, remove, list. Blocking.
 *
 *   s3_config_read()  from the JSON of the configuration
 *   s3_open()  →  s3_put/get/head/remove/list, any number, one at a time  →  s3_close()
 *
 * One struct s3 is one connection, used by one thread at a time, never the loop's: every call blocks. How long is bounded: 10 s
 * to connect, S3_STALL_S without S3_SLOWEST_BYTES_PER_S, and `stop`, set by any thread, ends what is under way within a second.
 * How much is bounded too: what is read goes into the caller's memory, no answer may be longer than what was asked for, errors
 * and lists are cut at S3_TEXT_MAX.
 *
 * The store is not ours: it may be slow, dead, or somebody else. Redirects are not followed, certificates are verified, proxies
 * of the environment are not asked. Requests are signed (sigv4.h); the keys never leave this process and are in no message.
 *
 * Functions return 0, or what is to be done about it; s3_error() has it in words for a log line:
 *   ERR_NOT_FOUND             there is no such object, and nothing else means that
 *   ERR_DENIED, ERR_CONFIG    it will be the same the next time: keys, rights, the bucket, the region
 *   ERR_PROTO                 an answer that makes no sense
 *   ERR_TIMEOUT, ERR_REFUSED, ERR_CLOSED, ERR_FULL   try again later: see s3_may_try_again()
 *   ERR_CANCELED              `stop` was set
 *   ERR_IO, ERR_CORRUPT       the local file cannot be read; is not what it was said to be */
#ifndef ORIGIND_ARCHIVE_S3_H
#define ORIGIND_ARCHIVE_S3_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_STALL_S 30
#define S3_SLOWEST_BYTES_PER_S 1024
#define S3_TEXT_MAX (1u << 20)
#define S3_OBJECT_MAX (INT64_C(5) << 30) /* of one PUT, by S3's rules */
#define S3_NAME_MAX 512                  /* of an object, with the prefix */
#define S3_LIST_PAGE 1000

struct s3_config {
        char *endpoint, *bucket, *region, *prefix, *access_key, *secret_key, *session_token, *ca_file; /* none is NULL */
        bool path_style; /* ENDPOINT/BUCKET/NAME; otherwise the bucket is in front of the host's name */
        int64_t send_bytes_s; /* how fast a file is sent; 0: as fast as it goes. Not of the JSON */
};

/* {"endpoint": "https://…", "bucket": "…", "region": "…", "access_key": "…", "secret_key": "…"} and, if wanted, "prefix" (""),
 * "path_style" (true), "session_token" (""), "ca_file" ("": the system's). ERR_CONFIG and a sentence in why, without values:
 * out is empty then. {} is off: out is empty, 0. */
int s3_config_read(struct s3_config *out, const json_t *j, char *why, size_t why_cap);
bool s3_config_is_off(const struct s3_config *c);
void s3_config_free(struct s3_config *c);
int s3_config_check(const void *value, char *why, size_t why_cap); /* of a struct config_key: value is a json_t ** */

struct s3;
struct s3 *s3_open(const struct s3_config *c, const atomic_bool *stop); /* both outlive it; stop may be NULL */
void s3_close(struct s3 **s);
const char *s3_error(const struct s3 *s); /* of the last call, "" after a good one */
bool s3_may_try_again(int err);

struct s3_object {
        uint64_t bytes;
        bool has_crc32c;
        uint32_t crc32c; /* as put; of the metadata, so it is the word of who put it */
};

/* The first `bytes` of fd become the object. They are read twice: first for the hash that is signed, so the store takes
 * nothing that was damaged on the way. Their CRC-32C is kept beside them; one that is not what crc32c says (NULL: whatever it is)
 * is ERR_CORRUPT, and nothing is sent. */
int s3_put(struct s3 *s, const char *name, int fd, uint64_t bytes, const uint32_t *crc32c, const char *content_type);

/* Exactly len bytes from `from` into dst; ERR_PROTO when the object is shorter. */
int s3_get(struct s3 *s, const char *name, uint64_t from, size_t len, uint8_t *dst);
int s3_head(struct s3 *s, const char *name, struct s3_object *out);
int s3_remove(struct s3 *s, const char *name); /* 0 also when it is not there */

/* Names (without the prefix) that begin so, in order; each is told once. found() returns false to end it. */
int s3_list(struct s3 *s, const char *begin, bool (*found)(void *arg, const char *name, uint64_t bytes), void *arg);

/* For units and the fuzzer: one page of a list. next: where the next page begins, "" at the end. ERR_PROTO. */
int s3_list_parse(const char *xml, const char *prefix, bool (*found)(void *arg, const char *name, uint64_t bytes), void *arg,
                  char next[S3_NAME_MAX + 1]);
/* "SlowDown: Please reduce your request rate." of an error's body, cleaned for a log line; "" when there is none. */
void s3_error_parse(char *dst, size_t cap, const char *xml);

#endif
