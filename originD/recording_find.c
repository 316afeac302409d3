#include "originD/recording_find.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "originD/log/index_cache.h"

struct choice {
        const struct track *tracks[RECORDING_TRACKS_MAX];
        size_t count;
        uint32_t origin_segment;
        int64_t end_us;
};

static bool usable(const struct session *s, const struct track *t)
{
        return t->log && track_playable(s, t);
}

bool recording_has(const struct session *s, const char *track)
{
        const struct track *t = session_track(s, track);
        return t && usable(s, t);
}

void recording_list_tracks(const struct session *s, char *dst, size_t cap)
{
        size_t len = 0;
        *dst = '\0';
        for (size_t i = 0; i < s->track_count && len < cap; i++)
                if (usable(s, s->tracks[i]))
                        len += (size_t)snprintf(dst + len, cap - len, "%s%s", len ? ", " : "", s->tracks[i]->name);
}

static uint64_t worth(const struct session *s, const struct track *t)
{
        return (uint64_t)t->init.height << 32 | track_facts(s, t).peak_bps;
}

static const struct track *best(const struct session *s, enum track_kind kind)
{
        const struct track *found = NULL;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (t->init.kind == kind && usable(s, t) && (!found || worth(s, t) > worth(s, found)))
                        found = t;
        }
        return found;
}

static void add_to(struct choice *c, const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        uint32_t first = track_first_segment(s, t);
        c->tracks[c->count++] = t;
        c->origin_segment = first < c->origin_segment ? first : c->origin_segment;
        c->end_us = f.end_us > c->end_us ? f.end_us : c->end_us;
}

static void choose(const struct session *s, const char *track, struct choice *c)
{
        const struct track *named = *track && recording_has(s, track) ? session_track(s, track) : NULL;
        const struct track *picture = named ? named : best(s, TRACK_VIDEO);
        const struct track *sound = named && named->init.kind == TRACK_AUDIO ? NULL : best(s, TRACK_AUDIO);
        *c = (struct choice){.origin_segment = UINT32_MAX};
        if (*track && !named)
                return;
        if (picture)
                add_to(c, s, picture);
        if (sound)
                add_to(c, s, sound);
}

/* A volume of the file: of each track its row, or NULL. */
struct part_rows {
        uint32_t number;
        const struct volume_row *rows[RECORDING_TRACKS_MAX];
};

/* The next volume from these rows on, rising; moves them behind it. false: there is none. */
static bool next_volume(const struct choice *c, size_t at[RECORDING_TRACKS_MAX], struct part_rows *out)
{
        bool any = false;
        for (size_t t = 0; t < c->count; t++) {
                const struct volumes *v = &c->tracks[t]->log->closed;
                if (at[t] < v->count && (!any || v->rows[at[t]].number < out->number)) {
                        out->number = v->rows[at[t]].number;
                        any = true;
                }
        }
        for (size_t t = 0; t < c->count && any; t++) {
                const struct volumes *v = &c->tracks[t]->log->closed;
                bool has = at[t] < v->count && v->rows[at[t]].number == out->number;
                const struct volume_row *row = has ? &v->rows[at[t]++] : NULL;
                out->rows[t] = row && volume_counts(row) && row->sum.chunks ? row : NULL;
        }
        return any;
}

static uint64_t part_bytes(const struct choice *c, const struct part_rows *p)
{
        uint64_t sum = 0;
        for (size_t t = 0; t < c->count; t++)
                sum += p->rows[t] ? p->rows[t]->sum.bytes - c->tracks[t]->init_bytes->len : 0;
        return sum;
}

static uint64_t identify(uint64_t so_far, const struct choice *c, const struct part_rows *p)
{
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = p->rows[t];
                uint64_t facts[] = {t, p->number, row ? row->sum.bytes : 0, row ? row->sum.crc : 0};
                if (row)
                        so_far = XXH3_64bits_withSeed(facts, sizeof(facts), so_far);
        }
        return so_far;
}

/* What is told of a volume now need not be so in a moment: SEGMENT_HERE if all is as it will stay. */
static enum segment_state at_rest(const struct choice *c)
{
        for (size_t t = 0; t < c->count; t++) {
                const struct chunk_log *log = c->tracks[t]->log;
                if (!log->ended) /* more of it is being copied from another origin */
                        return SEGMENT_LACKING;
                for (size_t i = 0; i < log->closed.count; i++)
                        if (log->closed.rows[i].closing)
                                return SEGMENT_LOADING;
        }
        return SEGMENT_HERE;
}

static enum segment_state make_plan(const struct session *s, const struct choice *c, const struct buf *header,
                                    struct recording_plan *plan)
{
        enum segment_state state = at_rest(c);
        struct part_rows part;
        size_t at[RECORDING_TRACKS_MAX] = {0};
        if (state != SEGMENT_HERE)
                return state;
        *plan = (struct recording_plan){.known = true, .version = s->version, .change = s->change, .size = header->len,
                                        .header_bytes = header->len, .identity = XXH3_64bits(header->data, header->len)};
        while (next_volume(c, at, &part)) {
                plan->size += part_bytes(c, &part);
                plan->identity = identify(plan->identity, c, &part);
        }
        return SEGMENT_HERE;
}

