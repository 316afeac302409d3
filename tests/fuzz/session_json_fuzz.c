/* session.json, as it may lie on a damaged disk. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "originD/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct session s;
        memset(&s, 0, sizeof(s));
        if (session_from_json(&s, (const char *)data, size) != 0)
                return 0;
        if (s.track_count > SESSION_TRACKS_MAX)
                abort();
        for (size_t i = 0; i < s.track_count; i++)
                eras_free(&s.tracks[i].eras);
        return 0;
}
