/* random_walk.h - tests that do what they like, the same for the same seed. SEED=n is the first of SEEDS=n seeds. */
#ifndef TESTS_RANDOM_WALK_H
#define TESTS_RANDOM_WALK_H

#include <stdint.h>
#include <stdlib.h>

#define RANDOM_SEEDS 20 /* if the environment says nothing else */

static uint64_t random_state;

static inline void random_begin(uint64_t seed)
{
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
}

static inline unsigned pick(unsigned n) /* 0 … n - 1 */
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (unsigned)(random_state >> 11) % n;
}

static inline uint64_t random_option(const char *name, uint64_t otherwise)
{
        const char *text = getenv(name);
        return text ? strtoull(text, NULL, 10) : otherwise;
}

#endif
