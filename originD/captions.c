#include "originD/captions.h"

#include <string.h>

#include "common/avc.h"
#include "common/bytes.h"

#define CC_TYPE 0x07      /* cc_valid and cc_type */
#define CC_FIELD_1 0x04
#define PARITY 0x80

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

bool captions_in_chunk(const uint8_t *chunk, size_t len)
{
        struct reader r;
        reader_init(&r, chunk, len);
        while (reader_left(&r) >= 8) {
                uint32_t size = reader_u32(&r);
                const uint8_t *type = reader_bytes(&r, 4);
                if (size < 8 || size - 8 > reader_left(&r))
                        return false;
                const uint8_t *body = reader_bytes(&r, size - 8);
                if (memcmp(type, "mdat", 4) == 0 && avc_has_sei(AVC_LENGTH_SIZE, body, size - 8, AVC_SEI_T35, says_something))
                        return true;
        }
        return false;
}
