#include "originD/replica/fills.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/replica/catalog.h"
#include "originD/replica/incoming.h"
#include "originD/replica/read_ahead.h"
#include "originD/stats.h"

#define AGAIN_US (2 * US_PER_S)   /* after a volume could be had from nobody, */
#define AGAIN_DOUBLES 8           /* doubled so often */
#define READERS_US (10 * US_PER_S) /* what is being read of a damaged volume is waited for so long */
#define CHANGES_A_TICK 200
#define REFUSALS_MAX 60
#define TIMEOUTS_MAX 3
#define AHEAD_BYTES (16u << 20)

/* A session that lacks volumes. */
struct wanted {
        char id[SESSION_ID_MAX + 1];
        int64_t epoch_us;
        int64_t not_before_us;
        unsigned failures;
        uint64_t below;      /* volumes from this number on could be had from nobody in this round */
        struct wanted *next; /* the newest first */
};

enum step { IDLE, LOADING, ASKING, FETCHING, WRITING, HIDING };

/* The volume that is on its way. */
struct fill {
        enum step step;
        struct session *s; /* pinned */
        char track[TRACK_NAME_MAX + 1], peer[NODE_ID_MAX + 1];
        uint32_t number;
        struct volume_sum expected; /* as the peer has it */
        struct eras eras;           /* likewise, as far as its end */
        struct incoming in;
        bool begun;       /* in is */
        size_t next_peer; /* of those that are up, to ask if this one fails */
        struct ahead_segment *adding; /* the one that is being written */
        int status;        /* of the pool's job */
        uint64_t replaced; /* bytes of what is here of it, once it is hidden */
        bool hidden;       /* the row is, and is to be taken */
        bool damaged;      /* something of it is here, and may be being read */
        unsigned refusals; /* that its peer had no time, one after the other */
        int64_t since_us;  /* it hides */
};

struct fills {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct peer_link *link;
        struct fills_options options;
        struct wanted *wanted;
        size_t wanted_count;
        uint64_t seen;      /* of the store's changes */
        struct fill now;
        struct read_ahead ahead; /* of its segments */
        unsigned under_way; /* a question to a peer or a job of the pool: 0 or 1 */
        uint64_t counted;   /* of what was fetched: it is taken off the allowance already */
        bool stopping;
};

/* ---- which sessions lack any ---------------------------------------------------------------------------------------- */

static bool lacks(const struct volume_row *v)
{
        return (v->state == VOLUME_LACKING || v->state == VOLUME_DAMAGED) && !v->closing;
}

static struct wanted **find_wanted(struct fills *f, const char *id)
{
        struct wanted **at = &f->wanted;
        while (*at && strcmp((*at)->id, id) != 0)
                at = &(*at)->next;
        return at;
}

static void forget(struct fills *f, const char *id)
{
        struct wanted **at = find_wanted(f, id), *w = *at;
        if (!w)
                return;
        *at = w->next;
        free(w);
        f->wanted_count--;
}

static void want(struct fills *f, const struct session *s)
{
        if (*find_wanted(f, s->id))
                return;
        struct wanted *w = mem_alloc(sizeof(*w)), **at = &f->wanted;
        *w = (struct wanted){.epoch_us = s->epoch_us, .below = UINT64_MAX};
        strcpy(w->id, s->id);
        while (*at && (*at)->epoch_us >= s->epoch_us)
                at = &(*at)->next;
        w->next = *at;
        *at = w;
        f->wanted_count++;
}

/* In the order of change, as another origin reads it: a start has all sessions to look at, and a tick a few of them. */
static void look_at_changes(struct fills *f)
{
        struct session *s = store_changed_behind(f->store, f->seen);
        for (unsigned n = 0; s && n < CHANGES_A_TICK && f->wanted_count < FILLS_WANTED_MAX; n++, s = s->changed_after) {
                f->seen = s->change;
                if (session_sum(s).lacking)
                        want(f, s);
        }
}

