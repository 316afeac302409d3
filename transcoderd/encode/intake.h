/* intake.h - the bounded queue of coded frames before a track kind's thread, and how late that makes them.
 *
 * A frame waits from when it is pushed until the thread, which has decoded it and handed on what came of it, takes the next one.
 * What is not there waits for nothing: frames that the decoder refuses, those that a broadcaster does not send, those whose place
 * is taken already. So a damaged, stalled or slow stream is not late; an encoder that is too slow is.
 * The loop pushes and asks for room; the thread takes. Shared: the queue's lock and atomics. */
#ifndef TRANSCODERD_ENCODE_INTAKE_H
#define TRANSCODERD_ENCODE_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "proto/media.h"
#include "transcoderd/encode/queue.h"

#define INTAKE_FRAMES 512
#define INTAKE_BYTES (24u << 20) /* no room beyond; one batch may still arrive */

#define INTAKE_TIMES 1024 /* a power of two beyond INTAKE_FRAMES and the one that the thread has */

struct intake {
        struct queue queue;
        atomic_size_t bytes;
        atomic_uint pushed, done;             /* frames, modulo 2^32 */
        _Atomic int64_t times[INTAKE_TIMES];  /* decoding times of frames, by number: the loop's, before `pushed` counts them */
        _Atomic int64_t newest_us;            /* of them all; INT64_MIN: there was none */
        bool in_hand;                         /* the thread's: what it took last is not done */
};

void intake_init(struct intake *in);
void intake_fini(struct intake *in);
size_t intake_room(struct intake *in);
void intake_push(struct intake *in, const struct frame *f); /* refs f->bytes; only with room */
void intake_end(struct intake *in);                         /* nothing comes after */
/* Waits at most wait_us: 0, ERR_TIMEOUT, ERR_CANCELED. out->bytes is the caller's reference; NULL: the end. */
int intake_take(struct intake *in, struct frame *out, int64_t wait_us);
bool intake_empty(struct intake *in);
void intake_abort(struct intake *in);

/* How late the frame is that has waited longest: media time from it to the newest one, or to now_us if that is less, for what is
 * ahead of its time is not late. placed_us: up to there the track is made already, with something else if need be. Any thread. */
int64_t intake_late_us(const struct intake *in, int64_t placed_us, int64_t now_us);

#endif
