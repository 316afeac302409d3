#include "transcoderd/session_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "transcoderd/stats.h"

#define AHEAD_MIN_US US_PER_S
#define DRAIN_STILL_US (10 * US_PER_S) /* from the last chunk: encoders that are slow are waited for, those that stand are not */
#define RECENT_BYTES (64u << 20) /* of one session: over 50 Mbit/s for the usual 10 s */
#define SKEW_MOST_US (24 * 3600 * US_PER_S)
#define FUTURE_US (60 * US_PER_S) /* so far ahead of all clocks a session is by no jitter, no clock that is kept, and no group of pictures */
#define LEAVE_MAX_US (8 * US_PER_S)
#define END_EXTRA_US (10 * US_PER_S) /* beyond the grace time; by then an origin has ended the session itself */

static const struct state claiming, queued, live, grace, draining, ending, leaving, gone;

/* ---- events of the pipeline ---------------------------------------------------------------------------------------- */

static void on_track(void *arg, const struct track_info *info)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        if (info->track >= SESSION_TRACKS_MAX) {
                s->failed = true;
                log_error("session=%s track=%s msg=\"more than %d tracks\"", s->id, info->name, SESSION_TRACKS_MAX);
                session_run(s);
                return;
        }
        recent_track(&s->recent, info);
        push_track(s->push, info);
}

static void on_chunk(void *arg, const struct chunk *c)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        struct chunk chunk = *c;
        int64_t end_us = c->start_us + c->duration_us;
        bool shown = s->recent.tracks[c->track].info.kind < TRACK_KINDS;
        if (shown && end_us > s->end_us) /* a still picture is there before what its second shows */
                s->end_us = end_us;
        s->chunks++;
        s->drain_until_us = clock_mono_us() + DRAIN_STILL_US;
        int64_t age_us = session_now_us(s) - (clock_wall_us() - c->made_wall_us) - c->start_us;
        if (shown && age_us > -AHEAD_MIN_US) /* otherwise it is a film that comes faster than real time, and was captured at no time */
                histogram_observe(&stats_glass, age_us);
        s->chunk_bytes += c->bytes->len;
        if (s->lockstep && shown) /* only the leader's still pictures are sent (push_queue.h) */
                chunk.previous = chain_add(&s->chain, c, s->shadow);
        recent_chunk(&s->recent, &chunk);
        push_chunk(s->push, &chunk);
}

static void on_ready(void *arg)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        beginnings_end(s);
}

static void on_drained(void *arg, int64_t end_us)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        s->end_us = end_us > s->end_us ? end_us : s->end_us;
        s->drained = true;
        session_run(s);
}

/* What this node has no thread for, another one may go on with: the session is left to it without END, and its proxy is sent there.
 * What an encoder refuses is refused anywhere: the session ends, and the broadcaster is told. Returns what OPENs are answered. */
static int encoding_failed(struct session *s, int err, const char *text)
{
        int status = err == ERR_LIMIT ? ERR_FULL : ERR_UNSUPPORTED;
        opens_ban(&s->all->opens, s->stream, status, text);
        metric_add(err == ERR_LIMIT         ? &stats_failed_threads
                   : err == ERR_UNSUPPORTED ? &stats_failed_source
                                            : &stats_failed_encoder,
                   1);
        if (err == ERR_LIMIT) {
                broadcaster_retire_all(s, ERR_FULL);
                s->given_up = "no room for its encoders";
        } else {
                s->failed = true;
        }
        return status;
}

static void on_failed(void *arg, int err, const char *text)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        char quoted[256];
        log_error("session=%s stream=%s error=\"%s\" msg=\"encoding failed\" why=%s", s->id, s->stream, err_text(err),
                  log_quote(quoted, sizeof(quoted), text));
        encoding_failed(s, err, text);
        session_run(s);
}

static const struct job_events job_events = {on_track, on_ready, on_chunk, on_drained, on_failed};

/* ---- events of the origins ----------------------------------------------------------------------------------------- */

