#include "originD/shadow_turns.h"

#include <assert.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/stats.h"

int shadow_turns_judge(struct session *s, const char *track, uint32_t generation)
{
        const struct track *t = session_track(s, track);
        if (s->state == SESSION_ENDED || s->ending || !s->claimed || !t || !t->log)
                return ERR_NOT_FOUND;
        return generation == s->generation ? 0 : ERR_FENCED;
}

static bool of_shadow(const struct turn *t)
{
        return t->append.flags & PUT_SHADOW;
}

static struct track *track_of(const struct turn *t)
{
        return session_track(t->session, t->track);
}

/* Stored, or on its way to the disk: that a write fails is seldom, and then the next in the log's queue is written. */
static bool taken(const struct turn *t)
{
        const struct chunk_log *log = track_of(t)->log;
        unsigned chunk_ms = t->session->chunk_ms;
        uint64_t place = eras_place(chunk_ms, t->append.segment, t->append.chunk);
        uint32_t segment = 0;
        uint8_t chunk = 0;
        int64_t end_us;
        if (log->index.count)
                index_next(&log->index, &segment, &chunk, &end_us);
        if (place < eras_place(chunk_ms, segment, chunk))
                return true;
        if (log->writing && eras_place(chunk_ms, log->writing->segment, log->writing->chunk) >= place)
                return true;
        for (const struct chunk_append *a = log->first; a; a = a->next)
                if (eras_place(chunk_ms, a->segment, a->chunk) >= place)
                        return true;
        return false;
}

/* The leader is there, in time so far, and what it has for this place has not come. */
static bool leaders_turn(const struct turn *t)
{
        const struct track *track = track_of(t);
        const struct shadow_turns *ts = t->turns;
        if (!of_shadow(t) || (track->leader_late && track->led_generation == t->append.generation) || taken(t))
                return false;
        return !ts->connected || ts->connected(ts->arg, t->session->node);
}

/* What its writer sent before it is stored. */
static bool in_order(const struct turn *t)
{
        return chunk_log_stored_to(track_of(t)->log, t->append.after_us);
}

static bool strange_sound(const struct turn *t)
{
        const struct chunk_log *log = track_of(t)->log;
        return log->init.kind == TRACK_AUDIO && t->append.previous && t->append.previous != log->last_hash;
}

static void on_timer(uv_timer_t *timer);

static void start_timer(struct shadow_turns *ts, int64_t at_us)
{
        int64_t in_us = at_us - clock_mono_us();
        ts->next_us = at_us;
        uv_update_time(ts->timer.loop);
        uv_timer_start(&ts->timer, on_timer, in_us > 0 ? (uint64_t)(in_us + US_PER_MS - 1) / US_PER_MS : 0, 0);
}

static void over(struct turn *t, int status)
{
        t->done(t, status);
}

static void hold(struct turn *t, enum turn_waits waits, int64_t due_us)
{
        struct shadow_turns *ts = t->turns;
        struct session *s = t->session;
        t->waits = waits;
        if (ts->stopping || s->turns == SHADOW_TURNS_MAX) {
                over(t, ts->stopping ? ERR_CANCELED : ERR_FULL);
                return;
        }
        s->turns++;
        s->pins++;
        t->due_us = due_us;
        t->seen_moves = s->moves;
        t->next = NULL;
        *ts->last = t;
        ts->last = &t->next;
        if (due_us < ts->next_us)
                start_timer(ts, due_us);
}

static void tell_misfit(const struct turn *t)
{
        struct session *s = t->session;
        stat_add(STAT_PUTS_MISFIT, 1);
        if (s->misfit_generation == s->generation) /* told: all its tracks come here */
                return;
        s->misfit_generation = s->generation;
        log_warn("session=%s stream=%s track=%s writer=%s generation=%u segment=%u chunk=%u "
                 "msg=\"chunk does not go on from what the other writer stored\"", s->id, s->stream, t->track,
                 of_shadow(t) ? "shadow" : "leader", s->generation, t->append.segment, t->append.chunk);
}

static void does_not_fit(struct turn *t)
{
        int64_t now = clock_mono_us();
        struct track *track = track_of(t);
        if (!t->fit_due_us)
                t->fit_due_us = now + t->turns->fit_us;
        if (!of_shadow(t) && track && !track->leader_late) { /* in time, but there is no use in waiting for it */
                track->leader_late = true;
                shadow_turns_session_changed(t->turns, t->session);
        }
        if (now < t->fit_due_us) {
                hold(t, TURN_FITS, t->fit_due_us);
                return;
        }
        tell_misfit(t);
        over(t, ERR_FENCED);
}

/* Its writer hears then what became of the one before, and sends both again. */
static void has_overtaken(struct turn *t)
{
        int64_t now = clock_mono_us();
        if (!t->order_due_us)
                t->order_due_us = now + t->turns->order_us;
        if (now < t->order_due_us)
                hold(t, TURN_ORDER, t->order_due_us);
        else
                over(t, ERR_NOT_YET);
}

