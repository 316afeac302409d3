#include "ingestd/publication.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/daemon/rate.h"
#include "common/daemon/told.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"
#include "ingestd/cues.h"
#include "ingestd/early.h"
#include "ingestd/hold.h"
#include "ingestd/redundancy_config.h"
#include "ingestd/relay_pair.h"
#include "ingestd/replay.h"
#include "ingestd/rtmp_close_reason.h"
#include "ingestd/stats.h"
#include "ingestd/timeline.h"

#define UNNAMED_WAIT_US 500000 /* for a track that the metadata, naming the other, does not name */
#define SAY_AGAIN_US 5000000   /* the same complaint is logged once in this time */

#define PUBLICATION_MAGIC 0x5055424c

struct publication {
        uint32_t magic;
        struct {
                struct publication *next, **link;
        } list; /* in->first */
        struct publications *in;
        const struct publication_events *events;
        void *arg;
        char stream[STREAM_ID_MAX + 1];
        uint8_t role;
        char address[64], encoder[64], title[128];

        struct flv_metadata metadata;
        bool told; /* metadata was seen */
        struct {
                struct buf *config; /* the newest */
                bool running;       /* a keyframe was seen, the frames after it make sense */
        } track[TRACK_KINDS];
        int64_t first_mono_us; /* of the first frame; 0: none yet */
        bool started;          /* the timeline runs */
        struct early early;    /* until then */
        struct cues cues;      /* until the next picture, or sound */
        bool live;             /* in front of its name: not ended, refused or taken over */
        bool ended, relays_done;
        enum close_reason over; /* it is, and its relays are told when it was its turn to be opened; 0: it goes on, or they know */

        struct timeline timeline;
        struct replay replay;
        struct budget_share kept; /* of what all replay buffers keep */
        struct relay_pair *relays;
        int64_t counted_bytes; /* of the replay buffer, in the gauge */
        int64_t since_wall_us;
        uint64_t bytes, frames;
        struct rate pictures, bits;
        int64_t last_mono_us; /* of the newest frame */
        struct told told_break, told_lost, told_key, told_config;
        struct hold hold;
        int64_t held_us; /* since when, monotonic; 0: it is not */
        bool said_hold;
};

struct publication *publication_next(const struct publication *p)
{
        return p->list.next;
}

static void let_go(struct publication *p)
{
        if (!p->held_us)
                return;
        stats_add(STAT_HELD, -1);
        stats_add(STAT_HELD_US, p->in->mono_us() - p->held_us);
        p->held_us = 0;
        relay_pair_hold(p->relays, false);
}

static void not_live(struct publication *p)
{
        if (!p->live)
                return;
        let_go(p);
        p->live = false;
        p->in->live--;
        stats_add(STAT_PUBLISHERS, -1);
}

static void drop_early(struct publication *p)
{
        stats_add(STAT_DROPPED_FRAMES, (int64_t)p->early.count);
        early_fini(&p->early);
}

static void take_turn(struct publication *p);

static void enter_list(struct publication *p)
{
        struct publications *in = p->in;
        p->list.next = in->first;
        p->list.link = &in->first;
        if (p->list.next)
                p->list.next->list.link = &p->list.next;
        in->first = p;
        in->count++;
}

/* It may have been in the way of another one of its name. */
static void leave_list(struct publication *p)
{
        struct publications *in = p->in;
        *p->list.link = p->list.next;
        if (p->list.next)
                p->list.next->list.link = p->list.link;
        in->count--;
        for (struct publication *other = in->first; other; other = other->list.next)
                take_turn(other);
        if (in->count == 0 && in->emptied)
                in->emptied(in->arg);
}

static void free_publication(struct publication *p)
{
        relay_pair_free(p->relays);
        drop_early(p);
        stats_add(STAT_CUES_DROPPED, (int64_t)p->cues.count);
        cues_fini(&p->cues);
        stats_add(STAT_REPLAY_BYTES, -p->counted_bytes);
        budget_leave(&p->kept);
        replay_fini(&p->replay);
        for (int k = 0; k < TRACK_KINDS; k++)
                buf_unref(&p->track[k].config);
        leave_list(p);
        p->magic = 0;
        free(p);
}

