/* parse.h - the head of a request: request line and header fields, as RFC 9112 wants them and no other way. Pure; any thread.
 *
 * What two programs may understand in two ways is refused, since whoever stands between the viewer and this edge may have understood it
 * the other way: two lengths, a length and a coding, a space before a colon, a folded line, a bare CR or LF, two Hosts. One empty line
 * before a request line is let pass (RFC 9112, 2.2).
 *
 * A body belongs to a POST; other methods may have one that is skipped.
 *
 * Why it is ours: Debian has http-parser, which nobody keeps any more (its repository was closed in favour of llhttp, which Debian has
 * for Node alone), and which lets pass a good part of what is refused here. A viewer's request has no body that anybody wants and a
 * dozen fields that matter: that is less than the glue around a parser that streams.
 *
 * A head comes in one or in many pieces: it is looked at from its beginning each time, which is less work than a piece is to the kernel,
 * and what cannot become a request is refused with its first wrong byte. */
#ifndef EDGED_WIRE_PARSE_H
#define EDGED_WIRE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PARSE_HEAD_MAX (16 << 10)
#define PARSE_TARGET_MAX (8 << 10)
#define PARSE_FIELDS_MAX 100
#define PARSE_BODY_MAX (64 << 10) /* read before a request is answered */

/* Why a request is refused: status, label of the metric, words. The connection ends with each: where the next request begins is not
 * known. */
#define PARSE_FAULTS(X)                                                                                                \
        X(LINE, 400, "request_line", "the request line is not one of HTTP")                                            \
        X(VERSION, 505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")                                       \
        X(TARGET, 414, "target", "the address is too long")                                                            \
        X(FIELD, 400, "field", "a header field is malformed, or there twice")                                          \
        X(LARGE, 431, "head", "the header fields are too many or too long")                                            \
        X(HOST, 400, "host", "there must be one Host, which is a name or an address")                                  \
        X(LENGTH, 400, "length", "Content-Length must be one number")                                                  \
        X(FRAMING, 400, "framing", "the request says in two ways where it ends")                                       \
        X(CODING, 501, "coding", "this Transfer-Encoding is not known")                                                \
        X(NO_LENGTH, 411, "no_length", "a body must come with its Content-Length")                                     \
        X(BODY, 413, "body", "no request here needs so large a body")                                                  \
        X(EXPECT, 417, "expect", "this expectation cannot be met")                                                     \
        X(PLAIN, 400, "plain_http", "this port speaks TLS: its addresses begin with https")

enum parse_fault {
        PARSE_OK,
#define X(name, status, label, words) PARSE_##name,
        PARSE_FAULTS(X)
#undef X
        PARSE_FAULT_END
};

/* The fields that somebody here reads. Of the others it is only seen that they are well formed. */
#define PARSE_FIELDS(X)                                                                                                \
        X(ACCEPT_ENCODING, "Accept-Encoding") X(AUTHORIZATION, "Authorization") X(CMCD_OBJECT, "CMCD-Object")          \
        X(CMCD_REQUEST, "CMCD-Request") X(CMCD_SESSION, "CMCD-Session") X(CMCD_STATUS, "CMCD-Status")                  \
        X(CONNECTION, "Connection")                                                                                   \
        X(CONTENT_LENGTH, "Content-Length") X(COOKIE, "Cookie") X(EXPECT, "Expect") X(HOST, "Host")                    \
        X(IF_MATCH, "If-Match") X(IF_NONE_MATCH, "If-None-Match") X(IF_RANGE, "If-Range") X(RANGE, "Range")                                    \
        X(TRANSFER_ENCODING, "Transfer-Encoding") X(X_FORWARDED_FOR, "X-Forwarded-For")

enum parse_field {
#define X(name, text) FIELD_##name,
        PARSE_FIELDS(X)
#undef X
        PARSE_FIELD_COUNT
};

enum parse_method { METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_POST, METHOD_OTHER };

struct parse_head {
        enum parse_method method;
        char *target;                    /* "/…", "http://…", "https://…", "*"; anything of METHOD_OTHER. Not empty */
        char *fields[PARSE_FIELD_COUNT]; /* values; NULL: it is not there. Of several the first, of X-Forwarded-For the last */
        uint64_t body_bytes;             /* that follow and are to be read, at most PARSE_BODY_MAX. Of METHOD_POST 0 and closes: more than that, or nobody says */
        bool http_1_0;
        bool closes; /* after its answer the connection is to be closed: the viewer wants it, or has more to send than is read */
};

/* > 0: so many bytes are the head; target and fields lie in them, each with a NUL behind it that was written there. 0: more is needed,
 * and bytes are unchanged. < 0: an enum parse_fault, negative. len is at most PARSE_HEAD_MAX. */
ssize_t parse_head(char *bytes, size_t len, struct parse_head *out);

/* The bytes were copied to another place: so are all pointers into them. */
void parse_move(struct parse_head *h, const char *from, char *to);

unsigned parse_status(enum parse_fault f);
const char *parse_words(enum parse_fault f);

#endif
