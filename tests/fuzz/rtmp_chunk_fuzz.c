/* Chunks in, cut into pieces as the first byte says: both ways of cutting must give the same messages, and memory stays
 * within the limits. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ingestd/rtmp_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct rtmp_chunk_limits limits = {.message_bytes = 1u << 20, .partial_bytes = 2u << 20, .streams = 16};

struct outcome {
        uint64_t sum; /* of all messages */
        unsigned count;
        enum rtmp_close_reason bad;
};

static void take(struct outcome *o, struct rtmp_message *m)
{
        o->count++;
        o->sum = o->sum * 31 + m->type;
        o->sum = o->sum * 31 + m->timestamp_ms;
        o->sum = o->sum * 31 + m->stream_id;
        o->sum = o->sum * 31 + m->len;
        for (size_t i = 0; i < m->len; i++)
                o->sum = o->sum * 31 + m->data[i];
        assert(m->len <= limits.message_bytes);
        buf_unref(&m->block);
}

static struct outcome read_pieces(const uint8_t *data, size_t size, size_t piece)
{
        struct rtmp_chunk_reader r;
        struct outcome o = {0};
        rtmp_chunk_init(&r, &limits);
        for (size_t at = 0; at < size && !o.bad; at += piece) {
                const uint8_t *p = data + at, *end = size - at < piece ? data + size : p + piece;
                enum rtmp_chunk_result result;
                struct rtmp_message m;
                while ((result = rtmp_chunk_read(&r, &p, end, &m)) == RTMP_CHUNK_MESSAGE)
                        take(&o, &m);
                if (result == RTMP_CHUNK_BAD)
                        o.bad = r.bad;
                else
                        assert(p == end);
                assert(r.held_bytes <= limits.partial_bytes && r.count <= limits.streams);
        }
        rtmp_chunk_fini(&r);
        return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 1)
                return 0;
        struct outcome a = read_pieces(data + 1, size - 1, size);
        struct outcome b = read_pieces(data + 1, size - 1, data[0] % 64 + 1u);
        assert(a.bad == b.bad && a.count == b.count && a.sum == b.sum);
        return 0;
}
