/* playlist.h - what a track has, for players of HLS: its segments, and while it is live the parts of the newest ones (RFC 8216bis, B).
 *
 * Made of the track's log whenever somebody asks, like a manifest, so it says the same at every origin that is in step. A playlist is
 * named by what is to be in it (proto/key.h): an edge asks for each version once, however many players wait for it.
 *
 * Segment n is media time [n, n+1) s in every playlist of a session, and #EXT-X-MEDIA-SEQUENCE counts them, from the session's beginning
 * on. EXTINF is a second by the grid, for its sum is exact then; what a picture at a segment's end is longer or shorter by is no more
 * than its own length. The parts of the newest segments are told with the lengths that their boxes have. No Period begins here, and there
 * is no discontinuity: no track's time or decoder's configuration ever changes, so a track that joins later just begins later, and what
 * nobody ever wrote is a gap. (A recording of which a kind has no more, or none yet, has what stands in for it: stand_in.h.)
 *
 * A part is 200 ms (a chunk, or two of the short grid) where all of these last nearly as long as any other (sound; 25, 30, 50, 60
 * pictures a second), 400 where pairs of them do (29.97), 600 where only these do (12 pictures a second: 583 or 667 ms, and then 400 as a
 * segment's last part), and where not even those do (9: 556 or 667 ms) the track is told in whole segments. So are those of 600 ms in a
 * session that a version without them began. SERVER-CONTROL is the same for all tracks and never changes: three parts of the longest, of
 * the tracks with which the session began. A track that joins later has parts that are no longer, or none. Pure; loop thread. */
#ifndef ORIGIND_PLAYLIST_H
#define ORIGIND_PLAYLIST_H

#include "originD/manifest.h"
#include "proto/key.h"

#define PLAYLIST_FILE "media.m3u8"
#define PLAYLIST_TYPE "application/vnd.apple.mpegurl"
#define PLAYLIST_VERSION 9
#define PLAYLIST_AHEAD 2 /* segments beyond the newest whole one, that may be waited for */

/* A recording names all its segments. Of one that is longer, be it by a hole that a clock which was set left in it, no playlist is made: it would
 * be more than an edge takes (object_max_bytes), and of a hole of years more than there is memory. Its MPD is as short as any other. */
#define PLAYLIST_LONGEST_S INT64_C(1209600)
bool playlist_too_long(const struct session *s, const struct track *t); /* t has a log */

enum playlist_state {
        PLAYLIST_READY,
        PLAYLIST_NOT_YET, /* what it is to have is due, or the track has no whole segment */
        PLAYLIST_FAR      /* it is to have what is not due for long */
};
enum playlist_state playlist_look(const struct session *s, const struct track *t, const struct key *k); /* t has a log */

/* The whole segments that a track has, [first, end). t has a log. */
struct playlist_span {
        int64_t first, end;
        bool begins; /* with its first one: none went */
};
struct playlist_span playlist_span(const struct session *s, const struct track *t);

/* When it is READY. The caller's to unref. */
struct buf *playlist_write(const struct session *s, const struct track *t, const struct manifest_options *o, const struct key *k);

#endif
