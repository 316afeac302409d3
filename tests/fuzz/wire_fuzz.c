/* Any bytes as any message between daemons: the first byte is the type, as on the wire. What decodes is encoded again and
 * must give the same bytes. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "proto/fetch.h"
#include "proto/hello.h"
#include "proto/media.h"
#include "proto/store.h"

static void compare(uint8_t type, message_encode *encode, const void *m, const uint8_t *data, size_t size)
{
        nng_msg *msg = message_new(type, encode, m);
        assert(nng_msg_len(msg) == size && memcmp(nng_msg_body(msg), data, size) == 0);
        nng_msg_free(msg);
}

static void fuzz_media(struct reader *r, struct buf *whole, const uint8_t *data, size_t size)
{
        static struct frame frames[BATCH_FRAMES_MAX];
        struct media m;
        if (media_decode(r, &m, frames, whole) != 0)
                return;
        compare(data[0], media_encode, &m, data, size);
        for (uint16_t i = 0; i < m.count; i++)
                buf_unref(&frames[i].bytes);
}

static void fuzz_media_many(struct reader *r, struct buf *whole)
{
        static struct frame frames[BATCH_FRAMES_MAX];
        struct reader parts[MEDIA_MANY_MAX];
        struct media m;
        uint16_t count;
        if (media_many_decode(r, parts, &count) != 0)
                return;
        for (uint16_t i = 0; i < count; i++) {
                if (media_decode(&parts[i], &m, frames, whole) != 0)
                        continue;
                for (uint16_t j = 0; j < m.count; j++)
                        buf_unref(&frames[j].bytes);
        }
}

#define CASE(number, name)                                                                                             \
        case number: {                                                                                                 \
                struct name m;                                                                                         \
                if (name##_decode(&r, &m) == 0)                                                                        \
                        compare(data[0], name##_encode, &m, data, size);                                               \
                break;                                                                                                 \
        }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct reader r;
        if (size == 0)
                return 0;
        struct buf *whole = buf_copy(data, size);
        reader_init(&r, whole->data, whole->len);
        switch (reader_u8(&r)) {
        case MSG_HELLO:
        case MSG_HELLO_REPLY: {
                struct hello m;
                if (hello_decode(&r, &m) == 0 && m.version == PROTO_VERSION)
                        compare(data[0], hello_encode, &m, data, size);
                break;
        }
        CASE(MSG_CHALLENGE, challenge)
        CASE(MSG_OPEN, open)
        CASE(MSG_OPEN_REPLY, open_reply)
        case MSG_MEDIA:
                fuzz_media(&r, whole, data, size);
                break;
        CASE(MSG_MEDIA_REPLY, media_reply)
        case MSG_MEDIA_MANY:
        case MSG_MEDIA_TOLD:
                fuzz_media_many(&r, whole);
                break;
        CASE(MSG_MEDIA_MANY_REPLY, media_many_reply)
        CASE(MSG_CLOSE, close_stream)
        CASE(MSG_CLOSE_REPLY, status_reply)
        CASE(MSG_CLAIM, claim)
        CASE(MSG_CLAIM_REPLY, claim_reply)
        CASE(MSG_PUT, put)
        CASE(MSG_PUT_REPLY, put_reply)
        CASE(MSG_END, end)
        CASE(MSG_FETCH, fetch)
        CASE(MSG_FETCH_OWNED, fetch)
        CASE(MSG_FETCH_REPLY, fetch_reply)
        CASE(MSG_REFUSED, refused)
        }
        buf_unref(&whole);
        return 0;
}
