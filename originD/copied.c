#include "originD/copied.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/index_cache.h"
#include "originD/stats.h"
#include "originD/store.h"

#define AT_ONCE_MAX 64 /* files, a look at the disk */
#define LOADS_MAX 4    /* recordings, likewise */
#define LOOKS_MAX 500  /* recordings, likewise */
#define AGAIN_US (10 * US_PER_S)

struct dropping {
        struct session_wait wait; /* first: session_save() gives it back */
        struct store *st;
        struct session *s; /* pinned */
        struct chunk_log *log;
        char track[TRACK_NAME_MAX + 1];
        uint32_t number;
        uint64_t bytes;
};

static void over(struct dropping *d, int status)
{
        struct copied *c = &d->st->copied;
        c->bytes -= d->bytes;
        if (status) {
                stat_add(STAT_REMOVALS_FAILED, 1);
                c->again_mono_us = clock_mono_us() + AGAIN_US;
                log_warn("session=%s track=%s volume=%06" PRIu32 " msg=\"cannot remove the file of an archived volume\" error=\"%s\"", d->s->id,
                         d->track, d->number, err_text(status));
        }
        d->s->pins--;
        free(d);
}

static void dropped(void *arg, int status)
{
        struct dropping *d = arg;
        if (!status)
                log_info("session=%s stream=%s track=%s volume=%06" PRIu32 " msg=\"a volume is in the archive alone\" bytes=%" PRIu64,
                         d->s->id, d->s->stream, d->track, d->number, d->bytes);
        over(d, status);
}

/* As in trimming.c: on a disk without a byte left the file goes first. What a crash between leaves is a row of a copied volume without
 * its file, which a start takes for what it is: in the archive alone. */
static void row_saved(struct session_wait *w, int status)
{
        struct dropping *d = (struct dropping *)w;
        if (status && status != ERR_NOSPACE) {
                chunk_log_keep_file(d->log, d->number);
                over(d, status);
                return;
        }
        stat_add(STAT_STORED_BYTES, -(int64_t)d->bytes);
        stat_add(STAT_ARCHIVED_BYTES, (int64_t)d->bytes);
        chunk_log_drop_file(d->log, d->number, dropped, d);
}

static bool drop_volume(struct store *st, struct session *s, const struct track *t, const struct volume_row *row)
{
        struct volume_row of = *row;
        if (of.state != VOLUME_HERE || !of.copied || volume_wanted(&of, clock_mono_us()) || !chunk_log_archive(t->log, &of))
                return false;
        struct dropping *d = mem_alloc(sizeof(*d));
        *d = (struct dropping){.st = st, .s = s, .log = t->log, .number = of.number, .bytes = of.sum.bytes};
        strcpy(d->track, t->name);
        st->copied.bytes += d->bytes;
        s->pins++;
        session_save(s, &d->wait, false, row_saved);
        return true;
}

/* How many rows of a track may lose their files. */
static size_t droppable(const struct store *st, const struct session *s, const struct track *t)
{
        const struct volumes *v = &t->log->closed;
        struct track_facts f = track_facts(s, t);
        size_t count = v->count;
        if (s->state == SESSION_ENDED)
                return count;
        count -= count > 0;
        while (count && (int64_t)v->rows[count - 1].sum.last_segment >= (f.end_us - st->options.time_shift_us) / SEGMENT_US)
                count--;
        return count;
}

/* The oldest first. What is in the archive alone comes before, and there may be months of it: so its end is looked for from the newest
 * on. */
static void drop_some(struct store *st, struct session *s, uint64_t bytes, unsigned *left)
{
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                size_t end = t->log ? droppable(st, s, t) : 0, k = end;
                while (k && t->log->closed.rows[k - 1].state != VOLUME_ARCHIVED)
                        k--;
                for (; k < end && *left && st->copied.bytes < bytes; k++)
                        *left -= drop_volume(st, s, t, &t->log->closed.rows[k]);
        }
}

uint64_t copied_make_room(struct store *st, uint64_t bytes)
{
        struct copied *c = &st->copied;
        uint64_t reading = 0;
        unsigned left = AT_ONCE_MAX, loads = LOADS_MAX, looks = LOOKS_MAX;
        if (!st->options.has_archive || clock_mono_us() < c->again_mono_us)
                return c->bytes;
        for (struct session *s = st->first_live; s && left && c->bytes < bytes; s = s->older)
                if (!s->ending)
                        drop_some(st, s, bytes, &left);
        for (struct session *s = st->newest_ended; s && looks-- && left && c->bytes + reading < bytes; s = s->older) {
                uint64_t here = s->load == LOAD_UNDER_WAY ? s->sum.archive.copied : session_sum(s).archive.copied;
                if (!here)
                        continue;
                if (loads && session_loadable(s)) {
                        session_load(s);
                        loads--;
                }
                if (s->load == LOAD_UNDER_WAY)
                        reading += here;
                else if (s->load == LOAD_DONE)
                        drop_some(st, s, bytes, &left);
        }
        return c->bytes + reading;
}
