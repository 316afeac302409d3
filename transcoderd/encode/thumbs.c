#include "transcoderd/encode/thumbs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "proto/key.h"
#include "transcoderd/encode/grid.h"
#include "transcoderd/encode/jpeg.h"
#include "transcoderd/encode/picture_boxes.h"
#include "transcoderd/encode/queue.h"

#define QUEUE_SECONDS 8
#define NICE 10
#define HOLE_MAX_S 600  /* as in video.c: what is longer is left open in every track */
#define BOXES_BYTES 256 /* of a segment, more than there are */

struct thumbs {
        struct thumbs_options o;
        struct queue queue;
        pthread_t thread;
        unsigned track;
        /* the video thread's */
        int64_t shown; /* the second that was given last */
        bool any;      /* a picture was given */
        /* the thread's */
        struct jpeg *jpeg;
        struct buf *last;
        int64_t next; /* second */
        bool announced, told_failed;
};

/* A second that has begun. */
struct second {
        int64_t number;
        AVFrame *picture; /* NULL: nothing new */
        bool end;         /* there are no more */
};

static void drop_second(void *arg)
{
        struct second *s = arg;
        av_frame_free(&s->picture);
        free(s);
}

/* ---- its thread ------------------------------------------------------------------------------------------------------ */

static void announce(struct thumbs *t)
{
        struct track_info info = {
                .track = t->track,
                .kind = TRACK_PICTURES,
                .init = picture_boxes_init(t->o.width, t->o.height),
                .bandwidth = (JPEG_MAX_BYTES + BOXES_BYTES) * 8,
                .fps_milli = (uint32_t)(1000 / t->o.every_s),
                .start_us = t->o.start_us,
        };
        snprintf(info.name, sizeof(info.name), "%s", PICTURES_TRACK);
        outlet_track(t->o.outlet, &info);
        t->announced = true;
}

static void tell(struct thumbs *t, int64_t second, const struct buf *file)
{
        struct chunk c = {.track = t->track, .flags = PUT_LAST, .segment = (uint32_t)second, .start_us = second * SEGMENT_US,
                          .duration_us = SEGMENT_US, .made_wall_us = clock_wall_us()};
        c.bytes = picture_boxes_chunk(c.segment, file);
        if (!t->announced)
                announce(t);
        outlet_chunk(t->o.outlet, &c);
        t->next = second + 1;
}

static void count(struct thumbs *t, int64_t second, enum picture_end end)
{
        if (second % t->o.every_s == 0)
                atomic_fetch_add(&t->o.outlet->tally.pictures[end], 1);
}

static struct buf *make_file(struct thumbs *t, const struct second *s)
{
        bool coarser;
        struct buf *file = s->picture ? jpeg_of(t->jpeg, s->picture, &coarser) : NULL;
        count(t, s->number, !s->picture ? PICTURE_REPEATED : !file ? PICTURE_FAILED : coarser ? PICTURE_COARSER : PICTURE_MADE);
        if (s->picture && !file && !t->told_failed) {
                t->told_failed = true;
                log_warn("session=%s at_s=%lld msg=\"a still picture cannot be made: the one before is told again, here and wherever it is so again\"",
                         t->o.outlet->session, (long long)s->number);
        }
        return file;
}

static void make(struct thumbs *t, const struct second *s)
{
        struct buf *file = make_file(t, s);
        for (int64_t missed = t->next; missed < s->number && s->number - missed < HOLE_MAX_S; missed++) {
                count(t, missed, PICTURE_REPEATED);
                tell(t, missed, NULL);
        }
        if (file) {
                buf_unref(&t->last);
                t->last = file;
        }
        tell(t, s->number, s->number % t->o.every_s == 0 ? t->last : NULL);
}

static void *run(void *arg)
{
        struct thumbs *t = arg;
        void *taken;
        bool end = false;
        pthread_setname_np(pthread_self(), PICTURES_TRACK);
        setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone, on Linux; that it cannot be is no harm */
        while (!end && queue_take(&t->queue, &taken, -1) == 0) {
                struct second *s = taken;
                end = s->end;
                if (!end)
                        make(t, s);
                drop_second(s);
        }
        return NULL;
}

/* ---- the video thread's ---------------------------------------------------------------------------------------------- */

/* Origins know which seconds have a picture by the rate that is told, which is pictures in 1000 s: of 48 s that is the same as of 50. */
static int64_t told_s(int64_t every_s)
{
        int64_t s = 1000 / (1000 / every_s);
        return s < KEY_PICTURE_EVERY_MAX ? s : KEY_PICTURE_EVERY_MAX;
}

struct thumbs *thumbs_open(const struct thumbs_options *o)
{
        struct thumbs *t = mem_alloc(sizeof(*t));
        t->o = *o;
        t->o.every_s = told_s(o->every_s);
        if (o->height > THUMBS_HEIGHT) {
                t->o.width = (int)(((int64_t)o->width * THUMBS_HEIGHT / o->height + 1) & ~1);
                t->o.height = THUMBS_HEIGHT;
        }
        t->next = (o->first_us + SEGMENT_US - 1) / SEGMENT_US;
        t->shown = t->next - 1;
        t->jpeg = jpeg_new(t->o.width, t->o.height);
        queue_init(&t->queue, QUEUE_SECONDS + 1); /* one for the end */
        t->track = outlet_number(o->outlet);
        if (t->track < SESSION_TRACKS_MAX && pthread_create(&t->thread, NULL, run, t) == 0)
                return t;
        log_warn("session=%s msg=\"no still pictures: no thread for them, or too many tracks\"", o->outlet->session);
        queue_fini(&t->queue, drop_second);
        jpeg_free(&t->jpeg);
        free(t);
        return NULL;
}

static void give(struct thumbs *t, struct second *s)
{
        if (queue_put(&t->queue, s) != 0)
                drop_second(s);
}

void thumbs_show(struct thumbs *t, const AVFrame *picture, int64_t pts_us, bool hurry)
{
        int64_t number = grid_segment(pts_us);
        if (number <= t->shown || queue_count(&t->queue) >= QUEUE_SECONDS)
                return;
        struct second *s = mem_alloc(sizeof(*s));
        s->number = number;
        if (number % t->o.every_s == 0 && !(hurry && t->any))
                s->picture = av_frame_clone(picture);
        t->any = t->any || s->picture;
        t->shown = number;
        give(t, s);
}

void thumbs_close(struct thumbs **tp, bool finished)
{
        struct thumbs *t = *tp;
        *tp = NULL;
        if (!t)
                return;
        if (finished) {
                struct second *end = mem_alloc(sizeof(*end));
                end->end = true;
                give(t, end);
        } else {
                queue_abort(&t->queue);
        }
        pthread_join(t->thread, NULL);
        queue_fini(&t->queue, drop_second);
        jpeg_free(&t->jpeg);
        buf_unref(&t->last);
        free(t);
}
