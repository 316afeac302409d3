/* Which transcoder takes the stream: the ring's walk, OPEN, and what it answers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "ingestd/relay_impl.h"
#include "ingestd/rtmp_close.h"
#include "ingestd/stats.h"

#define WAIT_FIRST_MS 100 /* the most that is waited after the first round over all transcoders; then doubled */
#define WAIT_MAX_MS 2000
#define SAY_AGAIN_US (5 * US_PER_S) /* a stream that waits for a place asks each second, and a hundred may wait */

/* The walk --------------------------------------------------------------------------------------------------------- */

static bool was_tried(const struct relay *r, const char *address)
{
        for (unsigned i = 0; i < r->tried_count; i++) {
                if (strcmp(r->tried[i], address) == 0)
                        return true;
        }
        return false;
}

void relay_note_tried(struct relay *r)
{
        if (r->tried_count < RELAY_CANDIDATES && !was_tried(r, r->address))
                memcpy(r->tried[r->tried_count++], r->address, sizeof(r->address));
}

/* The ring's walk; a shadow goes beside its leader, not to it. */
static size_t candidates(const struct relay *r, struct relay_candidate found[RELAY_CANDIDATES])
{
        const struct relays *all = r->pair->all;
        size_t n = all->link->walk(all->link_arg, r->pair->stream.stream, found, RELAY_CANDIDATES), kept = 0;
        for (size_t i = 0; i < n; i++) {
                if (relay_leads(r) || strcmp(found[i].address, r->pair->leader->address) != 0)
                        found[kept++] = found[i];
        }
        return kept;
}

static bool choose(struct relay *r)
{
        struct relay_candidate found[RELAY_CANDIDATES];
        size_t n = candidates(r, found);
        if (n == 1)
                r->asking = false; /* whoever has it or not, there is no other */
        for (size_t i = 0; i < n; i++) {
                if (!was_tried(r, found[i].address)) {
                        r->at.rpc = found[i].rpc;
                        memcpy(r->address, found[i].address, sizeof(r->address));
                        return true;
                }
        }
        return false;
}

/* Exponential backoff with full jitter: the streams of a cluster that was dead do not all come back at one instant. */
unsigned relay_backoff_ms(unsigned rounds)
{
        unsigned most = WAIT_FIRST_MS;
        for (unsigned i = 0; i < rounds && most < WAIT_MAX_MS; i++)
                most *= 2;
        most = most < WAIT_MAX_MS ? most : WAIT_MAX_MS;
        return 1 + (unsigned)rand() % most;
}

static void wait_and_seek(struct relay *r)
{
        relay_set_state(r, RELAY_SEEKING);
        unsigned wait_ms = relay_backoff_ms(r->rounds++);
        r->tried_count = 0;
        r->asking = relay_leads(r) && (!*r->pair->session || r->standby);
        relay_wait(r, wait_ms);
}

void relay_seek_next(struct relay *r)
{
        relay_note_tried(r);
        r->at.rpc = NULL;
        relay_seek(r);
}

void relay_seek_anew(struct relay *r)
{
        r->tried_count = 0;
        r->asking = true;
        r->at.rpc = NULL;
        relay_seek(r);
}

/* OPEN ------------------------------------------------------------------------------------------------------------- */

/* A session that has ended meanwhile is followed by one that begins with what is left in the buffer. */
static int64_t epoch_to_offer(const struct relay *r)
{
        int64_t start = replay_start_us(r->pair->replay);
        return r->pair->timeline->epoch_us + (start > 0 ? start - start % US_PER_MS : 0);
}

/* One that was active at the transcoder before has what it did not store: it is to be active at the next one too, in
 * whatever order the two broadcasters get there. What the broadcaster itself asked for is said once. */
static enum open_role role_to_offer(const struct relay *r)
{
        if (r->pair->stream.role == OPEN_BACKUP)
                return r->pair->active ? OPEN_BACKUP_NOW : OPEN_BACKUP;
        bool asked = r->pair->stream.role == OPEN_NOW && !*r->pair->session;
        return r->pair->active || asked ? OPEN_NOW : OPEN_PRIMARY;
}

static unsigned conditions(const struct relay *r)
{
        if (!relay_leads(r))
                return OPEN_BESIDE;
        bool stray = r->pair->stray_us && clock_mono_us() - r->pair->stray_us < RELAY_STRAY_US;
        return (r->asking ? OPEN_IF_HELD : 0) | (r->following && !stray ? OPEN_IF_FREE : 0) | (*r->pair->session ? OPEN_GOES_ON : 0);
}

/* The leader's session, as it is. */
static void fill_beside(const struct relay_pair *p, struct open *m)
{
        m->epoch_us = p->timeline->epoch_us;
        m->generation = p->generation;
        memcpy(m->session, p->session, sizeof(m->session));
        memcpy(m->node, p->claimer, sizeof(m->node));
}

