#include "originD/names.h"

#include "common/clock.h"

static uint32_t segment_of(int64_t us)
{
        int64_t n = us / SEGMENT_US;
        return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* The tracks of a live session, and the segments that there can be of them. */
static void tell_live(struct names_row *row, const struct session *s)
{
        row->first = UINT32_MAX;
        row->last = segment_of(session_live_edge_us(s));
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                const struct index *ix = t->log ? &t->log->index : NULL;
                uint32_t first = t->log ? track_first_segment(s, t) : 0, last = ix && ix->count ? ix->rows[ix->count - 1].segment : 0;
                row->first = first < row->first ? first : row->first;
                row->last = last > row->last ? last : row->last;
                row->tracks[row->track_count++] = names_track(t->name);
        }
        row->first = row->track_count ? row->first : 0;
}

static void tell(struct writer *w, const struct session *s)
{
        struct names_row row = {.session = names_session(s->stream, s->id), .stream = names_stream(s->stream),
                                .live = s->state == SESSION_LIVE};
        if (row.live)
                tell_live(&row, s);
        else
                row.last = s->end_us > 0 ? segment_of(s->end_us) : UINT32_MAX;
        names_write_row(w, &row);
}

static uint64_t begin_from(const struct store *st, uint64_t instance, uint64_t since, uint64_t *gone)
{
        if (instance != st->instance || since > st->changes || !names_gone_behind(&st->gone, since, gone))
                since = 0;
        if (since == 0)
                *gone = st->gone.count; /* who has nothing has nothing to forget */
        return since;
}

bool names_have_news(const struct store *st, uint64_t instance, uint64_t since)
{
        return instance != st->instance || since != st->changes;
}

/* Of what went and what is there whichever changed first, so that a name which went and came again is there in the end. */
struct buf *names_page(struct store *st, uint64_t instance, uint64_t since, bool settled)
{
        uint64_t gone;
        since = begin_from(st, instance, since, &gone);
        struct names_page page = {.instance = st->instance, .next = st->changes, .anew = since == 0, .partial = !settled || !st->started};
        static uint8_t bytes[NAMES_HEAD_BYTES + NAMES_PAGE * NAMES_ROW_MAX_BYTES];
        size_t rows = 0;
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        names_write_page(&w, &page);
        struct session *s = store_changed_behind(st, since);
        size_t looks = 0; /* a live session costs as much as its tracks do */
        while (rows < NAMES_PAGE && looks < NAMES_PAGE && (s || gone < st->gone.count)) {
                const uint64_t *went = gone < st->gone.count ? &st->gone.at[gone % NAMES_GONE].change : NULL;
                if (went && (!s || *went < s->change)) {
                        names_write_row(&w, &(struct names_row){.session = st->gone.at[gone % NAMES_GONE].session, .gone = true});
                        page.next = *went;
                        gone++;
                } else {
                        tell(&w, s);
                        looks += s->state == SESSION_LIVE ? s->track_count : 0;
                        page.next = s->change;
                        s = s->changed_after;
                }
                rows++;
        }
        page.more = s || gone < st->gone.count;
        if (!page.more)
                page.next = st->changes;
        struct writer head;
        writer_init(&head, bytes, NAMES_HEAD_BYTES);
        names_write_page(&head, &page);
        return buf_copy(bytes, w.len);
}
