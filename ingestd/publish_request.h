/* publish_request.h - what a broadcaster asks for with `publish`: made by its connection, judged by admission.h, begun by
 * publication.h. */
#ifndef INGESTD_PUBLISH_REQUEST_H
#define INGESTD_PUBLISH_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/media.h"

#define PUBLISH_KEY_MAX 2048 /* a token */

struct publish_request {
        char stream[STREAM_ID_MAX + 1]; /* valid by stream_id_valid() */
        uint8_t role;                   /* OPEN_PRIMARY, OPEN_BACKUP or OPEN_NOW */
        char address[64];               /* of the publisher */
        char encoder[64];               /* flashVer */
        /* For admission.h only: */
        bool secure;                    /* came by RTMPS */
        char app[128], query[512];      /* where it was sent, and what was given besides */
        char key[PUBLISH_KEY_MAX + 1];  /* credential from ?key= or ?token=, may be empty; never logged */
};

#endif