/* Of the clock by which the stream's time is told the transcoder's is so far ahead. */
static int64_t ahead_us(const struct relay *r)
{
        struct clock_ahead a = r->pair->all->link->clock(r->at.rpc);
        return clock_ahead_wrong_us(&a, r->pair->skew_us);
}

static nng_msg *open_message(const struct relay *r)
{
        struct open m = {.epoch_us = r->offered_epoch_us,
                         .ahead_us = ahead_us(r),
                         .role = (uint8_t)role_to_offer(r),
                         .when = (uint8_t)conditions(r),
                         .lockstep = r->pair->stream.redundancy > 1,
                         .generation = generations_get(&r->pair->all->generations, r->pair->stream.stream)};
        if (!relay_leads(r))
                fill_beside(r->pair, &m);
        snprintf(m.stream, sizeof(m.stream), "%s", r->pair->stream.stream);
        snprintf(m.publisher, sizeof(m.publisher), "%s", r->pair->stream.publisher);
        snprintf(m.encoder, sizeof(m.encoder), "%s", r->pair->stream.encoder);
        snprintf(m.title, sizeof(m.title), "%s", r->pair->stream.title);
        for (int k = 0; k < TRACK_KINDS; k++) {
                const struct buf *config = r->pair->replay->config[k].bytes;
                m.codecs[k] = r->pair->replay->config[k].codec;
                m.config[k].data = config ? config->data : NULL;
                m.config[k].len = config ? (uint16_t)config->len : 0;
        }
        return message_new(MSG_OPEN, open_encode, &m);
}

static void send_open(struct relay *r)
{
        relay_set_state(r, RELAY_OPENING);
        r->offered_epoch_us = epoch_to_offer(r);
        r->opened_configs = r->pair->replay->config_changes;
        r->beside = r->pair->generation;
        relay_call(r, open_message(r), r->asking ? RELAY_ASK_MS : RELAY_OPEN_MS);
}

static void say_alone(struct relay_pair *p)
{
        if (!p->said_alone)
                log_info("session=%s stream=%s transcoder=%s msg=\"there is no second transcoder for the stream\"",
                         p->session, p->stream.stream, p->leader->address);
        p->said_alone = true;
}

static void seek_shadow(struct relay *r)
{
        struct relay_candidate others[RELAY_CANDIDATES];
        if (!relay_pair_wants_shadow(r->pair)) {
                relay_pair_left(r);
                return;
        }
        relay_set_state(r, RELAY_SEEKING);
        if (choose(r)) {
                send_open(r);
                return;
        }
        bool alone = candidates(r, others) == 0;
        if (alone || r->rounds > 1)
                say_alone(r->pair);
        wait_and_seek(r);
        if (alone)
                uv_timer_stop(&r->timer); /* until there are others: relay_poke() */
}

void relay_seek(struct relay *r)
{
        if (!relay_leads(r)) {
                seek_shadow(r);
                return;
        }
        if (relay_finish_overdue(r)) {
                relay_say_untaken(r);
                relay_become_done(r);
                return;
        }
        relay_set_state(r, RELAY_SEEKING);
        bool found = choose(r);
        if (!found && r->asking) { /* nobody has it */
                r->asking = false;
                r->tried_count = 0;
                found = choose(r);
        }
        if (found)
                send_open(r);
        else
                wait_and_seek(r);
}

/* Answers ---------------------------------------------------------------------------------------------------------- */

/* Frames move to the epoch of the session. One that begins now has its first picture at 0. */
static void adopt_epoch(struct relay *r, const struct open_reply *m)
{
        bool same = strcmp(r->pair->session, m->session) == 0;
        int64_t delta = r->pair->timeline->epoch_us + m->skew_us - m->epoch_us;
        r->pair->skew_us += m->skew_us;
        r->keeps_time = m->keeps_time;
        r->pair->said_apart = false;
        timeline_skew(r->pair->timeline, m->skew_us);
        if (same) /* in media time nothing changes, whatever the clocks */
                return;
        if (m->epoch_us == r->offered_epoch_us + m->skew_us && r->pair->replay->head < r->pair->replay->tail)
                delta = -replay_start_us(r->pair->replay);
        if (delta == 0 && m->epoch_us == r->pair->timeline->epoch_us)
                return;
        timeline_move(r->pair->timeline, m->epoch_us, delta);
        replay_move(r->pair->replay, delta);
}

void relay_begin_at(struct relay *r, uint64_t handle)
{
        r->handle = handle;
        r->busy_since_us = 0;
        r->credit = BATCH_FRAMES_MAX;
        r->at.takes_many = false;
        r->said_shadow = !relay_leads(r);
        r->most_sent = r->sent = r->cursor = r->wire_zero = r->pair->replay->head;
        r->answer_us = 0;
        r->going_back = false;
}

