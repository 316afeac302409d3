#include "originD/recording_tracks.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "originD/log/index_cache.h"
#include "originD/playlist.h"

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

static bool overlaps(const struct recording_tracks *c, const struct volume_sum *sum)
{
        return sum->last_segment >= c->from && sum->first_segment < c->to;
}

static bool is_in(const struct recording_tracks *c, const struct volume_row *row)
{
        return volume_counts(row) && row->sum.chunks && overlaps(c, &row->sum);
}

/* The index of the volume that is being written, if some of it is in the file; NULL: it is not. */
static const struct index *open_of(const struct recording_tracks *c, size_t t)
{
        const struct chunk_log *log = c->tracks[t]->log;
        const struct index *ix = &log->index;
        bool any = log->open && ix->count;
        return any && ix->rows[ix->count - 1].segment >= c->from && ix->rows[0].segment < c->to ? ix : NULL;
}

bool recording_find_volume(const struct recording_tracks *c, uint32_t number, struct recording_volume *out)
{
        bool any = false;
        *out = (struct recording_volume){.number = number};
        for (size_t t = 0; t < c->count; t++) {
                const struct chunk_log *log = c->tracks[t]->log;
                const struct volume_row *row = volumes_get(&log->closed, number);
                out->rows[t] = row && is_in(c, row) ? row : NULL;
                out->open[t] = !row && log->open_number == number ? open_of(c, t) : NULL;
                any |= out->rows[t] || out->open[t];
        }
        return any;
}

bool recording_next_volume(const struct recording_tracks *c, uint64_t number, struct recording_volume *out)
{
        uint64_t next = UINT64_MAX;
        for (size_t t = 0; t < c->count; t++) {
                const struct chunk_log *log = c->tracks[t]->log;
                size_t i = volumes_below(&log->closed, number);
                while (i < log->closed.count && !is_in(c, &log->closed.rows[i]))
                        i++;
                if (i < log->closed.count && log->closed.rows[i].number < next)
                        next = log->closed.rows[i].number;
                if (log->open_number >= number && log->open_number < next && open_of(c, t))
                        next = log->open_number;
        }
        return next <= UINT32_MAX && recording_find_volume(c, (uint32_t)next, out);
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
                const struct index *ix = row && row->index && row->index->ready ? &row->index->index : v->open[t];
                if (row && !ix)
                        return SEGMENT_BUSY; /* the second pushed the first out: more is read at once than there is memory for */
                if (!ix)
                        continue;
                out->rows[t] = ix->rows;
                out->count[t] = ix->count;
                narrow(c, &out->rows[t], &out->count[t]);
        }
        return SEGMENT_HERE;
}

static bool is_settled(const struct recording_tracks *c, const struct chunk_log *log, bool live)
{
        for (size_t i = 0; i < log->closed.count; i++)
                if (log->closed.rows[i].closing && (!live || overlaps(c, &log->closed.rows[i].sum)))
                        return false;
        return true;
}

enum segment_state recording_at_rest(const struct recording_tracks *c, const struct session *s, bool closed)
{
        bool live = s->state == SESSION_LIVE;
        for (size_t t = 0; t < c->count; t++) {
                const struct chunk_log *log = c->tracks[t]->log;
                if (!live && !log->ended) /* more of it is being copied from another origin */
                        return SEGMENT_LACKING;
                if (closed && !is_settled(c, log, live))
                        return SEGMENT_LOADING;
        }
        return SEGMENT_HERE;
}

uint32_t recording_stored_s(const struct recording_tracks *c, const struct session *s)
{
        int64_t end = c->count ? UINT32_MAX - 1 : 0;
        for (size_t t = 0; t < c->count; t++) {
                struct playlist_span span = playlist_span(s, c->tracks[t]);
                end = span.end < end ? span.end : end;
        }
        return (uint32_t)end;
}

uint32_t recording_seconds(const struct recording_tracks *c, const struct session *s)
{
        uint32_t end = 0;
        for (size_t t = 0; t < c->count; t++) {
                uint32_t last = track_facts(s, c->tracks[t]).last_segment;
                end = last >= end ? last + 1 : end;
        }
        end = end < c->to ? end : c->to;
        return end > c->origin_segment ? end - c->origin_segment : 0;
}

/* ---- which file ---------------------------------------------------------------------------------------------------- */

uint64_t recording_begin_identity(const struct recording_tracks *c)
{
        uint32_t whole[] = {c->from, c->to, c->origin_segment};
        uint64_t so_far = XXH3_64bits(whole, sizeof(whole));
        for (size_t t = 0; t < c->count; t++)
                so_far = XXH3_64bits_withSeed(c->tracks[t]->init_bytes->data, c->tracks[t]->init_bytes->len, so_far);
        return so_far;
}

uint64_t recording_add_identity(uint64_t so_far, const struct recording_part *p)
{
        for (size_t t = 0; t < RECORDING_TRACKS_MAX; t++)
                for (size_t i = 0; i < p->count[t]; i++) {
                        uint64_t facts[] = {t, p->rows[t][i].segment, p->rows[t][i].len_bytes};
                        so_far = XXH3_64bits_withSeed(facts, sizeof(facts), so_far);
                }
        return so_far;
}

/* Of what is in the file of a volume that is being written: where it ends. It may be cut back. */
static uint64_t end_in(const struct recording_tracks *c, const struct index *ix)
{
        const struct index_row *rows = ix->rows;
        size_t count = ix->count;
        narrow(c, &rows, &count);
        return count ? rows[count - 1].offset + rows[count - 1].len_bytes : 0;
}

uint64_t recording_facts(const struct recording_tracks *c)
{
        struct recording_volume v = {.number = 0};
        uint64_t so_far = recording_begin_identity(c);
        for (uint64_t next = 0; recording_next_volume(c, next, &v); next = (uint64_t)v.number + 1)
                for (size_t t = 0; t < c->count; t++) {
                        const struct volume_row *row = v.rows[t];
                        uint64_t bytes = row ? row->sum.bytes : v.open[t] ? end_in(c, v.open[t]) : 0;
                        uint64_t facts[] = {t, v.number, bytes, row ? row->sum.crc : 0};
                        if (row || v.open[t])
                                so_far = XXH3_64bits_withSeed(facts, sizeof(facts), so_far);
                }
        return so_far;
}
