/* rtmp_name.h - the stream a broadcaster means, the key it gives and the part it plays, out of what encoders put into
 * app, tcUrl and name.
 *
 *   name "cam", "/live/cam", "live/cam/", "rtmp://host/live/cam"  →  stream cam: the last level of the path
 *   name "", app "live/cam"                                       →  stream cam: all of it typed as the server's address
 *   "?key=K" or "?token=K" on name, else on app, else on tcUrl     →  key K; "?K" without any "=" likewise
 *   "?backup=1", "?backup=0" likewise                             →  role OPEN_BACKUP, OPEN_NOW; else OPEN_PRIMARY
 *   "?a=1&key=K&b=2", of the first place that has others          →  query "a=1&b=2", as it was written
 *
 * The key may hold '?' and '=', and '&' unless what follows looks like another parameter ("&word="); %XX is decoded. */
#ifndef INGESTD_RTMP_NAME_H
#define INGESTD_RTMP_NAME_H

#include <stddef.h>

#include "ingestd/publish_request.h"

struct rtmp_name {
        char stream[STREAM_ID_MAX + 1];
        char app[128];   /* path of the app; cut */
        char query[512]; /* what was given besides key, token and backup; what does not fit is left out. Not to be logged */
        char key[PUBLISH_KEY_MAX + 1]; /* "": none given */
        uint8_t role;  /* enum open_role */
};

/* 0, or ERR_DENIED: no valid stream id, a key that is too long, another value of backup; why says it in a sentence. */
int rtmp_name_parse(struct rtmp_name *out, const char *app, const char *tc_url, const char *name, char *why,
                    size_t why_cap);

#endif
