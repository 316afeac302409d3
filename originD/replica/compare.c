#include "originD/replica/compare.h"

#include <string.h>

#include "common/clock.h"

struct track_lack compare_track(const struct session *s, const struct track *mine, const struct peer_track *theirs)
{
        uint64_t theirs_end = eras_place(theirs->next_segment, theirs->next_chunk), place;
        if (!mine)
                return (struct track_lack){.lacks = true};
        uint64_t mine_end = track_end_place(s, mine), until = mine_end < theirs_end ? mine_end : theirs_end;
        uint64_t mine_bytes = track_facts(s, mine).file_bytes;
        if (!eras_part(&mine->eras, &theirs->eras, until, &place))
                return (struct track_lack){.lacks = theirs->bytes != mine_bytes && theirs_end > mine_end};
        int older = eras_older(eras_at(&mine->eras, mine_end ? mine_end - 1 : 0), /* what they were written to last */
                               eras_at(&theirs->eras, theirs_end ? theirs_end - 1 : 0));
        const struct era *a = eras_at(&mine->eras, place), *b = eras_at(&theirs->eras, place);
        if (!older)
                older = eras_older(a, b);
        if (!older)
                older = mine_bytes != theirs->bytes ? (mine_bytes < theirs->bytes ? -1 : 1) : strcmp(a->node, b->node);
        if (older > 0)
                return (struct track_lack){0};
        return (struct track_lack){.lacks = true, .cut = true, .cut_segment = (uint32_t)(place / CHUNKS_PER_SEGMENT)};
}

static bool any_lacks(struct session *s, const struct peer_session *theirs, int64_t lag_us)
{
        for (size_t i = 0; i < theirs->track_count; i++) {
                const struct peer_track *t = &theirs->tracks[i];
                const struct track *mine = session_track(s, t->name);
                struct track_lack l = compare_track(s, mine, t);
                int64_t end_us = mine && track_facts(s, mine).any ? track_facts(s, mine).end_us : t->start_us;
                if (l.lacks && (l.cut || t->end_us - end_us > lag_us))
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
        int64_t longest = 0;
        for (size_t i = 0; i < theirs->track_count; i++)
                longest = theirs->tracks[i].end_us > longest ? theirs->tracks[i].end_us : longest;
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
        if (!theirs->whole)
                return compare_end(s, theirs) != END_SAME || theirs->generation > s->generation || heads_differ(s, theirs);
        bool written = s->state == SESSION_LIVE && s->claimed && !theirs->ended &&
                       clock_mono_us() - s->heard_mono_us < COMPARE_SILENT_US;
        return compare_end(s, theirs) != END_SAME || theirs->generation > s->generation ||
               any_lacks(s, theirs, written && !exact ? COMPARE_LAG_US : 0);
}
