#include "originD/trimming.h"

#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/stats.h"
#include "originD/store.h"

#define TRIMMED_AT_ONCE_MAX 8 /* volumes of a track, in one sweep */
_Static_assert(TRIMMED_AT_ONCE_MAX * VOLUME_SEGMENTS_MIN * SEGMENT_US >= 2 * RETENTION_SWEEP_US,
               "the shortest volumes go twice as fast as they come, so that a window is kept, and reached again after a pause");
#define TRIMMED_LACKING_MAX 64
#define MINUTE_SHARE 20 /* in a minute one of so many volumes of a track, or twice as many as come: no time that a writer says is worth more */

struct trimming {
        struct session_wait wait; /* first: session_save() gives it back */
        struct trimming *next;    /* of those whose files the disk refused to remove */
        struct store *st;
        struct session *s;        /* pinned, but while it is one of those */
        char session[SESSION_ID_MAX + 1], track[TRACK_NAME_MAX + 1];
        uint32_t number;
        uint64_t bytes; /* that its files are */
        bool listed; /* the list on the disk may still name it: its files stay */
        bool told;
        bool archived; /* the archive has it */
};

/* With the next sweep; after a crash the next start finds the files. */
static void try_again(struct trimming *t, int status)
{
        stat_add(STAT_REMOVALS_FAILED, 1);
        if (!t->told)
                log_warn("session=%s track=%s volume=%06u msg=\"cannot remove a volume: it is tried again\" error=\"%s\"", t->session,
                         t->track, t->number, err_text(status));
        t->told = true;
        t->st->trimmed.bytes -= t->bytes;
        t->next = t->st->untrimmed;
        t->st->untrimmed = t;
}

static void volume_gone(void *arg, int status)
{
        struct trimming *t = arg;
        t->s->pins--;
        t->s = NULL;
        if (status && status != ERR_NOT_FOUND) {
                try_again(t, status);
                return;
        }
        t->st->trimmed.bytes -= t->bytes;
        free(t);
}

static void remove_volume(struct trimming *t, struct session *s)
{
        struct track *track = session_track(s, t->track);
        t->s = s;
        s->pins++;
        if (track && track->log)
                chunk_log_unlink_volume(track->log, t->number, volume_gone, t);
        else
                volume_gone(t, 0); /* they go with the rest of the recording */
}

/* On a disk that has no byte left nothing can be saved before something is removed. Then the files go first, and the list is saved as
 * soon as it can be (store.c tries four times a second). What a crash between leaves is a row without files: a volume that is
 * lacking, until it goes again or another origin brings it. */
static void volume_forgotten(struct session_wait *w, int status)
{
        struct trimming *t = (struct trimming *)w;
        struct session *s = t->s;
        s->pins--;
        t->s = NULL;
        t->listed = status != 0 && status != ERR_NOSPACE;
        if (t->listed) {
                try_again(t, status);
                return;
        }
        if (t->archived && t->st->events.volume_removed)
                t->st->events.volume_removed(t->st->events.arg, s->stream, s->id);
        remove_volume(t, s);
}

/* What is told of the track goes first: the other way round a crash between would leave a row without files. */
static void forget_volume(struct trimming *t, struct session *s)
{
        t->s = s;
        s->pins++;
        session_save(s, &t->wait, false, volume_forgotten);
}

void trimming_retry(struct store *st)
{
        struct trimming *t = st->untrimmed, *next;
        st->untrimmed = NULL;
        for (; t; t = next) {
                next = t->next;
                struct session *s = store_session(st, t->session);
                st->trimmed.bytes += s ? t->bytes : 0;
                if (s && t->listed && s->load == LOAD_DONE)
                        forget_volume(t, s);
                else if (s) /* not loaded: it was saved since, so the list does not name it any more */
                        remove_volume(t, s);
                else
                        free(t);
        }
}

void trimming_close(struct store *st)
{
        for (struct trimming *t = st->untrimmed, *next; t; t = next) {
                next = t->next;
                free(t);
        }
        st->untrimmed = NULL;
}

/* The volume is to be one that may be forgotten. */
static uint64_t trim_volume(struct store *st, struct session *s, const struct track *track, uint32_t number, enum stat_id count)
{
        struct chunk_log *log = track->log;
        struct volume_row row = *volumes_get(&log->closed, number);
        struct trimming *t = mem_alloc(sizeof(*t));
        *t = (struct trimming){.st = st, .number = number, .bytes = row.state <= VOLUME_DAMAGED ? row.sum.bytes : 0,
                               .archived = row.copied || row.state == VOLUME_ARCHIVED};
        strcpy(t->session, s->id);
        strcpy(t->track, track->name);
        chunk_log_forget_volume(log, number);
        st->trimmed.bytes += t->bytes;
        stat_add(STAT_STORED_BYTES, -(int64_t)t->bytes);
        stat_add(STAT_ARCHIVED_BYTES, row.state == VOLUME_ARCHIVED ? -(int64_t)row.sum.bytes : 0);
        stat_add(count, 1);
        uint64_t bytes = t->bytes;
        forget_volume(t, s);
        return bytes;
}