/* No epoch is moved by more, whoever says so: of two clocks that are so far apart one is wrong, and which one cannot be told here. */
static bool is_far(int64_t skew_us)
{
        return llabs(skew_us) > SKEW_MOST_US;
}

static void take_proxys_time(struct session *s)
{
        log_warn("session=%s stream=%s off_ms=%" PRId64 " msg=\"our clock is far from the session's; the stream keeps its time\"",
                 s->id, s->stream, s->opening_skew_us / US_PER_MS);
        metric_add(&stats_clock_off, 1);
        s->clock = media_clock_own(session_now_us(s) - s->opening_skew_us);
        s->opening_skew_us = 0;
}

/* By both clocks the session is in the future: they were set back, or its broadcaster had sent faster than real time, and now somebody
 * else begins. What comes would lie before what is stored, and be left out until the clocks are there. */
static void take_time_from_end(struct session *s, int64_t theirs_us, int64_t end_us)
{
        log_warn("session=%s stream=%s ahead_ms=%" PRId64 " msg=\"the session is ahead of our clock and of the proxy's; the stream keeps its time\"",
                 s->id, s->stream, (end_us - theirs_us) / US_PER_MS);
        metric_add(&stats_clock_off, 1);
        s->clock = media_clock_own(end_us);
        s->opening_skew_us = (end_us - theirs_us) / US_PER_MS * US_PER_MS;
}

/* A still picture is there before what its second shows. */
static int64_t claimed_end_us(const struct session *s)
{
        int64_t end_us = 0;
        for (int i = 0; i < s->claimed.track_count; i++) {
                const struct claim_track *t = &s->claimed.tracks[i];
                if (strcmp(t->name, PICTURES_TRACK) != 0 && t->end_us > end_us)
                        end_us = t->end_us;
        }
        return end_us;
}

/* A session that goes on has its time already. Where ours is far from it and the proxy's is not, ours is wrong. */
static void take_its_time(struct session *s)
{
        int64_t end_us = claimed_end_us(s), ours_us = session_now_us(s), theirs_us = ours_us - s->opening_skew_us;
        int64_t later_us = end_us - FUTURE_US, first_us = s->offered_epoch_us - s->epoch_us; /* of what comes: a broadcast that just goes on has its place */
        if (!s->shadow && ours_us < later_us && theirs_us < later_us && first_us < later_us)
                take_time_from_end(s, theirs_us, end_us);
        else if (media_clock_ours_is_off(ours_us, theirs_us, end_us))
                take_proxys_time(s);
}

static void on_claimed(void *arg, int err, const struct origin *origin, const struct claim_reply *m)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        s->claiming = NULL;
        s->answered = true;
        s->claim_err = err;
        if (!err) {
                s->owner = *origin;
                s->claimed = *m;
                s->goes_on = s->goes_on || m->track_count > 0;
                bool goes_on = s->shadow || strcmp(s->id, m->session) != 0;
                memcpy(s->id, m->session, sizeof(s->id));
                s->epoch_us = m->epoch_us;
                s->generation = m->generation;
                if (goes_on)
                        take_its_time(s);
                else if (is_far(s->opening_skew_us))
                        take_proxys_time(s);
        }
        session_run(s);
}

static void on_fenced(void *arg)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        metric_add(s->all->draining ? &stats_handed_over : &stats_fenced, 1);
        broadcaster_retire_all(s, ERR_FENCED);
        s->handed_over = s->all->draining;
        s->given_up = s->handed_over ? "handed over" : "another writer has it";
        session_run(s);
}

static void on_lost(void *arg)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        s->given_up = "the origin does not have it any more";
        session_run(s);
}

/* What is stored is kept; the next session begins with tracks of its own. */
static void on_refused(void *arg, const char *track, int err)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        if (strcmp(track, PICTURES_TRACK) == 0) {
                log_warn("session=%s stream=%s error=\"%s\" msg=\"an origin does not take still pictures; the session goes on without\"", s->id,
                         s->stream, err_text(err));
                return;
        }
        log_error("session=%s stream=%s track=%s error=\"%s\" msg=\"the track cannot go on; a new session has to begin\"",
                  s->id, s->stream, track, err_text(err));
        s->failed = true;
        session_run(s);
}

