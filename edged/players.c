#include "edged/players.h"

#include <stddef.h>

#include "common/clock.h"
#include "common/daemon/metrics.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What a report was, and what its row says. */
#define KINDS(X, way) X(way, VERSION_1, "1") X(way, VERSION_2, "2") X(way, BROKEN, "broken")
#define ERRORS(X) X(PLAYER, "player") X(FATAL, "fatal") X(RESPONSE, "response")

enum kind {
#define X(way, word, text) word,
        KINDS(X, 0)
#undef X
        KIND_COUNT
};

enum error {
#define X(word, text) ERROR_##word,
        ERRORS(X)
#undef X
};

#define REPORT_ROW(way, word, version)                                                                                 \
        {.name = "edged_player_reports_total",                                                                         \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Reports of players (CMCD), by how they came and their version; broken: nothing of it counts",        \
         .labels = "via=\"" way "\",version=\"" version "\""},
static struct metric reports[] = {
#define X(word, text) KINDS(REPORT_ROW, text)
        PLAYERS_WAYS(X)
#undef X
};

static struct metric states[] = {
#define X(id, word, text)                                                                                              \
        {.name = "edged_player_states_total",                                                                          \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Changes of what players do, as their events say",                                                    \
         .labels = "state=\"" text "\""},
        CMCD_STATES(X)
#undef X
};

static struct metric errors[] = {
#define X(word, text)                                                                                                  \
        {.name = "edged_player_errors_total",                                                                          \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Errors that players' events tell of: of the player, such that it gave up, requests that failed",     \
         .labels = "kind=\"" text "\""},
        ERRORS(X)
#undef X
};

enum { STARVED, STALLED, STARTING };
static struct metric rows[] = {
        [STARVED] = {.name = "edged_player_starved_total",
                     .type = METRIC_COUNTER,
                     .help = "Reports that say that the player's buffer had run out since the one before"},
        [STALLED] = {.name = "edged_player_stalled_seconds_total",
                     .type = METRIC_COUNTER,
                     .help = "Time for which players said that their pictures stood still (version 2)",
                     .scale = 1e-3},
        [STARTING] = {.name = "edged_player_starting_total",
                      .type = METRIC_COUNTER,
                      .help = "Reports of players that begin, seek, or come back from an empty buffer"},
};

enum { BUFFER, LATENCY, STARTUP, THROUGHPUT };
static struct histogram histograms[] = {
        [BUFFER] = {.name = "edged_player_buffer_seconds",
                    .help = "What players had buffered when they reported, those that begin left out",
                    .bounds = {0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 60}},
        [LATENCY] = {.name = "edged_player_latency_seconds",
                     .help = "How far behind the camera players say that they are (version 2)",
                     .bounds = {0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 20, 60}},
        [STARTUP] = {.name = "edged_player_startup_seconds",
                     .help = "From the wish to watch to the first picture, as players say (version 2)",
                     .bounds = {0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30}},
        [THROUGHPUT] = {.name = "edged_player_throughput_mbits",
                        .help = "What players measured that their connections carry, Mbit/s",
                        .bounds = {0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 25, 50, 100, 250, 1000}},
};

void players_register(void)
{
        metrics_register(reports, COUNT(reports));
        metrics_register(rows, COUNT(rows));
        metrics_register(states, COUNT(states));
        metrics_register(errors, COUNT(errors));
        for (size_t i = 0; i < COUNT(histograms); i++)
                metrics_register_histogram(&histograms[i]);
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
        metric_add(&reports[(size_t)way * KIND_COUNT + (r->version == 2 ? VERSION_2 : VERSION_1)], 1);
        metric_add(&rows[STARVED], r->starved);
        metric_add(&rows[STARTING], r->starting);
        if (r->says & CMCD_STALLED)
                metric_add(&rows[STALLED], r->stalled_ms);
        if (r->says & CMCD_BUFFER && !r->starting)
                histogram_observe(&histograms[BUFFER], r->buffer_ms * US_PER_MS);
        if (r->says & CMCD_LATENCY)
                histogram_observe(&histograms[LATENCY], r->latency_ms * US_PER_MS);
        if (r->says & CMCD_STARTUP)
                histogram_observe(&histograms[STARTUP], r->startup_ms * US_PER_MS);
        if (r->says & CMCD_THROUGHPUT && !r->of_sound) /* a second of sound is too small to measure anything by */
                histogram_observe(&histograms[THROUGHPUT], r->throughput_kbps * (US_PER_S / 1000));
        take_event(r);
}

void players_broken(enum players_way way)
{
        metric_add(&reports[(size_t)way * KIND_COUNT + BROKEN], 1);
}
