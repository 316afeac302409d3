#include "originD/captions.h"

#include <string.h>

#include "common/bytes.h"

#define NAL_SEI 6
#define SEI_T35 4 /* user_data_registered_itu_t_t35 */
#define SEI_BYTES_MAX 512 /* of a message with 31 triplets there are 106 */
#define CC_TYPE 0x07      /* cc_valid and cc_type */
#define CC_FIELD_1 0x04
#define PARITY 0x80

/* Takes the emulation prevention out. Returns the length. */
static size_t unescape(uint8_t dst[SEI_BYTES_MAX], const uint8_t *src, size_t len)
{
        size_t n = 0, zeros = 0;
        for (size_t i = 0; i < len && n < SEI_BYTES_MAX; i++) {
                bool skip = zeros >= 2 && src[i] == 3;
                zeros = src[i] == 0 ? zeros + 1 : 0;
                if (!skip)
                        dst[n++] = src[i];
        }
        return n;
}

/* ATSC's cc_data: country and provider, "GA94", 3, flags and count, a byte, triplets. */
static bool says_something(const uint8_t *data, size_t len)
{
        static const uint8_t begin[] = {0xb5, 0x00, 0x31, 'G', 'A', '9', '4', 0x03};
        size_t head = sizeof(begin) + 2;
        if (len < head || memcmp(data, begin, sizeof(begin)) != 0)
                return false;
        size_t count = data[sizeof(begin)] & 31;
        for (const uint8_t *t = data + head; count > 0 && t + 3 <= data + len; t += 3, count--)
                if ((t[0] & CC_TYPE) == CC_FIELD_1 && ((t[1] | t[2]) & ~PARITY))
                        return true;
        return false;
}

/* A number of the SEI syntax: 255 for each byte that is, and the first that is not. */
static size_t sei_number(struct reader *r)
{
        size_t n = 0;
        uint8_t b;
        do {
                b = reader_u8(r);
                n += b;
        } while (b == 255);
        return n;
}

static bool in_sei(const uint8_t *nal, size_t len)
{
        uint8_t plain[SEI_BYTES_MAX];
        struct reader r;
        reader_init(&r, plain, unescape(plain, nal + 1, len - 1));
        while (reader_left(&r) > 2) { /* the last byte is the trailing bits */
                size_t type = sei_number(&r), size = sei_number(&r);
                if (r.err || size > reader_left(&r))
                        return false;
                const uint8_t *payload = reader_bytes(&r, size);
                if (type == SEI_T35 && says_something(payload, size))
                        return true;
        }
        return false;
}

static bool in_samples(struct reader *r)
{
        while (reader_left(r) > 4) {
                uint32_t len = reader_u32(r);
                if (len == 0 || len > reader_left(r))
                        return false;
                const uint8_t *nal = reader_bytes(r, len);
                if ((nal[0] & 31) == NAL_SEI && in_sei(nal, len))
                        return true;
        }
        return false;
}

bool captions_in_chunk(const uint8_t *chunk, size_t len)
{
        struct reader r, samples;
        reader_init(&r, chunk, len);
        while (reader_left(&r) >= 8) {
                uint32_t size = reader_u32(&r);
                const uint8_t *type = reader_bytes(&r, 4);
                if (size < 8 || size - 8 > reader_left(&r))
                        return false;
                const uint8_t *body = reader_bytes(&r, size - 8);
                reader_init(&samples, body, size - 8);
                if (memcmp(type, "mdat", 4) == 0 && in_samples(&samples))
                        return true;
        }
        return false;
}
