#include "proto/generation.h"

#include "common/clock.h"

uint32_t generation_limit(int64_t wall_us)
{
        int64_t s = wall_us / US_PER_S + GENERATION_CLOCKS_S;
        int64_t limit = s > (int64_t)GENERATION_LEAST_LIMIT ? s : (int64_t)GENERATION_LEAST_LIMIT;
        return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX - 1;
}

bool generation_possible(uint32_t generation)
{
        return generation <= generation_limit(clock_wall_us());
}
