/* reports.c - /cmcd/STREAM: what players report by themselves (cmcd.h). */
#include "common/clock.h"
#include "edged/routes/ask.h"

static void take_reported(void *arg, enum cmcd_result result, const struct cmcd_report *r)
{
        (void)arg;
        if (result == CMCD_REPORT)
                players_take(r, PLAYERS_EVENT);
        else if (result == CMCD_BROKEN)
                players_broken(PLAYERS_EVENT);
}

/* Of viewers of a private stream only those report who may watch it, and of one that there is not nobody does. */
static void judge_reporter(struct ask *a)
{
        struct census *census = a->http->parts.census;
        struct key entry = a->path.object;
        if (a->request.head.method != METHOD_POST)
                return;
        entry.kind = KEY_ENTRY;
        a->report.fault = ask_admit(a, entry.stream);
        a->report.hears = a->report.fault == ACCESS_OK && (!census || census_ask(census, &entry, clock_wall_us()) != CENSUS_UNKNOWN);
}

static void hear_reports(struct ask *a, const char *bytes, size_t len)
{
        if (a->report.hears)
                cmcd_lines(&a->report.lines, bytes, len, take_reported, NULL);
}

static void say_heard(struct ask *a)
{
        if (a->request.head.method != METHOD_POST) {
                ask_say_error(a, RESPOND_NOT_FOUND);
        } else if (a->report.fault != ACCESS_OK) {
                ask_refuse(a, a->report.fault);
        } else if (!a->report.hears) {
                ask_say_error(a, RESPOND_MISSING);
        } else if (a->request.head.body_bytes == 0) {
                ask_say_error(a, RESPOND_REPORT);
        } else {
                cmcd_lines_end(&a->report.lines, take_reported, NULL);
                ask_say(a, respond_heard());
        }
}

const struct route route_reports = {.takes_posts = true, .prepare = judge_reporter, .body = hear_reports, .begin = say_heard};
