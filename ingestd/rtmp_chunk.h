/* rtmp_chunk.h - RTMP's chunk layer: bytes in, messages out; and messages out as chunks (Adobe's RTMP 1.0, section 5.3).
 *
 *   rtmp_chunk_init()   →   rtmp_chunk_read() for every piece of input, until it wants MORE   →   rtmp_chunk_fini()
 *
 * Pure: no sockets, no time. Payload is copied once, from the input into a block that is given away with the message, and that a
 * frame is made of as it is (flv.h).
 * Set Chunk Size and Abort are obeyed here and not handed out. After BAD the reader must not be asked again. What a peer
 * can make it hold is bounded by the three limits. */
#ifndef INGESTD_RTMP_CHUNK_H
#define INGESTD_RTMP_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "ingestd/rtmp_close_reason.h"

enum rtmp_message_type { /* section 5.4, 6.1, 7.1 */
        RTMP_SET_CHUNK_SIZE = 1,
        RTMP_ABORT = 2,
        RTMP_ACK = 3,
        RTMP_USER_CONTROL = 4,
        RTMP_WINDOW_ACK_SIZE = 5,
        RTMP_SET_PEER_BANDWIDTH = 6,
        RTMP_AUDIO = 8,
        RTMP_VIDEO = 9,
        RTMP_DATA_AMF3 = 15,
        RTMP_COMMAND_AMF3 = 17,
        RTMP_DATA_AMF0 = 18,
        RTMP_COMMAND_AMF0 = 20,
        RTMP_AGGREGATE = 22,
};

struct rtmp_message {
        uint8_t type;
        uint32_t timestamp_ms; /* modulo 2^32 */
        uint32_t stream_id;
        const uint8_t *data;
        size_t len;
        struct buf *block; /* in which data lies: the receiver's reference; NULL when len is 0 */
};

struct rtmp_chunk_limits {
        uint32_t message_bytes;
        uint32_t partial_bytes; /* memory reserved for unfinished messages */
        unsigned streams;
};

#define RTMP_CHUNK_HEADER_MAX 18 /* 3 basic, 11 message header, 4 extended timestamp */
#define RTMP_CHUNK_SIZE_DEFAULT 128

struct rtmp_chunk_stream;
struct rtmp_chunk_reader {
        struct rtmp_chunk_limits limits; /* those of bytes may be changed between calls */
        struct rtmp_chunk_stream *streams;
        unsigned count, room;
        unsigned last;                 /* index of the stream that was used last */
        uint32_t chunk_size;
        uint32_t left;                 /* payload still to come of the chunk at hand */
        struct rtmp_chunk_stream *cur; /* NULL between chunks */
        size_t held_bytes;
        uint8_t carry[RTMP_CHUNK_HEADER_MAX]; /* the beginning of a header whose rest has not come */
        unsigned carry_len;
        enum rtmp_close_reason bad;
};

enum rtmp_chunk_result {
        RTMP_CHUNK_MORE,    /* all input is used up */
        RTMP_CHUNK_MESSAGE, /* *out is filled; there may be more in the rest */
        RTMP_CHUNK_BAD,     /* reader->bad says why */
};

void rtmp_chunk_init(struct rtmp_chunk_reader *in, const struct rtmp_chunk_limits *limits);
void rtmp_chunk_fini(struct rtmp_chunk_reader *in);

/* Takes bytes from *p, which moves, up to end. */
enum rtmp_chunk_result rtmp_chunk_read(struct rtmp_chunk_reader *in, const uint8_t **p, const uint8_t *end,
                                       struct rtmp_message *out);

/* One message of timestamp 0 as chunks of chunk_size payload bytes. csid in 2 … 63. */
void rtmp_chunk_write(struct writer *w, uint8_t csid, uint8_t type, uint32_t stream_id, const uint8_t *data,
                      size_t len_bytes, uint32_t chunk_size);

#endif
