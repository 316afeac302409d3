#include "edged/glass.h"

#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"

#define NTP_EPOCH_S INT64_C(2208988800)
#define PRFT_BYTES 32
#define CAPTURE_FLAGS (1u << 24 | 24) /* version 1 */

bool glass_captured(const uint8_t *bytes, size_t len, int64_t *wall_us)
{
        struct reader r;
        reader_init(&r, bytes, len);
        uint32_t styp_bytes = reader_u32(&r);
        const uint8_t *styp = reader_bytes(&r, 4);
        if (!styp || memcmp(styp, "styp", 4) != 0 || styp_bytes < 8)
                return false;
        reader_skip(&r, styp_bytes - 8);
        uint32_t prft_bytes = reader_u32(&r);
        const uint8_t *prft = reader_bytes(&r, 4);
        if (!prft || memcmp(prft, "prft", 4) != 0 || prft_bytes != PRFT_BYTES || reader_u32(&r) != CAPTURE_FLAGS)
                return false;
        reader_skip(&r, 4); /* the track */
        int64_t seconds = reader_u32(&r), fraction = reader_u32(&r);
        *wall_us = (seconds - NTP_EPOCH_S) * US_PER_S + (int64_t)(((uint64_t)fraction * (uint64_t)US_PER_S) >> 32);
        reader_skip(&r, 8); /* the media time that it is said of: a box that is cut off says nothing */
        return r.err == 0;
}
