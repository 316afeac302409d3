#include "originD/retention.h"

#include <stdlib.h>
#include <string.h>

#include "common/daemon/config_list.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/pattern.h"
#include "originD/stats.h"
#include "originD/store.h"
#include "originD/trimming.h"

#define ENTRIES_MAX 256 /* of `recording` */
#define SECONDS_MAX (INT64_MAX / US_PER_S)
#define GIVEN_MAX 48
#define REWIND_LEAST_S 2 /* as of time_shift_s */

/* ---- policy -------------------------------------------------------------------------------------------------------- */

struct policy {
        int64_t rewind_us;
        int64_t live_us;  /* INT64_MAX: all */
        int64_t after_us; /* 0: for ever */
        uint64_t after_bytes;
};

static struct policy policy_of(const struct store *st, const char *stream)
{
        const json_t *entry = pattern_first(st->options.recording, stream);
        const json_t *live = json_object_get(entry, "live"), *after_s = json_object_get(entry, "after_s"), *rewind = json_object_get(entry, "rewind");
        struct policy p = {.rewind_us = st->options.time_shift_us, .live_us = INT64_MAX, .after_us = st->options.retention_us,
                           .after_bytes = (uint64_t)json_integer_value(json_object_get(entry, "after_bytes"))};
        if (json_is_integer(live))
                p.live_us = json_integer_value(live) * US_PER_S;
        else if (live && strcmp(json_string_value(live), "none") == 0)
                p.live_us = 0;
        if (json_is_integer(rewind))
                p.rewind_us = json_integer_value(rewind) * US_PER_S;
        else if (rewind)
                p.rewind_us = RETENTION_REWIND_ALL_S * US_PER_S;
        if (p.live_us < p.rewind_us)
                p.live_us = p.rewind_us;
        if (after_s)
                p.after_us = json_integer_value(after_s) * US_PER_S;
        return p;
}

int64_t retention_rewind_s(const struct store *st, const char *stream)
{
        return policy_of(st, stream).rewind_us / US_PER_S;
}

/* What was given, as it stands in the file; cut short when it is long. */
static void quote(char dst[GIVEN_MAX], const json_t *v)
{
        memset(dst, 0, GIVEN_MAX); /* what does not fit is not written */
        (void)json_dumpb(v, dst, GIVEN_MAX - 1, JSON_ENCODE_ANY | JSON_COMPACT);
}

static int check_count(const json_t *entry, const char *name, json_int_t most, size_t i, char *why, size_t why_cap)
{
        char given[GIVEN_MAX];
        const json_t *v = json_object_get(entry, name);
        if (!v || (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= most))
                return 0;
        quote(given, v);
        return config_refuse(why, why_cap, "entry %zu: \"%s\" is %s, allowed is an integer from 0 to %lld", i, name, given, (long long)most);
}

static int check_live(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        char given[GIVEN_MAX];
        const json_t *live = json_object_get(entry, "live");
        const char *word = json_string_value(live);
        bool number = json_is_integer(live) && json_integer_value(live) >= 0 && json_integer_value(live) <= SECONDS_MAX;
        if (!live || number || (word && (strcmp(word, "all") == 0 || strcmp(word, "none") == 0)))
                return 0;
        quote(given, live);
        return config_refuse(why, why_cap, "entry %zu: \"live\" is %s, allowed are \"all\", \"none\" and seconds from 0 to %lld", i, given,
                             (long long)SECONDS_MAX);
}

static int check_rewind(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        char given[GIVEN_MAX];
        const json_t *rewind = json_object_get(entry, "rewind");
        const char *word = json_string_value(rewind);
        bool number = json_is_integer(rewind) && json_integer_value(rewind) >= REWIND_LEAST_S && json_integer_value(rewind) <= RETENTION_REWIND_ALL_S;
        if (!rewind || number || (word && strcmp(word, "all") == 0))
                return 0;
        quote(given, rewind);
        return config_refuse(why, why_cap, "entry %zu: \"rewind\" is %s, allowed are \"all\" and seconds from %d to %d", i, given, REWIND_LEAST_S,
                             RETENTION_REWIND_ALL_S);
}

