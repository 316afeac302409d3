#include "originD/trimming.h"

#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/stats.h"
#include "originD/store.h"

#define TRIMMED_AT_ONCE_MAX 8 /* volumes of a track */

struct trimming {
        struct session_wait wait; /* first: session_save() gives it back */
        struct trimming *next;    /* of those whose files the disk refused to remove */
        struct store *st;
        struct session *s;        /* pinned, but while it is one of those */
        char session[SESSION_ID_MAX + 1], track[TRACK_NAME_MAX + 1];
        uint32_t number;
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
        t->next = t->st->untrimmed;
        t->st->untrimmed = t;
}

static void volume_gone(void *arg, int status)
{
        struct trimming *t = arg;
        t->s->pins--;
        t->s = NULL;
        if (!status || status == ERR_NOT_FOUND)
                free(t);
        else
                try_again(t, status);
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

static void volume_forgotten(struct session_wait *w, int status)
{
        struct trimming *t = (struct trimming *)w;
        struct session *s = t->s;
        s->pins--;
        t->s = NULL;
        t->listed = status != 0;
        if (status) {
                try_again(t, status);
                return;
        }
        if (t->archived && t->st->events.volume_removed)
                t->st->events.volume_removed(t->st->events.arg, s, t->track, t->number);
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

/* false: there is none that lies wholly before that segment. */
static bool trim_volume(struct store *st, struct session *s, const struct track *track, int64_t keep_from)
{
        struct chunk_log *log = track->log;
        if (!log->closed.count)
                return false;
        struct volume_row first = log->closed.rows[0];
        if ((int64_t)first.sum.last_segment >= keep_from || chunk_log_forget_volume(log, first.number))
                return false;
        struct trimming *t = mem_alloc(sizeof(*t));
        *t = (struct trimming){.st = st, .number = first.number, .archived = first.copied || first.state == VOLUME_ARCHIVED};
        strcpy(t->session, s->id);
        strcpy(t->track, track->name);
        stat_add(STAT_STORED_BYTES, first.state <= VOLUME_DAMAGED ? -(int64_t)first.sum.bytes : 0);
        stat_add(STAT_ARCHIVED_BYTES, first.state == VOLUME_ARCHIVED ? -(int64_t)first.sum.bytes : 0);
        stat_add(STAT_REMOVED_VOLUMES, 1);
        forget_volume(t, s);
        return true;
}

/* Several at a time: volumes may be as short as two seconds, and a sweep comes every five. */
void trimming_sweep(struct store *st, struct session *s, int64_t window_us)
{
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                struct track_facts f = track_facts(s, t);
                for (unsigned n = 0; n < TRIMMED_AT_ONCE_MAX && t->log && f.any; n++)
                        if (!trim_volume(st, s, t, (f.end_us - window_us) / SEGMENT_US))
                                break;
        }
}