/* The relays' events --------------------------------------------------------------------------------------------- */

static void on_refused(void *arg, int reason, const char *code, const char *text)
{
        struct publication *p = magic_check(arg, PUBLICATION_MAGIC);
        bool tell = p->live;
        not_live(p);
        if (tell)
                p->events->refuse(p->arg, reason, code, text);
}

static void on_relays_done(void *arg)
{
        struct publication *p = magic_check(arg, PUBLICATION_MAGIC);
        p->relays_done = true;
        if (p->ended)
                free_publication(p);
}

static void on_taken(void *arg)
{
        publication_look(magic_check(arg, PUBLICATION_MAGIC));
}

static const struct relay_pair_events relay_events = {.refused = on_refused, .done = on_relays_done, .taken = on_taken};

/* Beginning ------------------------------------------------------------------------------------------------------- */

/* A stream has one place for its primary broadcaster and one for its backup. */
static bool same_place(const struct publication *p, const char *stream, uint8_t role)
{
        return strcmp(p->stream, stream) == 0 && (p->role == OPEN_BACKUP) == (role == OPEN_BACKUP);
}

/* The one before it at this place, whose CLOSE is not through yet; NULL: there is none. */
static struct publication *one_before(const struct publication *p)
{
        struct publication *q = p->list.next;
        while (q && (q->relays_done || !same_place(q, p->stream, p->role)))
                q = q->list.next;
        return q;
}

static struct publication *find_live(const struct publications *in, const char *stream, uint8_t role)
{
        struct publication *p = in->first;
        while (p && !(p->live && same_place(p, stream, role)))
                p = p->list.next;
        return p;
}

static void finish(struct publication *p, enum close_reason why);

static void take_over(struct publication *old, const char *by)
{
        log_info("stream=%s old=%s new=%s msg=\"taken over by a newer connection\"", old->stream, old->address, by);
        stats_add(STAT_TAKEN_OVER, 1);
        not_live(old);
        finish(old, CLOSE_LOST);
        old->events->refuse(old->arg, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName",
                            "a newer connection publishes this stream");
}

static struct publication *new_publication(struct publications *in, const struct publish_request *request,
                                           const struct publication_events *events, void *arg)
{
        struct publication *p = mem_alloc(sizeof(*p));
        p->magic = PUBLICATION_MAGIC;
        p->in = in;
        p->events = events;
        p->arg = arg;
        memcpy(p->stream, request->stream, sizeof(p->stream));
        p->role = request->role;
        memcpy(p->address, request->address, sizeof(p->address));
        memcpy(p->encoder, request->encoder, sizeof(p->encoder));
        p->metadata = (struct flv_metadata){.has_video = -1, .has_audio = -1};
        replay_init(&p->replay, (size_t)in->limits->replay_bytes);
        const struct relay_stream stream = {.stream = p->stream, .publisher = p->address, .encoder = p->encoder,
                                            .title = p->title, .role = p->role,
                                            .redundancy = redundancy_config_for_stream(in->limits->redundancy, p->stream)};
        p->relays = relay_pair_new(&in->relays, &stream, &p->timeline, &p->replay, &relay_events, p);
        p->since_wall_us = in->wall_us();
        p->live = true;
        in->live++;
        stats_add(STAT_PUBLISHERS, 1);
        enter_list(p);
        struct publication *before = one_before(p);
        if (before)
                relay_pair_wait_for(before->relays);
        return p;
}

int publication_begin(struct publication **out, struct publications *in, const struct publish_request *request,
                      const struct publication_events *events, void *arg, char *text, size_t text_cap)
{
        *out = NULL;
        struct publication *old = find_live(in, request->stream, request->role);
        if (!old && in->live >= in->limits->max_publishers) {
                snprintf(text, text_cap, "this server has as many publishers as it takes");
                return ERR_FULL;
        }
        if (old)
                take_over(old, request->address);
        *out = new_publication(in, request, events, arg);
        return 0;
}