/* ---- behind a window ----------------------------------------------------------------------------------------------- */

static bool may_go(struct track *t, uint32_t volume_segments)
{
        int64_t now = clock_mono_us();
        size_t share = t->log->closed.count / MINUTE_SHARE, comes = 1 + 60 * US_PER_S / (volume_segments * SEGMENT_US);
        if (!t->trimmed_mono_us || now - t->trimmed_mono_us >= 60 * US_PER_S) {
                t->trimmed_mono_us = now;
                t->trimmed = 0;
        }
        return t->trimmed < (share > 2 * comes ? share : 2 * comes);
}

void trimming_sweep(struct store *st, struct session *s, int64_t window_us)
{
        for (size_t i = 0; i < s->track_count; i++) {
                struct track *t = s->tracks[i];
                struct track_facts f = track_facts(s, t);
                int64_t keep_from = (f.end_us - window_us) / SEGMENT_US;
                for (unsigned n = 0; n < TRIMMED_AT_ONCE_MAX && t->log && f.any && t->log->closed.count; n++) {
                        const struct volume_row *first = &t->log->closed.rows[0];
                        if ((int64_t)first->sum.last_segment >= keep_from || !chunk_log_may_forget_volume(t->log, first->number) ||
                            !may_go(t, s->volume_segments))
                                break;
                        t->trimmed++;
                        trim_volume(st, s, t, first->number, STAT_REMOVED_VOLUMES_WINDOW);
                }
        }
}

/* ---- for room ------------------------------------------------------------------------------------------------------ */

/* The first one that makes room. What is in the archive alone makes none, and what the archive has too need not be lost for it
 * (copied.h). Of the former there are months, so where they come first the others are looked for from the end on. */
static const struct volume_row *first_here(const struct store *st, const struct chunk_log *log)
{
        const struct volumes *v = &log->closed;
        const struct volume_row *found = NULL;
        bool from_end = v->count && v->rows[0].state == VOLUME_ARCHIVED;
        for (size_t n = 0; n < v->count; n++) {
                const struct volume_row *row = &v->rows[from_end ? v->count - 1 - n : n];
                bool here = row->state <= VOLUME_DAMAGED && !(row->copied && st->options.has_archive);
                if (from_end && row->state == VOLUME_ARCHIVED)
                        break;
                if (here)
                        found = row;
                if (here && !from_end)
                        break;
        }
        return found;
}

bool trimming_oldest(const struct store *st, struct session *s, struct trimmable *out)
{
        int64_t end_us = 0, last_segment = -1;
        *out = (struct trimmable){.s = s, .number = UINT32_MAX};
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                struct track_facts f = track_facts(s, t);
                end_us = f.any && f.end_us > end_us ? f.end_us : end_us;
                const struct volume_row *first = t->log ? first_here(st, t->log) : NULL;
                if (first && first->number < out->number)
                        out->number = first->number;
        }
        for (size_t i = 0; i < s->track_count; i++) { /* it goes of all tracks, of those too that the archive has it of */
                const struct chunk_log *log = s->tracks[i]->log;
                const struct volume_row *row = log ? volumes_get(&log->closed, out->number) : NULL;
                if (!row || row->state > VOLUME_DAMAGED)
                        continue;
                if (!chunk_log_may_forget_volume(log, out->number))
                        return false;
                last_segment = row->sum.last_segment > last_segment ? row->sum.last_segment : last_segment;
        }
        out->ended_wall_us = s->epoch_us + (last_segment + 1) * SEGMENT_US;
        int64_t kept_us = retention_rewind_s(st, s->stream) * US_PER_S;
        if (kept_us > st->options.time_shift_us) /* or a broadcast that can be seen from its beginning would fill the disk, and end for all */
                kept_us = st->options.time_shift_us;
        return last_segment >= 0 && last_segment < (end_us - kept_us) / SEGMENT_US && !s->ending;
}

/* What is lacking before it is not waited for any more: it would be brought only to go again. */
static bool forget_lacking(struct chunk_log *log, uint32_t before)
{
        bool any = false;
        for (unsigned n = 0; n < TRIMMED_LACKING_MAX && log->closed.count; n++) {
                const struct volume_row *first = &log->closed.rows[0];
                if (first->state != VOLUME_LACKING || first->number >= before || chunk_log_forget_volume(log, first->number))
                        break;
                any = true;
        }
        return any;
}

uint64_t trimming_take(struct store *st, const struct trimmable *v)
{
        struct session *s = v->s;
        uint64_t bytes = 0;
        bool lacked = false;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (!t->log)
                        continue;
                const struct volume_row *row = volumes_get(&t->log->closed, v->number);
                if (row && row->state <= VOLUME_DAMAGED && chunk_log_may_forget_volume(t->log, v->number))
                        bytes += trim_volume(st, s, t, v->number, STAT_REMOVED_VOLUMES_FULL);
                lacked |= forget_lacking(t->log, v->number);
        }
        if (lacked)
                session_save(s, NULL, false, NULL);
        return bytes;
}