static int check_entry(const json_t *entry, size_t i, char *why, size_t why_cap)
{
        int err = check_rewind(entry, i, why, why_cap);
        err = err ? err : check_live(entry, i, why, why_cap);
        err = err ? err : check_count(entry, "after_s", SECONDS_MAX, i, why, why_cap);
        err = err ? err : check_count(entry, "after_bytes", INT64_MAX, i, why, why_cap);
        return err ? err : config_check_match(entry, i, why, why_cap);
}

int retention_check_config(const void *value, char *why, size_t why_cap)
{
        return config_check_list(value, "match|rewind|live|after_s|after_bytes", ENTRIES_MAX, check_entry, why, why_cap);
}

/* ---- the share --------------------------------------------------------------------------------------------------- */

/* One more may go for its age. */
static bool may_age(struct store *st)
{
        struct retention *r = &st->retention;
        int64_t now = clock_mono_us();
        size_t share = st->ended / RETENTION_SHARE;
        if (now - r->minute_mono_us >= 60 * US_PER_S) {
                r->minute_mono_us = now;
                r->minute_removed = 0;
        }
        return r->minute_removed < (share > RETENTION_AT_LEAST ? share : RETENTION_AT_LEAST);
}

/* By bytes, in one sweep. What is removed waits for the disk in a line that is bounded (disk.h): a recording that found no place
 * there would be forgotten here and come back at the next start. */
#define REMOVED_AT_ONCE_MAX 64

/* ---- recordings ---------------------------------------------------------------------------------------------------- */

static void remove_recording(struct store *st, struct session *s, const char *why, enum stat_id count)
{
        store_remove_for(st, s, &(struct removal_reason){.why = why, .count = count});
}

/* Not one that the disk refused to remove a moment ago. */
static bool may_go(const struct session *s)
{
        return !session_busy(s) && s->remove_again_us <= clock_mono_us();
}

/* While the disk refuses, one: none of those that are due later is to be tried in its place. */
unsigned retention_at_once(const struct store *st)
{
        return st->removals.failing ? 1 : REMOVED_AT_ONCE_MAX;
}

/* What ended by a clock that was behind seems to be old once that is right: it is kept for half of its time by one that was not set. */
static bool is_old(const struct policy *p, const struct session *s, int64_t now_us)
{
        if (s->ended_mono_us && clock_mono_us() - s->ended_mono_us < p->after_us / 2)
                return false;
        return p->after_us && now_us - s->ended_wall_us > p->after_us;
}

/* The oldest first; then on from where the last sweep ended, since policies differ and the oldest need not be due. */
static size_t sweep_ages(struct store *st, int64_t now_us)
{
        size_t gone = 0, looks = 0;
        for (int round = 0; round < 2; round++) {
                struct session *s = round && st->sweep_at ? st->sweep_at : st->oldest_ended;
                for (size_t n = 0; s && n < RETENTION_LOOKS_MAX / 2; n++, looks++) {
                        struct session *next = s->newer;
                        struct policy p = policy_of(st, s->stream);
                        bool old = is_old(&p, s, now_us);
                        bool much = p.after_bytes && s->of_stream->ended_bytes > p.after_bytes && s->of_stream->oldest == s;
                        if ((much || (old && may_age(st))) && may_go(s) && gone < (st->removals.failing ? 1 : RETENTION_LOOKS_MAX)) {
                                st->retention.minute_removed += old;
                                remove_recording(st, s, old ? "age" : "bytes", old ? STAT_REMOVED_AGE : STAT_REMOVED_BYTES);
                                gone++;
                        }
                        s = next;
                }
                if (round)
                        st->sweep_at = s;
                else if (!st->sweep_at)
                        st->sweep_at = s;
        }
        return gone;
}

/* Whether it is time to pass over the oldest recording, which is being read. A reader is there for a moment, mostly: what ended an hour
 * later, or is the only other one, is not to go for that. Who reads it all the time holds up nothing for ever. */
static bool is_passed_over(struct retention *r, const struct session *s, int64_t patience_us)
{
        int64_t now = clock_mono_us();
        if (r->busy_wall_us != s->ended_wall_us)
                r->busy_since_mono_us = now;
        r->busy_wall_us = s->ended_wall_us;
        return now - r->busy_since_mono_us >= patience_us;
}

