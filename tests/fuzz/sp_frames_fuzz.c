/* What comes at a node's port before anybody has said who he is: the same events are found whatever pieces the bytes come in, and never
 * more is taken than there was. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/cluster/sp_frames.h"

#define EVENTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
        enum sp_event event;
        size_t at;
        uint64_t len;
};

/* Fed in pieces of so many bytes; how many events, the first EVENTS_MAX of them in out. Ends with what is not nng's. */
static size_t feed(struct found *out, const uint8_t *data, size_t size, size_t piece)
{
        struct sp_frames f = {0};
        size_t count = 0;
        for (size_t at = 0; at < size && count < EVENTS_MAX;) {
                enum sp_event event = SP_NOTHING;
                uint64_t len = 0;
                size_t n = size - at < piece ? size - at : piece, took = sp_frames_feed(&f, data + at, n, &event, &len);
                assert(took <= n && (took == n || event != SP_NOTHING));
                at += took;
                if (event == SP_NOTHING)
                        continue;
                out[count++] = (struct found){event, event == SP_GARBAGE ? 0 : at, event == SP_MESSAGE ? len : 0};
                if (event == SP_GARBAGE)
                        break;
        }
        return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct found whole[EVENTS_MAX], pieces[EVENTS_MAX];
        memset(whole, 0, sizeof(whole));
        memset(pieces, 0, sizeof(pieces));
        size_t count = feed(whole, data, size, size);
        for (size_t piece = 1; piece < 12; piece += 5) {
                assert(feed(pieces, data, size, piece) == count);
                assert(memcmp(whole, pieces, count * sizeof(*whole)) == 0);
        }
        return 0;
}
