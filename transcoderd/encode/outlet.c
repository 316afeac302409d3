#include "transcoderd/encode/outlet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/mem.h"

#define LATE_TRACK_US (2 * US_PER_S)

enum event { EVENT_TRACK, EVENT_READY, EVENT_CHUNK, EVENT_DRAINED, EVENT_FAILED };

struct outlet_mail {
        struct mail mail; /* first: a mail is its outlet_mail */
        struct outlet *outlet;
        enum event event;
        union {
                struct track_info track;
                struct chunk chunk;
                struct {
                        int err;
                        char text[160];
                } failed;
        };
};

struct outlet *outlet_new(struct mailbox *mb, const struct job_events *events, void *arg, const char *session)
{
        struct outlet *o = mem_alloc(sizeof(*o));
        o->mb = mb;
        o->events = *events;
        o->arg = arg;
        snprintf(o->session, sizeof(o->session), "%s", session);
        atomic_init(&o->refs, 1);
        atomic_init(&o->tally.begin_us, INT64_MAX);
        atomic_init(&o->tally.gains, true); /* until the first picture nobody knows better */
        for (int kind = 0; kind < TRACK_KINDS; kind++)
                atomic_init(&o->tally.placed_us[kind], INT64_MIN);
        return o;
}

void outlet_shut(struct outlet *o)
{
        o->shut = true;
}

void outlet_unref(struct outlet **op)
{
        struct outlet *o = *op;
        *op = NULL;
        if (o && atomic_fetch_sub(&o->refs, 1) == 1)
                free(o);
}

unsigned outlet_number(struct outlet *o)
{
        return atomic_fetch_add(&o->tracks, 1);
}

static void tell(struct outlet_mail *m)
{
        struct outlet *o = m->outlet;
        switch (m->event) {
        case EVENT_TRACK:
                o->events.track(o->arg, &m->track);
                break;
        case EVENT_READY:
                o->events.ready(o->arg);
                break;
        case EVENT_CHUNK:
                o->events.chunk(o->arg, &m->chunk);
                break;
        case EVENT_DRAINED:
                o->events.drained(o->arg, atomic_load(&o->tally.end_us));
                break;
        case EVENT_FAILED:
                o->events.failed(o->arg, m->failed.err, m->failed.text);
                break;
        }
}

static void deliver(struct mail *mail)
{
        struct outlet_mail *m = (struct outlet_mail *)mail;
        if (!m->outlet->shut)
                tell(m);
        if (m->event == EVENT_TRACK)
                buf_unref(&m->track.init);
        if (m->event == EVENT_CHUNK)
                buf_unref(&m->chunk.bytes);
        outlet_unref(&m->outlet);
        free(m);
}

static struct outlet_mail *mail_new(struct outlet *o, enum event event)
{
        struct outlet_mail *m = mem_alloc(sizeof(*m));
        m->mail.deliver = deliver;
        m->outlet = o;
        m->event = event;
        atomic_fetch_add(&o->refs, 1);
        return m;
}

void outlet_track(struct outlet *o, const struct track_info *info)
{
        struct outlet_mail *m = mail_new(o, EVENT_TRACK);
        m->track = *info;
        mailbox_post(o->mb, &m->mail);
}

void outlet_chunk(struct outlet *o, const struct chunk *c)
{
        struct outlet_mail *m = mail_new(o, EVENT_CHUNK);
        m->chunk = *c;
        mailbox_post(o->mb, &m->mail);
}

void outlet_failed(struct outlet *o, int err, const char *fmt, ...)
{
        struct outlet_mail *m = mail_new(o, EVENT_FAILED);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(m->failed.text, sizeof(m->failed.text), fmt, ap);
        va_end(ap);
        m->failed.err = err;
        mailbox_post(o->mb, &m->mail);
}

bool outlet_begins_late(struct outlet *o, int64_t media_us)
{
        int64_t begin_us = atomic_load(&o->tally.begin_us);
        while (media_us < begin_us)
                if (atomic_compare_exchange_weak(&o->tally.begin_us, &begin_us, media_us))
                        return false;
        return media_us - begin_us > LATE_TRACK_US;
}

void outlet_ended(struct outlet *o, int64_t end_us)
{
        int64_t seen_us = atomic_load(&o->tally.end_us);
        while (end_us > seen_us && !atomic_compare_exchange_weak(&o->tally.end_us, &seen_us, end_us))
                ;
}

void outlet_opening(struct outlet *o, unsigned count)
{
        atomic_fetch_add(&o->opening, count);
}

void outlet_opened(struct outlet *o)
{
        if (atomic_fetch_sub(&o->opening, 1) == 1)
                mailbox_post(o->mb, &mail_new(o, EVENT_READY)->mail);
}

void outlet_join(struct outlet *o)
{
        atomic_fetch_add(&o->kinds, 1);
}

void outlet_leave(struct outlet *o)
{
        if (atomic_fetch_sub(&o->kinds, 1) == 1)
                mailbox_post(o->mb, &mail_new(o, EVENT_DRAINED)->mail);
}
