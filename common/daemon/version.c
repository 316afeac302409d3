#include "common/daemon/version.h"

/* The Makefile's; a build without it (the fuzzers') has no version. */
#ifndef FRESHET_VERSION
#define FRESHET_VERSION "0"
#endif
#ifndef FRESHET_REVISION
#define FRESHET_REVISION "unknown"
#endif

const char version_number[] = FRESHET_VERSION;
const char version_revision[] = FRESHET_REVISION;
