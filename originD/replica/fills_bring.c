#include "originD/replica/fills_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/log/disk.h"
#include "originD/replica/catalog.h"
#include "originD/stats.h"

#define AGAIN_DOUBLES 8            /* FILLS_AGAIN_US is doubled so often */
#define READERS_US (10 * US_PER_S) /* what is being read of a damaged volume is waited for so long */
#define REFUSALS_MAX 60
#define TIMEOUTS_MAX 3

/* ---- the end of one, good or bad ------------------------------------------------------------------------------------ */

void fills_end_one(struct fills *f)
{
        struct fill *n = &f->now;
        assert(!n->begun);
        read_ahead_stop(&f->ahead);
        if (n->s)
                n->s->pins--;
        eras_free(&n->eras);
        *n = (struct fill){.step = IDLE};
}

static struct chunk_log *log_of(const struct fill *n)
{
        struct track *t = session_track(n->s, n->track);
        return t ? t->log : NULL;
}

static void drop_work(void *arg)
{
        incoming_drop(&((struct fills *)arg)->now.in);
}

/* Not now: the session waits, longer each time. */
void fills_put_off(struct fills *f)
{
        struct wanted *w = *fills_find_wanted(f, f->now.s->id);
        if (w) {
                unsigned doubles = w->failures < AGAIN_DOUBLES ? w->failures : AGAIN_DOUBLES;
                w->not_before_us = clock_mono_us() + (FILLS_AGAIN_US << doubles);
                w->failures++;
                w->below = UINT64_MAX;
        }
        fills_end_one(f);
}

/* Nobody has this volume: the older ones are not to wait for it. */
static void pass_over(struct fills *f)
{
        struct wanted *w = *fills_find_wanted(f, f->now.s->id);
        if (w)
                w->below = f->now.number;
        fills_end_one(f);
}

static void dropped(void *arg)
{
        struct fills *f = arg;
        f->under_way--;
        incoming_free(&f->now.in);
        f->now.begun = false;
        if (f->stopping)
                fills_end_one(f);
        else
                fills_ask_peer(f); /* another one may do better */
}

/* From this peer it cannot be had. */
void fills_failed(struct fills *f, int status)
{
        struct fill *n = &f->now;
        stat_add(STAT_FILLS_FAILED, 1);
        read_ahead_stop(&f->ahead);
        if (status != ERR_CANCELED)
                log_warn("session=%s stream=%s track=%s volume=%06" PRIu32 " peer=%s msg=\"cannot bring a volume\" error=\"%s\"",
                         n->s->id, n->s->stream, n->track, n->number, n->peer, err_text(status));
        n->step = WRITING;
        if (n->hidden) {
                chunk_log_take_volume(log_of(n), n->number, VOLUME_LACKING, NULL);
                stat_add(STAT_STORED_BYTES, -(int64_t)n->replaced);
        }
        n->hidden = false;
        if (!n->begun) {
                if (f->stopping)
                        fills_end_one(f);
                else
                        fills_ask_peer(f);
                return;
        }
        f->under_way++;
        disk_run(f->loop, DISK_WRITE, drop_work, dropped, f);
}

/* ---- its bytes ------------------------------------------------------------------------------------------------------ */

static void run(struct fills *f, void (*work)(void *arg), void (*after)(void *arg))
{
        f->now.step = WRITING;
        f->under_way++;
        /* A volume that is brought is new media being stored, one write at a time; it must not wait behind who reads old ones. */
        disk_run(f->loop, DISK_WRITE, work, after, f);
}

/* Whether here the volume is to be of the writers that it is of there. What is before it does not matter. */
static bool same_writers(const struct fill *n, const struct eras *theirs, const struct volume_sum *v)
{
        const struct track *mine = session_track(n->s, n->track);
        uint64_t place;
        return mine && !eras_part_within(&mine->eras, theirs, eras_place(n->s->chunk_ms, v->first_segment, 0),
                                         eras_place(n->s->chunk_ms, v->last_segment + 1, 0), &place);
}

static void install_work(void *arg)
{
        struct fill *n = &((struct fills *)arg)->now;
        n->status = incoming_install(&n->in);
}

