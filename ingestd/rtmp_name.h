/* rtmp_name.h - the stream a broadcaster means and the key it gives, out of what encoders put into app, tcUrl and name.
 *
 *   name "cam", "/live/cam", "live/cam/", "rtmp://host/live/cam"  →  stream cam: the last level of the path
 *   name "", app "live/cam"                                       →  stream cam: all of it typed as the server's address
 *   "?key=K" or "?token=K" on name, else on app, else on tcUrl     →  key K; "?K" without any "=" likewise
 *
 * The key may hold '?' and '=', and '&' unless what follows looks like another parameter ("&word="); %XX is decoded. */
#ifndef INGESTD_RTMP_NAME_H
#define INGESTD_RTMP_NAME_H

#include <stddef.h>

#include "proto/message.h"

struct rtmp_name {
        char stream[STREAM_ID_MAX + 1];
        char key[256]; /* "": none given */
};

/* 0, or ERR_DENIED: no valid stream id, or a key that is too long; why says it in a sentence. */
int rtmp_name_parse(struct rtmp_name *out, const char *app, const char *tc_url, const char *name, char *why,
                    size_t why_cap);

#endif
