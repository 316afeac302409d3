#include "originD/replica/catch_up_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster/ring.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "common/err.h"
#include "originD/replica/compare.h"

#define TICK_MS 50

/* ---- copying ------------------------------------------------------------------------------------------------------ */

static bool being_looked_at(const struct catch_up *r, const char *id)
{
        for (const struct lack *l = r->lacks; l; l = l->next)
                if (strcmp(l->id, id) == 0 && (l->copy || (l->exact && !l->not_before_us))) /* and has not failed since */
                        return true;
        return false;
}

static void answer_waits(struct catch_up *r, bool all)
{
        struct catch_up_wait *todo = r->waits;
        int64_t now = clock_mono_us();
        r->waits = NULL;
        while (todo) {
                struct catch_up_wait *w = todo;
                todo = w->next;
                bool over = !being_looked_at(r, w->session);
                if (all || over || now >= w->deadline_us) {
                        w->done(w, all ? ERR_CANCELED : over ? 0 : ERR_NOT_YET);
                } else {
                        w->next = r->waits;
                        r->waits = w;
                }
        }
}

static bool is_up(const struct catch_up *r, const char *id)
{
        for (size_t i = 0; i < r->partner_count; i++)
                if (strcmp(r->partners[i].id, id) == 0)
                        return r->partners[i].up;
        return false;
}

/* NULL: a free one. */
static struct lack **copy_slot(struct catch_up *r, const struct lack *l)
{
        struct lack **at = r->copies;
        while (*at != l)
                at++;
        return at;
}

static void copied(void *arg, int status)
{
        struct lack *l = arg;
        struct catch_up *r = l->catch_up;
        *copy_slot(r, l) = NULL;
        l->copy = NULL;
        r->copying--;
        if (status && !is_up(r, l->peer)) {
                catch_up_forget_lack(r, l); /* what it has is looked at when it is back */
        } else if (status) {
                l->not_before_us = clock_mono_us() + (CATCH_UP_BEHIND_US << (l->failures < 4 ? l->failures : 4));
                l->failures++;
        } else if (!l->again) {
                catch_up_forget_lack(r, l);
        } else {
                l->again = false;
        }
        answer_waits(r, false);
        catch_up_start_copies(r);
}

static bool session_is_copied(const struct catch_up *r, const char *id)
{
        for (const struct lack *l = r->lacks; l; l = l->next)
                if (l->copy && strcmp(l->id, id) == 0)
                        return true;
        return false;
}

void catch_up_start_copies(struct catch_up *r)
{
        int64_t now = clock_mono_us();
        size_t old = 0;
        if (r->stopping)
                return;
        for (size_t i = 0; i < CATCH_UP_COPIES_MAX; i++)
                old += r->copies[i] && !r->copies[i]->live;
        for (struct lack *l = r->lacks; l && r->copying < CATCH_UP_COPIES_MAX; l = l->next) {
                if (l->copy || l->foreign || now < l->not_before_us || (!l->live && old >= CATCH_UP_OLD_COPIES_MAX) ||
                    session_is_copied(r, l->id))
                        continue;
                l->copy = copy_session_start(r->store, r->link, l->peer, l->id, l->exact, l->failures > 0, r->options.old, copied, l);
                if (!l->copy)
                        continue;
                *copy_slot(r, NULL) = l;
                r->copying++;
                old += !l->live;
        }
}