static void on_ended(void *arg, int err)
{
        struct session *s = magic_check(arg, SESSION_MAGIC);
        s->claim_err = err;
        s->ended = true;
        session_run(s);
}

static const struct push_events push_events = {on_fenced, on_lost, on_refused, on_ended};

/* ---- the beginning -------------------------------------------------------------------------------------------------- */

/* What ends a session in any state in which it encodes; NULL: nothing. A shadow just goes: what it would still make is
 * not a whole chunk, and the leader's is. */
static const struct state *way_out(struct session *s)
{
        if (s->shadow && (s->failed || s->stop || s->all->draining) && !s->given_up) {
                s->given_up = s->failed ? "failed" : "left to its leader";
                s->handed_over = !s->failed;
        }
        return s->given_up ? &gone : s->failed ? &ending : s->stop ? &draining : NULL;
}

static int start_pipeline(struct session *s)
{
        const struct sessions *ss = s->all;
        struct job o = {.session = s->id, .epoch_us = s->epoch_us, .chunk_ms = s->claimed.chunk_ms, .clock = s->clock,
                                     .encoder_threads = (int)ss->encoder_threads,
                                     .decoder_threads = (int)ss->decoder_threads,
                                     .slate_after_us = ss->slate_after_ms * US_PER_MS,
                                     .shed_after_us = ss->shed_after_ms * US_PER_MS,
                                     .thumbs_s = ss->thumbs_s,
                                     .lockstep_segments = s->lockstep ? LOCKSTEP_SEGMENTS : 0,
                                     .resume_count = s->claimed.track_count};
        ladder_for_stream(&o.ladder, *ss->ladder, s->stream);
        if (o.ladder.says_thumbs)
                o.thumbs_s = o.ladder.thumbs_s;
        for (int k = 0; k < TRACK_KINDS; k++) {
                o.codecs[k] = s->codecs[k];
                o.config[k] = s->config[k];
        }
        for (int i = 0; i < s->claimed.track_count; i++) {
                memcpy(o.resume[i].track, s->claimed.tracks[i].name, sizeof(o.resume[i].track));
                o.resume[i].end_us = s->claimed.tracks[i].end_us;
                o.resume[i].from_us = s->claimed.tracks[i].next_segment * SEGMENT_US +
                                      s->claimed.tracks[i].next_chunk * chunk_us(s->claimed.chunk_ms);
        }
        return pipeline_open(&s->pipeline, ss->mailbox, &o, &job_events, s);
}

static void start_push(struct session *s)
{
        struct sessions *ss = s->all;
        struct push_options o = {.loop = ss->loop, .origins = &ss->origins, .recent = &s->recent, .claim = &s->claim,
                                 .replicas = (unsigned)ss->replicas, .quorum_one = ss->quorum_one,
                                 .shadow = s->shadow, .queue_bytes = PUSH_QUEUE_BYTES, .queue_us = PUSH_QUEUE_US, .events = &push_events,
                                 .arg = s};
        memcpy(o.codecs, s->codecs, sizeof(o.codecs));
        memcpy(s->claim.session, s->id, sizeof(s->claim.session));
        s->claim.epoch_us = s->epoch_us;
        s->claim.chunk_ms = s->claimed.chunk_ms;
        recent_init(&s->recent, ss->recent_ms * US_PER_MS, RECENT_BYTES);
        s->push = push_new(&o);
        push_leader(s->push, &s->owner, &s->claimed);
        int64_t end_us = claimed_end_us(s);
        s->end_us = end_us > s->end_us ? end_us : s->end_us;
}

static void refuse(struct session *s, int err, const char *text)
{
        if (s->opening)
                opens_refuse(s->opening, err, text);
        s->opening = NULL;
}

