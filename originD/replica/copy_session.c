#include "originD/replica/copy_session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/replica/copy_track.h"
#include "originD/stats.h"

#define SILENT_US (3 * US_PER_S) /* nobody writes to it any more */

struct copy_session {
        struct session_wait wait; /* first: session_save() gives it back */
        struct copy_track *tracks; /* those of this pass, all at a time */
        size_t track_count, left;  /* left: of them, not over yet */
        struct store *store;
        struct peer_link *link;
        struct allowance *old;
        char peer[NODE_ID_MAX + 1], id[SESSION_ID_MAX + 1];
        bool exact, again, stopping, told, loading;
        copy_session_done *done;
        void *arg;

        struct catalog facts; /* of this pass: one session */
        struct session *s;    /* pinned */
        int status;           /* of the pass: of the first track that failed */
        bool brought;         /* something changed in it */
        bool missed;          /* something that the other had cannot be had from there now */
        uint64_t segments, bytes;
        int64_t begun_mono_us;
};

static const struct peer_session *facts(const struct copy_session *c)
{
        return &c->facts.sessions[0];
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void tell_end(const struct copy_session *c, int status)
{
        int64_t ms = (clock_mono_us() - c->begun_mono_us) / US_PER_MS;
        if (c->told && !status)
                log_info("session=%s stream=%s peer=%s msg=\"caught up\" segments=%" PRIu64 " bytes=%" PRIu64 " ms=%" PRId64,
                         c->id, c->s->stream, c->peer, c->segments, c->bytes, ms);
        else if (c->told && !c->again)
                log_warn("session=%s stream=%s peer=%s msg=\"catching up stopped\" segments=%" PRIu64 " bytes=%" PRIu64
                         " error=\"%s\"", c->id, c->s->stream, c->peer, c->segments, c->bytes, err_text(status));
}

static void finish(struct copy_session *c, int status)
{
        tell_end(c, status);
        if (c->s) {
                if (c->s->state == SESSION_ENDED && c->s->load == LOAD_DONE)
                        session_close_ended(c->s);
                c->s->pins--;
        }
        catalog_free(&c->facts);
        copy_session_done *done = c->done;
        void *arg = c->arg;
        free(c);
        done(arg, status);
}

static void failed(struct copy_session *c, int status)
{
        stat_add(STAT_CATCH_UP_FAILED, 1);
        finish(c, status);
}

/* ---- tracks ------------------------------------------------------------------------------------------------------- */

static void begin_pass(struct copy_session *c);
static void take_end(struct copy_session *c);

static void one_less(struct copy_session *c)
{
        if (--c->left)
                return;
        free(c->tracks);
        c->tracks = NULL;
        c->track_count = 0;
        if (c->status || c->stopping)
                finish(c, c->status ? c->status : ERR_CANCELED);
        else if (c->brought)
                begin_pass(c);
        else if (c->missed && compare_end(c->s, facts(c)) == END_NOW) /* it is lacking, which holds up no end */
                take_end(c);
        else
                finish(c, 0);
}

static void track_over(struct copy_track *t, int status)
{
        struct copy_session *c = t->arg;
        c->status = c->status ? c->status : status;
        c->brought |= t->brought;
        c->missed |= t->missed;
        c->segments += t->segments;
        c->bytes += t->bytes;
        one_less(c);
}

/* All at a time: one after the other, the last one would be as many round trips behind as there are tracks. */
static void copy_tracks(struct copy_session *c)
{
        size_t count = facts(c)->track_count;
        c->tracks = mem_alloc((count + 1) * sizeof(*c->tracks));
        c->status = 0;
        c->brought = false;
        c->missed = false;
        for (size_t i = 0; i < count; i++) {
                const struct peer_track *t = &facts(c)->tracks[i];
                struct track_lack lack = compare_track(c->s, session_track(c->s, t->name), t);
                if (lack.lacks)
                        c->tracks[c->track_count++] = (struct copy_track){.store = c->store, .link = c->link, .peer = c->peer,
                                                                          .s = c->s, .theirs = t, .lack = lack,
                                                                          .allowance = facts(c)->ended ? c->old : NULL,
                                                                          .done = track_over, .arg = c,
                                                                          .stopping = c->stopping};
        }
        c->left = c->track_count + 1; /* each may be over from inside the call */
        for (size_t i = 0; i < c->track_count; i++)
                copy_track_start(&c->tracks[i]);
        one_less(c);
}

/* ---- a pass ------------------------------------------------------------------------------------------------------- */

static bool any_lacks(struct copy_session *c)
{
        for (size_t i = 0; i < facts(c)->track_count; i++) {
                const struct peer_track *t = &facts(c)->tracks[i];
                if (compare_track(c->s, session_track(c->s, t->name), t).lacks)
                        return true;
        }
        return false;
}

static void ended(struct session_wait *w, int status)
{
        struct copy_session *c = (struct copy_session *)w;
        if (!status && c->s->state == SESSION_ENDED) {
                c->s->ended_wall_us = facts(c)->ended_wall_us;
                session_save(c->s, NULL, false, NULL);
        }
        finish(c, status);
}

static void take_end(struct copy_session *c)
{
        c->s->end_us = facts(c)->end_us > c->s->end_us ? facts(c)->end_us : c->s->end_us;
        session_end(c->s, c->s->end_us, facts(c)->ended_by_writer, &c->wait, ended);
}

static bool another_live(const struct copy_session *c)
{
        return stream_live(store_stream(c->store, c->s->stream)) != NULL;
}

static void begin_copy(struct copy_session *c)
{
        enum compare_end end = compare_end(c->s, facts(c));
        session_adopt_generation(c->s, facts(c)->generation, facts(c)->node);
        if (end == END_REOPEN && !another_live(c))
                session_reopen(c->s);
        if (end == END_NOW && !any_lacks(c)) {
                take_end(c);
                return;
        }
        copy_tracks(c);
}

static void opened(void *arg, int status)
{
        struct copy_session *c = arg;
        if (status)
                failed(c, status);
        else
                begin_copy(c);
}

static void tell_begin(struct copy_session *c)
{
        size_t lacking = 0;
        int64_t behind_us = 0;
        for (size_t i = 0; i < facts(c)->track_count; i++) {
                const struct peer_track *t = &facts(c)->tracks[i];
                struct track *own = session_track(c->s, t->name);
                if (!compare_track(c->s, own, t).lacks)
                        continue;
                struct track_facts f = own ? track_facts(c->s, own) : (struct track_facts){0};
                int64_t us = t->end_us - (f.any ? f.end_us : t->start_us);
                behind_us = us > behind_us ? us : behind_us;
                lacking++;
        }
        /* What a writer would have brought in a moment is not worth a line, nor what cannot be done now. */
        bool moments = lacking && behind_us < COMPARE_LAG_US && c->s->state == SESSION_LIVE;
        bool in_vain = !lacking && c->s->state == SESSION_ENDED && another_live(c);
        if (c->told || moments || in_vain)
                return;
        c->told = true;
        if (!c->again)
                log_info("session=%s stream=%s peer=%s msg=\"catching up\" tracks=%zu behind_ms=%" PRId64 " state=%s",
                         c->id, c->s->stream, c->peer, lacking, behind_us / US_PER_MS, facts(c)->ended ? "ended" : "live");
}

/* Of a track that lacks something the volumes behind its own end are to be known, and the one where it is to be cut. Of a broadcast
 * of weeks that are many pages for a new copy, and mostly the first one for another. */
static uint32_t first_volume_wanted(const struct copy_session *c)
{
        uint32_t first = UINT32_MAX;
        for (size_t i = 0; i < facts(c)->track_count; i++) {
                const struct track *t = session_track(c->s, facts(c)->tracks[i].name);
                struct track_lack lack = compare_track(c->s, t, &facts(c)->tracks[i]);
                uint32_t own = t ? eras_segment(c->s->chunk_ms, track_end_place(c->s, t)) : 0;
                uint32_t from = (lack.cut ? lack.cut_segment : own) / c->s->volume_segments;
                if (lack.lacks && from < first)
                        first = from;
        }
        return first;
}

static void judge_facts(struct copy_session *c);

static void on_older(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy_session *c = arg;
        struct catalog page = {0};
        int status = err ? err : m->status ? m->status : !bytes || !(m->flags & FETCH_COMPLETE) ? ERR_PROTO : 0;
        if (!status)
                status = catalog_read(&page, (const char *)bytes->data, bytes->len);
        if (!status)
                status = catalog_add_older(&c->facts.sessions[0], &page);
        catalog_free(&page);
        if (status)
                failed(c, status);
        else
                judge_facts(c);
}

/* 0: on_older() comes later. */
static int ask_older(struct copy_session *c)
{
        struct fetch m = {.hops = FETCH_HOPS_MAX, .wait_ms = COPY_LOAD_WAIT_MS};
        snprintf(m.key, sizeof(m.key), "/peer/session/%s/%" PRIu32, c->id, facts(c)->volumes_from);
        return c->stopping ? ERR_CANCELED : c->link->ops->fetch(c->link, c->peer, &m, on_older, c);
}

/* What was said while this origin was away it does not see: volumes come whole. Manifests and playlists are to be the same everywhere. */
static void take_words(struct session *s, const struct peer_session *theirs)
{
        if (strcmp(s->stream, theirs->stream) != 0)
                return;
        json_t *said = cues_to_json(theirs->cues);
        bool captions = !s->captions && theirs->captions, cues = cues_from_json(&s->cues, said) > 0;
        json_decref(said);
        s->captions |= captions;
        if (captions || cues)
                session_save(s, NULL, false, NULL);
}

/* Of a session without a track nobody knew it for certain (CLAIM_JOIN). */
static void take_grid(struct session *s, const struct peer_session *theirs)
{
        if (s->chunk_ms == theirs->chunk_ms || s->track_count || strcmp(s->stream, theirs->stream) != 0)
                return;
        s->chunk_ms = theirs->chunk_ms;
        session_save(s, NULL, false, NULL);
}

static void judge_facts(struct copy_session *c)
{
        take_grid(c->s, facts(c));
        take_words(c->s, facts(c));
        bool same = strcmp(c->s->stream, facts(c)->stream) == 0 && c->s->chunk_ms == facts(c)->chunk_ms;
        if (facts(c)->volumes_from && same && first_volume_wanted(c) < facts(c)->volumes_from) {
                int rc = ask_older(c);
                if (rc)
                        finish(c, rc);
                return;
        }
        if (!same)
                failed(c, ERR_CONFLICT);
        else if (c->s->ending || !compare_lacks(c->s, facts(c), c->exact || c->told))
                finish(c, 0);
        else {
                tell_begin(c);
                if (c->s->state == SESSION_ENDED)
                        session_open_ended(c->s, opened, c);
                else
                        begin_copy(c);
        }
}

/* What ended here long ago is read before it is compared. */
static void load_then_judge(struct copy_session *c)
{
        struct session *s = c->s;
        if (!c->loading)
                session_load(s);
        c->loading = s->load == LOAD_UNDER_WAY;
        if (s->load == LOAD_DONE)
                judge_facts(c);
        else if (!c->loading)
                failed(c, ERR_IO);
}

void copy_session_changed(struct copy_session *c, const struct session *s)
{
        if (c->loading && c->s == s && s->load != LOAD_UNDER_WAY)
                load_then_judge(c);
}

/* ---- the session here ---------------------------------------------------------------------------------------------- */

static bool wanted(const struct store *st, const struct peer_session *theirs)
{
        const struct store_options *o = &st->options;
        if (st->why_full || theirs->track_count == 0 || store_unreadable(st, theirs->id))
                return false;
        if (!theirs->ended)
                return (int64_t)st->live < o->live_max;
        return retention_wants(st, theirs->stream, theirs->ended_wall_us, st->age.now_us);
}

/* Of a stream one session is live. */
static bool make_way(struct store *st, const struct peer_session *theirs)
{
        struct session *live = theirs->ended ? NULL : stream_live(store_stream(st, theirs->stream));
        if (!live)
                return true;
        bool written = live->claimed && clock_mono_us() - live->heard_mono_us < SILENT_US;
        if (written || !session_newer(theirs->epoch_us, theirs->id, live))
                return false;
        log_info("session=%s stream=%s msg=\"superseded\" by=%s", live->id, live->stream, theirs->id);
        session_end(live, live->end_us, false, NULL, NULL);
        return true;
}

/* A session that is here not yet, live or ended, without tracks. NULL: it is not taken (too old, removed before, no room,
 * or the stream has a live one that is newer or is being written to). */
static struct session *begin_session(struct store *st, const struct peer_session *theirs)
{
        struct claim who = {.epoch_us = theirs->epoch_us, .chunk_ms = theirs->chunk_ms};
        if (!wanted(st, theirs) || !make_way(st, theirs))
                return NULL;
        strcpy(who.session, theirs->id);
        strcpy(who.stream, theirs->stream);
        struct session *s = session_new(st->loop, st->options.data_dir, &who, theirs->volume_segments,
                                        st->options.sync_segments);
        s->generation = theirs->generation;
        s->grace_ms = theirs->grace_ms;
        s->long_parts = theirs->long_parts;
        s->captions = theirs->captions;
        strcpy(s->node, theirs->node);
        session_set_title(s, theirs->title);
        if (theirs->ended) {
                s->state = SESSION_ENDED;
                s->ended_by_writer = theirs->ended_by_writer;
                s->ended_wall_us = theirs->ended_wall_us;
                s->end_us = theirs->end_us;
        }
        store_add(st, s);
        return s;
}

static void session_made(struct session_wait *w, int status)
{
        struct copy_session *c = (struct copy_session *)w;
        if (status)
                failed(c, status);
        else
                judge_facts(c);
}

static void take_session(struct copy_session *c)
{
        c->s = store_session(c->store, c->id);
        bool is_new = !c->s;
        if (is_new)
                c->s = begin_session(c->store, facts(c));
        if (!c->s) {
                finish(c, 0);
                return;
        }
        c->s->pins++;
        if (is_new)
                session_save(c->s, &c->wait, false, session_made);
        else
                load_then_judge(c);
}

static void on_facts(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy_session *c = arg;
        int status = err ? err : m->status ? m->status : !bytes || !(m->flags & FETCH_COMPLETE) ? ERR_PROTO : 0;
        catalog_free(&c->facts);
        if (!status)
                status = catalog_read(&c->facts, (const char *)bytes->data, bytes->len);
        if (status) {
                failed(c, status);
                return;
        }
        if (c->facts.count && !facts(c)->whole) {
                failed(c, ERR_PROTO);
                return;
        }
        if (c->facts.count == 0 || strcmp(facts(c)->id, c->id) != 0) {
                finish(c, 0);
                return;
        }
        for (size_t i = 0; i < facts(c)->track_count; i++) { /* of what is not written yet nothing is taken over */
                struct peer_track *t = &c->facts.sessions[0].tracks[i];
                eras_cut(&t->eras, eras_place(facts(c)->chunk_ms, t->next_segment, t->next_chunk));
        }
        if (c->s)
                load_then_judge(c);
        else
                take_session(c);
}

/* 0: on_facts() comes later. */
static int ask_facts(struct copy_session *c)
{
        struct fetch m = {.hops = FETCH_HOPS_MAX, .wait_ms = COPY_LOAD_WAIT_MS};
        snprintf(m.key, sizeof(m.key), "/peer/session/%s", c->id);
        return c->stopping ? ERR_CANCELED : c->link->ops->fetch(c->link, c->peer, &m, on_facts, c);
}

static void begin_pass(struct copy_session *c)
{
        int rc = ask_facts(c);
        if (rc)
                finish(c, rc);
}

struct copy_session *copy_session_start(struct store *st, struct peer_link *link, const char *peer, const char *session,
                                        bool exact, bool again, struct allowance *old, copy_session_done *done, void *arg)
{
        struct copy_session *c = mem_alloc(sizeof(*c));
        *c = (struct copy_session){.store = st, .link = link, .old = old, .exact = exact, .again = again, .done = done, .arg = arg,
                           .begun_mono_us = clock_mono_us()};
        snprintf(c->peer, sizeof(c->peer), "%s", peer);
        snprintf(c->id, sizeof(c->id), "%s", session);
        if (ask_facts(c) == 0)
                return c;
        free(c);
        return NULL;
}

void copy_session_stop(struct copy_session *c)
{
        c->stopping = true;
        if (c->loading) {
                c->loading = false;
                finish(c, ERR_CANCELED);
        } else if (c->tracks) {
                c->left++; /* the last one that is over ends it */
                for (size_t i = 0; i < c->track_count; i++)
                        copy_track_stop(&c->tracks[i]);
                one_less(c);
        }
}

void copy_session_tick(struct copy_session *c)
{
        if (!c->tracks)
                return;
        c->left++;
        for (size_t i = 0; i < c->track_count; i++)
                copy_track_tick(&c->tracks[i]);
        one_less(c);
}
