#include "originD/joined.h"

/* It is not in the log, and nothing that comes will be. */
static bool is_over(const struct session *s, const struct track *t, uint32_t segment)
{
        const struct index *ix = &t->log->index;
        return s->state == SESSION_ENDED || segment < t->first_segment || (ix->count && segment < ix->rows[ix->count - 1].segment);
}

/* It was there, and retention took it: without it the segment would be another one than it was, under the same name. */
static bool is_removed(const struct session *s, const struct track *t, uint32_t segment)
{
        return segment >= t->first_segment && segment < track_first_segment(s, t);
}

enum segment_state joined_find(const struct session *s, const struct track *t, const struct key *k, uint64_t offset, bool may_read,
                               struct joined_place *out, bool *not_yet)
{
        bool any = false;
        *out = (struct joined_place){.size = 0};
        *not_yet = false;
        for (uint32_t n = k->segment; n < k->segment + k->joined; n++) {
                struct segment_view v;
                enum segment_state state = chunk_log_segment(t->log, n, may_read, &v);
                if (state == SEGMENT_NONE && is_removed(s, t, n))
                        return SEGMENT_NONE;
                if (state == SEGMENT_NONE && is_over(s, t, n))
                        continue;
                *not_yet = state == SEGMENT_NONE || (state == SEGMENT_HERE && !v.complete);
                if (*not_yet)
                        return SEGMENT_NONE;
                if (state != SEGMENT_HERE)
                        return state;
                if (offset >= out->size) {
                        out->view = v;
                        out->at = out->size;
                }
                out->size += v.len_bytes;
                any = true;
        }
        return any && offset <= out->size ? SEGMENT_HERE : SEGMENT_NONE;
}
