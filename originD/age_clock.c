#include "originD/age_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/file.h"
#include "originD/stats.h"

#define FILE_MAX 100
#define CATCH_UP 2 /* times as fast as time passes */

static void tell(struct age_clock *c, int64_t behind_us)
{
        stat_set(STAT_AGE_CLOCK_BEHIND_US, behind_us);
        if (!c->told && behind_us > AGE_CLOCK_TOLD_US)
                log_warn("behind_s=%" PRId64 " msg=\"the system's clock is further on than the time that has passed, or this origin was off: "
                         "recordings are kept for longer until that is made up\"", behind_us / US_PER_S);
        else if (c->told && behind_us == 0)
                log_info("msg=\"recordings grow old by the system's clock again\"");
        c->told = behind_us > (c->told ? 0 : AGE_CLOCK_TOLD_US);
}

static int64_t later_of(int64_t a_us, int64_t b_us)
{
        return a_us > b_us ? a_us : b_us;
}

void age_clock_begin(struct age_clock *c, int64_t reached_us, int64_t newest_us, int64_t real_us, int64_t boot_us)
{
        int64_t known_us = reached_us ? reached_us : newest_us ? newest_us : real_us;
        *c = (struct age_clock){.now_us = known_us < real_us ? known_us : real_us, .looked_us = boot_us};
        c->reached_us = later_of(reached_us, c->now_us);
        tell(c, real_us - c->now_us);
}

static void doubt(struct age_clock *c, int64_t real_us, int64_t passed_us)
{
        c->before_us = real_us < c->reached_us ? c->before_us + passed_us : 0;
        if (c->before_us > AGE_CLOCK_DOUBT_US)
                c->reached_us = 0;
}

void age_clock_look(struct age_clock *c, int64_t real_us, int64_t boot_us)
{
        int64_t passed_us = boot_us - c->looked_us;
        c->looked_us = boot_us;
        doubt(c, real_us, passed_us);
        int64_t now_us = later_of(c->now_us + CATCH_UP * passed_us, c->reached_us);
        if (real_us < c->now_us - AGE_CLOCK_TOLD_US)
                log_warn("back_s=%" PRId64 " msg=\"the system's clock was set back: recordings are kept for longer\"",
                         (c->now_us - real_us) / US_PER_S);
        c->now_us = real_us < now_us ? real_us : now_us;
        c->reached_us = later_of(c->reached_us, c->now_us);
        tell(c, real_us - c->now_us);
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

/* One time in two ways, so that what has lost some of its bytes is none. */
static int write_text(char text[FILE_MAX], int64_t us)
{
        char iso[CLOCK_ISO_MAX];
        return snprintf(text, FILE_MAX, "%" PRId64 " %s\n", us, clock_iso(iso, sizeof(iso), us));
}

static char *path_in(const char *data_dir)
{
        return mem_printf("%s/.age_clock", data_dir);
}

int64_t age_clock_load(const char *data_dir)
{
        char *path = path_in(data_dir), text[FILE_MAX + 1], right[FILE_MAX];
        struct buf *b = NULL;
        long long us = 0;
        int rc = file_load(path, FILE_MAX, &b);
        if (!rc) {
                snprintf(text, sizeof(text), "%.*s", (int)b->len, (const char *)b->data);
                rc = sscanf(text, "%lld", &us) == 1 && us > 0 ? 0 : ERR_CORRUPT;
                write_text(right, us);
                rc = rc ? rc : strcmp(text, right) == 0 ? 0 : ERR_CORRUPT;
                us = rc ? 0 : us;
        }
        if (rc && rc != ERR_NOT_FOUND)
                log_warn("path=%s msg=\"cannot be read: recordings grow old from the newest one on\" error=\"%s\"", path, err_text(rc));
        buf_unref(&b);
        free(path);
        return us;
}

static void saved(void *arg, int status)
{
        struct age_clock *c = arg;
        c->saving = false;
        if (status && !c->save_failed)
                log_warn("msg=\"cannot save .age_clock\" error=\"%s\"", err_text(status));
        c->save_failed = status;
}

void age_clock_save(struct age_clock *c, uv_loop_t *loop, const char *data_dir)
{
        char text[FILE_MAX];
        int64_t since_us = c->reached_us - c->saved_us;
        if (c->saving || !c->now_us || (since_us < AGE_CLOCK_SAVE_US && since_us > -AGE_CLOCK_SAVE_US))
                return;
        char *path = path_in(data_dir);
        struct buf *b = buf_copy(text, (size_t)write_text(text, c->reached_us));
        c->saving = true;
        c->saved_us = c->reached_us;
        disk_save(loop, path, b, 0, saved, c);
        buf_unref(&b);
        free(path);
}
