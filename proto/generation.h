/* generation.h - which generations there can be. Pure but for the clock; any thread.
 *
 * A generation is a number of a stream that goes up by one with each claim, and who has the highest is the writer. A faulty node, or a
 * stranger, that could name any number would name the last one, and nobody could claim the stream after it, ever. So a generation
 * that is above GENERATION_LEAST_LIMIT is one only while it is not above the seconds since 1970: no stream was claimed once in each of
 * them. Whoever takes a generation from another node asks here first, and takes none that there cannot be. The highest that anybody can
 * name is so overtaken a second later, and what is left to a stream grows by itself.
 *
 * Clocks differ, so a few seconds more are allowed. A clock that is years behind is no harm: LEAST_LIMIT is more than any stream uses. */
#ifndef PROTO_GENERATION_H
#define PROTO_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#define GENERATION_LEAST_LIMIT (UINT32_C(1) << 30)
#define GENERATION_CLOCKS_S 10

uint32_t generation_limit(int64_t wall_us); /* the highest that there can be then */
bool generation_possible(uint32_t generation); /* now */

#endif
