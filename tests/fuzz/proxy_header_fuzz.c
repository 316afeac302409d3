/* A PROXY header in two pieces: the first byte says where it is cut. Both ways of reading it agree. */
#include <assert.h>
#include <string.h>

#include "ingestd/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct proxy_header whole = {0}, cut = {0};
        if (size < 1)
                return 0;
        const uint8_t *begin = data + 1, *end = data + size, *p = begin, *q = begin;
        enum proxy_header_result result = proxy_header_read(&whole, &p, end);
        assert(p <= end && p - begin <= PROXY_HEADER_MAX);
        assert(result != PROXY_HEADER_MORE || p == end);
        const uint8_t *middle = data[0] < end - begin ? begin + data[0] : end;
        enum proxy_header_result again = proxy_header_read(&cut, &q, middle);
        if (again == PROXY_HEADER_MORE && q < end)
                again = proxy_header_read(&cut, &q, end);
        assert(again == result && q == p);
        assert(strlen(whole.address) < sizeof(whole.address) && strcmp(whole.address, cut.address) == 0);
        assert(!whole.local || !*whole.address);
        return 0;
}