static void appended(struct chunk_append *a, int status)
{
        struct turn *t = (struct turn *)a;
        struct track *track = track_of(t);
        if (status == ERR_NOT_YET && a->early) {
                has_overtaken(t);
                return;
        }
        if (status == ERR_NOT_YET) {
                does_not_fit(t);
                return;
        }
        if (!status && !a->again && !of_shadow(t) && track)
                track->leader_late = false; /* it was the first */
        over(t, status);
}

static void wait_for_leader(struct turn *t)
{
        t->leader_since_us = clock_mono_us();
        hold(t, TURN_LEADER, t->leader_since_us + t->turns->leader_us);
}

void shadow_turns_put(struct shadow_turns *ts, struct turn *t)
{
        struct track *track = track_of(t);
        t->turns = ts;
        t->fit_due_us = t->order_due_us = 0;
        t->append.done = appended;
        if (!of_shadow(t) && track->led_generation != t->append.generation) {
                track->led_generation = t->append.generation;
                track->leader_late = false;
        }
        if (leaders_turn(t))
                wait_for_leader(t);
        else
                chunk_log_append(track->log, &t->append);
}

/* The leader had its time. That says nothing of it while the shadow's own chunk before this one is not there either. */
static void note_late(const struct turn *t)
{
        struct track *track = track_of(t);
        if (!in_order(t))
                return;
        track->led_generation = t->append.generation;
        track->leader_late = true;
        stat_add(STAT_LEADER_LATE, 1);
}

/* It is the leader's turn. True: it waits on. */
static bool waits_on(struct turn *t, bool due)
{
        int64_t now = clock_mono_us();
        if (t->waits == TURN_LEADER) {
                bool sound = strange_sound(t) && now < t->leader_since_us + t->turns->sound_us;
                if (sound)
                        hold(t, TURN_LEADER, t->leader_since_us + t->turns->sound_us);
                else
                        note_late(t);
                return sound;
        }
        /* It waited for something else, and the leader's time for this place begins only when that is there. */
        if (in_order(t))
                wait_for_leader(t);
        else if (!due)
                hold(t, t->waits, t->due_us);
        else
                return false;
        return true;
}

/* What it waits for may be there, or is not waited for any more. */
static void go_on(struct turn *t, bool due)
{
        int rc = t->turns->stopping ? ERR_CANCELED : shadow_turns_judge(t->session, t->track, t->append.generation);
        if (rc)
                over(t, rc);
        else if (!leaders_turn(t) || !waits_on(t, due))
                chunk_log_append(track_of(t)->log, &t->append);
}

static bool may_go_on(const struct turn *t, int64_t now)
{
        if (now >= t->due_us || t->turns->stopping)
                return true;
        if (t->seen_moves == t->session->moves)
                return false;
        return t->waits != TURN_LEADER || shadow_turns_judge(t->session, t->track, t->append.generation) || !leaders_turn(t);
}

/* Those that have to wait on are put back, behind those that come to wait meanwhile. */
static void look_at_turns(struct shadow_turns *ts)
{
        struct turn *todo = ts->first;
        int64_t now = clock_mono_us();
        ts->first = NULL;
        ts->last = &ts->first;
        ts->next_us = INT64_MAX;
        while (todo) {
                struct turn *t = todo;
                todo = t->next;
                t->session->turns--;
                t->session->pins--;
                if (may_go_on(t, now))
                        go_on(t, now >= t->due_us);
                else
                        hold(t, t->waits, t->due_us);
        }
}

static void on_timer(uv_timer_t *timer)
{
        look_at_turns(timer->data);
}

/* Later, from the timer: who tells it is in the middle of something, such as ending the session. */
void shadow_turns_session_changed(struct shadow_turns *ts, struct session *s)
{
        s->moves++;
        if (s->turns && ts->next_us)
                start_timer(ts, 0);
}

void shadow_turns_node_gone(struct shadow_turns *ts)
{
        for (struct turn *t = ts->first; t; t = t->next)
                t->seen_moves = UINT64_MAX;
        if (ts->first)
                start_timer(ts, 0);
}

void shadow_turns_open(struct shadow_turns *ts, uv_loop_t *loop)
{
        *ts = (struct shadow_turns){.leader_us = SHADOW_TURNS_LEADER_MS * US_PER_MS, .sound_us = SHADOW_TURNS_SOUND_MS * US_PER_MS,
                             .fit_us = SHADOW_TURNS_FIT_MS * US_PER_MS, .order_us = SHADOW_TURNS_ORDER_MS * US_PER_MS,
                             .next_us = INT64_MAX};
        ts->last = &ts->first;
        uv_timer_init(loop, &ts->timer);
        ts->timer.data = ts;
}

void shadow_turns_stop(struct shadow_turns *ts)
{
        ts->stopping = true;
        look_at_turns(ts);
}

void shadow_turns_close(struct shadow_turns *ts)
{
        assert(!ts->first);
        uv_close((uv_handle_t *)&ts->timer, NULL);
}