/* Opening the transcoder ----------------------------------------------------------------------------------------- */

/* How long after the first frame of all a track that has not shown up yet is waited for. */
static int64_t patience_us(const struct publication *p, enum track_kind kind)
{
        int64_t most = p->in->limits->track_wait_ms * US_PER_MS;
        int has = kind == TRACK_VIDEO ? p->metadata.has_video : p->metadata.has_audio;
        int other = kind == TRACK_VIDEO ? p->metadata.has_audio : p->metadata.has_video;
        if (has == 0)
                return 0;
        return p->told && has < 0 && other > 0 && most > UNNAMED_WAIT_US ? UNNAMED_WAIT_US : most;
}

static int64_t newest_us(const struct publication *p)
{
        int64_t newest = 0;
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (p->timeline.track[k].seen && p->timeline.track[k].last_us > newest)
                        newest = p->timeline.track[k].last_us;
        }
        return newest;
}

/* A file that comes all at once shows sooner what it has: so much of it has passed without the track. */
static bool waited_for(const struct publication *p, enum track_kind kind)
{
        int64_t passed_us = p->in->mono_us() - p->first_mono_us, media_us = newest_us(p);
        return (media_us > passed_us ? media_us : passed_us) >= patience_us(p, kind);
}

static bool tracks_known(const struct publication *p)
{
        for (int k = 0; k < TRACK_KINDS; k++) {
                if (!p->track[k].config && !waited_for(p, (enum track_kind)k))
                        return false;
        }
        return true;
}

static void open_when_ready(struct publication *p)
{
        if (p->live && p->started && !relay_pair_opened(p->relays) && tracks_known(p) && !one_before(p))
                relay_pair_open(p->relays);
}

/* By the session's clock: media time now. */
static int64_t session_now_us(const struct publication *p)
{
        return p->in->wall_us() + relay_pair_skew_us(p->relays, p->in->mono_us()) - p->timeline.epoch_us;
}

/* All but how far it is ahead. */
static struct hold_sight sight_of(const struct publication *p)
{
        const struct replay *r = &p->replay;
        uint64_t mark, place = relay_pair_place(p->relays, &mark);
        int64_t newest = newest_us(p), waiting = place < r->tail ? newest - replay_at(r, place)->dts_us : 0;
        return (struct hold_sight){.waiting_us = waiting, .bytes = r->bytes,
                                   .limit_bytes = r->limit_bytes, .mark = mark,
                                   .queued = !relay_pair_opened(p->relays) && one_before(p)};
}

static void begin_hold(struct publication *p, const struct hold_sight *sight)
{
        stats_add(STAT_HELD, 1);
        p->held_us = p->in->mono_us();
        relay_pair_hold(p->relays, true);
        if (!p->said_hold)
                log_info("stream=%s address=%s ahead_ms=%" PRId64 " waiting_ms=%" PRId64
                         " msg=\"sends faster than real time and is held back to what the transcoder takes\"",
                         p->stream, p->address, sight->ahead_us / US_PER_MS, sight->waiting_us / US_PER_MS);
        p->said_hold = true;
}

void publication_look(struct publication *p)
{
        if (!p->live || !p->started)
                return;
        struct hold_sight sight = sight_of(p);
        if (hold_rests(&p->hold, &sight))
                return;
        sight.ahead_us = newest_us(p) - session_now_us(p);
        if (!hold_update(&p->hold, &sight, p->in->mono_us()))
                return;
        if (p->hold.held)
                begin_hold(p, &sight);
        else
                let_go(p);
        p->events->hold(p->arg, p->hold.held);
}

static void tell_over(struct publication *p)
{
        enum close_reason why = p->over;
        p->over = 0;
        relay_pair_finish(p->relays, why);
}

/* The one before it at its place may be gone. */
static void take_turn(struct publication *p)
{
        open_when_ready(p);
        if (!p->over || one_before(p))
                return;
        relay_pair_open(p->relays);
        tell_over(p);
}

