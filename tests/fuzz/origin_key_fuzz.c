/* Keys of FETCH and paths of HTTP, Range headers, session.json: one byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "originD/range.h"
#include "originD/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct session s;
        struct key k;
        uint64_t from, len;
        if (!size)
                return 0;
        char *text = malloc(size);
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        switch (data[0] & 3) {
        case 0:
                key_parse(&k, text);
                if (k.kind == KEY_SEGMENT && (!k.stream[0] || !k.session[0] || !k.track[0]))
                        abort();
                break;
        case 1:
                if (range_parse(text, 1000, &from, &len) != RANGE_BAD && (from > 1000 || len > 1000 - from))
                        abort();
                break;
        case 2:
                etag_matches(text, "\"0123456789abcdef\"");
                break;
        default:
                memset(&s, 0, sizeof(s));
                if (session_from_json(&s, text, size - 1) != 0)
                        break;
                if (s.track_count > SESSION_TRACKS_MAX)
                        abort();
                for (size_t i = 0; i < s.track_count; i++)
                        eras_free(&s.tracks[i].eras);
        }
        free(text);
        return 0;
}
