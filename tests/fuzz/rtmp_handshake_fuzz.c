/* What an encoder begins with: C1, longer or shorter than it is to be. The digest lies inside it, and the answer is whole. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ingestd/rtmp_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *c1 = calloc(1, RTMP_HANDSHAKE_PART), *answer = malloc(RTMP_HANDSHAKE_ANSWER); /* a byte beyond is found */
        unsigned digest_at = 0;
        memcpy(c1, data, size < RTMP_HANDSHAKE_PART ? size : RTMP_HANDSHAKE_PART);
        if (rtmp_handshake_kind(c1, &digest_at) == RTMP_HANDSHAKE_DIGEST)
                assert(digest_at >= 8 && digest_at + 32 <= RTMP_HANDSHAKE_PART);
        rtmp_handshake_answer(answer, c1);
        assert(answer[0] == RTMP_VERSION);
        free(answer);
        free(c1);
        return 0;
}