/* ---- the end of one, good or bad ------------------------------------------------------------------------------------ */

static void ask_peer(struct fills *f);

static void end_fill(struct fills *f)
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
static void put_off(struct fills *f)
{
        struct wanted *w = *find_wanted(f, f->now.s->id);
        if (w) {
                unsigned doubles = w->failures < AGAIN_DOUBLES ? w->failures : AGAIN_DOUBLES;
                w->not_before_us = clock_mono_us() + (AGAIN_US << doubles);
                w->failures++;
                w->below = UINT64_MAX;
        }
        end_fill(f);
}

/* Nobody has this volume: the older ones are not to wait for it. */
static void pass_over(struct fills *f)
{
        struct wanted *w = *find_wanted(f, f->now.s->id);
        if (w)
                w->below = f->now.number;
        end_fill(f);
}

static void dropped(void *arg)
{
        struct fills *f = arg;
        f->under_way--;
        incoming_free(&f->now.in);
        f->now.begun = false;
        if (f->stopping)
                end_fill(f);
        else
                ask_peer(f); /* another one may do better */
}

/* From this peer it cannot be had. */
static void failed(struct fills *f, int status)
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
                        end_fill(f);
                else
                        ask_peer(f);
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
        return mine && !eras_part_within(&mine->eras, theirs, eras_place(v->first_segment, 0), eras_place(v->last_segment + 1, 0),
                                         &place);
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
                failed(f, n->status);
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
        struct wanted *w = *find_wanted(f, n->s->id);
        if (w)
                w->failures = 0;
        end_fill(f);
}

/* The files are about to be another's: who reads the old ones by their index comes to an end first. */
static void hide(struct fills *f)
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
                failed(f, ERR_CANCELED);
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
                failed(f, f->now.status ? f->now.status : ERR_CANCELED);
        else
                hide(f);
}

static void bring(struct fills *f);

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
                bring(f);
}

static void added(void *arg)
{
        struct fills *f = arg;
        f->under_way--;
        if (f->now.status || f->stopping)
                failed(f, f->now.status ? f->now.status : ERR_CANCELED);
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
                failed(f, s->status ? s->status : ERR_PROTO);
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
static void bring(struct fills *f)
{
        f->now.step = FETCHING;
        while (may_ask(f) && read_ahead_more(&f->ahead))
                ;
        struct ahead_segment *s = read_ahead_first(&f->ahead);
        if (s)
                came(f, s);
}

static void on_segment(void *arg)
{
        bring(arg);
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
        bring(f);
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
                failed(f, f->now.status ? f->now.status : ERR_CANCELED);
        else
                begin_segments(f);
}

/* ---- who has it ----------------------------------------------------------------------------------------------------- */

/* The volume as the peer has it, if it is whole there and of the same writers as here. */
static const struct volume_row *peers_volume(struct fill *n, const struct catalog *c)
{
        const struct peer_session *p = c->count == 1 ? &c->sessions[0] : NULL;
        if (!p || strcmp(p->id, n->s->id) != 0 || strcmp(p->stream, n->s->stream) != 0 ||
            p->volume_segments != n->s->volume_segments)
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
                end_fill(f);
        } else if (!theirs) {
                ask_peer(f);
        } else {
                n->expected = theirs->sum;
                incoming_init(&n->in, &log->volume_track, n->number);
                n->begun = true;
                run(f, begin_work, begun);
        }
        catalog_free(&c);
}

/* The next of those that are up; after the last one it is tried again some other time. */
static void ask_peer(struct fills *f)
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

/* ---- which one ------------------------------------------------------------------------------------------------------ */

/* The newest that is lacking, of all tracks: what is near the live edge is asked for first, by viewers too. */
static bool choose(struct fill *n, uint64_t below)
{
        const struct volume_row *best = NULL;
        for (size_t i = 0; i < n->s->track_count; i++) {
                const struct track *t = n->s->tracks[i];
                for (size_t k = t->log ? t->log->closed.count : 0; k--;) {
                        const struct volume_row *v = &t->log->closed.rows[k];
                        if (!lacks(v) || v->number >= below || (best && v->number <= best->number))
                                continue;
                        best = v;
                        n->damaged = v->state == VOLUME_DAMAGED;
                        strcpy(n->track, t->name);
                }
        }
        n->number = best ? best->number : 0;
        return best != NULL;
}