static const struct state *step_claiming(struct session *s)
{
        if (s->given_up) {
                refuse(s, ERR_FULL, s->given_up);
                return &gone;
        }
        if (!s->answered)
                return &claiming;
        if (s->full && !s->goes_on) {
                session_tell_full(s->stream, s->publisher, s->cost, s->full);
                refuse(s, ERR_FULL, s->full);
                s->given_up = s->full;
                return &gone;
        }
        if (s->claim_err) {
                refuse(s, s->claim_err, "no origin took the session");
                s->given_up = "no origin took it";
                return &gone;
        }
        start_push(s);
        s->claim.flags = 0; /* push.h joins by itself */
        return &queued;
}

static const struct state *step_queued(struct session *s)
{
        int64_t now_us = clock_mono_us();
        if (!s->given_up && now_us > s->start_by_us) {
                s->given_up = "too many streams are beginning";
                metric_add(&stats_refused_beginning, 1);
        }
        if (s->given_up) {
                refuse(s, ERR_FULL, s->given_up);
                return &gone;
        }
        if (!beginnings_turn(s, now_us))
                return &queued;
        int err = start_pipeline(s);
        if (err) {
                const char *why = "the encoders cannot be started";
                refuse(s, encoding_failed(s, err, why), why);
                return way_out(s);
        }
        log_info("session=%s stream=%s origin=%s generation=%u publisher=%s stored_us=%" PRId64 " chunk_ms=%d msg=\"%s\"", s->id,
                 s->stream, s->owner.id, s->generation, *s->publisher ? s->publisher : "-", push_stored_us(s->push),
                 (int)(chunk_us(s->claimed.chunk_ms) / US_PER_MS),
                 s->shadow ? "encoding it too" : s->claimed.track_count ? "session goes on" : "session begins");
        s->active.handle = opens_handle(&s->all->opens);
        broadcaster_heard(&s->active, true);
        broadcaster_accept(s, &s->active, s->opening, s->shadow ? 0 : s->opening_skew_us);
        s->opening = NULL;
        return &live;
}

/* ---- the middle ----------------------------------------------------------------------------------------------------- */

static const struct state *step_live(struct session *s)
{
        int64_t now_us = clock_mono_us();
        const struct state *out = way_out(s);
        bool silent = now_us - s->active.heard_us > SESSION_SILENT_US;
        if (!out && !s->lost && s->all->draining && (silent || now_us >= s->all->leave_at_us)) {
                s->handed_over = true;
                out = &draining;
        }
        return out ? out : s->lost || silent ? &grace : &live;
}

static void enter_grace(struct session *s)
{
        broadcaster_retire(s, &s->active, ERR_NOT_FOUND);
        s->grace_until_us = clock_mono_us() + s->all->grace_ms * US_PER_MS;
}

