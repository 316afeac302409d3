/* usual_grid.h - the grid of sessions of which nothing else was said: what most tests write. */
#ifndef TESTS_UNIT_USUAL_GRID_H
#define TESTS_UNIT_USUAL_GRID_H

#include "proto/store.h"

#define CHUNK_US (CHUNK_MS * INT64_C(1000))
#define CHUNKS_PER_SEGMENT (1000 / CHUNK_MS)

#endif