/* The indexes of the volume; what chunk_log_segment() says of the first one that is not in memory otherwise. */
static enum segment_state open_part(const struct choice *c, const struct part_rows *rows, bool may_read, struct recording_part *out)
{
        *out = (struct recording_part){.count = {0}};
        for (size_t t = 0; t < c->count; t++) {
                struct segment_view view;
                const struct volume_row *row = rows->rows[t];
                if (!row)
                        continue;
                enum segment_state state = chunk_log_segment(c->tracks[t]->log, row->sum.first_segment, may_read, &view);
                bool damaged = state == SEGMENT_LACKING && row->index && row->index->ready; /* of it there is what the index has */
                if (state != SEGMENT_HERE && !damaged)
                        return state;
        }
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = rows->rows[t];
                if (!row)
                        continue;
                if (!row->index || !row->index->ready)
                        return SEGMENT_BUSY; /* the second pushed the first out: more is read at once than there is memory for */
                out->rows[t] = row->index->index.rows;
                out->count[t] = row->index->index.count;
        }
        return SEGMENT_HERE;
}

static enum segment_state find_in_volume(const struct choice *c, const struct part_rows *rows, uint64_t offset, bool may_read,
                                         struct recording_plan *plan, struct recording_place *out)
{
        struct recording_part part;
        struct recording_piece piece;
        enum segment_state state = open_part(c, rows, may_read, &part);
        if (state != SEGMENT_HERE)
                return state;
        recording_seek(&plan->cursor, &part, offset);
        if (!recording_next(&plan->cursor, &part, &piece) || offset - piece.offset >= piece.len_bytes)
                return SEGMENT_UNREADABLE; /* its index is not what its sums say */
        const struct index_row *row = &part.rows[piece.track][piece.row];
        out->log = c->tracks[piece.track]->log;
        out->view = (struct segment_view){.volume = rows->number, .offset = row->offset, .len_bytes = row->len_bytes, .complete = true,
                                          .archived = rows->rows[piece.track]->state == VOLUME_ARCHIVED};
        out->track = piece.track;
        out->segment = row->segment;
        out->skip = (size_t)(offset - piece.offset);
        return SEGMENT_HERE;
}

/* From the volume of the piece before on, or from the first. */
static enum segment_state find(const struct choice *c, uint64_t offset, bool may_read, struct recording_plan *plan,
                               struct recording_place *out)
{
        struct part_rows part;
        size_t at[RECORDING_TRACKS_MAX];
        if (!plan->begin || offset < plan->begin) {
                plan->begin = plan->header_bytes;
                memset(plan->row, 0, sizeof(plan->row));
                plan->cursor = (struct recording_cursor){.offset = 0};
        }
        memcpy(at, plan->row, sizeof(at));
        while (next_volume(c, at, &part)) {
                uint64_t bytes = part_bytes(c, &part);
                if (offset - plan->begin < bytes)
                        return find_in_volume(c, &part, offset - plan->begin, may_read, plan, out);
                plan->begin += bytes;
                memcpy(plan->row, at, sizeof(at));
                plan->cursor = (struct recording_cursor){.offset = 0};
        }
        return SEGMENT_LACKING; /* it was there when the plan was made */
}

enum segment_state recording_find(const struct session *s, const char *track, uint64_t offset, bool may_read,
                                  struct recording_plan *plan, struct recording_place *out)
{
        struct choice c;
        const struct buf *inits[RECORDING_TRACKS_MAX];
        *out = (struct recording_place){.size = 0};
        choose(s, track, &c);
        if (s->state != SESSION_ENDED || !c.count)
                return SEGMENT_NONE;
        bool known = plan->known && plan->version == s->version && plan->change == s->change;
        if (!known || offset < plan->header_bytes) {
                enum segment_state state;
                for (size_t t = 0; t < c.count; t++)
                        inits[t] = c.tracks[t]->init_bytes;
                if (recording_header(&out->header, inits, c.count, c.end_us - (int64_t)c.origin_segment * SEGMENT_US))
                        return SEGMENT_UNREADABLE; /* it is damaged */
                state = known ? SEGMENT_HERE : make_plan(s, &c, out->header, plan);
                if (state != SEGMENT_HERE) {
                        buf_unref(&out->header);
                        return state;
                }
        }
        out->size = plan->size;
        out->identity = plan->identity;
        out->sound_alone = c.tracks[0]->init.kind == TRACK_AUDIO; /* a picture comes first */
        out->origin_segment = c.origin_segment;
        if (offset < plan->header_bytes)
                return SEGMENT_HERE;
        buf_unref(&out->header);
        return offset < plan->size ? find(&c, offset, may_read, plan, out) : SEGMENT_NONE;
}
