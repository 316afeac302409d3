#include "originD/copy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "originD/compare.h"
#include "originD/mend.h"
#include "originD/stats.h"

#define HOLES_MAX 600 /* segments that nobody wrote, one after the other */

struct copy {
        struct session_wait wait; /* first: session_save() gives it back */
        struct chunk_append append;
        struct store *store;
        struct peer_link *link;
        char peer[NODE_ID_MAX + 1], id[SESSION_ID_MAX + 1];
        bool exact, again, stopping, told, loading, brought;
        copy_done *done;
        void *arg;

        struct peer_list facts; /* of this pass: one session */
        struct session *s;      /* pinned */
        size_t track;           /* of the facts */
        struct track_lack lack;
        uint64_t end_place;     /* so far the facts go in this track */
        uint32_t segment;
        struct buf *piece;      /* what was fetched of it */
        size_t at;
        bool piece_last, piece_moved;
        unsigned holes;         /* one after the other */
        uint64_t uncut_bytes;   /* of the file, before the cut */

        uint64_t segments, bytes;
        int64_t begun_mono_us;
};

static const struct peer_session *facts(const struct copy *c)
{
        return &c->facts.sessions[0];
}

static const struct peer_track *theirs(const struct copy *c)
{
        return &facts(c)->tracks[c->track];
}

