/* replay.h - the frames a new transcoder would need: all since the last keyframe that is stored, in order of arrival.
 *
 *   replay_push     appends; over the limit the oldest group of pictures goes
 *   replay_attach   a transcoder is sent the frames, from head on; replay_detach: not any more
 *   replay_trim     the transcoder says which frames it has taken, and what is stored
 *   replay_at       reads frame seq, head <= seq < tail
 *
 * The replay keeps a frame until every reader that is attached has taken it and says that it is stored. Over the limit that ends: a frame
 * that one of two readers alone would keep goes, and that reader, if it had not taken the frame, is `behind` from then on. Without a
 * reader frames go only for lack of room.
 *
 * Frames are numbered from 0 on in the order they were pushed; replay_trim() may change the numbers of those that all
 * readers have taken. config[] are the codec configurations in force at head, so that decoding may always begin there.
 * Loop thread only. */
#ifndef INGESTD_REPLAY_H
#define INGESTD_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/media.h"

#define REPLAY_READERS 2
#define REPLAY_FRAME_BYTES 192 /* counted for each frame beside its bytes: its entry, its buf, the allocator */

struct replay_entry;

/* A transcoder's place, in the struct of the one who sends to it. Written by replay.c. */
struct replay_reader {
        uint64_t taken;    /* frames before it, or all there are */
        int64_t stored_us; /* everything before is stored */
        bool attached;
        bool behind; /* frames that it had not taken are gone: it can only be attached again */
};

struct replay {
        struct replay_entry *entries; /* a ring of cap, by seq modulo cap */
        size_t cap;                   /* a power of two, or 0 */
        uint64_t head, tail;
        uint64_t first_key, last_key; /* video keyframes at or after head; REPLAY_NO_KEY: none */
        size_t bytes, limit_bytes;
        uint64_t lost; /* frames that went for lack of room */
        struct {
                uint8_t codec; /* CODEC_NONE: the track does not exist at head */
                struct buf *bytes;
        } config[TRACK_KINDS];
        unsigned config_changes;                       /* of config[], for those who have sent it on */
        struct replay_reader *readers[REPLAY_READERS]; /* NULL: none */
};

#define REPLAY_NO_KEY UINT64_MAX

void replay_init(struct replay *r, size_t limit_bytes);
void replay_fini(struct replay *r);

/* What the track's decoder is set up with before the first frame. Takes a reference. */
void replay_config(struct replay *r, uint8_t track, uint8_t codec, struct buf *bytes);

/* Takes a reference to f->bytes. Returns how many old frames went for it. */
size_t replay_push(struct replay *r, const struct frame *f);

/* Others need the room: what one reader alone keeps goes, or else the oldest group of pictures. Returns how many frames were lost. Of an
 * empty one nothing goes. */
size_t replay_give_way(struct replay *r);

void replay_attach(struct replay *r, struct replay_reader *reader); /* one that is attached begins anew */
void replay_detach(struct replay *r, struct replay_reader *reader); /* idempotent */

/* The reader has taken the frames before `taken`, and everything before stored_us is stored. Lets go of what comes
 * before the last keyframe up to there, but for sound that is not stored, and the little before that its decoder needs:
 * as far as that is so for all readers. */
void replay_trim(struct replay *r, struct replay_reader *reader, int64_t stored_us, uint64_t taken);

const struct frame *replay_at(const struct replay *r, uint64_t seq);

/* Media time at which the buffer begins: the presentation of its first keyframe, or its first frame. 0 when empty. */
int64_t replay_start_us(const struct replay *r);

void replay_move(struct replay *r, int64_t delta_us); /* all times */

#endif