static void adopt(struct relay *r, const struct open_reply *m)
{
        adopt_epoch(r, m);
        bool again = *r->pair->session;
        memcpy(r->pair->session, m->session, sizeof(r->pair->session));
        bool possible = generations_note(&r->pair->all->generations, r->pair->stream.stream, m->node, m->generation);
        /* Of one that there cannot be nobody has claimed: or what the writer is truly given, which is lower, would be passed over. */
        r->pair->generation = possible ? m->generation : 0;
        memcpy(r->pair->claimer, possible ? m->node : (char[sizeof(r->pair->claimer)]){""}, sizeof(r->pair->claimer));
        memcpy(r->node, m->node, sizeof(r->node));
        relay_begin_at(r, m->handle);
        r->tried_count = 0;
        r->rounds = 0;
        r->told_refused = (struct told){0};
        r->asking = r->following = false;
        uint64_t again_frames = !m->standby && r->pair->sent > r->cursor ? r->pair->sent - r->cursor : 0;
        stats_add(STAT_OPENS, 1);
        stats_add(STAT_REPLAYED_FRAMES, (int64_t)again_frames);
        log_info("session=%s stream=%s transcoder=%s generation=%u role=%s replayed_frames=%" PRIu64 " msg=\"%s\"",
                 r->pair->session, r->pair->stream.stream, r->address, m->generation, m->standby ? "standby" : "active",
                 again_frames, again ? "opened again" : "opened");
        relay_set_standby(r, m->standby);
        if (r->opened_configs != r->pair->replay->config_changes)
                relay_seek_anew(r); /* the buffer ran over meanwhile, and begins with another configuration now */
        else
                relay_become_live(r);
}

/* How often it was so since the last line; 0: the line that there is says it. */
static uint64_t times_to_say(struct relay *r, int status)
{
        uint64_t times = 0;
        if (r->told_status != status)
                r->told_refused = (struct told){0};
        r->told_status = status;
        return told_may(&r->told_refused, SAY_AGAIN_US, clock_mono_us(), &times) ? times : 0;
}

static void say_refused(struct relay *r, const struct open_reply *m)
{
        char quoted[192];
        uint64_t times = times_to_say(r, m->status);
        if (times)
                log_warn("stream=%s transcoder=%s error=\"%s\" times=%" PRIu64 " msg=\"not opened\" why=%s", r->pair->stream.stream, r->address,
                         err_text(m->status), times, log_quote(quoted, sizeof(quoted), m->text));
}

static void on_asked(struct relay *r, const struct open_reply *m)
{
        if (m->status != ERR_NOT_YET) {
                relay_seek_next(r);
                return;
        }
        r->asking = false;
        send_open(r);
}

static void on_refusal(struct relay *r, const struct open_reply *m)
{
        const char *text = *m->text ? m->text : err_text(m->status);
        say_refused(r, m);
        if (m->status == ERR_NOT_YET && r->pair->finish)
                relay_become_done(r);      /* CLOSE got through, its answer did not */
        else if (m->status == ERR_NOT_YET) /* it stores the end of the session before; another would go on with it */
                wait_and_seek(r);
        else if (m->status == ERR_DENIED)
                relay_refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Denied", text);
        else if (m->status == ERR_UNSUPPORTED)
                relay_refuse(r, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", text);
        else if (m->status == ERR_CONFLICT)
                relay_refuse(r, RTMP_CLOSE_TAKEN_OVER, "NetStream.Publish.BadName",
                             "the stream is published elsewhere");
        else
                relay_seek_next(r);
}

/* A shadow is nothing that the broadcaster asked for, and is sought for as long as there is none. */
static void on_shadow_refused(struct relay *r, int err, const char *text)
{
        log_debug("stream=%s transcoder=%s error=\"%s\" msg=\"not opened beside the leader\" why=\"%s\"",
                  r->pair->stream.stream, r->address, err_text(err), text);
        relay_seek_next(r);
}

static void on_failure(struct relay *r, int err)
{
        uint64_t times = times_to_say(r, err);
        if (times)
                log_warn("stream=%s transcoder=%s error=\"%s\" times=%" PRIu64 " msg=\"not opened\"", r->pair->stream.stream, r->address,
                         err_text(err), times);
        if (!r->asking)
                r->pair->stray_us = clock_mono_us();
        relay_seek_next(r);
}

void relay_on_opened(struct relay *r, int err, nng_msg *reply)
{
        struct reader reader;
        struct open_reply m;
        if (err && relay_leads(r)) {
                on_failure(r, err);
        } else if (err) {
                on_shadow_refused(r, err, "no answer");
        } else if (message_open(&reader, reply) != MSG_OPEN_REPLY || open_reply_decode(&reader, &m)) {
                r->pair->all->link->drop(r->at.rpc, "malformed answer to OPEN");
                relay_seek_next(r);
        } else if (!relay_leads(r) && m.status) {
                on_shadow_refused(r, m.status, "it refuses");
        } else if (!relay_leads(r)) {
                relay_pair_on_opened(r, &m);
        } else if (m.status && m.status != ERR_CONFLICT && r->asking) {
                on_asked(r, &m);
        } else if (m.status) {
                on_refusal(r, &m);
        } else {
                adopt(r, &m);
        }
}
