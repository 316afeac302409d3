/* json_buf.h - JSON as counted bytes, to be sent or stored. */
#ifndef COMMON_JSON_BUF_H
#define COMMON_JSON_BUF_H

#include <jansson.h>

#include "common/buf.h"

struct buf *json_to_buf(json_t *j); /* compact; takes j's reference. The caller's to unref, never NULL */

#endif
