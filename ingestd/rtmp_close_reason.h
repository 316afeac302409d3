/* rtmp_close_reason.h - why a publisher's connection ended: one table for the log line, the counter and the transcoder.
 *
 * A row is X(ID, label, fate, text): RTMP_CLOSE_ID, ingestd_closed_total{reason="label"}, what the stream's transcoder is
 * told (enum close_reason: STOPPED ends the session, LOST gives the broadcaster its grace time, REFUSED ends it), and the
 * sentence in the log. Counters are atomics: any thread. */
#ifndef INGESTD_RTMP_CLOSE_REASON_H
#define INGESTD_RTMP_CLOSE_REASON_H

#include "proto/media.h"

#define RTMP_CLOSE_MAP(X)                                                                                              \
        X(STOPPED, "stopped", STOPPED, "the broadcaster ended the stream")                                             \
        X(PEER, "peer_closed", LOST, "the peer closed the connection")                                                 \
        X(IO, "io", LOST, "the connection failed")                                                                     \
        X(HANDSHAKE, "handshake", LOST, "not an RTMP handshake")                                                       \
        X(PROXY_HEADER, "proxy_header", LOST, "no PROXY header, which this peer is to send first")                     \
        X(TLS, "tls", LOST, "the TLS handshake or connection failed")                                                  \
        X(PUBLISH_TIMEOUT, "publish_timeout", LOST, "handshake and publish took too long")                             \
        X(MEDIA_TIMEOUT, "media_timeout", LOST, "no media for too long")                                               \
        X(CHUNK, "chunk", LOST, "malformed chunk or control message")                                                  \
        X(CHUNK_STREAMS, "chunk_streams", LOST, "too many chunk streams")                                              \
        X(MESSAGE_SIZE, "message_size", LOST, "message too large")                                                     \
        X(PARTIAL_BYTES, "partial_bytes", LOST, "too many bytes of unfinished messages")                               \
        X(AGGREGATE, "aggregate", LOST, "aggregate message of too many parts")                                         \
        X(AMF, "amf", LOST, "malformed AMF")                                                                           \
        X(AMF_DEPTH, "amf_depth", LOST, "AMF nested too deeply")                                                       \
        X(COMMAND, "command", REFUSED, "command out of order")                                                         \
        X(PLAY, "play", REFUSED, "asked to play; this port only takes publishers")                                     \
        X(BAD_NAME, "bad_name", REFUSED, "stream name not allowed")                                                    \
        X(DENIED, "denied", REFUSED, "publishing denied")                                                              \
        X(KICKED, "kicked", REFUSED, "let go by the operator")                                                        \
        X(REVOKED, "revoked", LOST, "may not publish any longer")                                                      \
        X(EARLY, "early", REFUSED, "sent too much before it was let in")                                               \
        X(PUBLISHERS, "publishers", REFUSED, "too many publishers")                                                    \
        X(STREAMS, "streams", REFUSED, "too many streams begun on one connection")                                     \
        X(NEWCOMERS, "newcomers", REFUSED, "too many connections of this address that do not publish")                 \
        X(HANDSHAKES, "handshakes", REFUSED, "too many TLS handshakes")                                                \
        X(MEMORY, "memory", LOST, "all connections together keep too much, and this one of the most")                  \
        X(CONNECTIONS, "connections", REFUSED, "too many connections")                                                 \
        X(CODEC, "codec", REFUSED, "codec not supported")                                                              \
        X(BAD_MEDIA, "bad_media", REFUSED, "codec configuration makes no sense")                                       \
        X(NOT_READING, "not_reading", LOST, "the peer does not read what it is sent")                                  \
        X(TAKEN_OVER, "taken_over", LOST, "a newer connection publishes this stream")                                  \
        X(UPSTREAM, "upstream", REFUSED, "the transcoder refused the stream")                                          \
        X(SHUTDOWN, "shutdown", LOST, "this server is going down")

enum rtmp_close_reason {
        RTMP_CLOSE_NONE, /* still open */
#define X(id, label, fate, text) RTMP_CLOSE_##id,
        RTMP_CLOSE_MAP(X)
#undef X
        RTMP_CLOSE_REASONS
};

const char *rtmp_close_reason_label(enum rtmp_close_reason reason);
const char *rtmp_close_reason_text(enum rtmp_close_reason reason);
enum close_reason rtmp_close_reason_fate(enum rtmp_close_reason reason); /* for publication_end() */

void rtmp_close_reason_count(enum rtmp_close_reason reason);
void rtmp_close_reason_register(void); /* the counters with common/daemon/metrics.h; at start, once */

#endif