static void begin(struct fills *f)
{
        struct fill *n = &f->now;
        if (n->s->load != LOAD_DONE) {
                n->step = LOADING;
                session_load(n->s);
                if (n->s->load == LOAD_NO || n->s->load == LOAD_FAILED)
                        put_off(f);
        } else if (!choose(n, UINT64_MAX)) {
                forget(f, n->s->id);
                end_fill(f);
        } else if (!choose(n, (*find_wanted(f, n->s->id))->below)) {
                put_off(f);
        } else {
                n->next_peer = 0;
                ask_peer(f);
        }
}

static void start_one(struct fills *f)
{
        int64_t now = clock_mono_us();
        struct wanted *w = f->wanted;
        while (w && w->not_before_us > now)
                w = w->next;
        if (!w)
                return;
        struct session *s = store_session(f->store, w->id);
        if (!s || s->ending) {
                if (!s)
                        forget(f, w->id);
                else
                        w->not_before_us = now + AGAIN_US;
                return;
        }
        f->now.s = s;
        s->pins++;
        begin(f);
}

static void ticked(uv_timer_t *timer)
{
        struct fills *f = timer->data;
        look_at_changes(f);
        stat_set(STAT_LACKING, (int64_t)f->wanted_count);
        if (f->under_way)
                return;
        switch (f->now.step) {
        case IDLE:
                start_one(f);
                break;
        case LOADING:
                if (f->now.s->load != LOAD_UNDER_WAY)
                        begin(f);
                break;
        case FETCHING:
                bring(f);
                break;
        case HIDING:
                hide(f);
                break;
        case ASKING:
        case WRITING:
                break;
        }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

void fills_open(struct fills **out, uv_loop_t *loop, struct store *st, const struct fills_options *options)
{
        struct fills *f = mem_alloc(sizeof(*f));
        *f = (struct fills){.loop = loop, .store = st, .options = *options};
        f->ahead = (struct read_ahead){.max = READ_AHEAD_MAX, .max_bytes = AHEAD_BYTES, .ready = on_segment, .arg = f};
        uv_timer_init(loop, &f->timer);
        f->timer.data = f;
        *out = f;
}

void fills_link(struct fills *f, struct peer_link *link)
{
        f->link = link;
        if (f->options.allowance->bytes_s)
                uv_timer_start(&f->timer, ticked, 0, FILLS_TICK_MS);
}

/* Volumes that went here, for room on this disk (room.h), need not have gone there. */
static bool went(const struct session *s, const struct key *key)
{
        const struct track *t = session_track(s, key->track);
        return t && key->segment >= t->first_segment && key->segment < track_first_segment(s, t);
}

const char *fills_elsewhere(struct fills *f, const struct session *s, const struct key *key, unsigned nth)
{
        static struct peer_node up[PEERS_UP_MAX];
        bool may_be = session_sum(s).lacking || went(s, key);
        if (!f->link || f->stopping || !may_be || nth >= f->link->ops->up(f->link, up))
                return NULL;
        return up[nth].id;
}

void fills_stop(struct fills *f)
{
        f->stopping = true;
        uv_timer_stop(&f->timer);
        if (f->under_way || f->now.step == IDLE)
                return;
        if (f->now.begun)
                failed(f, ERR_CANCELED);
        else
                end_fill(f);
}

bool fills_idle(const struct fills *f)
{
        return f->now.step == IDLE && !f->under_way;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void fills_close(struct fills *f)
{
        assert(fills_idle(f));
        while (f->wanted)
                forget(f, f->wanted->id);
        uv_close((uv_handle_t *)&f->timer, on_closed);
}
