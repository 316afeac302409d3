#include "originD/recording_find.h"

#include <string.h>

#include "originD/log/index_cache.h"

struct choice {
        const struct track *tracks[RECORDING_TRACKS_MAX];
        size_t count;
        uint32_t origin_segment;
        int64_t end_us;
};

static uint64_t worth(const struct session *s, const struct track *t)
{
        return (uint64_t)t->init.height << 32 | track_facts(s, t).peak_bps;
}

static const struct track *best(const struct session *s, enum track_kind kind)
{
        const struct track *found = NULL;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (t->init.kind == kind && t->log && track_playable(s, t) && (!found || worth(s, t) > worth(s, found)))
                        found = t;
        }
        return found;
}

static void choose(const struct session *s, struct choice *c)
{
        static const enum track_kind kinds[] = {TRACK_VIDEO, TRACK_AUDIO};
        *c = (struct choice){.origin_segment = UINT32_MAX};
        for (size_t i = 0; i < RECORDING_TRACKS_MAX; i++) {
                const struct track *t = best(s, kinds[i]);
                if (!t)
                        continue;
                struct track_facts f = track_facts(s, t);
                c->tracks[c->count++] = t;
                uint32_t first = track_first_segment(s, t);
                c->origin_segment = first < c->origin_segment ? first : c->origin_segment;
                c->end_us = f.end_us > c->end_us ? f.end_us : c->end_us;
        }
}

static const struct volume_row *row_of(const struct track *t, uint32_t number)
{
        const struct volume_row *row = volumes_get(&t->log->closed, number);
        return row && (row->state == VOLUME_HERE || row->state == VOLUME_DAMAGED) && row->sum.chunks ? row : NULL;
}

/* The next volume that one of them has, from `number` on. */
static bool next_volume(const struct choice *c, uint64_t number, uint32_t *out)
{
        bool any = false;
        for (size_t t = 0; t < c->count; t++) {
                const struct volumes *v = &c->tracks[t]->log->closed;
                for (size_t i = 0; i < v->count; i++)
                        if (v->rows[i].number >= number) {
                                *out = !any || v->rows[i].number < *out ? v->rows[i].number : *out;
                                any = true;
                                break;
                        }
        }
        return any;
}

static uint64_t volume_bytes(const struct choice *c, uint32_t number)
{
        uint64_t sum = 0;
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = row_of(c->tracks[t], number);
                sum += row ? row->sum.bytes - c->tracks[t]->init_bytes->len : 0;
        }
        return sum;
}

/* Both indexes of the volume; what chunk_log_segment() says of the first one that is not in memory otherwise. */
static enum segment_state open_part(const struct choice *c, uint32_t number, bool may_read, struct recording_part *out)
{
        *out = (struct recording_part){.count = {0}};
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = row_of(c->tracks[t], number);
                struct segment_view view;
                if (!row)
                        continue;
                enum segment_state state = chunk_log_segment(c->tracks[t]->log, row->sum.first_segment, may_read, &view);
                if (state != SEGMENT_HERE)
                        return state;
        }
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = row_of(c->tracks[t], number);
                if (!row)
                        continue;
                if (!row->index || !row->index->ready)
                        return SEGMENT_BUSY; /* the second pushed the first out: more is read at once than there is memory for */
                out->rows[t] = row->index->index.rows;
                out->count[t] = row->index->index.count;
        }
        return SEGMENT_HERE;
}

static enum segment_state find_in_volume(const struct choice *c, uint32_t number, uint64_t offset, bool may_read,
                                         struct recording_place *out)
{
        struct recording_part part;
        struct recording_cursor cursor;
        struct recording_piece piece;
        enum segment_state state = open_part(c, number, may_read, &part);
        if (state != SEGMENT_HERE)
                return state;
        recording_seek(&cursor, &part, offset);
        if (!recording_next(&cursor, &part, &piece) || offset - piece.offset >= piece.len_bytes)
                return SEGMENT_UNREADABLE; /* its index is not what its sums say */
        const struct index_row *row = &part.rows[piece.track][piece.row];
        out->log = c->tracks[piece.track]->log;
        out->view = (struct segment_view){.volume = number, .offset = row->offset, .len_bytes = row->len_bytes, .complete = true};
        out->track = piece.track;
        out->segment = row->segment;
        out->skip = (size_t)(offset - piece.offset);
        return SEGMENT_HERE;
}

enum segment_state recording_find(const struct session *s, uint64_t offset, bool may_read, struct recording_place *out)
{
        struct choice c;
        const struct buf *inits[RECORDING_TRACKS_MAX];
        uint32_t number, holds = 0;
        uint64_t begin = 0;
        bool found = false;
        *out = (struct recording_place){.size = 0};
        choose(s, &c);
        for (size_t t = 0; t < c.count; t++)
                inits[t] = c.tracks[t]->init_bytes;
        if (s->state != SESSION_ENDED || !c.count ||
            recording_header(&out->header, inits, c.count, c.end_us - (int64_t)c.origin_segment * SEGMENT_US))
                return SEGMENT_NONE;
        out->origin_segment = c.origin_segment;
        out->size = out->header->len;
        bool in_header = offset < out->size;
        for (uint64_t from = 0; next_volume(&c, from, &number); from = (uint64_t)number + 1) {
                uint64_t bytes = volume_bytes(&c, number);
                if (!found && !in_header && offset < out->size + bytes) {
                        found = true;
                        holds = number;
                        begin = out->size;
                }
                out->size += bytes;
        }
        if (in_header)
                return SEGMENT_HERE;
        buf_unref(&out->header);
        return found ? find_in_volume(&c, holds, offset - begin, may_read, out) : SEGMENT_NONE;
}
