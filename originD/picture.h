/* picture.h - the still pictures of a session: which there is for a second, for its poster, and their playlist.
 *
 * The track (PICTURES_TRACK) has a segment for each second; that of a second with a new picture is one chunk with a JPEG file in it, the
 * others have a sample without bytes. So the picture of a second is found by going back. Players are given names of pictures as often as
 * new ones are made, and need not go back. Pure; loop thread. */
#ifndef ORIGIND_PICTURE_H
#define ORIGIND_PICTURE_H

#include "originD/manifest.h"

#define PICTURE_TYPE "image/jpeg"
#define PICTURE_BACK_MAX 60 /* seconds: further back there is none that stands for this one */

const struct track *picture_track(const struct session *s); /* NULL: there are no pictures that can be had */
uint32_t picture_every_s(const struct track *t);            /* 1 … 60 */

/* Where the file lies in a whole segment; *len_bytes 0: the picture is of a second before. false: it is no such segment. */
bool picture_in_segment(const uint8_t *data, size_t len, size_t *from, size_t *len_bytes);

/* The second whose picture is shown for the session: the newest, or of a recording one in the middle. */
uint32_t picture_of_session(const struct session *s, const struct track *t);

/* The playlist of pictures for players of HLS that know of them (EXT-X-IMAGES-ONLY, as Roku and DASH-IF have it). The caller's to unref.
 * */
struct buf *picture_playlist(const struct session *s, const struct track *t, const struct manifest_options *o);

#endif
