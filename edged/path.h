/* path.h - from a request target to what is asked for. Pure; any thread.
 *
 * Percent-encodings are decoded once, and what comes out must be a plain name: no empty segment, none that begins with a
 * dot. Which of those names are objects is proto/key.h's table. So two spellings of one object are one key, and the query
 * (player statistics) is never part of it. But for what players of HLS ask of a playlist with it (`_HLS_msn`, `_HLS_part`, `_HLS_skip`):
 * of all spellings of that one version is asked for, by its name; likewise which seconds of a recording (`from`, `to`). And a part of a
 * segment is the segment's key: it is cut out of the one object. A track's `tail` is its init segment's: with that it begins (tail.h).
 *
 * A token may stand before every path: "/t/<token>/live/cam/manifest.mpd", "/t/<token>/watch/cam". Relative URLs keep it by
 * themselves. It is cut off before anything else is looked at, so it is neither in the key nor in anything made of the key. */
#ifndef EDGED_PATH_H
#define EDGED_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/key.h"

enum path_kind {
        PATH_OBJECT,  /* key is what to FETCH */
        PATH_TAIL,    /* key is the init segment's of the track that is asked for without an end */
        PATH_RECORDING, /* a recording as one file, or a clip of it: object says which */
        PATH_TIME,    /* /time */
        PATH_STEERING, /* /steering */
        PATH_LOAD,    /* /load */
        PATH_VIEWERS, /* /api/viewers */
        PATH_SITE,    /* file is a name in the web root */
        PATH_CMCD,    /* /cmcd/STREAM, where players report: object.stream is whose viewers they are */
        PATH_OPTIONS, /* "*" */
        PATH_UNKNOWN, /* well formed, but nothing of ours: 404 */
        PATH_BAD,     /* 400, why says what */
        PATH_LONG,    /* 414 */
};

struct path {
        enum path_kind kind;
        char key[KEY_MAX + 1]; /* decoded path */
        size_t key_len;
        struct key object; /* PATH_OBJECT, PATH_TAIL, PATH_RECORDING: the key, taken apart */
        bool is_part;      /* PATH_OBJECT: only that part of the segment, */
        unsigned part, part_chunks; /* by its number, when parts have so many chunks (proto/parts.h) */
        const char *file; /* PATH_SITE: lies in key or is constant */
        const char *why;  /* PATH_BAD: constant, or it lies in key, which is nothing else then */
        const char *token; /* as it came, lies in target and is valid as long as that is; NULL: the path has none */
        size_t token_len;
};

void path_parse(const char *target, struct path *out);

/* The key is a name of ours. Others are not to be logged: somebody may have put a token in a wrong place. */
bool path_is_known(const struct path *p);

#endif
