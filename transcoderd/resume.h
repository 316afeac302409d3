/* resume.h - which tracks a session that goes on has already, and where they end. Pure; any thread. */
#ifndef TRANSCODERD_RESUME_H
#define TRANSCODERD_RESUME_H

#include <stdbool.h>

#include "transcoderd/pipeline.h"

const struct pipeline_resume *resume_of(const struct pipeline_options *o, const char *track); /* NULL: not stored */

/* The writer before stopped so early that tracks may be missing only because they had no chunk yet. */
bool resume_young(const struct pipeline_options *o);

#endif
