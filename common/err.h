/* err.h - the one table of error codes.
 *
 * Functions return 0 or a negative ERR_*. Codes of libuv, nng, libav and errno are translated once, where the library is
 * called; nothing above that line knows them. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#define ERR_MAP(X)                                                                                                     \
        X(IO, "input/output error")                                                                                    \
        X(PROTO, "malformed message")                                                                                  \
        X(LIMIT, "over a limit")                                                                                       \
        X(TIMEOUT, "timed out")                                                                                        \
        X(CLOSED, "connection closed")                                                                                 \
        X(REFUSED, "connection refused")                                                                               \
        X(CANCELED, "canceled")                                                                                        \
        X(NOT_FOUND, "not found")                                                                                      \
        X(NOT_YET, "not there yet")                                                                                    \
        X(ORDER, "out of order")                                                                                       \
        X(FENCED, "a newer writer owns this session")                                                                  \
        X(NOSPACE, "no space left")                                                                                    \
        X(FULL, "at capacity")                                                                                         \
        X(DENIED, "not allowed")                                                                                       \
        X(CORRUPT, "damaged data")                                                                                     \
        X(CONFLICT, "differs from what is stored")                                                                     \
        X(UNSUPPORTED, "not supported")                                                                                \
        X(CONFIG, "bad configuration")                                                                                 \
        X(CODEC, "codec error")                                                                                        \
        X(IN_USE, "address already in use")                                                                            \
        X(NO_ADDRESS, "no address of this machine")                                                                    \
        X(READ_ONLY, "read-only file system")

enum err_index {
#define X(name, text) ERR_INDEX_##name,
        ERR_MAP(X)
#undef X
};

enum err {
#define X(name, text) ERR_##name = -1 - ERR_INDEX_##name,
        ERR_MAP(X)
#undef X
};

/* A short English text; "ok" for 0 and "unknown error" for anything not in the table. Never NULL, never to be freed. */
const char *err_text(int err);

int err_from_errno(int errnum);
int err_from_nng(int rv);
int err_from_uv(int status);

#endif
