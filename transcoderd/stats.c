#include "transcoderd/stats.h"

#define FRAMES(stage_)                                                                                                 \
        {.name = "transcoderd_frames_total", .type = METRIC_COUNTER, .help = "Frames by what became of them",          \
         .labels = "stage=\"" stage_ "\""}

struct metric stats_rows[] = {
        {.name = "transcoderd_sessions", .type = METRIC_GAUGE, .help = "Sessions being encoded"},
        {.name = "transcoderd_behind_seconds", .type = METRIC_GAUGE, .scale = 1e-6,
         .help = "How far the slowest session's encoding is behind what it was sent"},
        FRAMES("decoded"), FRAMES("encoded"), FRAMES("late"), FRAMES("corrupt"), FRAMES("shed"),
        {.name = "transcoderd_fenced_total", .type = METRIC_COUNTER,
         .help = "Sessions given up because another writer has them"},
        {.name = "transcoderd_slate_seconds_total", .type = METRIC_COUNTER, .scale = 1e-6,
         .help = "Media made up where nothing was received"},
        {.name = "transcoderd_put_seconds", .type = METRIC_GAUGE, .scale = 1e-6,
         .help = "Last chunk: from made to stored"},
        {.name = "transcoderd_queue_bytes", .type = METRIC_GAUGE, .help = "Chunks not stored yet"},
        {.name = "transcoderd_dropped_chunks_total", .type = METRIC_COUNTER,
         .help = "Chunks no origin took before the queue was full, or that it refused"},
};

void stats_register(void)
{
        metrics_register(stats_rows, sizeof(stats_rows) / sizeof(stats_rows[0]));
}
