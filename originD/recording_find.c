#include "originD/recording_find.h"

/* The volume that the place is in: the last one that begins at or before it. */
static size_t volume_at(const struct layout *l, uint64_t offset)
{
        size_t low = 0, high = l->volume_count;
        while (high - low > 1) {
                size_t mid = low + (high - low) / 2;
                if (l->volumes[mid].begin <= offset)
                        low = mid;
                else
                        high = mid;
        }
        return low;
}

static void place_in(const struct recording_tracks *c, const struct recording_volume *v, const struct recording_part *part,
                     const struct recording_piece *piece, struct recording_place *out)
{
        const struct index_row *row = &part->rows[piece->track][piece->row];
        const struct volume_row *closed = v->rows[piece->track];
        out->log = c->tracks[piece->track]->log;
        out->view = (struct segment_view){.volume = v->number, .offset = row->offset, .len_bytes = row->len_bytes, .complete = true,
                                          .archived = closed && closed->state == VOLUME_ARCHIVED};
        out->track = piece->track;
        out->segment = row->segment;
}

enum segment_state recording_find(const struct layout *l, const struct session *s, uint64_t offset, bool may_read,
                                  struct recording_plan *plan, struct recording_place *out)
{
        struct recording_tracks c;
        struct recording_volume v;
        struct recording_part part;
        struct recording_piece piece;
        *out = (struct recording_place){.log = NULL};
        if (offset < l->header.len)
                return SEGMENT_HERE;
        size_t n = volume_at(l, offset);
        if (plan->identity != l->identity || plan->volume != n)
                *plan = (struct recording_plan){.identity = l->identity, .volume = n};
        recording_choose(&c, s, &l->wish);
        if (!recording_find_volume(&c, l->volumes[n].number, &v))
                return SEGMENT_LACKING;
        enum segment_state state = recording_open_volume(&c, &v, may_read, &part);
        if (state != SEGMENT_HERE)
                return state;
        uint64_t end = n + 1 < l->volume_count ? l->volumes[n + 1].begin : l->size;
        if (recording_part_bytes(&part) != end - l->volumes[n].begin)
                return SEGMENT_LACKING; /* of one of its tracks it is just being looked at: every place would be another one */
        uint64_t in_part = offset - l->volumes[n].begin;
        recording_seek(&plan->cursor, &part, in_part);
        if (!recording_next(&plan->cursor, &part, &piece) || in_part - piece.offset >= piece.len_bytes)
                return SEGMENT_UNREADABLE; /* its index is not what it was */
        place_in(&c, &v, &part, &piece, out);
        out->skip = (size_t)(in_part - piece.offset);
        return SEGMENT_HERE;
}
