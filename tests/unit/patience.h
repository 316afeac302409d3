/* patience.h - how long a test waits for what is to come about before it fails, which it would rather do than hang. Far longer than
 * anything takes, with a sanitizer on a machine that gives nine tenths of itself to others too: nothing is measured by it.
 * tests/run-units waits for longer. */
#ifndef TESTS_PATIENCE_H
#define TESTS_PATIENCE_H

#include "common/clock.h"

#define PATIENCE_S 300
#define PATIENCE_MS (PATIENCE_S * 1000)
#define PATIENCE_US (PATIENCE_S * US_PER_S)

#endif
