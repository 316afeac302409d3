/* redundancy_config.h - how many transcoders encode a broadcast. Configuration: JSON, per stream-name pattern; docs in
 * redundancy_config.c. Pure. */
#ifndef INGESTD_REDUNDANCY_CONFIG_H
#define INGESTD_REDUNDANCY_CONFIG_H

#include <jansson.h>
#include <stddef.h>

/* A config_key.check for the `redundancy` key. */
int redundancy_config_check(const void *json_field, char *why, size_t why_cap);

/* 1 or 2; config was checked, or is NULL. */
unsigned redundancy_config_for_stream(const json_t *config, const char *stream);

#endif
