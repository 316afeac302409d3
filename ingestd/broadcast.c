#include "ingestd/broadcast.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "ingestd/stats.h"

const char *broadcast_session(const struct broadcast *b)
{
        return *b->session ? b->session : "-";
}

bool broadcast_over(const struct broadcast *b)
{
        return b->finish || b->refused;
}

/* The end ---------------------------------------------------------------------------------------------------------- */

void broadcast_finish(struct broadcast *b, enum close_reason why, int64_t now_us)
{
        b->finish = why;
        b->finish_by_us = now_us + RELAY_FINISH_MS * US_PER_MS;
        b->finish_most_us = b->waited_for ? now_us + RELAY_FINISH_MOST_MS * US_PER_MS : INT64_MAX;
}

void broadcast_wait_for(struct broadcast *b, int64_t now_us)
{
        if (b->waited_for)
                return;
        b->waited_for = true;
        b->finish_most_us = now_us + RELAY_FINISH_MOST_MS * US_PER_MS; /* broadcast_finish() says when, if it has not ended yet */
}

/* The first time counts. */
static void bound(struct broadcast *b, int64_t now_us)
{
        if (b->finish_most_us == INT64_MAX)
                b->finish_most_us = now_us + RELAY_FINISH_MOST_MS * US_PER_MS;
}

void broadcast_progress(struct broadcast *b, int64_t now_us)
{
        int64_t by_us = now_us + RELAY_FINISH_MS * US_PER_MS;
        b->finish_by_us = by_us < b->finish_most_us ? by_us : b->finish_most_us;
}

bool broadcast_overdue(const struct broadcast *b, int64_t now_us)
{
        return b->finish && now_us >= b->finish_by_us;
}

void broadcast_set_place(struct broadcast *b, enum broadcast_place place)
{
        stats_add(STAT_STANDBY, (place == PLACE_STANDBY) - (b->place == PLACE_STANDBY));
        b->place = place;
}

/* OPEN ------------------------------------------------------------------------------------------------------------- */

int64_t broadcast_epoch_us(const struct broadcast *b)
{
        int64_t start = replay_start_us(b->replay);
        return b->timeline->epoch_us + (start > 0 ? start - start % US_PER_MS : 0);
}

/* One that was active at the transcoder before has what it did not store: it is to be active at the next one too, in
 * whatever order the two broadcasters get there. What the broadcaster itself asked for is said once. */
enum open_role broadcast_role(const struct broadcast *b)
{
        bool active = b->place == PLACE_ACTIVE;
        if (b->stream.role == OPEN_BACKUP)
                return active ? OPEN_BACKUP_NOW : OPEN_BACKUP;
        bool asked = b->stream.role == OPEN_NOW && !*b->session;
        return active || asked ? OPEN_NOW : OPEN_PRIMARY;
}

void broadcast_fill_open(const struct broadcast *b, struct open *m)
{
        m->role = (uint8_t)broadcast_role(b);
        m->lockstep = b->stream.redundancy > 1;
        snprintf(m->stream, sizeof(m->stream), "%s", b->stream.stream);
        snprintf(m->publisher, sizeof(m->publisher), "%s", b->stream.publisher);
        snprintf(m->encoder, sizeof(m->encoder), "%s", b->stream.encoder);
        snprintf(m->title, sizeof(m->title), "%s", b->stream.title);
        for (int k = 0; k < TRACK_KINDS; k++) {
                const struct buf *config = b->replay->config[k].bytes;
                m->codecs[k] = b->replay->config[k].codec;
                m->config[k].data = config ? config->data : NULL;
                m->config[k].len = config ? (uint16_t)config->len : 0;
        }
}

bool broadcast_may_be_elsewhere(const struct broadcast *b, int64_t now_us)
{
        return b->stray_us && now_us - b->stray_us < RELAY_STRAY_US;
}

/* A session that begins now has its first picture at 0. */
static void adopt_epoch(struct broadcast *b, const struct open_reply *m, int64_t offered_epoch_us)
{
        int64_t delta = b->timeline->epoch_us + m->skew_us - m->epoch_us;
        if (m->epoch_us == offered_epoch_us + m->skew_us && b->replay->head < b->replay->tail)
                delta = -replay_start_us(b->replay);
        if (delta == 0 && m->epoch_us == b->timeline->epoch_us)
                return;
        timeline_move(b->timeline, m->epoch_us, delta);
        replay_move(b->replay, delta);
}

void broadcast_adopt(struct broadcast *b, const struct open_reply *m, int64_t offered_epoch_us, bool possible, int64_t now_us)
{
        bool same = strcmp(b->session, m->session) == 0;
        if (b->finish && *b->session)
                bound(b, now_us);
        b->skew_us += m->skew_us;
        b->said_apart = false;
        timeline_skew(b->timeline, m->skew_us);
        if (!same) /* in media time nothing changes within a session, whatever the clocks */
                adopt_epoch(b, m, offered_epoch_us);
        memcpy(b->session, m->session, sizeof(b->session));
        /* An impossible generation nobody has claimed: or what the writer is truly given, which is lower, would be passed over. */
        b->generation = possible ? m->generation : 0;
        snprintf(b->claimer, sizeof(b->claimer), "%s", possible ? m->node : "");
}