static const struct state *step_grace(struct session *s)
{
        s->stop = s->stop || s->all->draining;
        const struct state *out = way_out(s);
        if (out || s->active.handle)
                return out ? out : &live;
        if (clock_mono_us() < s->grace_until_us)
                return &grace;
        s->stop = true;
        return way_out(s);
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static void enter_draining(struct session *s)
{
        broadcaster_retire_all(s, s->handed_over ? ERR_NOT_FOUND : ERR_CLOSED);
        s->drain_until_us = clock_mono_us() + DRAIN_STILL_US;
        pipeline_drain(s->pipeline, s->handed_over);
}

static const struct state *step_draining(struct session *s)
{
        if (s->given_up)
                return &gone;
        if (!s->drained && !s->failed && clock_mono_us() < s->drain_until_us)
                return &draining;
        if (!s->drained && !s->failed)
                log_error("session=%s stream=%s behind_ms=%" PRId64 " msg=\"the encoders stand still before their end\"", s->id,
                          s->stream, s->counted.behind_us / US_PER_MS);
        return s->handed_over ? &leaving : &ending;
}

static void close_pipeline(struct session *s)
{
        beginnings_end(s); /* also of one that could not be opened */
        if (!s->pipeline)
                return;
        pace_count(s);
        pipeline_close(s->pipeline, s->all->reaper);
        s->pipeline = NULL;
        s->behind = false; /* however long its end takes to be stored: it encodes no more */
        s->behind_since_us = s->counted.behind_us = 0;
}

static void enter_ending(struct session *s)
{
        broadcaster_retire_all(s, ERR_CLOSED);
        close_pipeline(s);
        s->end_until_us = clock_mono_us() + s->all->grace_ms * US_PER_MS + END_EXTRA_US;
        push_end(s->push, s->end_us);
}

static const struct state *step_ending(struct session *s)
{
        if (!s->ended && !s->given_up && clock_mono_us() >= s->end_until_us)
                s->given_up = "no origin takes its end";
        return s->ended || s->given_up ? &gone : &ending;
}

/* The origin keeps the session for its grace time: who opens the stream meanwhile goes on with it. */
static void enter_leaving(struct session *s)
{
        broadcaster_retire_all(s, ERR_NOT_FOUND);
        close_pipeline(s);
        s->end_until_us = clock_mono_us() + LEAVE_MAX_US;
}

static const struct state *step_leaving(struct session *s)
{
        if (s->given_up)
                return &gone;
        bool stored = push_all_stored(s->push);
        if (!stored && clock_mono_us() < s->end_until_us)
                return &leaving;
        s->handed_over = stored;
        s->given_up = stored ? "left to the next writer" : "left before all was stored";
        return &gone;
}

static const struct state *step_gone(struct session *s)
{
        (void)s;
        return &gone;
}

static const struct state claiming = {"claiming", NULL, step_claiming};
static const struct state queued = {"queued", NULL, step_queued};
static const struct state live = {"live", NULL, step_live};
static const struct state grace = {"grace", enter_grace, step_grace};
static const struct state draining = {"draining", enter_draining, step_draining};
static const struct state ending = {"ending", enter_ending, step_ending};
static const struct state leaving = {"leaving", enter_leaving, step_leaving};
static const struct state gone = {"gone", NULL, step_gone};

static void log_totals(const struct session *s)
{
        const struct pipeline_stats *c = &s->counted;
        const char *result = s->given_up ? s->given_up : s->failed ? "failed" : err_text(s->claim_err);
        log_line((s->given_up && !s->handed_over) || s->failed ? LOG_WARN : LOG_INFO,
                 "session=%s stream=%s seconds=%" PRId64 " media_ms=%" PRId64 " frames=%" PRIu64 " bytes=%" PRIu64
                 " chunks=%" PRIu64 " chunk_bytes=%" PRIu64 " decoded=%" PRIu64 " encoded=%" PRIu64 " late=%" PRIu64
                 " corrupt=%" PRIu64 " shed=%" PRIu64 " skipped=%" PRIu64 " slate_ms=%" PRId64 " not_stored_bytes=%zu result=\"%s\""
                 " msg=\"session ended\"",
                 s->id, s->stream, (clock_mono_us() - s->begun_us) / US_PER_S, s->end_us / US_PER_MS, s->frames, s->bytes,
                 s->chunks, s->chunk_bytes, c->decoded, c->encoded, c->late_dropped, c->corrupt, c->shed, c->skipped,
                 c->slate_us / US_PER_MS, s->push ? push_queued(s->push) : 0, result);
}

static void session_free(struct session *s)
{
        *s->link = s->next;
        if (s->next)
                s->next->link = s->link;
        metric_set(&stats_sessions, --s->all->count);
        broadcaster_retire_all(s, ERR_CLOSED);
        close_pipeline(s);
        log_totals(s);
        claim_cancel(&s->claiming);
        if (s->push) {
                push_close(s->push);
                recent_fini(&s->recent);
        }
        for (int k = 0; k < TRACK_KINDS; k++)
                buf_unref(&s->config[k]);
        s->magic = 0;
        free(s);
}

void session_run(struct session *s)
{
        struct sessions *ss = s->all;
        bool moved = false;
        for (;;) {
                const struct state *next = s->state->step(s);
                if (next == s->state)
                        break;
                log_info("session=%s stream=%s state=%s was=%s", s->id, s->stream, next->name, s->state->name);
                s->state = next;
                moved = true;
                if (next->enter)
                        next->enter(s);
        }
        char stream[STREAM_ID_MAX + 1];
        memcpy(stream, s->stream, sizeof(stream));
        if (s->state == &gone)
                session_free(s);
        if (!moved)
                return;
        opens_look(&ss->opens, stream);
        opens_look_turn(&ss->opens);
}

bool session_asks(const struct session *s)
{
        return s->state == &claiming;
}

bool session_is_queued(const struct session *s)
{
        return s->state == &queued;
}

int64_t session_now_us(const struct session *s)
{
        return media_clock_now_us(&s->clock, s->epoch_us);
}

bool session_takes_opens(const struct session *s)
{
        return s->state == &live || s->state == &grace;
}

bool session_is_stale(const struct session *s, uint32_t generation)
{
        return generation > (s->frames ? s->generation : s->claim.generation);
}

bool session_is_beside(const struct session *s, const struct open *m)
{
        uint32_t generation = s->generation ? s->generation : s->claim.generation;
        return s->shadow && generation == m->generation && strcmp(s->id, m->session) == 0;
}

void session_lead(struct session *s)
{
        s->shadow = false;
        s->generation++;
        log_info("session=%s stream=%s generation=%u msg=\"leads now\"", s->id, s->stream, s->generation);
        metric_add(&stats_led, 1);
        push_lead(s->push, s->generation, s->all->self->id);
}

void session_leave(struct session *s)
{
        s->handed_over = true;
        s->given_up = "another transcoder goes on with it";
}

static struct claim claim_for(const struct sessions *ss, const struct session *s, uint32_t generation)
{
        struct claim c = {.epoch_us = s->epoch_us, .grace_ms = (uint32_t)ss->grace_ms, .generation = generation};
        memcpy(c.stream, s->stream, sizeof(c.stream));
        memcpy(c.session, s->id, sizeof(c.session));
        memcpy(c.node, ss->self->id, sizeof(c.node));
        memcpy(c.title, s->title, sizeof(c.title));
        struct ladder ladder;
        ladder_for_stream(&ladder, *ss->ladder, s->stream);
        c.chunk_ms = ladder.chunk_ms ? (uint8_t)ladder.chunk_ms : ss->chunk_ms;
        return c;
}

struct session *session_new(struct sessions *ss, const struct open *m, struct rpc_request *opening, int64_t start_by_us, int64_t cost,
                            const char *full)
{
        struct session *s = mem_alloc(sizeof(*s));
        bool beside = m->when & OPEN_BESIDE;
        int64_t skew_us = broadcaster_skew_us(m, 0);
        *s = (struct session){.magic = SESSION_MAGIC, .all = ss, .state = &claiming, .opening = opening,
                              .epoch_us = m->epoch_us + (beside || is_far(skew_us) ? 0 : skew_us), /* its leader has told the proxy its clock */
                              .opening_skew_us = skew_us, .offered_epoch_us = m->epoch_us + skew_us, .begun_us = clock_mono_us(),
                              .start_by_us = start_by_us, .lockstep = m->lockstep,
                              .shadow = beside, .goes_on = m->when & (OPEN_BESIDE | OPEN_GOES_ON), .full = full, .cost = cost};
        memcpy(s->stream, m->stream, sizeof(s->stream));
        memcpy(s->title, m->title, sizeof(s->title));
        memcpy(s->publisher, m->publisher, sizeof(s->publisher));
        if (beside)
                memcpy(s->id, m->session, sizeof(s->id));
        else
                session_id_make(s->id, s->epoch_us);
        s->claim = claim_for(ss, s, m->generation);
        if (full)
                s->claim.flags = CLAIM_ONLY_LIVE;
        if (beside) { /* the leader's own words */
                s->claim.flags = CLAIM_JOIN;
                s->claim.chunk_ms = 0; /* which is the leader's the answer says */
                memcpy(s->claim.node, m->node, sizeof(s->claim.node));
        }
        s->claiming = claim_start(ss->loop, &ss->origins, (unsigned)ss->replicas, &s->claim, on_claimed, s);
        if (!s->claiming) {
                free(s);
                return NULL;
        }
        s->next = ss->first;
        s->link = &ss->first;
        if (s->next)
                s->next->link = &s->next;
        ss->first = s;
        metric_set(&stats_sessions, ++ss->count);
        return s;
}

