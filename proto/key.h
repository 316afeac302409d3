/* key.h - the names of objects: the URL space of every tier, and its one parser. Pure; any thread.
 *
 *   key                                     kind              what it is                              changes
 *   /api/streams                            KEY_STREAMS       what is live, and recordings            each second or so
 *   /api/recordings                         KEY_RECORDINGS    all recordings: the first page          likewise
 *   /api/recordings/before/TIME/SESSION                       those that started before this one      likewise
 *   /api/recordings/before/TIME                               those that started before this time
 *   /live/STREAM/manifest.mpd               KEY_ENTRY         the live session, else the newest one   when that one does
 *   /live/STREAM/SESSION/manifest.mpd       KEY_MANIFEST      that session                            until it ended
 *   /live/STREAM/master.m3u8  /live/STREAM/SESSION/master.m3u8  the same two for players of HLS
 *   …/classic.mpd  …/classic.m3u8                             and the four for old ones, of segments of several seconds
 *   …/ondemand.mpd                                            and the two for those that know files only, once it ended
 *   /live/STREAM/SESSION/TRACK/media.m3u8   KEY_PLAYLIST      the track's segments, for HLS           with each part, until it ended
 *   /live/STREAM/SESSION/TRACK/media.17.1.m3u8                as soon as part 1 of segment 17 is in it: who asks before is held
 *   /live/STREAM/SESSION/TRACK/media.skip.m3u8  ….17.1.skip.m3u8  without what is older than a player needs to be told again
 *   /live/STREAM/SESSION/TRACK/classic.m3u8                   its segments of several seconds          every few seconds
 *   /live/STREAM/poster.jpg  /live/STREAM/SESSION/poster.jpg  a picture of it, as new as there is     each few seconds
 *   /live/STREAM/SESSION/thumbs/17x5.jpg    KEY_PICTURE       the picture of second 85 = 17 · 5       never
 *   /live/STREAM/SESSION/TRACK/17.key.m4s                     the key picture that segment 17 begins with, alone  never
 *   /live/STREAM/SESSION/TRACK/keys.m3u8    KEY_PLAYLIST      these, for players of HLS               each second, until it ended
 *   /live/STREAM/SESSION/TRACK/init.mp4     KEY_INIT          the track's init segment                never
 *   /live/STREAM/SESSION/TRACK/17.m4s       KEY_SEGMENT       its segment 17: second 17 of media time it grows, then never
 *   /live/STREAM/SESSION/TRACK/17x4.m4s                       seconds 68 to 71 as one, when all are there  never
 *   /live/STREAM/SESSION/recording.mp4      KEY_RECORDING     that session, once it ended, as one file  when volumes go or come
 *   /live/STREAM/SESSION/TRACK/recording.mp4                  with that picture (and the best sound), or that sound alone
 *   /live/STREAM/SESSION/recording.90-150.mp4  ….90-.mp4      of either, from second 90 of the broadcast to 150, or to the end; as soon
 *                                                             as that is stored
 *   /live/STREAM/SESSION/TRACK/ondemand.mp4  ….90-150.mp4     that track alone, as it is stored, behind an index (originD/ondemand.h)
 *                                                             all by HTTP only: an edge puts them together of
 *   …/recording.json  …/recording.90-150.json  KEY_FACTS         its size and its identity, and                 when that does
 *   …/recording.IDENTITY.17.mp4  …/recording.90-150.IDENTITY.17.mp4  KEY_PIECE  its 17th RECORDING_PIECE_BYTES, from 0 on  never
 *                                                             and of the same with ondemand instead of recording
 *   /peer/ended/17                          KEY_PEER_…        what origins tell each other, by FETCH  always
 *   /peer/live/17  /peer/live/17/MS/SESSION                   only: those that are live, and those that started before that one
 *   /peer/events  /peer/session/SESSION                       only (originD/replica/catalog.h)
 *   /peer/session/SESSION/17                                  its volumes before number 17
 *   /viewers                                KEY_VIEWERS       how many watch here: for the other edges of a site, by FETCH only  always
 *   /names/INSTANCE/CHANGE                  KEY_NAMES         which names there are (names.h): for the tier below, by FETCH only
 *
 * STREAM, SESSION and TRACK are as in message.h. A key is a path as it stands after decoding: nothing is percent-encoded in
 * it, it has no query, no empty part, a number has no leading zeros, a part is one that a segment can have, and a TIME is
 * 2026-01-31T12:34:56.789Z. So an object has exactly one name, whichever tier is asked, and what has no row here is asked for nowhere: an
 * edge answers 404 by itself.
 *
 * A new kind of object begins here: a row above, a kind, and key.c. Edges are then upgraded before it is handed out. */
