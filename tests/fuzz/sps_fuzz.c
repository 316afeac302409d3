/* Decoder configuration records of strangers: what is told of one can be, and is told again alike. */
#include <assert.h>
#include <string.h>

#include "transcoderd/encode/sps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct sps a = {-1, -1, UINT32_MAX}, b = a;
        int err = sps_of_record(&a, data, len);
        assert(err == sps_of_record(&b, data, len) && memcmp(&a, &b, sizeof(a)) == 0);
        if (err) {
                assert(a.width == -1);
                return 0;
        }
        assert(a.width > 0 && a.width <= SPS_SIDE_MAX && a.width % 16 == 0);
        assert(a.height > 0 && a.height <= SPS_SIDE_MAX && a.height % 16 == 0);
        assert(a.fps_milli <= 240000);
        return 0;
}
