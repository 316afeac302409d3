#include "originD/recording_tracks.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "originD/log/index_cache.h"

/* ---- tracks ------------------------------------------------------------------------------------------------------ */

static bool usable(const struct session *s, const struct track *t)
{
        return t->log && track_playable(s, t) && t->init.kind != TRACK_PICTURES;
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

static void add(struct recording_tracks *c, const struct session *s, const struct track *t)
{
        uint32_t first = track_first_segment(s, t);
        first = first > c->from ? first : c->from;
        if (first > track_facts(s, t).last_segment) /* it was over before the clip begins */
                return;
        c->tracks[c->count++] = t;
        c->origin_segment = first < c->origin_segment ? first : c->origin_segment;
}

void recording_choose(struct recording_tracks *c, const struct session *s, const struct recording_wish *w)
{
        const struct track *named = *w->track && recording_has(s, w->track) ? session_track(s, w->track) : NULL;
        const struct track *picture = named ? named : best(s, TRACK_VIDEO);
        bool alone = w->ondemand || (named && named->init.kind == TRACK_AUDIO);
        const struct track *sound = alone ? NULL : best(s, TRACK_AUDIO);
        *c = (struct recording_tracks){.from = w->from, .to = w->to, .origin_segment = UINT32_MAX};
        if (*w->track && !named)
                return;
        if (picture)
                add(c, s, picture);
        if (sound)
                add(c, s, sound);
        if (c->origin_segment >= w->to)
                c->count = 0;
}

/* ---- volumes ----------------------------------------------------------------------------------------------------- */

static bool is_in(const struct recording_tracks *c, const struct volume_row *row)
{
        return volume_counts(row) && row->sum.chunks && row->sum.last_segment >= c->from && row->sum.first_segment < c->to;
}

bool recording_next_volume(const struct recording_tracks *c, size_t at[RECORDING_TRACKS_MAX], struct recording_volume *out)
{
        bool any = false;
        for (size_t t = 0; t < c->count; t++) {
                const struct volumes *v = &c->tracks[t]->log->closed;
                while (at[t] < v->count && !is_in(c, &v->rows[at[t]]))
                        at[t]++;
                if (at[t] < v->count && (!any || v->rows[at[t]].number < out->number)) {
                        out->number = v->rows[at[t]].number;
                        any = true;
                }
        }
        for (size_t t = 0; t < c->count && any; t++) {
                const struct volumes *v = &c->tracks[t]->log->closed;
                bool has = at[t] < v->count && v->rows[at[t]].number == out->number;
                out->rows[t] = has ? &v->rows[at[t]++] : NULL;
        }
        return any;
}

bool recording_find_volume(const struct recording_tracks *c, uint32_t number, struct recording_volume *out)
{
        bool any = false;
        *out = (struct recording_volume){.number = number};
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = volumes_get(&c->tracks[t]->log->closed, number);
                out->rows[t] = row && is_in(c, row) ? row : NULL;
                any |= out->rows[t] != NULL;
        }
        return any;
}

/* Of a volume in which the clip begins or ends, those of its segments. */
static void narrow(const struct recording_tracks *c, const struct index_row **rows, size_t *count)
{
        while (*count && (*rows)[0].segment < c->from) {
                (*rows)++;
                (*count)--;
        }
        while (*count && (*rows)[*count - 1].segment >= c->to)
                (*count)--;
}

enum segment_state recording_open_volume(const struct recording_tracks *c, const struct recording_volume *v, bool may_read,
                                         struct recording_part *out)
{
        *out = (struct recording_part){.count = {0}};
        for (size_t t = 0; t < c->count; t++) {
                struct segment_view view;
                const struct volume_row *row = v->rows[t];
                if (!row)
                        continue;
                enum segment_state state = chunk_log_segment(c->tracks[t]->log, row->sum.first_segment, may_read, &view);
                bool damaged = state == SEGMENT_LACKING && row->index && row->index->ready; /* of it there is what the index has */
                if (state != SEGMENT_HERE && !damaged)
                        return state;
        }
        for (size_t t = 0; t < c->count; t++) {
                const struct volume_row *row = v->rows[t];
                if (!row)
                        continue;
                if (!row->index || !row->index->ready)
                        return SEGMENT_BUSY; /* the second pushed the first out: more is read at once than there is memory for */
                out->rows[t] = row->index->index.rows;
                out->count[t] = row->index->index.count;
                narrow(c, &out->rows[t], &out->count[t]);
        }
        return SEGMENT_HERE;
}

enum segment_state recording_at_rest(const struct recording_tracks *c)
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

uint64_t recording_identity(const struct recording_tracks *c)
{
        struct recording_volume v;
        size_t at[RECORDING_TRACKS_MAX] = {0};
        uint32_t whole[] = {c->from, c->to, c->origin_segment};
        uint64_t so_far = XXH3_64bits(whole, sizeof(whole));
        for (size_t t = 0; t < c->count; t++)
                so_far = XXH3_64bits_withSeed(c->tracks[t]->init_bytes->data, c->tracks[t]->init_bytes->len, so_far);
        while (recording_next_volume(c, at, &v))
                for (size_t t = 0; t < c->count; t++) {
                        const struct volume_row *row = v.rows[t];
                        uint64_t facts[] = {t, v.number, row ? row->sum.bytes : 0, row ? row->sum.crc : 0};
                        if (row)
                                so_far = XXH3_64bits_withSeed(facts, sizeof(facts), so_far);
                }
        return so_far;
}
