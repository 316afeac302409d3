/* serve_impl.h - what the files of serve.h have of each other: serve_look.c says what there is here for a question, and reads it, of a
 * recording's one file serve_recording.c does, of single pictures serve_picture.c; serve.c who waits, whose turn it is, and who asks
 * elsewhere. Loop thread only. */
#ifndef ORIGIND_SERVE_IMPL_H
#define ORIGIND_SERVE_IMPL_H

#include "originD/log/disk.h"
#include "originD/serve.h"

#define JSON_TYPE "application/json"

#define TTL_MANIFEST_MS 1000
#define TTL_PLAYLIST_MS 100 /* live, of one that is not named by what is in it: half a part */
#define TTL_UNKNOWN_MS 1000 /* a name that may yet come to be: a stream, a session, a track */
#define TTL_NEVER_MS 10000  /* a segment that will never be */
#define TTL_MEDIA_MS UINT32_MAX

/* A look at a question: answered (or on its way to be), nothing to say yet, the disk must be asked and it is not r's turn, it is
 * being asked (whoever asks waits for that), others take the memory that it needs (so he does for a while), or there is no such thing
 * here. */
enum look { LOOK_DONE, LOOK_WAIT, LOOK_TURN, LOOK_LOADING, LOOK_ROOM, LOOK_NONE };

/* serve.c */
void serve_reply(struct serve_request *r, const struct serve_answer *a); /* r may be gone */
void serve_resolve(struct serve *sv, struct serve_request *r);           /* looks at it anew; likewise */
void serve_list_goes_on(struct serve *sv); /* the list of streams is made in turns of the loop, and then given to those who wait */

/* serve_look.c */
enum look serve_look(struct serve *sv, struct serve_request *r);
enum look serve_look_stand_in(struct serve *sv, struct serve_request *r); /* of what is nowhere: what stands for it (stand_in.h), or LOOK_NONE */
bool serve_make_list(struct serve *sv); /* a step; true: it is made */
enum look serve_look_peer(struct serve *sv, struct serve_request *r); /* what only nodes may ask */
enum look serve_look_error(struct serve_request *r, int status);      /* answers it */
struct session *serve_current_session(struct serve *sv, const char *stream_id); /* the live one, or the newest that can be played */
struct session *serve_wanted_session(struct serve *sv, const struct key *k);

/* serve_look.c, for the two others: */
enum look serve_look_none(struct serve_request *r, uint32_t ttl_ms);
enum look serve_answer_bytes(struct serve_request *r, struct buf *bytes, uint64_t size, bool complete, uint8_t flags, uint32_t ttl_ms,
                             const char *content_type);
enum look serve_look_segment(struct serve *sv, struct serve_request *r, struct session *s, struct track *t); /* r->parsed.segment */
/* Whether r may ask the disk now; the second: where what v tells of is, the disk or the archive. It may have waited for its turn at the
 * disk, to have the index read, which it gives back then. */
bool serve_has_turn(struct serve_request *r, enum read_kind kind);
bool serve_has_turn_for(struct serve *sv, struct serve_request *r, const struct segment_view *v, enum read_kind here);
enum read_kind serve_kind_of_read(const struct session *s, const struct chunk_log *log, uint32_t segment);
/* Asks the disk, or the archive, for len bytes of the volume that v is in. */
enum look serve_read_media(struct serve *sv, struct serve_request *r, struct session *s, struct chunk_log *log,
                           const struct segment_view *v, uint64_t from, size_t len, disk_done *done);
/* What was read, or not, is not on its way any more. true: its file went to the archive before its turn at the disk came, so r is looked
 * at again, and may be gone. */
bool serve_end_read(struct serve_request *r, struct chunk_log *log, const struct segment_view *v, int status, struct buf **bytes);

/* serve_recording.c */
/* Of the file, or of a piece of it: as many segments as the answer may have, one for who takes them slowly, or out of the archive. */
enum look serve_look_recording(struct serve *sv, struct serve_request *r, struct session *s);
void serve_recording_read_done(void *arg, int status);

/* serve_picture.c */
bool serve_is_picture(const struct serve_request *r);
/* Of the segment that r->view tells of. */
enum look serve_look_at_picture(struct serve *sv, struct serve_request *r, struct session *s, struct track *t);
enum look serve_look_poster(struct serve *sv, struct serve_request *r, struct session *s);
void serve_picture_read_done(void *arg, int status);

#endif
