/* session.json, as it may lie on a damaged disk: its head alone, as a start reads it, and all of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "originD/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct session s;
        const char *wrong;
        for (int tracks = 0; tracks <= 1; tracks++) {
                memset(&s, 0, sizeof(s));
                if (session_from_json(&s, (const char *)data, size, tracks, &wrong) == 0 && s.track_count > SESSION_TRACKS_MAX)
                        abort();
                tracks_free(&s);
                session_set_title(&s, "");
        }
        return 0;
}