static void installed(void *arg)
{
        struct fills *f = arg;
        struct fill *n = &f->now;
        struct chunk_log *log = log_of(n);
        f->under_way--;
        if (n->status) {
                fills_failed(f, n->status);
                return;
        }
        n->hidden = false;
        chunk_log_take_volume(log, n->number, VOLUME_HERE, &n->in.sum);
        stat_add(STAT_STORED_BYTES, (int64_t)n->in.sum.bytes - (int64_t)n->replaced);
        stat_add(STAT_FILLS, 1);
        log_info("session=%s stream=%s track=%s volume=%06" PRIu32 " peer=%s msg=\"brought a volume\" bytes=%" PRIu64, n->s->id,
                 n->s->stream, n->track, n->number, n->peer, n->in.sum.bytes);
        incoming_free(&n->in);
        n->begun = false;
        struct wanted *w = *fills_find_wanted(f, n->s->id);
        if (w)
                w->failures = 0;
        fills_end_one(f);
}

/* The files are about to be another's: who reads the old ones by their index comes to an end first. */
void fills_hide(struct fills *f)
{
        struct fill *n = &f->now;
        struct chunk_log *log = log_of(n);
        if (n->step != HIDING) {
                n->step = HIDING;
                n->since_us = clock_mono_us();
        }
        /* Meanwhile it may have been cut off, for a newer writer's to stand there, or retention has removed it. */
        bool same = log && volumes_get(&log->closed, n->number) && same_writers(n, &n->eras, &n->expected);
        if (same && !n->hidden && !f->stopping) {
                const struct volume_row *row = volumes_get(&log->closed, n->number);
                n->replaced = row && row->state == VOLUME_DAMAGED ? row->sum.bytes : 0;
                n->hidden = chunk_log_hide_volume(log, n->number, &n->expected);
        }
        if (!same || f->stopping || clock_mono_us() - n->since_us > READERS_US)
                fills_failed(f, ERR_CANCELED);
        else if (n->hidden && (!n->damaged || !n->s->reads))
                run(f, install_work, installed);
}

static void check_work(void *arg)
{
        struct fill *n = &((struct fills *)arg)->now;
        n->status = incoming_check(&n->in, &n->expected);
}

static void checked(void *arg)
{
        struct fills *f = arg;
        f->under_way--;
        if (f->now.status || f->stopping)
                fills_failed(f, f->now.status ? f->now.status : ERR_CANCELED);
        else
                fills_hide(f);
}

static void add_work(void *arg)
{
        struct fill *n = &((struct fills *)arg)->now;
        n->status = incoming_add(&n->in, n->adding->segment, n->adding->bytes);
}

/* The first segment is in the file, or nobody wrote it. */
static void next_segment(struct fills *f)
{
        bool last = read_ahead_first(&f->ahead)->segment == f->now.expected.last_segment;
        read_ahead_take(&f->ahead);
        if (last)
                run(f, check_work, checked);
        else
                fills_bring(f);
}

static void added(void *arg)
{
        struct fills *f = arg;
        f->under_way--;
        if (f->now.status || f->stopping)
                fills_failed(f, f->now.status ? f->now.status : ERR_CANCELED);
        else
                next_segment(f);
}

/* The peer has viewers to serve, or the way is full. */
static bool refused(struct fill *n, int status)
{
        unsigned max = status == ERR_FULL || status == ERR_NOT_YET ? REFUSALS_MAX : status == ERR_TIMEOUT ? TIMEOUTS_MAX : 0;
        return n->refusals < max;
}

static void came(struct fills *f, struct ahead_segment *s)
{
        struct fill *n = &f->now;
        if (refused(n, s->status)) {
                n->refusals++;
                f->options.allowance->bytes = -f->options.allowance->bytes_s / 2;
                read_ahead_again(&f->ahead);
                return;
        }
        n->refusals = 0;
        if (s->status == ERR_NOT_FOUND && !s->bytes) { /* nobody wrote it */
                next_segment(f);
        } else if (s->status || !s->bytes) {
                fills_failed(f, s->status ? s->status : ERR_PROTO);
        } else {
                n->adding = s;
                run(f, add_work, added);
        }
}

/* What is under way counts as what a segment of this volume usually is. */
static bool may_ask(struct fills *f)
{
        const struct volume_sum *v = &f->now.expected;
        uint64_t usual = v->bytes / (v->last_segment - v->first_segment + 1);
        f->options.allowance->bytes -= (int64_t)(f->ahead.came_bytes - f->counted);
        f->counted = f->ahead.came_bytes;
        return allowance_left(f->options.allowance, clock_mono_us()) > (int64_t)(f->ahead.under_way * usual);
}

