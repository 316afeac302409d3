#include "transcoderd/stats.h"

#define FRAMES(stage_)                                                                                                 \
        {.name = "transcoderd_frames_total", .type = METRIC_COUNTER, .help = "Frames by what became of them",          \
         .labels = "stage=\"" stage_ "\""}
#define NOT_STORED(reason_)                                                                                            \
        {.name = "transcoderd_put_retries_total", .type = METRIC_COUNTER,                                              \
         .help = "Attempts after which an origin had not stored what it was sent", .labels = "reason=\"" reason_ "\""}

#define REFUSED(reason_)                                                                                               \
        {.name = "transcoderd_opens_refused_total", .type = METRIC_COUNTER,                                            \
         .help = "OPENs that were given no session, those that waited for one in vain among them",                     \
         .labels = "reason=\"" reason_ "\""}

#define FAILED(reason_)                                                                                                \
        {.name = "transcoderd_encoding_failed_total", .type = METRIC_COUNTER,                                          \
         .help = "Sessions whose encoding could not begin or go on: their source cannot be shown, no threads, x264",   \
         .labels = "reason=\"" reason_ "\""}

#define OWNERS(state_)                                                                                                 \
        {.name = "transcoderd_owners", .type = METRIC_GAUGE, .help = "Origins that store a session, over all sessions", \
         .labels = "state=\"" state_ "\""}

#define PICTURES(result_)                                                                                              \
        {.name = "transcoderd_pictures_total", .type = METRIC_COUNTER,                                                 \
         .help = "Still pictures that were due: made, made coarser since they were too large otherwise, not made for lack of time or of "   \
                 "a new picture so that the one before stands for them, or not to be made",                            \
         .labels = "result=\"" result_ "\""}

struct metric stats_rows[] = {
        {.name = "transcoderd_sessions", .type = METRIC_GAUGE, .help = "Sessions being encoded"},
        {.name = "transcoderd_behind_seconds", .type = METRIC_GAUGE, .scale = 1e-6,
         .help = "How long what is due and can be encoded has waited, in the session in which it is longest"},
        FRAMES("decoded"), FRAMES("encoded"), FRAMES("late"), FRAMES("corrupt"), FRAMES("shed"), FRAMES("skipped"),
        {.name = "transcoderd_fenced_total", .type = METRIC_COUNTER,
         .help = "Sessions given up because another writer has them"},
        {.name = "transcoderd_slate_seconds_total", .type = METRIC_COUNTER, .scale = 1e-6,
         .help = "Media made up where nothing was received"},
        {.name = "transcoderd_claimed_again_total", .type = METRIC_COUNTER,
         .help = "Sessions that an origin took up again, because it started anew or had fallen out of step"},
        {.name = "transcoderd_queue_bytes", .type = METRIC_GAUGE, .help = "Chunks not stored yet"},
        {.name = "transcoderd_dropped_chunks_total", .type = METRIC_COUNTER,
         .help = "Chunks no origin took before the queue was full, or that it refused"},
        {.name = "transcoderd_recent_bytes", .type = METRIC_GAUGE, .help = "Chunks kept in memory for an origin that lacks them"},
        NOT_STORED("no_space"), NOT_STORED("other"),
        OWNERS("in_step"), OWNERS("joining"), OWNERS("out_of_step"),
        {.name = "transcoderd_handed_over_total", .type = METRIC_COUNTER,
         .help = "Sessions that another transcoder took over because this one was to stop"},
        {.name = "transcoderd_switches_total", .type = METRIC_COUNTER,
         .help = "Times that the other one of a stream's two broadcasters became active"},
        {.name = "transcoderd_shadows", .type = METRIC_GAUGE,
         .help = "Sessions being encoded beside another transcoder, which leads"},
        {.name = "transcoderd_led_total", .type = METRIC_COUNTER, .help = "Shadows that came to lead"},
        {.name = "transcoderd_cpu_seconds_total", .type = METRIC_COUNTER, .scale = 1e-6,
         .help = "CPU time of this process; beside transcoderd_cpus it says how much room there is"},
        {.name = "transcoderd_cpus", .type = METRIC_GAUGE, .help = "Processors this process may use"},
        REFUSED("full"), REFUSED("unsupported"), REFUSED("not_yet"), REFUSED("other"),
        {.name = "transcoderd_closing", .type = METRIC_GAUGE,
         .help = "Encoders of sessions that have ended and are not gone yet; they count against max_sessions"},
        {.name = "transcoderd_clock_off_total", .type = METRIC_COUNTER,
         .help = "Sessions taken over that keep their own time, because this machine's clock is far from it"},
        FAILED("source"), FAILED("threads"), FAILED("encoder"),
        {.name = "transcoderd_captions_dropped_total", .type = METRIC_COUNTER,
         .help = "Triplets of closed captions that a rung had no picture for in time"},
        {.name = "transcoderd_beginnings_refused_total", .type = METRIC_COUNTER,
         .help = "Streams that were refused although there were fewer than max_sessions: what encoding them costs does not fit beside "
                 "the others, or encoding is behind; too many began at once",
         .labels = "reason=\"capacity\""},
        {.name = "transcoderd_beginnings_refused_total", .type = METRIC_COUNTER,
         .help = "Streams that were refused although there were fewer than max_sessions: what encoding them costs does not fit beside "
                 "the others, or encoding is behind; too many began at once",
         .labels = "reason=\"too_many\""},
        {.name = "transcoderd_capacity_pixels", .type = METRIC_GAUGE,
         .help = "Pixels a second that this machine can encode, by what it has encoded so far"},
        {.name = "transcoderd_promised_pixels", .type = METRIC_GAUGE,
         .help = "Pixels a second that its sessions cost; capacity_percent says how much of the capacity that may be"},
        {.name = "transcoderd_impossible_generations_total", .type = METRIC_COUNTER,
         .help = "Generations that nobody can have been given, in OPENs and in what origins answered: they do not count"},
        {.name = "transcoderd_cues_dropped_total", .type = METRIC_COUNTER,
         .help = "Text and cue points that a rung had no room, no picture or no sound for"},
        PICTURES("made"), PICTURES("coarser"), PICTURES("repeated"), PICTURES("failed"),
};

struct histogram stats_put = {
        .name = "transcoderd_put_seconds",
        .help = "From when a chunk was packaged until an origin had stored it",
        .bounds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10},
};

struct histogram stats_glass = {
        .name = "transcoderd_glass_seconds",
        .help = "From the capture of a chunk's beginning until it was encoded",
        .bounds = {0.1, 0.15, 0.17, 0.18, 0.2, 0.22, 0.25, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 5, 10},
};

void stats_register(void)
{
        metrics_register(stats_rows, sizeof(stats_rows) / sizeof(stats_rows[0]));
        metrics_register_histogram(&stats_put);
        metrics_register_histogram(&stats_glass);
}