/* The next one that goes for bytes. NULL: none, or not now. */
static struct session *next_for_bytes(struct store *st)
{
        struct session *s = st->oldest_ended;
        bool refused = s && s->remove_again_us > clock_mono_us(); /* by the disk, which is another matter */
        if (s && session_busy(s) && !refused && !is_passed_over(&st->retention, s, RETENTION_BUSY_US))
                return NULL;
        for (size_t n = 0; s && n < RETENTION_LOOKS_MAX; n++, s = s->newer)
                if (may_go(s))
                        return s;
        return NULL;
}

/* What is in the archive alone makes no room. Of that there are months, thousands of recordings that come first: where they do, what the
 * archive has not taken yet is looked for from the newest on. */
struct session *retention_oldest(const struct store *st)
{
        struct session *s = st->oldest_ended, *found = NULL;
        size_t n = 0;
        for (; s && n < RETENTION_LOOKS_MAX; n++, s = s->newer)
                if (may_go(s) && session_here_bytes(s))
                        return s;
        if (s)
                for (n = 0, s = st->newest_ended; s && n < RETENTION_LOOKS_MAX; n++, s = s->older)
                        if (may_go(s) && session_here_bytes(s))
                                found = s;
        return found;
}

/* One that the disk refused to remove is not waited for. */
bool retention_waits(struct store *st, const struct session *next)
{
        size_t n = 0;
        for (const struct session *s = st->oldest_ended; s && s != next && n < RETENTION_LOOKS_MAX; n++, s = s->newer)
                if (session_busy(s) && session_here_bytes(s) && s->remove_again_us <= clock_mono_us())
                        return !is_passed_over(&st->retention, s, RETENTION_BUSY_FULL_US);
        return false;
}

static uint64_t all_bytes(const struct store *st)
{
        uint64_t sum = st->ended_bytes;
        for (const struct session *s = st->first_live; s; s = s->older)
                sum += session_bytes(s);
        return sum;
}

void retention_not_again(struct store *st, int64_t ended_wall_us)
{
        if (ended_wall_us > st->removed_until_wall_us) /* an older one may have been busy until now */
                st->removed_until_wall_us = ended_wall_us;
}

static void remove_bytes(struct store *st, struct session *s, const char *why)
{
        retention_not_again(st, s->ended_wall_us);
        remove_recording(st, s, why, STAT_REMOVED_BYTES);
}

uint64_t retention_remove_for_room(struct store *st, struct session *s)
{
        uint64_t bytes = session_here_bytes(s);
        remove_bytes(st, s, "disk_full");
        return bytes;
}

size_t retention_sweep(struct store *st, int64_t now_us)
{
        const struct store_options *o = &st->options;
        size_t gone = sweep_ages(st, now_us);
        trimming_retry(st);
        if (!st->oldest_ended || !session_busy(st->oldest_ended)) /* who reads it next is another reader */
                st->retention.busy_wall_us = 0;
        for (unsigned n = 0, most = retention_at_once(st); n < most && o->retention_bytes && all_bytes(st) > (uint64_t)o->retention_bytes; n++) {
                struct session *s = next_for_bytes(st);
                if (!s)
                        break;
                remove_bytes(st, s, "bytes");
                gone++;
        }
        for (struct session *s = st->first_live; s; s = s->older) {
                struct policy p = policy_of(st, s->stream);
                if (p.live_us != INT64_MAX && !s->ending)
                        trimming_sweep(st, s, p.live_us);
        }
        return gone;
}

bool retention_wants(const struct store *st, const char *stream_id, int64_t ended_wall_us, int64_t now_us)
{
        struct policy p = policy_of(st, stream_id);
        const struct stream *stream = store_stream((struct store *)(uintptr_t)st, stream_id);
        if (ended_wall_us <= st->removed_until_wall_us || (p.after_us && now_us - ended_wall_us > p.after_us))
                return false;
        bool is_oldest = stream && stream->oldest && ended_wall_us < stream->oldest->ended_wall_us;
        return !(p.after_bytes && is_oldest && stream->ended_bytes >= p.after_bytes);
}