#ifndef PROTO_KEY_H
#define PROTO_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/fetch.h"
#include "proto/message.h"

/* In this order: of media from KEY_ENTRY on, of nodes alone from KEY_PEER_ENDED on. */
enum key_kind {
        KEY_NONE, /* names nothing that any tier could ever have */
        KEY_STREAMS, KEY_RECORDINGS,
        KEY_ENTRY, KEY_MANIFEST, KEY_PLAYLIST, KEY_INIT, KEY_PICTURE, KEY_SEGMENT, KEY_FACTS, KEY_PIECE, KEY_RECORDING,
        KEY_PEER_ENDED, KEY_PEER_LIVE, KEY_PEER_SESSION, KEY_PEER_EVENTS,
        KEY_NAMES, KEY_VIEWERS
};

struct key {
        enum key_kind kind;
        /* "" where the kind has none */
        char stream[STREAM_ID_MAX + 1], session[SESSION_ID_MAX + 1], track[TRACK_NAME_MAX + 1];
        const char *file; /* KEY_ENTRY, KEY_MANIFEST: a constant, "manifest.mpd" or the like; NULL otherwise */
        uint32_t segment; /* KEY_SEGMENT, KEY_PICTURE; KEY_PLAYLIST: that it is to have, */
        uint8_t part;     /* and its part; */
        bool waits;       /* false: as it is */
        bool skips;       /* KEY_PLAYLIST: without old segments */
        bool keys;        /* KEY_PLAYLIST: of key pictures */
        bool classic;     /* KEY_PLAYLIST: of segments of several seconds */
        uint8_t joined;   /* KEY_SEGMENT: so many from `segment` on, as one; 0: it alone */
        uint32_t from, to; /* KEY_FACTS, KEY_PIECE, KEY_RECORDING: seconds of media time, to is not in it; all: 0, UINT32_MAX */
        bool ondemand; /* KEY_FACTS, KEY_PIECE, KEY_RECORDING: of one track, with an index */
        uint64_t identity; /* KEY_PIECE: of another file there is no such piece */
        uint32_t piece;    /* KEY_PIECE */
        uint64_t since;   /* KEY_PEER_ENDED, KEY_PEER_LIVE, KEY_NAMES */
        uint64_t instance; /* KEY_NAMES */
        uint64_t below;   /* KEY_PEER_SESSION; no number: UINT64_MAX */
        int64_t before_ms; /* KEY_RECORDINGS, KEY_PEER_LIVE: since 1970, with session ("": none); INT64_MAX: the first page */
};

#define KEY_RECORDINGS_PATH "/api/recordings"
#define KEY_VIEWERS_PATH "/viewers"
#define KEY_FACTS_CANNOT "{\"error\":" /* so facts begin that say why there is no such file */

#define KEY_JOINED_MAX 10 /* seconds */
#define KEY_POSTER "poster.jpg"
#define KEY_PICTURE_EVERY_MAX 60 /* the second number in a picture's name */

#define RECORDING_PIECE_BYTES (1u << 20)

/* The name of a recording or of a clip of it, of its facts or of a piece, whichever kind it is: of the other fields, with track "" for
 * the best. */
void key_write_recording(char text[KEY_MAX + 1], const struct key *k);

/* Of a KEY_RECORDING the part that somebody asks for (each NULL or "" if he does not): whole seconds from its beginning. false: why says
 * what was given and what is allowed, without anything that JSON escapes; k is unchanged then. */
#define KEY_WHY_MAX 160
bool key_cut_recording(struct key *k, const char *from, const char *to, char why[KEY_WHY_MAX]);

/* The name of a playlist that is not classic, whatever came before of it: of the other fields. */
void key_write_playlist(char text[KEY_MAX + 1], const struct key *k);

void key_parse(struct key *out, const char *text); /* of any length, from anybody */

/* It would be a page of recordings if it were well-formed: what is allowed, in words without anything that JSON escapes. NULL: it is
 * none, or it is well-formed. */
const char *key_bad_page(const char *text);

/* A segment whose second was over at that time by the machine's clock: it does not grow any more, and every owner of the stream has it,
 * or will get it from who has. The time is told by the session's name, which begins with its epoch; of a name that does not, nothing is
 * known. */
bool key_is_past(const struct key *k, int64_t wall_us);

/* What viewers may ask an edge for. */
static inline bool key_is_public(enum key_kind kind)
{
        return kind > KEY_NONE && kind < KEY_RECORDING;
}

#endif
