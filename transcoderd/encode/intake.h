/* intake.h - the bounded queue of coded frames before a track kind's thread.
 *
 * The loop pushes and asks for room; the thread takes. Shared: the queue's lock and the byte count, an atomic. */
#ifndef TRANSCODERD_ENCODE_INTAKE_H
#define TRANSCODERD_ENCODE_INTAKE_H

#include <stdatomic.h>

#include "proto/media.h"
#include "transcoderd/encode/queue.h"

#define INTAKE_FRAMES 512
#define INTAKE_BYTES (24u << 20) /* no room beyond; one batch may still arrive */

struct intake {
        struct queue queue;
        atomic_size_t bytes;
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

#endif