/* What it told before it started anew may not be so any more, and what it has now may be another writer's. */
void catch_up_stop_copies_of(struct catch_up *r, const char *peer)
{
        struct copy_session *old[CATCH_UP_COPIES_MAX];
        size_t n = 0;
        for (struct lack *l = r->lacks; l; l = l->next)
                if (l->copy && strcmp(l->peer, peer) == 0)
                        old[n++] = l->copy;
        while (n) /* each may begin another one */
                copy_session_stop(old[--n]);
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

void catch_up_check_settled(struct catch_up *r)
{
        int64_t now = clock_mono_us();
        size_t up = 0, waiting = 0;
        bool open = false; /* what has ended elsewhere could be claimed */
        if (r->settled)
                return;
        for (size_t i = 0; i < r->partner_count; i++) {
                const struct partner *p = &r->partners[i];
                int64_t since_us = p->heard_us > r->opened_us ? p->heard_us : r->opened_us;
                if (p->starts) /* as if it were not up yet */
                        continue;
                up += p->up;
                waiting += p->up && !p->compared;
                open |= p->up && !p->heard_of_live && now - since_us < CATCH_UP_SETTLED_US;
        }
        bool alone = !up && (!r->link || now - r->opened_us > CATCH_UP_ALONE_US);
        if (!alone && !(up && !waiting) && (open || now - r->opened_us < CATCH_UP_SETTLED_US))
                return;
        r->settled = true;
        log_info("msg=\"settled\" peers=%zu not_compared=%zu behind=%zu", up, waiting, r->lack_count);
        r->events.settled(r->events.arg);
}

/* Not what was asked for just now: of that nobody knows yet whether anything is lacking. */
static bool live_behind(const struct catch_up *r)
{
        for (const struct lack *l = r->lacks; l; l = l->next)
                if (l->live && l->told && !l->foreign)
                        return true;
        return false;
}

static void check_caught_up(struct catch_up *r)
{
        if (r->caught_up || !r->settled || (live_behind(r) && clock_mono_us() - r->opened_us < CATCH_UP_READY_US))
                return;
        r->caught_up = true;
        r->events.caught_up(r->events.arg);
}

static bool any_silent(const struct catch_up *r, int64_t now)
{
        for (const struct session *s = r->store->first_live; s; s = s->older)
                if (!s->ending && now - s->heard_mono_us > COMPARE_SILENT_US)
                        return true;
        return false;
}

static bool is_due(const struct catch_up *r, const struct partner *p, int64_t now)
{
        int64_t since = now - p->asked_us;
        if (!p->up || p->asking || since <= CATCH_UP_SILENT_US)
                return false;
        return since > (r->lacks || !p->compared ? CATCH_UP_BEHIND_US : CATCH_UP_EVERY_US) || any_silent(r, now);
}

static void ticked(uv_timer_t *timer)
{
        struct catch_up *r = timer->data;
        int64_t now = clock_mono_us();
        for (size_t i = 0; i < r->partner_count; i++) {
                if (is_due(r, &r->partners[i], now))
                        catch_up_begin_comparing(&r->partners[i]);
        }
        catch_up_check_settled(r);
        check_caught_up(r);
        answer_waits(r, false);
        for (size_t i = 0; i < CATCH_UP_COPIES_MAX; i++)
                if (r->copies[i])
                        copy_session_tick(r->copies[i]->copy);
        catch_up_start_copies(r);
}

/* ---- others ------------------------------------------------------------------------------------------------------- */

void catch_up_session_changed(struct catch_up *r, const struct session *s)
{
        for (size_t i = 0; i < CATCH_UP_COPIES_MAX; i++)
                if (r->copies[i])
                        copy_session_changed(r->copies[i]->copy, s);
}

static bool look_at(struct catch_up *r, const struct session *s)
{
        bool any = false;
        for (size_t i = 0; i < r->partner_count && !r->stopping; i++) {
                struct partner *p = &r->partners[i];
                struct lack *l = p->up ? catch_up_note_lack(r, p->id, s->id, s->stream, s->epoch_us, true, false) : NULL;
                if (!l)
                        continue;
                l->exact = true;
                l->again = l->copy != NULL;
                l->not_before_us = 0;
                catch_up_move_lack(r, l);
                any = true;
        }
        return any;
}

void catch_up_look(struct catch_up *r, const struct session *s)
{
        if (look_at(r, s))
                catch_up_start_copies(r);
}

bool catch_up_wait(struct catch_up *r, const struct session *s, struct catch_up_wait *w,
                 void (*done)(struct catch_up_wait *w, int status))
{
        if (!look_at(r, s))
                return false;
        *w = (struct catch_up_wait){.deadline_us = clock_mono_us() + CATCH_UP_HOLD_US, .done = done, .next = r->waits};
        strcpy(w->session, s->id);
        r->waits = w;
        catch_up_start_copies(r);
        return true;
}

const char *catch_up_elsewhere(const struct catch_up *r, const struct key *key, const struct session *than, unsigned *nth)
{
        for (const struct lack *l = catch_up_lacks_like(r, key->stream); l; l = l->next_of_bucket)
                if (strcmp(l->stream, key->stream) == 0 && (key->kind == KEY_ENTRY || strcmp(l->id, key->session) == 0) &&
                    (!than || session_newer(l->epoch_us, l->id, than)) && !(*nth)--)
                        return l->peer;
        return NULL;
}

void catch_up_open(struct catch_up **out, uv_loop_t *loop, struct store *st, const struct catch_up_options *options,
                 const struct catch_up_events *events)
{
        struct catch_up *r = mem_alloc(sizeof(*r));
        *r = (struct catch_up){.loop = loop, .store = st, .options = *options, .events = *events, .opened_us = clock_mono_us()};
        r->ring = ring_new();
        ring_add(r->ring, options->self, options->zone, (void *)(uintptr_t)options->self);
        uv_timer_init(loop, &r->timer);
        r->timer.data = r;
        uv_timer_start(&r->timer, ticked, 0, TICK_MS);
        *out = r;
}

void catch_up_link(struct catch_up *r, struct peer_link *link)
{
        r->link = link;
        r->opened_us = clock_mono_us();
        catch_up_peers_changed(r);
}

void catch_up_stop(struct catch_up *r)
{
        r->stopping = true;
        uv_timer_stop(&r->timer);
        for (struct lack *l = r->lacks, *next; l; l = next) {
                next = l->next;
                if (l->copy)
                        copy_session_stop(l->copy);
        }
        answer_waits(r, true);
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void catch_up_close(struct catch_up *r)
{
        assert(!r->copying);
        while (r->lacks)
                catch_up_forget_lack(r, r->lacks);
        for (size_t i = 0; i < r->partner_count; i++) {
                free(r->partners[i].text);
                free(r->partners[i].untold);
        }
        ring_free(r->ring);
        uv_close((uv_handle_t *)&r->timer, on_closed);
}