/* Asks for segments, as far as they are due, and has the next one written when it is there. */
void fills_bring(struct fills *f)
{
        f->now.step = FETCHING;
        while (may_ask(f) && read_ahead_more(&f->ahead))
                ;
        struct ahead_segment *s = read_ahead_first(&f->ahead);
        if (s)
                came(f, s);
}

void fills_on_segment(void *arg)
{
        fills_bring(arg);
}

static void begin_segments(struct fills *f)
{
        struct fill *n = &f->now;
        uint32_t end = n->expected.last_segment + 1;
        f->ahead.link = f->link;
        f->ahead.peer = n->peer;
        f->ahead.stream = n->s->stream;
        f->ahead.session = n->s->id;
        f->ahead.track = n->track;
        read_ahead_begin(&f->ahead, n->expected.first_segment, 0, end, end);
        fills_bring(f);
}

static void begin_work(void *arg)
{
        struct fill *n = &((struct fills *)arg)->now;
        n->status = incoming_begin(&n->in);
}

static void begun(void *arg)
{
        struct fills *f = arg;
        f->under_way--;
        if (f->now.status || f->stopping)
                fills_failed(f, f->now.status ? f->now.status : ERR_CANCELED);
        else
                begin_segments(f);
}

/* ---- who has it ----------------------------------------------------------------------------------------------------- */

/* The volume as the peer has it, if it is whole there and of the same writers as here. */
static const struct volume_row *peers_volume(struct fill *n, const struct catalog *c)
{
        const struct peer_session *p = c->count == 1 ? &c->sessions[0] : NULL;
        if (!p || strcmp(p->id, n->s->id) != 0 || strcmp(p->stream, n->s->stream) != 0 ||
            p->volume_segments != n->s->volume_segments || p->chunk_ms != n->s->chunk_ms)
                return NULL;
        for (size_t i = 0; i < p->track_count; i++) {
                const struct peer_track *t = &p->tracks[i];
                if (strcmp(t->name, n->track) != 0)
                        continue;
                const struct volume_row *v = volumes_get(&t->volumes, n->number);
                if (v && !v->sum.crc) /* nothing says what it is to come to */
                        return NULL;
                bool parts = !v || !same_writers(n, &t->eras, &v->sum);
                bool outside = v && (v->sum.first_segment / n->s->volume_segments != v->number ||
                                     v->sum.last_segment / n->s->volume_segments != v->number);
                if (parts || outside)
                        return NULL;
                eras_free(&n->eras);
                eras_adopt(&n->eras, &t->eras, 0);
                return v;
        }
        return NULL;
}

static void on_facts(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct fills *f = arg;
        struct fill *n = &f->now;
        struct catalog c = {0};
        bool good = !err && !m->status && bytes && m->flags & FETCH_COMPLETE &&
                    !catalog_read(&c, (const char *)bytes->data, bytes->len);
        const struct chunk_log *log = log_of(n);
        const struct volume_row *theirs = good && log ? peers_volume(n, &c) : NULL;
        f->under_way--;
        if (f->stopping) {
                fills_end_one(f);
        } else if (!theirs) {
                fills_ask_peer(f);
        } else {
                n->expected = theirs->sum;
                incoming_init(&n->in, &log->volume_track, n->number);
                n->begun = true;
                run(f, begin_work, begun);
        }
        catalog_free(&c);
}

/* The next of those that are up; after the last one it is tried again some other time. */
void fills_ask_peer(struct fills *f)
{
        struct fill *n = &f->now;
        struct peer_node up[PEERS_UP_MAX];
        size_t count = f->link ? f->link->ops->up(f->link, up) : 0;
        struct fetch m = {.hops = FETCH_HOPS_MAX};
        snprintf(m.key, sizeof(m.key), "/peer/session/%s/%" PRIu64, n->s->id, n->number + UINT64_C(1));
        n->step = ASKING;
        while (n->next_peer < count) {
                snprintf(n->peer, sizeof(n->peer), "%s", up[n->next_peer++].id);
                f->under_way++;
                if (!f->link->ops->fetch(f->link, n->peer, &m, on_facts, f))
                        return;
                f->under_way--;
        }
        pass_over(f);
}
