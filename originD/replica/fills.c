#include "originD/replica/fills_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/stats.h"

#define AHEAD_BYTES (16u << 20)

/* ---- which one ------------------------------------------------------------------------------------------------------ */

/* The newest that is lacking, of all tracks: what is near the live edge is asked for first, by viewers too. */
static bool choose(struct fill *n, uint64_t below)
{
        const struct volume_row *best = NULL;
        for (size_t i = 0; i < n->s->track_count; i++) {
                const struct track *t = n->s->tracks[i];
                for (size_t k = t->log ? t->log->closed.count : 0; k--;) {
                        const struct volume_row *v = &t->log->closed.rows[k];
                        if (!fills_lacks(v) || v->number >= below || (best && v->number <= best->number))
                                continue;
                        best = v;
                        n->damaged = v->state == VOLUME_DAMAGED;
                        strcpy(n->track, t->name);
                }
        }
        n->number = best ? best->number : 0;
        return best != NULL;
}

static void begin_fill(struct fills *f)
{
        struct fill *n = &f->now;
        if (n->s->load != LOAD_DONE) {
                n->step = LOADING;
                session_load(n->s);
                if (n->s->load == LOAD_NO || n->s->load == LOAD_FAILED)
                        fills_put_off(f);
        } else if (!choose(n, UINT64_MAX)) {
                fills_forget(f, n->s->id);
                fills_end_one(f);
        } else if (!choose(n, (*fills_find_wanted(f, n->s->id))->below)) {
                fills_put_off(f);
        } else {
                n->next_peer = 0;
                fills_ask_peer(f);
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
                        fills_forget(f, w->id);
                else
                        w->not_before_us = now + FILLS_AGAIN_US;
                return;
        }
        f->now.s = s;
        s->pins++;
        begin_fill(f);
}

static void ticked(uv_timer_t *timer)
{
        struct fills *f = timer->data;
        fills_look_at_changes(f);
        stat_set(STAT_LACKING, (int64_t)f->wanted_count);
        if (f->under_way)
                return;
        switch (f->now.step) {
        case IDLE:
                start_one(f);
                break;
        case LOADING:
                if (f->now.s->load != LOAD_UNDER_WAY)
                        begin_fill(f);
                break;
        case FETCHING:
                fills_bring(f);
                break;
        case HIDING:
                fills_hide(f);
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
        f->ahead = (struct read_ahead){.max = READ_AHEAD_MAX, .max_bytes = AHEAD_BYTES, .ready = fills_on_segment, .arg = f};
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
static bool went(const struct session *s, const struct track *t, const struct key *key)
{
        return t && key->segment >= t->first_segment && key->segment < track_first_segment(s, t);
}

/* Who waits for what comes next asks whenever a chunk came. That is in no volume that is lacking, and of
 * those a channel that is always on has thousands to look at. */
static bool is_at_end(const struct track *t, const struct key *key)
{
        const struct chunk_log *log = t ? t->log : NULL;
        if (!log || !log->open || log->open_lacking || !log->index.count)
                return false;
        bool newest = !log->closed.count || log->closed.rows[log->closed.count - 1].number < log->open_number;
        return newest && key->segment >= log->index.rows[log->index.count - 1].segment;
}

const char *fills_elsewhere(struct fills *f, const struct session *s, const struct key *key, unsigned nth)
{
        static struct peer_node up[PEERS_UP_MAX];
        const struct track *t = session_track(s, key->track);
        if (!f->link || f->stopping || is_at_end(t, key))
                return NULL;
        bool may_be = went(s, t, key) || session_sum(s).lacking;
        if (!may_be || nth >= f->link->ops->up(f->link, up))
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
                fills_failed(f, ERR_CANCELED);
        else
                fills_end_one(f);
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
                fills_forget(f, f->wanted->id);
        uv_close((uv_handle_t *)&f->timer, on_closed);
}
