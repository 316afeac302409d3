#include "originD/space.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/stats.h"
#include "originD/store.h"

#define FILL_SMOOTH_US (60 * US_PER_S)
#define MEASURE_EVERY_US (1 * US_PER_S)

/* The disk's own words: of the codes that we know it by several mean the same. */
static const char *reason(const struct store *st)
{
        return st->space.why_errno ? strerror(st->space.why_errno) : err_text(st->why_full);
}

/* Between full and not. Whether all that comes can be stored again is seen by what comes: is_proven(). */
static void note_turn(struct store *st, int why_not)
{
        struct space *sp = &st->space;
        if (why_not == ERR_NOSPACE) {
                sp->full_mono_us = sp->ticked_mono_us;
        } else if (!why_not && st->why_full == ERR_NOSPACE) {
                sp->unproven = true;
                sp->back_mono_us = sp->ticked_mono_us;
                sp->back_bytes = stat_get(STAT_BYTES);
        }
}

void space_set(struct store *st, int why_not, int why_errno)
{
        if (st->why_full == why_not && st->space.why_errno == why_errno)
                return;
        bool failed = space_failing(st);
        note_turn(st, why_not);
        st->why_full = why_not;
        st->space.why_errno = why_errno;
        if (!why_not)
                log_info("msg=\"%s\" path=%s", failed ? "the disk takes writes again" : "space is back", st->options.data_dir);
        else if (why_not == ERR_NOSPACE)
                log_error("msg=\"no space: writes are refused\" path=%s free_bytes=%" PRIu64 " free_files=%" PRIu64, st->options.data_dir,
                          st->room.free_bytes, st->room.free_files);
        else
                log_error("msg=\"writing to the disk fails: writes are refused\" path=%s error=\"%s\"", st->options.data_dir,
                          reason(st));
        st->events.space(st->events.arg, why_not);
}

int space_refusal(const struct store *st)
{
        return !st->why_full ? 0 : st->why_full == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
}

bool space_failing(const struct store *st)
{
        return st->why_full && st->why_full != ERR_NOSPACE;
}

void space_words(const struct store *st, char words[SPACE_WORDS_MAX])
{
        if (space_failing(st))
                snprintf(words, SPACE_WORDS_MAX, "writing to the disk fails: %s", reason(st));
        else
                snprintf(words, SPACE_WORDS_MAX, "%s", st->why_full ? "no space for writing" : "");
}

static void count_filling(struct store *st)
{
        struct space *sp = &st->space;
        int64_t bytes = stat_get(STAT_BYTES), now_us = clock_mono_us(), passed_us = now_us - sp->filled_mono_us;
        if (sp->filled_mono_us && passed_us > 0) {
                double weight = passed_us < FILL_SMOOTH_US ? (double)passed_us / FILL_SMOOTH_US : 1;
                st->fill_bytes_s += ((double)(bytes - sp->filled_bytes) * 1e6 / (double)passed_us - st->fill_bytes_s) * weight;
        }
        sp->filled_bytes = bytes;
        sp->filled_mono_us = now_us;
}

/* Told once, not each second. */
static void tell_measure(struct store *st, int status)
{
        if (status && !st->space.unmeasured)
                log_error("msg=\"cannot look how much space there is: no recording is removed to make room\" path=%s error=\"%s\"",
                          st->options.data_dir, err_text(status));
        else if (!status && st->space.unmeasured)
                log_info("msg=\"how much space there is can be seen again\" path=%s", st->options.data_dir);
        st->space.unmeasured = status;
        stat_add(STAT_MEASURES_FAILED, status != 0);
}

/* A recording, or a volume, more, if those before it may still help. */
static bool try_room(struct store *st)
{
        if (st->removals.waiting || st->trimmed.bytes || st->copied.bytes)
                return true;
        if (st->space.tries == SPACE_TRIES) {
                log_error("msg=\"there is free space, and writes fail for lack of it: nothing more is removed for it\" path=%s",
                          st->options.data_dir);
                st->space.tries++;
        }
        return st->space.tries < SPACE_TRIES && ++st->space.tries && room_make(st, 1);
}

void space_doubt(struct store *st, const char *session, const char *track, int status)
{
        int64_t now = clock_mono_us();
        st->space.doubted = true;
        if (st->space.told_mono_us && now - st->space.told_mono_us < SPACE_TOLD_US)
                return;
        st->space.told_mono_us = now;
        log_error("session=%s track=%s msg=\"a chunk cannot be written\" error=\"%s\"", session, track, err_text(status));
}

void space_lack(struct store *st)
{
        struct space *sp = &st->space;
        if (!st->why_full) { /* else it began before writes were refused */
                sp->refuted += sp->unproven;
                sp->room_tried = sp->room_came = false;
        }
        space_set(st, ERR_NOSPACE, 0);
}