/* A broadcast that was short may be over before the one before it at its place is closed: it is opened all the same when it is its turn,
 * with all that was kept of it. Only one waits so, or who connects again and again would have them heap up: the one before that, which
 * was to be opened first, is left out, counted. */
static void finish(struct publication *p, enum close_reason why)
{
        struct publication *before = one_before(p);
        bool waits = p->started && !relay_pair_opened(p->relays) && why != CLOSE_REFUSED && !p->in->relays.leaving;
        p->over = why;
        if (waits && before && before->over)
                tell_over(before);
        else if (waits && !before)
                relay_pair_open(p->relays);
        if (!waits || !before)
                tell_over(p);
}

void publication_poke(struct publication *p)
{
        relay_pair_poke(p->relays);
}

void publication_lose(struct publication *p, const struct rpc_client *gone)
{
        relay_pair_lose(p->relays, gone);
}

/* Frames ---------------------------------------------------------------------------------------------------------- */

static void count_kept(struct publication *p)
{
        stats_add(STAT_REPLAY_BYTES, (int64_t)p->replay.bytes - p->counted_bytes);
        p->counted_bytes = (int64_t)p->replay.bytes;
        budget_set(&p->in->replays, &p->kept, p->replay.bytes);
}

static void say_lost(struct publication *p, size_t lost)
{
        if (lost == 0)
                return;
        stats_add(STAT_LOST_FRAMES, (int64_t)lost);
        if (!told_may(&p->told_lost, SAY_AGAIN_US, p->in->mono_us(), NULL))
                return;
        log_warn("stream=%s bytes=%zu lost_frames=%" PRIu64 " msg=\"replay buffer full, its oldest pictures go\"",
                 p->stream, p->replay.bytes, p->replay.lost);
}

/* Whoever keeps most gives way, as far as it still keeps so much: what transcoders have stored went since it was counted. */
static void bound_all(struct publications *in)
{
        struct budget_share *largest;
        while ((largest = budget_excess(&in->replays))) {
                struct publication *p = (struct publication *)((char *)largest - offsetof(struct publication, kept));
                if (p->counted_bytes == (int64_t)p->replay.bytes)
                        say_lost(p, replay_give_way(&p->replay));
                count_kept(p);
        }
}

static void keep(struct publication *p, const struct frame *f)
{
        size_t lost = replay_push(&p->replay, f);
        count_kept(p);
        say_lost(p, lost);
        bound_all(p->in);
}