static struct track *mine(const struct copy *c)
{
        return session_track(c->s, theirs(c)->name);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void tell_end(const struct copy *c, int status)
{
        int64_t ms = (clock_mono_us() - c->begun_mono_us) / US_PER_MS;
        if (c->told && !status)
                log_info("session=%s stream=%s peer=%s msg=\"repaired\" segments=%" PRIu64 " bytes=%" PRIu64 " ms=%" PRId64,
                         c->id, c->s->stream, c->peer, c->segments, c->bytes, ms);
        else if (c->told && !c->again)
                log_warn("session=%s stream=%s peer=%s msg=\"repair stopped\" segments=%" PRIu64 " bytes=%" PRIu64
                         " error=\"%s\"", c->id, c->s->stream, c->peer, c->segments, c->bytes, err_text(status));
}

static void finish(struct copy *c, int status)
{
        tell_end(c, status);
        if (c->s) {
                if (c->s->state == SESSION_ENDED && c->s->load == LOAD_DONE)
                        mend_close(c->s);
                c->s->pins--;
        }
        buf_unref(&c->piece);
        peer_list_free(&c->facts);
        copy_done *done = c->done;
        void *arg = c->arg;
        free(c);
        done(arg, status);
}

static void ask(struct copy *c, const char *key, uint64_t offset, peer_fetched *done)
{
        struct fetch m = {.offset = offset, .hops = FETCH_HOPS_MAX}; /* what it has itself */
        snprintf(m.key, sizeof(m.key), "%s", key);
        int rc = c->stopping ? ERR_CANCELED : c->link->ops->fetch(c->link, c->peer, &m, done, c);
        if (rc)
                finish(c, rc);
}

static void ask_media(struct copy *c, const char *file, uint64_t offset, peer_fetched *done)
{
        char *key = mem_printf("/live/%s/%s/%s/%s", c->s->stream, c->id, theirs(c)->name, file);
        ask(c, key, offset, done);
        free(key);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------- */

static void next_track(struct copy *c);
static void ask_segment(struct copy *c);

static void leave_track(struct copy *c)
{
        c->track++;
        next_track(c);
}

static void failed(struct copy *c, int status)
{
        stat_add(STAT_REPAIR_FAILED, 1);
        finish(c, status);
}

/* The next chunk of the piece, up to its mdat; 0: there is no whole one. */
static size_t next_chunk(const struct copy *c)
{
        struct reader r;
        struct box b;
        const uint8_t *from = c->piece->data + c->at;
        reader_init(&r, from, c->piece->len - c->at);
        while (box_next(&r, &b) > 0)
                if (b.type == BOX_TYPE('m', 'd', 'a', 't'))
                        return (size_t)(r.p - from);
        return 0;
}

static void append_next(struct copy *c);

static void appended(struct chunk_append *a, int status)
{
        struct copy *c = (struct copy *)((char *)a - offsetof(struct copy, append));
        size_t len = a->bytes->len;
        buf_unref(&a->bytes);
        if (status == ERR_NOSPACE)
                store_no_space(c->store);
        if (status == ERR_ORDER || status == ERR_FENCED) { /* a writer was faster, or a newer one is here */
                leave_track(c);
        } else if (status) {
                failed(c, status);
        } else {
                c->at += len;
                c->bytes += a->again ? 0 : len;
                c->piece_moved = true;
                c->brought |= !a->again;
                append_next(c);
        }
}

static uint8_t chunk_of(const struct chunk_info *info, uint32_t segment, uint32_t timescale)
{
        uint64_t place = (info->start_ticks + 1) * CHUNKS_PER_SEGMENT / timescale, first = eras_place(segment, 0);
        uint64_t k = place > first ? place - first : 0;
        return (uint8_t)(k < CHUNKS_PER_SEGMENT ? k : CHUNKS_PER_SEGMENT - 1);
}

/* Sends the piece's next chunk into the log. false: none is left that the facts speak of. */
static bool append_chunk(struct copy *c, struct track *t, size_t len)
{
        struct chunk_info info;
        const uint8_t *from = c->piece->data + c->at;
        if (box_chunk_parse(from, len, &t->init, &info)) {
                failed(c, ERR_PROTO);
                return true;
        }
        uint8_t chunk = chunk_of(&info, c->segment, t->init.timescale);
        const struct era *era = eras_at(&theirs(c)->eras, eras_place(c->segment, chunk));
        if (!era || eras_place(c->segment, chunk) >= c->end_place)
                return false;
        bool last = c->piece_last && c->at + len == c->piece->len;
        c->append = (struct chunk_append){.segment = c->segment, .chunk = chunk, .flags = last ? PUT_LAST : 0, .copied = true,
                                          .start_us = box_ticks_to_us(info.start_ticks, t->init.timescale),
                                          .generation = era->generation, .bytes = buf_slice(c->piece, c->at, len), .done = appended};
        chunk_log_append(t->log, &c->append);
        return true;
}

static void segment_over(struct copy *c)
{
        c->segments++;
        stat_add(STAT_REPAIRED_SEGMENTS, 1);
        c->segment++;
        ask_segment(c);
}

static void append_next(struct copy *c)
{
        struct track *t = mine(c);
        size_t len = next_chunk(c);
        if (c->stopping || !t || !t->log) {
                finish(c, ERR_CANCELED);
                return;
        }
        if (len) {
                if (!append_chunk(c, t, len))
                        leave_track(c);
                return;
        }
        bool rest = c->at < c->piece->len;
        buf_unref(&c->piece);
        if (!c->piece_moved)
                failed(c, ERR_PROTO);
        else if (c->piece_last && !rest)
                segment_over(c);
        else
                ask_segment(c);
}

static void on_segment(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy *c = arg;
        int status = err ? err : m->status;
        if (status == ERR_NOT_YET) {
                leave_track(c);
        } else if (status == ERR_NOT_FOUND && c->holes++ < HOLES_MAX) { /* there too */
                c->segment++;
                ask_segment(c);
        } else if (status) {
                failed(c, status);
        } else if (!bytes) {
                if (m->flags & FETCH_COMPLETE)
                        c->segment++;
                if (m->flags & FETCH_COMPLETE)
                        ask_segment(c);
                else
                        leave_track(c);
        } else {
                c->holes = 0;
                c->piece = buf_ref(bytes);
                c->at = 0;
                c->piece_moved = false;
                c->piece_last = m->flags & FETCH_COMPLETE;
                append_next(c);
        }
}

static void ask_segment(struct copy *c)
{
        struct track *t = mine(c);
        struct segment_view v;
        char file[24];
        if (!t || !t->log || t->log->ended) {
                finish(c, ERR_CANCELED);
                return;
        }
        if (eras_place(c->segment, 0) >= c->end_place) {
                leave_track(c);
                return;
        }
        uint64_t offset = chunk_log_segment(t->log, c->segment, &v) ? v.len_bytes : 0;
        snprintf(file, sizeof(file), "%" PRIu32 ".m4s", c->segment);
        ask_media(c, file, offset, on_segment);
}

/* ---- a track: cut, take over the eras, then its chunks ------------------------------------------------------------ */

static void begin_segments(struct copy *c)
{
        const struct track *t = mine(c);
        if (!t || !t->log) {
                finish(c, ERR_CANCELED);
                return;
        }
        const struct index *ix = &t->log->index;
        const struct index_row *last = ix->count ? &ix->rows[ix->count - 1] : NULL;
        if (last)
                c->segment = last->segment + index_complete(ix, last);
        else if (theirs(c)->eras.count)
                c->segment = (uint32_t)(theirs(c)->eras.list[0].place / CHUNKS_PER_SEGMENT);
        else
                c->segment = theirs(c)->first_segment;
        ask_segment(c);
}

static void adopted(struct session_wait *w, int status)
{
        struct copy *c = (struct copy *)w;
        if (status)
                failed(c, status);
        else
                begin_segments(c);
}

static void adopt_eras(struct copy *c)
{
        struct track *t = mine(c);
        uint64_t place;
        if (!t || !t->log) {
                finish(c, ERR_CANCELED);
        } else if (!eras_part(&t->eras, &theirs(c)->eras, c->end_place, &place)) {
                begin_segments(c);
        } else if (!chunk_log_idle(t->log)) { /* a writer's first chunk may be on its way there */
                finish(c, ERR_FULL);
        } else {
                eras_adopt(&t->eras, &theirs(c)->eras, place);
                session_save(c->s, &c->wait, false, adopted);
        }
}

static void cut_back(void *arg, int status)
{
        struct copy *c = arg;
        struct track *t = mine(c);
        if (status || !t) {
                failed(c, status ? status : ERR_CANCELED);
                return;
        }
        stat_add(STAT_STORED_BYTES, (int64_t)t->log->index.file_bytes - (int64_t)c->uncut_bytes);
        eras_cut(&t->eras, eras_place(c->lack.cut_segment, 0));
        adopt_eras(c);
}

static void track_added(void *arg, int status)
{
        struct copy *c = arg;
        if (status)
                failed(c, status);
        else
                adopt_eras(c);
}

static void on_init(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy *c = arg;
        int status = err ? err : m->status;
        if (status || !bytes) {
                failed(c, status ? status : ERR_PROTO);
                return;
        }
        const struct peer_track *t = theirs(c);
        struct put p = {.flags = PUT_INIT, .segment = t->first_segment, .start_us = t->start_us, .bandwidth = t->bandwidth,
                        .fps_milli = t->fps_milli, .bytes = bytes->data, .len = (uint32_t)bytes->len};
        strcpy(p.track, t->name);
        session_add_track(c->s, &p, track_added, c);
}

/* Nothing of the track is on its way any more: all of it goes, its init segment may be another writer's too. */
static void drop(struct session_wait *w, int status)
{
        struct copy *c = (struct copy *)w;
        struct track *t = mine(c);
        if (status || (t && !t->log)) {
                failed(c, status ? status : ERR_CANCELED);
                return;
        }
        if (t)
                mend_drop_track(c->s, t);
        ask_media(c, "init.mp4", 0, on_init);
}

static void tell_cut(struct copy *c, struct track *t)
{
        const struct index *ix = &t->log->index;
        uint32_t last = ix->count ? ix->rows[ix->count - 1].segment : 0;
        log_warn("session=%s stream=%s track=%s peer=%s msg=\"cut back: another writer's bytes stand there\" segment=%u last=%u",
                 c->id, c->s->stream, t->name, c->peer, c->lack.cut_segment, last);
        for (size_t i = 0; i < ix->count; i++)
                stat_add(STAT_CUT_SEGMENTS, ix->rows[i].segment >= c->lack.cut_segment);
}

static void begin_track(struct copy *c)
{
        struct track *t = mine(c);
        c->end_place = eras_place(theirs(c)->next_segment, theirs(c)->next_chunk);
        c->holes = 0;
        if (!t) {
                ask_media(c, "init.mp4", 0, on_init);
        } else if (!t->log || t->log->cutting || t->log->ended) {
                finish(c, ERR_FULL);
        } else if (!c->lack.cut) {
                adopt_eras(c);
        } else {
                tell_cut(c, t);
                c->uncut_bytes = t->log->index.file_bytes;
                c->brought = true;
                if (!t->eras.count || eras_place(c->lack.cut_segment, 0) <= t->eras.list[0].place) {
                        chunk_log_fence(t->log);
                        session_save(c->s, &c->wait, true, drop);
                } else {
                        chunk_log_cut(t->log, c->lack.cut_segment, cut_back, c);
                }
        }
}

static void begin_pass(struct copy *c);

static void next_track(struct copy *c)
{
        buf_unref(&c->piece);
        if (c->stopping) {
                finish(c, ERR_CANCELED);
                return;
        }
        for (; c->track < facts(c)->track_count; c->track++) {
                c->lack = compare_track(c->s, mine(c), theirs(c));
                if (c->lack.lacks) {
                        begin_track(c);
                        return;
                }
        }
        if (c->brought)
                begin_pass(c);
        else
                finish(c, 0);
}

/* ---- a pass ------------------------------------------------------------------------------------------------------- */

static bool any_lacks(struct copy *c)
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
        struct copy *c = (struct copy *)w;
        if (!status && c->s->state == SESSION_ENDED) {
                c->s->ended_wall_us = facts(c)->ended_wall_us;
                session_save(c->s, NULL, false, NULL);
        }
        finish(c, status);
}

static void take_end(struct copy *c)
{
        c->s->end_us = facts(c)->end_us > c->s->end_us ? facts(c)->end_us : c->s->end_us;
        session_end(c->s, c->s->end_us, facts(c)->ended_by_writer, &c->wait, ended);
}

static bool another_live(const struct copy *c)
{
        return stream_live(store_stream(c->store, c->s->stream)) != NULL;
}

static void work(struct copy *c)
{
        enum compare_end end = compare_end(c->s, facts(c));
        mend_generation(c->s, facts(c));
        if (end == END_REOPEN && !another_live(c))
                mend_reopen(c->s);
        if (end == END_NOW && !any_lacks(c)) {
                take_end(c);
                return;
        }
        c->track = 0;
        c->brought = false;
        next_track(c);
}

static void opened(void *arg, int status)
{
        struct copy *c = arg;
        if (status)
                failed(c, status);
        else
                work(c);
}

/* The files of an ended session are read, then opened for writing. */
static void open_ended(struct copy *c)
{
        struct session *s = c->s;
        c->loading = s->load == LOAD_NO || s->load == LOAD_UNDER_WAY;
        if (s->load == LOAD_DONE) {
                mend_open(s, opened, c);
        } else if (s->load == LOAD_FAILED) {
                failed(c, ERR_IO);
        } else {
                session_load(s);
        }
}

void copy_session_changed(struct copy *c, const struct session *s)
{
        if (c->loading && c->s == s && s->load != LOAD_UNDER_WAY)
                open_ended(c);
}

static void tell_begin(struct copy *c)
{
        size_t lacking = 0;
        int64_t behind_us = 0;
        for (size_t i = 0; i < facts(c)->track_count; i++) {
                const struct peer_track *t = &facts(c)->tracks[i];
                struct track *own = session_track(c->s, t->name);
                if (!compare_track(c->s, own, t).lacks)
                        continue;
                int64_t us = t->end_us - (own && track_facts(c->s, own).any ? track_facts(c->s, own).end_us : t->start_us);
                behind_us = us > behind_us ? us : behind_us;
                lacking++;
        }
        /* What a writer would have brought in a moment is not worth a line. */
        if (c->told || (!lacking && c->s->state == SESSION_ENDED && another_live(c)) || (lacking && behind_us < COMPARE_LAG_US && c->s->state == SESSION_LIVE))
                return;
        c->told = true;
        if (!c->again)
                log_info("session=%s stream=%s peer=%s msg=\"repair begins\" tracks=%zu behind_ms=%" PRId64 " state=%s",
                         c->id, c->s->stream, c->peer, lacking, behind_us / US_PER_MS, facts(c)->ended ? "ended" : "live");
}

static void judge_facts(struct copy *c)
{
        if (strcmp(c->s->stream, facts(c)->stream) != 0)
                failed(c, ERR_CONFLICT);
        else if (c->s->ending || !compare_lacks(c->s, facts(c), c->exact || c->told))
                finish(c, 0);
        else {
                tell_begin(c);
                if (c->s->state == SESSION_ENDED)
                        open_ended(c);
                else
                        work(c);
        }
}

static void session_made(struct session_wait *w, int status)
{
        struct copy *c = (struct copy *)w;
        if (status)
                failed(c, status);
        else
                judge_facts(c);
}

static void take_session(struct copy *c)
{
        c->s = store_session(c->store, c->id);
        bool is_new = !c->s;
        if (is_new)
                c->s = mend_begin(c->store, facts(c));
        if (!c->s) {
                finish(c, 0);
                return;
        }
        c->s->pins++;
        if (is_new)
                session_save(c->s, &c->wait, false, session_made);
        else
                judge_facts(c);
}

static void on_facts(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct copy *c = arg;
        int status = err ? err : m->status ? m->status : !bytes || !(m->flags & FETCH_COMPLETE) ? ERR_PROTO : 0;
        peer_list_free(&c->facts);
        if (!status)
                status = peer_list_read(&c->facts, (const char *)bytes->data, bytes->len);
        if (status) {
                failed(c, status);
                return;
        }
        if (c->facts.count == 0 || strcmp(facts(c)->id, c->id) != 0) {
                finish(c, 0);
                return;
        }
        for (size_t i = 0; i < facts(c)->track_count; i++) { /* of what is not written yet nothing is taken over */
                struct peer_track *t = &c->facts.sessions[0].tracks[i];
                eras_cut(&t->eras, eras_place(t->next_segment, t->next_chunk));
        }
        if (c->s)
                judge_facts(c);
        else
                take_session(c);
}

static void begin_pass(struct copy *c)
{
        char *key = mem_printf("/peer/session/%s", c->id);
        ask(c, key, 0, on_facts);
        free(key);
}

struct copy *copy_start(struct store *st, struct peer_link *link, const char *peer, const char *session, bool exact,
                        bool again, copy_done *done, void *arg)
{
        struct fetch m = {.hops = FETCH_HOPS_MAX};
        struct copy *c = mem_alloc(sizeof(*c));
        *c = (struct copy){.store = st, .link = link, .exact = exact, .again = again, .done = done, .arg = arg,
                           .begun_mono_us = clock_mono_us()};
        snprintf(c->peer, sizeof(c->peer), "%s", peer);
        snprintf(c->id, sizeof(c->id), "%s", session);
        snprintf(m.key, sizeof(m.key), "/peer/session/%s", session);
        if (link->ops->fetch(link, c->peer, &m, on_facts, c) == 0)
                return c;
        free(c);
        return NULL;
}

void copy_stop(struct copy *c)
{
        c->stopping = true;
        if (c->loading) {
                c->loading = false;
                finish(c, ERR_CANCELED);
        }
}