/* Who stores nothing proves nothing: no recording more may go because nobody came. */
static bool is_proven(const struct space *sp)
{
        return sp->ticked_mono_us - sp->back_mono_us >= SPACE_TRUST_US && stat_get(STAT_BYTES) > sp->back_bytes;
}

/* The write on trial passes, as it did before others failed. */
static bool may_come_back(struct store *st)
{
        struct space *sp = &st->space;
        int64_t wait_us = sp->refuted < 6 ? (int64_t)US_PER_S << sp->refuted : SPACE_WAIT_US;
        if (st->removals.waiting || st->trimmed.bytes || st->copied.bytes)
                return false;
        if (!sp->room_tried) {
                sp->room_tried = true;
                sp->room_came = !st->options.refuse_when_full && try_room(st);
                return false;
        }
        return sp->room_came || sp->ticked_mono_us - sp->full_mono_us >= wait_us;
}

void space_save_failed(struct store *st, int status)
{
        if (status == ERR_NOSPACE)
                space_lack(st);
        else
                st->space.doubted = true;
}

static void measured(void *arg, int status, struct disk_room room)
{
        struct store *st = arg;
        st->space.measuring = false;
        count_filling(st);
        tell_measure(st, status);
        if (status) { /* what is not known is not "none"; where writing failed as well it is the disk that is not there */
                if (st->space.doubted)
                        space_set(st, status == ERR_NOSPACE ? ERR_IO : status, 0);
                return;
        }
        st->room = room;
        stat_set(STAT_FREE_BYTES, (int64_t)room.free_bytes);
        if (st->space.hanging_us >= SPACE_HANG_US) /* the look began before that was known, so it tried no write */
                return;
        uint64_t least = (uint64_t)st->options.min_free_bytes;
        uint64_t lacking = room.free_bytes < least ? least - room.free_bytes : 0;
        if (!lacking && room.free_files < SPACE_FILES_MIN)
                lacking = 1; /* whatever goes has files too */
        int why_not = room.write_status ? room.write_status : lacking ? ERR_NOSPACE : 0;
        if (!st->why_full && st->space.unproven && is_proven(&st->space)) {
                st->space.unproven = false;
                st->space.refuted = st->space.tries = 0;
        }
        if ((st->space.doubted || st->why_full) && !st->space.refuted)
                st->space.tries = room.write_status ? st->space.tries : 0;
        st->space.doubted = false;
        if (!why_not && st->why_full == ERR_NOSPACE && st->space.refuted && !may_come_back(st))
                return;
        /* Only for lack of space: on a disk that fails otherwise the recordings are what is left. */
        if (why_not == ERR_NOSPACE && !st->options.refuse_when_full && (lacking ? room_make(st, lacking) : try_room(st)))
                why_not = room.write_status || st->why_full == ERR_NOSPACE ? st->why_full : 0; /* what that brings is seen the next time */
        space_set(st, why_not, why_not && why_not == room.write_status && why_not != ERR_NOSPACE ? room.write_errno : 0);
}

/* A disk that does not answer says nothing, so nobody would learn of it. */
static void look_for_hanging(struct store *st, int64_t now_mono_us)
{
        struct space *sp = &st->space;
        int64_t passed_us = now_mono_us - sp->ticked_mono_us;
        uint64_t over;
        bool under_way = disk_writes_under_way(&over);
        sp->ticked_mono_us = now_mono_us;
        if (!under_way || over != sp->writes_over)
                sp->hanging_us = 0;
        else
                sp->hanging_us += passed_us < SPACE_HANG_STEP_US ? passed_us : SPACE_HANG_STEP_US;
        sp->writes_over = over;
        if (sp->hanging_us >= SPACE_HANG_US)
                space_set(st, ERR_TIMEOUT, 0);
}

/* Nothing was written for so long that nobody knows whether it would be. */
static bool is_idle(struct store *st, int64_t now_mono_us)
{
        struct space *sp = &st->space;
        uint64_t over;
        disk_writes_under_way(&over);
        if (!sp->written_mono_us || over != sp->written) {
                sp->written = over;
                sp->written_mono_us = now_mono_us;
        }
        return now_mono_us - sp->written_mono_us >= SPACE_IDLE_US;
}

void space_tick(struct store *st, int64_t now_mono_us)
{
        struct space *sp = &st->space;
        look_for_hanging(st, now_mono_us);
        if (sp->measuring || now_mono_us - sp->measured_mono_us <= MEASURE_EVERY_US)
                return;
        sp->measuring = true;
        sp->measured_mono_us = now_mono_us;
        /* A job that takes long, a large volume that is read again to be closed, may be the only write. That the disk does not hang the
         * write on trial tells, by coming back. */
        bool silent = sp->hanging_us >= SPACE_HANG_US / 2;
        bool idle = is_idle(st, now_mono_us);
        disk_space(st->loop, st->options.data_dir, st->folder, st->why_full || sp->doubted || silent || idle, measured, st);
}