static bool same_bytes(const struct buf *a, const struct buf *b)
{
        return a && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static void say_config(struct publication *p, uint8_t track, bool late)
{
        if (!late && !told_may(&p->told_config, SAY_AGAIN_US, p->in->mono_us(), NULL))
                return; /* some encoders send another one with every keyframe */
        log_info("stream=%s track=%s msg=\"%s\"", p->stream, track == TRACK_VIDEO ? "video" : "audio",
                 late ? "late track" : "codec configuration changed");
}

static void on_config(struct publication *p, const struct flv_frame *f)
{
        struct buf *old = p->track[f->track].config;
        if (same_bytes(old, f->bytes))
                return;
        if (old && f->track == TRACK_AUDIO)
                drop_early(p); /* it would come behind the new configuration, and is of the old one */
        /* A copy: what flv.c made lies in the whole message. */
        struct buf *config = buf_copy(f->bytes->data, f->bytes->len);
        p->track[f->track].config = config;
        if (!old && !relay_pair_opened(p->relays)) {
                replay_config(&p->replay, f->track, f->codec, config);
        } else {
                const struct frame frame = {.track = f->track, .codec = f->codec, .flags = FRAME_CONFIG,
                                            .bytes = config, .dts_us = p->timeline.track[f->track].last_us};
                keep(p, &frame);
                say_config(p, f->track, !old);
        }
        buf_unref(&old);
}

/* Whether the broadcast may begin with this frame: a keyframe, or sound when no picture is to be expected. */
static bool may_start(const struct publication *p, const struct flv_frame *f)
{
        return f->track == TRACK_VIDEO || waited_for(p, TRACK_VIDEO) ||
               /* Sound that comes all at once, as a file does. */
               early_span_us(&p->early, f->dts_ms) >= patience_us(p, TRACK_VIDEO);
}

static void say_broken(struct publication *p, const struct flv_frame *f)
{
        stats_add(STAT_BREAKS, 1);
        if (!told_may(&p->told_break, SAY_AGAIN_US, p->in->mono_us(), NULL))
                return;
        log_info("stream=%s track=%s timestamp_ms=%u msg=\"time is not continuous\"", p->stream,
                 f->track == TRACK_VIDEO ? "video" : "audio", f->dts_ms);
}

/* Pictures come, but none that decoding could begin with; sound may be on its way meanwhile. */
static void say_no_key(struct publication *p)
{
        int64_t now = p->in->mono_us();
        if (!p->told_key.at_us)
                p->told_key.at_us = now; /* who joins in mid-group has one soon */
        if (!told_may(&p->told_key, SAY_AGAIN_US, now, NULL))
                return;
        log_warn("stream=%s msg=\"pictures are dropped: there was no keyframe yet\"", p->stream);
}

/* With what was said before it, if it is a picture, or sound of a broadcast that has none. A new reference. early: it has waited for a
 * picture, and what was said since then is with it. */
static struct buf *with_cues(struct publication *p, const struct flv_frame *f, bool early)
{
        size_t lost;
        if (!p->cues.count || (f->track != TRACK_VIDEO && p->track[TRACK_VIDEO].running))
                return buf_ref(f->bytes);
        struct buf *unit = cues_into(&p->cues, f, early, &lost);
        stats_add(STAT_CUES_DROPPED, (int64_t)lost);
        return unit;
}

static void place_media(struct publication *p, const struct flv_frame *f, int64_t wall_us, bool early)
{
        const struct timeline_frame in = {.track = f->track, .dts_ms = f->dts_ms, .cts_ms = f->cts_ms};
        struct timeline_time at;
        if (!p->started)
                timeline_start(&p->timeline, &in, wall_us);
        p->started = true;
        if (!timeline_map(&p->timeline, &in, wall_us, &at)) {
                stats_add(STAT_DROPPED_FRAMES, 1);
                return;
        }
        bool first = !p->track[f->track].running;
        if (at.broken && !first)
                say_broken(p, f);
        p->track[f->track].running = true;
        /* A clock that jumps is no FRAME_BREAK: all that the encoder sent since the first frame was received. */
        struct frame frame = {.track = f->track, .codec = f->codec, .dts_us = at.dts_us, .cts_us = at.cts_us,
                              .flags = f->flags | (first ? FRAME_BREAK : 0), .bytes = with_cues(p, f, early)};
        keep(p, &frame);
        buf_unref(&frame.bytes);
}

/* The first picture says where what was heard before it belongs; without pictures the broadcast began with what was heard first. */
static void place_early(struct publication *p)
{
        struct early_frame e;
        while (early_take(&p->early, &e)) {
                place_media(p, &e.frame, e.wall_us, true);
                buf_unref(&e.frame.bytes);
        }
}

static void on_media(struct publication *p, const struct flv_frame *f)
{
        int64_t wall = p->in->wall_us() + relay_pair_skew_us(p->relays, p->in->mono_us());
        bool fits = f->track == TRACK_AUDIO || p->track[f->track].running || f->flags & FRAME_KEY;
        if (f->bytes->len > FRAME_MAX || !fits) {
                stats_add(STAT_DROPPED_FRAMES, 1);
                if (!fits)
                        say_no_key(p);
                return;
        }
        if (!p->started && !may_start(p, f)) {
                stats_add(STAT_DROPPED_FRAMES, (int64_t)early_keep(&p->early, f, wall));
                return;
        }
        if (f->track == TRACK_AUDIO)
                place_early(p); /* if there is any, this is the first sound since the beginning, or begins */
        place_media(p, f, wall, false);
}

void publication_frame(struct publication *p, const struct flv_frame *f)
{
        assert(!p->ended && f->track < TRACK_KINDS);
        if (!p->live)
                return;
        p->last_mono_us = p->in->mono_us();
        if (!p->first_mono_us)
                p->first_mono_us = p->last_mono_us;
        p->bytes += f->bytes->len;
        p->frames += !(f->flags & FRAME_CONFIG);
        rate_add(&p->pictures, f->track == TRACK_VIDEO && !(f->flags & FRAME_CONFIG), p->last_mono_us);
        rate_add(&p->bits, f->bytes->len * 8, p->last_mono_us);
        if (f->flags & FRAME_CONFIG)
                on_config(p, f);
        else
                on_media(p, f);
        if (relay_pair_opened(p->relays))
                relay_pair_kick(p->relays);
        else
                open_when_ready(p);
        publication_look(p);
}

void publication_metadata(struct publication *p, const struct flv_metadata *m)
{
        assert(!p->ended);
        p->told = true;
        p->metadata = *m;
        if (relay_pair_opened(p->relays))
                return; /* what was said in OPEN stands */
        if (*m->encoder)
                memcpy(p->encoder, m->encoder, sizeof(p->encoder));
        if (*m->title)
                memcpy(p->title, m->title, sizeof(p->title));
}

void publication_cue(struct publication *p, const uint8_t *message, size_t len_bytes, uint32_t timestamp_ms)
{
        struct amf_cue said;
        int64_t now_us = p->in->mono_us();
        assert(!p->ended);
        bool heard = p->live && cues_hear(&p->cues, len_bytes, now_us);
        int err = heard ? amf_cue_read(&said, message, len_bytes, timestamp_ms) : ERR_LIMIT;
        if (err == ERR_NOT_FOUND) /* it says nothing */
                return;
        stats_add(!err && cues_keep(&p->cues, &said, now_us) ? STAT_CUES : STAT_CUES_DROPPED, 1);
}

/* For people ------------------------------------------------------------------------------------------------------ */

bool publication_is(const struct publication *p, const char *stream)
{
        return p->live && strcmp(p->stream, stream) == 0;
}

void publication_tell(const struct publication *p, struct publication_view *v)
{
        int64_t now = p->in->mono_us();
        *v = (struct publication_view){.backup = p->role == OPEN_BACKUP, .started = p->started, .since_wall_us = p->since_wall_us,
                                       .bytes = p->bytes, .frames = p->frames, .fps = rate_now(&p->pictures, now),
                                       .kbps = rate_now(&p->bits, now) / 1000, .kept_bytes = p->replay.bytes};
        memcpy(v->stream, p->stream, sizeof(v->stream));
        memcpy(v->address, p->address, sizeof(v->address));
        memcpy(v->encoder, p->encoder, sizeof(v->encoder));
        memcpy(v->title, p->title, sizeof(v->title));
        relay_pair_tell(p->relays, &v->relays);
        if (p->started) {
                v->media_us = newest_us(p);
                v->session_wall_us = session_now_us(p);
                if (v->relays.stored_us >= 0 && v->media_us > v->relays.stored_us)
                        v->behind_us = v->media_us - v->relays.stored_us;
        }
        bool silent = strcmp(v->relays.state, "live") == 0 && now - p->last_mono_us > PUBLICATION_SILENT_US;
        v->state = !p->live ? "leaving" : p->held_us ? "held" : silent ? "silent" : v->relays.state;
}

bool publication_kick(struct publication *p, const char *why)
{
        if (!p->live)
                return false;
        not_live(p);
        relay_pair_finish(p->relays, CLOSE_REFUSED);
        p->events->refuse(p->arg, RTMP_CLOSE_KICKED, "NetStream.Publish.Rejected", why);
        return true;
}

void publication_end(struct publication *p, enum close_reason why)
{
        assert(!p->ended);
        bool was_live = p->live;
        not_live(p);
        p->ended = true;
        if (was_live) /* otherwise its relays know, or will */
                finish(p, why);
        else if (!p->over)
                relay_pair_finish(p->relays, why);
        if (p->relays_done)
                free_publication(p);
}
