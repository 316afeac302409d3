#include "originD/replica/compare.h"

#include <string.h>

#include "common/clock.h"

/* ---- who has something there --------------------------------------------------------------------------------------- */

static bool is_here(const struct session *s, const struct track *t, uint64_t place)
{
        uint32_t number = eras_segment(s->chunk_ms, place) / s->volume_segments;
        if (!t->log)
                return true;
        const struct volume_row *row = volumes_get(&t->log->closed, number);
        return row ? row->state != VOLUME_LACKING : t->log->index.count && number == t->log->open_number;
}

/* Told are the closed volumes, and behind them is the open one; in a list of sessions none at all. Nobody can say which segments of
 * a damaged one are there. */
static bool is_there(const struct peer_track *t, uint32_t segment)
{
        const struct volumes *v = &t->volumes;
        if (segment < t->first_here)
                return false;
        for (size_t i = v->count; i--;) {
                const struct volume_sum *sum = &v->rows[i].sum;
                if (segment > sum->last_segment)
                        return i == v->count - 1;
                if (segment >= sum->first_segment)
                        return v->rows[i].state != VOLUME_LACKING && v->rows[i].state != VOLUME_DAMAGED;
        }
        return !v->count || t->older_volumes;
}

/* The next place behind it at which another volume begins, here or there. */
static uint64_t next_volume(const struct session *s, const struct peer_track *theirs, uint64_t place)
{
        uint64_t per = eras_place(s->chunk_ms, s->volume_segments, 0), next = (place / per + 1) * per;
        uint64_t first = eras_place(s->chunk_ms, theirs->first_here, 0);
        return first > place && first < next ? first : next;
}

/* The first place of different eras at which both have something. */
static bool find_cut(const struct session *s, const struct track *mine, const struct peer_track *theirs, uint64_t until,
                     uint64_t *place)
{
        for (uint64_t at = 0; at < until && eras_part_within(&mine->eras, &theirs->eras, at, until, place);
             at = next_volume(s, theirs, *place))
                if (is_here(s, mine, *place) && is_there(theirs, eras_segment(s->chunk_ms, *place)))
                        return true;
        return false;
}

/* The first place at or behind `at` of a volume that is not here, and has an older era here than there. */
static bool find_older(const struct session *s, const struct track *mine, const struct peer_track *theirs, uint64_t at,
                       uint64_t until, uint64_t *place)
{
        for (; at < until && eras_part_within(&mine->eras, &theirs->eras, at, until, place); at = next_volume(s, theirs, *place))
                if (!is_here(s, mine, *place) && eras_older(eras_at(&mine->eras, *place), eras_at(&theirs->eras, *place)) < 0)
                        return true;
        return false;
}

bool compare_take_eras(const struct session *s, struct track *mine, const struct peer_track *theirs, uint64_t until)
{
        uint64_t end = track_end_place(s, mine), place, at = 0;
        bool any = false;
        while (find_older(s, mine, theirs, at, end < until ? end : until, &place)) {
                at = next_volume(s, theirs, place);
                at = at < end ? at : end;
                eras_take(&mine->eras, &theirs->eras, place, at);
                any = true;
        }
        if (end < until && eras_part_within(&mine->eras, &theirs->eras, end, until, &place)) {
                eras_adopt(&mine->eras, &theirs->eras, place);
                any = true;
        }
        return any;
}

/* ---- what is lacking ------------------------------------------------------------------------------------------------ */

struct track_lack compare_track(const struct session *s, const struct track *mine, const struct peer_track *theirs)
{
        uint64_t theirs_end = eras_place(s->chunk_ms, theirs->next_segment, theirs->next_chunk), place;
        if (!mine)
                return (struct track_lack){.lacks = true};
        uint64_t mine_end = track_end_place(s, mine), until = mine_end < theirs_end ? mine_end : theirs_end;
        uint64_t mine_bytes = track_facts(s, mine).file_bytes;
        bool behind = theirs->bytes != mine_bytes && theirs_end > mine_end;
        if (!eras_part(&mine->eras, &theirs->eras, until, &place))
                return (struct track_lack){.lacks = behind};
        int older = eras_older(eras_at(&mine->eras, mine_end ? mine_end - 1 : 0), /* what they were written to last */
                               eras_at(&theirs->eras, theirs_end ? theirs_end - 1 : 0));
        bool cut = find_cut(s, mine, theirs, until, &place);
        if (!cut) {
                bool eras = older <= 0 && find_older(s, mine, theirs, 0, until, &place);
                return (struct track_lack){.lacks = older <= 0 && (behind || eras), .eras = eras};
        }
        const struct era *a = eras_at(&mine->eras, place), *b = eras_at(&theirs->eras, place);
        if (!older)
                older = eras_older(a, b);
        if (!older)
                older = mine_bytes != theirs->bytes ? (mine_bytes < theirs->bytes ? -1 : 1) : strcmp(a->node, b->node);
        if (older > 0)
                return (struct track_lack){0};
        return (struct track_lack){.lacks = true, .cut = true, .cut_segment = eras_segment(s->chunk_ms, place)};
}

static bool any_lacks(struct session *s, const struct peer_session *theirs, int64_t lag_us)
{
        for (size_t i = 0; i < theirs->track_count; i++) {
                const struct peer_track *t = &theirs->tracks[i];
                const struct track *mine = session_track(s, t->name);
                struct track_lack l = compare_track(s, mine, t);
                int64_t end_us = mine && track_facts(s, mine).any ? track_facts(s, mine).end_us : t->start_us;
                if (l.lacks && (l.cut || l.eras || t->end_us - end_us > lag_us))
                        return true;
        }
        return false;
}

enum compare_end compare_end(const struct session *s, const struct peer_session *theirs)
{
        bool ended = s->state == SESSION_ENDED;
        if (ended == theirs->ended)
                return END_SAME;
        if (!ended)
                return theirs->generation >= s->generation && (theirs->ended_by_writer || !s->claimed) ? END_NOW : END_SAME;
        int64_t longest = 0; /* a still picture is there before what its second shows */
        for (size_t i = 0; i < theirs->track_count; i++) {
                const struct peer_track *t = &theirs->tracks[i];
                longest = strcmp(t->name, PICTURES_TRACK) != 0 && t->end_us > longest ? t->end_us : longest;
        }
        bool goes_on = theirs->generation > s->generation || (!s->ended_by_writer && longest > s->end_us);
        return goes_on ? END_REOPEN : END_SAME;
}

/* Of a session that is told as its head only. What differs is looked at in whole before anything is copied. */
static bool heads_differ(const struct session *s, const struct peer_session *theirs)
{
        if (s->state == SESSION_LIVE)
                return theirs->sum.bytes > session_bytes(s);
        return theirs->sum.digest != session_sum(s).digest;
}

bool compare_lacks(struct session *s, const struct peer_session *theirs, bool exact)
{
        if (theirs->chunk_ms != s->chunk_ms && session_tracks(s)) /* by a mistake of somebody's: their places mean other things */
                return false;
        if (theirs->captions && !s->captions)
                return true;
        if (!theirs->whole)
                return compare_end(s, theirs) != END_SAME || theirs->generation > s->generation || heads_differ(s, theirs);
        bool written = s->state == SESSION_LIVE && s->claimed && !theirs->ended &&
                       clock_mono_us() - s->heard_mono_us < COMPARE_SILENT_US;
        return compare_end(s, theirs) != END_SAME || theirs->generation > s->generation ||
               any_lacks(s, theirs, written && !exact ? COMPARE_LAG_US : 0);
}
