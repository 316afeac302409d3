#include "edged/players.h"

#include <stddef.h>

#include "common/clock.h"
#include "common/daemon/metrics.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { VERSION_1, VERSION_2, BROKEN, KINDS };
enum { ERROR_PLAYER, ERROR_FATAL, ERROR_RESPONSE, ERRORS };

#define REPORTS(way, version)                                                                                          \
        {.name = "edged_player_reports_total",                                                                         \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Reports of players (CMCD), by how they came and their version; broken: nothing of it counts",        \
         .labels = "via=\"" way "\",version=\"" version "\""}
#define REPORTS_BY(way) REPORTS(way, "1"), REPORTS(way, "2"), REPORTS(way, "broken")
static struct metric reports[PLAYERS_WAYS * KINDS] = {REPORTS_BY("query"), REPORTS_BY("headers"), REPORTS_BY("event")};

static struct metric starved = {.name = "edged_player_starved_total",
                                .type = METRIC_COUNTER,
                                .help = "Reports that say that the player's buffer had run out since the one before"};
static struct metric stalled = {.name = "edged_player_stalled_seconds_total",
                                .type = METRIC_COUNTER,
                                .help = "Time for which players said that their pictures stood still (version 2)",
                                .scale = 1e-3};
static struct metric starting = {.name = "edged_player_starting_total",
                                 .type = METRIC_COUNTER,
                                 .help = "Reports of players that begin, seek, or come back from an empty buffer"};

static struct metric states[] = {
#define X(id, word, text)                                                                                              \
        {.name = "edged_player_states_total",                                                                          \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Changes of what players do, as their events say",                                                    \
         .labels = "state=\"" text "\""},
        CMCD_STATES(X)
#undef X
};

#define ERRORS_OF(kind)                                                                                                \
        {.name = "edged_player_errors_total",                                                                          \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Errors that players' events tell of: of the player, such that it gave up, requests that failed",     \
         .labels = "kind=\"" kind "\""}
static struct metric errors[ERRORS] = {
        [ERROR_PLAYER] = ERRORS_OF("player"), [ERROR_FATAL] = ERRORS_OF("fatal"), [ERROR_RESPONSE] = ERRORS_OF("response")};

static struct histogram buffer = {.name = "edged_player_buffer_seconds",
                                  .help = "What players had buffered when they reported, those that begin left out",
                                  .bounds = {0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 60}};
static struct histogram latency = {.name = "edged_player_latency_seconds",
                                   .help = "How far behind the camera players say that they are (version 2)",
                                   .bounds = {0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 20, 60}};
static struct histogram startup = {.name = "edged_player_startup_seconds",
                                   .help = "From the wish to watch to the first picture, as players say (version 2)",
                                   .bounds = {0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30}};
static struct histogram throughput = {.name = "edged_player_throughput_mbits",
                                      .help = "What players measured that their connections carry, Mbit/s",
                                      .bounds = {0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 25, 50, 100, 250, 1000}};

void players_register(void)
{
        metrics_register(reports, COUNT(reports));
        metrics_register(&starved, 1);
        metrics_register(&stalled, 1);
        metrics_register(&starting, 1);
        metrics_register(states, COUNT(states));
        metrics_register(errors, COUNT(errors));
        metrics_register_histogram(&buffer);
        metrics_register_histogram(&latency);
        metrics_register_histogram(&startup);
        metrics_register_histogram(&throughput);
}

/* An event repeats what the player is in at the time: only the one that tells of a change counts as one. */
static void take_event(const struct cmcd_report *r)
{
        if (r->event == CMCD_PLAY_STATE && r->state != CMCD_NO_STATE)
                metric_add(&states[r->state - 1], 1);
        if (r->event == CMCD_PLAY_STATE && r->state == CMCD_FATAL)
                metric_add(&errors[ERROR_FATAL], 1);
        if (r->event == CMCD_ERROR)
                metric_add(&errors[ERROR_PLAYER], 1);
        if (r->event == CMCD_RESPONSE_RECEIVED && r->says & CMCD_RESPONSE && (r->response >= 400 || r->response == 0))
                metric_add(&errors[ERROR_RESPONSE], 1);
}

void players_take(const struct cmcd_report *r, enum players_way way)
{
        metric_add(&reports[way * KINDS + (r->version == 2 ? VERSION_2 : VERSION_1)], 1);
        metric_add(&starved, r->starved);
        metric_add(&starting, r->starting);
        if (r->says & CMCD_STALLED)
                metric_add(&stalled, r->stalled_ms);
        if (r->says & CMCD_BUFFER && !r->starting)
                histogram_observe(&buffer, r->buffer_ms * US_PER_MS);
        if (r->says & CMCD_LATENCY)
                histogram_observe(&latency, r->latency_ms * US_PER_MS);
        if (r->says & CMCD_STARTUP)
                histogram_observe(&startup, r->startup_ms * US_PER_MS);
        if (r->says & CMCD_THROUGHPUT && !r->of_sound) /* a second of sound is too small to measure anything by */
                histogram_observe(&throughput, r->throughput_kbps * (US_PER_S / 1000));
        take_event(r);
}

void players_broken(enum players_way way)
{
        metric_add(&reports[way * KINDS + BROKEN], 1);
}
