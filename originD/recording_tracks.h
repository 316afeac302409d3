/* recording_tracks.h - which stored media a recording's one file is made of: the tallest picture and the best sound, or a track that is
 * named; all of it, or the seconds of a clip; and of that all volumes that are here. What is lacking is a hole, and the file is shorter.
 * Of what is live a clip is made of what is stored by then, of the volume that is being written too. Loop thread. */
#ifndef ORIGIND_RECORDING_TRACKS_H
#define ORIGIND_RECORDING_TRACKS_H

#include "originD/recording.h"
#include "originD/session.h"

/* Of a recording: which file. */
struct recording_wish {
        char track[TRACK_NAME_MAX + 1]; /* "": the best */
        uint32_t from, to; /* 0 and UINT32_MAX: all of it */
        bool ondemand;     /* the track alone, with an index (ondemand.h) */
};

struct recording_tracks {
        const struct track *tracks[RECORDING_TRACKS_MAX]; /* a picture comes first */
        size_t count; /* 0: there is nothing */
        uint32_t from, to; /* segments of the broadcast: to is behind the last one */
        uint32_t origin_segment; /* the first one that there is: time 0 of the file */
};

/* Valid as long as the session's tracks are. */
void recording_choose(struct recording_tracks *c, const struct session *s, const struct recording_wish *w);
bool recording_has(const struct session *s, const char *track); /* of one that is loaded */
void recording_list_tracks(const struct session *s, char *dst, size_t cap); /* "v720, a128" */

/* Up to which second all of the tracks are stored and never change again, of a session that is live; 0: there is nothing. */
uint32_t recording_stored_s(const struct recording_tracks *c, const struct session *s);

/* From its first second to its last one, whatever is lacking between. */
uint32_t recording_seconds(const struct recording_tracks *c, const struct session *s);

/* A volume of the file: of each track its row; NULL, and the index, of the one that is being written; NULL both: it has none. */
struct recording_volume {
        uint32_t number;
        const struct volume_row *rows[RECORDING_TRACKS_MAX];
        const struct index *open[RECORDING_TRACKS_MAX];
};

/* The first volume of this number or a greater one. false: there is none. */
bool recording_next_volume(const struct recording_tracks *c, uint64_t number, struct recording_volume *out);
bool recording_find_volume(const struct recording_tracks *c, uint32_t number, struct recording_volume *out); /* false: it is not in the file */

/* The indexes of the volume, as far as its segments are in the file; what chunk_log_segment() says of the first index that is not in
 * memory otherwise. */
enum segment_state recording_open_volume(const struct recording_tracks *c, const struct recording_volume *v, bool may_read,
                                         struct recording_part *out);

/* Whether all that is told of the volumes is as it will stay: SEGMENT_HERE. closed: their checksums too, which are there when the disk
 * has closed them. */
enum segment_state recording_at_rest(const struct recording_tracks *c, const struct session *s, bool closed);

/* Another one: other media, if only of the same size, or only in other volumes. */
uint64_t recording_facts(const struct recording_tracks *c);

/* Which file it is. Of a whole recording what its facts say. A clip stays the same while the volume that it is in is written and closed,
 * so it is known by the lengths of its segments: recording_begin_identity() → recording_add_identity() of each volume's part. */
uint64_t recording_begin_identity(const struct recording_tracks *c);
uint64_t recording_add_identity(uint64_t so_far, const struct recording_part *p);

#endif
