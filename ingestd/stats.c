#include "ingestd/stats.h"

/* clang-format off */
static struct metric table[STATS] = {
        [STAT_PUBLISHERS] = {.name = "ingestd_publishers", .type = METRIC_GAUGE, .help = "streams being published"},
        [STAT_STANDBY] = {.name = "ingestd_standby", .type = METRIC_GAUGE,
                          .help = "of them, those that stand by while another broadcaster of the stream is active"},
        [STAT_HELD] = {.name = "ingestd_held", .type = METRIC_GAUGE,
                       .help = "of them, those that send faster than real time and are held back, by not reading their sockets"},
        [STAT_HELD_US] = {.name = "ingestd_held_seconds_total", .type = METRIC_COUNTER, .scale = 1e-6,
                          .help = "time that broadcasters were held back, as far as it is over"},
        [STAT_TAKEN_OVER] = {.name = "ingestd_taken_over_total", .type = METRIC_COUNTER,
                             .help = "streams that a newer connection took over"},
        [STAT_BREAKS] = {.name = "ingestd_breaks_total", .type = METRIC_COUNTER,
                         .help = "times that a broadcaster's clock jumped or was held up for good"},
        [STAT_DROPPED_FRAMES] = {.name = "ingestd_dropped_frames_total", .type = METRIC_COUNTER,
                                 .help = "frames from before the first keyframe, early sound that no place was found for, or too large"},
        [STAT_CUES] = {.name = "ingestd_cues_total", .type = METRIC_COUNTER,
                       .help = "text and cue points that broadcasters sent and that a picture, or sound where there are none, "
                               "takes along"},
        [STAT_CUES_DROPPED] = {.name = "ingestd_cues_dropped_total", .type = METRIC_COUNTER,
                               .help = "of what they sent, what was too much, too long or had no picture to go with"},
        [STAT_LOST_FRAMES] = {.name = "ingestd_replay_lost_frames_total", .type = METRIC_COUNTER,
                              .help = "frames for which the replay buffer had no room any more"},
        [STAT_UNTAKEN_FRAMES] = {.name = "ingestd_untaken_frames_total", .type = METRIC_COUNTER,
                                 .help = "frames that no transcoder had taken in time when their stream was over"},
        [STAT_REPLAY_BYTES] = {.name = "ingestd_replay_bytes", .type = METRIC_GAUGE, .help = "held for replay"},
        [STAT_OPENS] = {.name = "ingestd_opens_total", .type = METRIC_COUNTER,
                        .help = "times a transcoder took a stream"},
        [STAT_FAILOVERS] = {.name = "ingestd_failovers_total", .type = METRIC_COUNTER,
                            .help = "transcoders lost in mid-stream"},
        [STAT_MOVES] = {.name = "ingestd_moves_total", .type = METRIC_COUNTER,
                        .help = "streams moved away from a transcoder that drains"},
        [STAT_SHADOWS] = {.name = "ingestd_shadows", .type = METRIC_GAUGE,
                          .help = "streams that a second transcoder encodes beside the first"},
        [STAT_SHADOWS_LOST] = {.name = "ingestd_shadows_lost_total", .type = METRIC_COUNTER,
                               .help = "second transcoders lost in mid-stream, which nobody sees"},
        [STAT_SWAPS] = {.name = "ingestd_swaps_total", .type = METRIC_COUNTER,
                        .help = "times the second transcoder of a stream went on with it alone"},
        [STAT_REPLAYED_FRAMES] = {.name = "ingestd_replayed_frames_total", .type = METRIC_COUNTER,
                                  .help = "frames sent again to another transcoder"},
        [STAT_BATCHES] = {.name = "ingestd_batches_total", .type = METRIC_COUNTER, .help = "MEDIA messages sent"},
        [STAT_RELAYED_FRAMES] = {.name = "ingestd_relayed_frames_total", .type = METRIC_COUNTER,
                                 .help = "frames in them"},
        [STAT_RELAYED_BYTES] = {.name = "ingestd_relayed_bytes_total", .type = METRIC_COUNTER,
                                .help = "bytes of those"},
        [STAT_IMPOSSIBLE_GENERATIONS] = {.name = "ingestd_impossible_generations_total", .type = METRIC_COUNTER,
                                         .help = "generations that nobody can have been given, in what transcoders answered: "
                                                 "they do not count"},
};
/* clang-format on */

void stats_register(void)
{
        metrics_register(table, STATS);
}

void stats_add(enum ingest_stat stat, int64_t n)
{
        metric_add(&table[stat], n);
}

int64_t stats_get(enum ingest_stat stat)
{
        return metric_get(&table[stat]);
}
