#include "originD/stats.h"

#define COUNTER(n, l, h) {.name = n, .type = METRIC_COUNTER, .labels = l, .help = h}
#define GAUGE(n, l, h) {.name = n, .type = METRIC_GAUGE, .labels = l, .help = h}

#define SESSIONS_HELP "Sessions in the store"
#define CHUNKS_HELP "Chunks taken: stored, sent again though stored before, slate and a shadow's among the stored ones"
#define REFUSED_HELP "PUTs not stored"
#define FETCHES_HELP "FETCHes answered"
#define DISK_HELP "Jobs for the disk that are not over: appends and saves, reads for live viewers, reads of old media and removal"
#define FULL_HELP                                                                                                                 \
        "FETCHes told to come back later: their asker has too many that wait, it was never their turn to read, or there was never room " \
        "to lay another recording out as one file"
#define CATCH_UP_HELP "Segments copied from another origin, cut off for its, or not got"
#define FILLS_HELP "Volumes brought from another origin, or tried to"
#define SCRUBBED_HELP "Closed volumes that were read again and compared with their checksums: as they were written, not so, or not readable now"
#define ARCHIVE_HELP "Closed volumes offered to the archive: it has them now, it has something else of their name, or it could not be used"
#define ARCHIVE_BROUGHT_HELP "Volumes that the archive had alone and that were needed here again: brought, or not to be had, or not to be written here"
#define ARCHIVE_READS_HELP "Reads from the archive that brought what was stored, or did not"
#define REQUESTS_HELP "Webhook requests that were answered 2xx, or were not"
#define DROPPED_HELP "Events given up: too many waited, the webhook refused it, or a day had passed"
#define PICTURES_HELP                                                                                                             \
        "Pictures that were asked for: still ones and posters given, key pictures given, there was none, or it is damaged or cannot " \
        "be read now"
#define REMOVED_HELP "Recordings removed by retention"
#define VOLUMES_HELP "Volumes of live sessions removed: viewers cannot go back so far, or the disk was full and nothing older was left"

static struct metric rows[STATS] = {
        [STAT_SESSIONS_LIVE] = GAUGE("originD_sessions", "status=\"live\"", SESSIONS_HELP),
        [STAT_SESSIONS_ENDED] = GAUGE("originD_sessions", "status=\"ended\"", SESSIONS_HELP),
        [STAT_CHUNKS] = COUNTER("originD_chunks_total", "status=\"stored\"", CHUNKS_HELP),
        [STAT_CHUNKS_AGAIN] = COUNTER("originD_chunks_total", "status=\"again\"", CHUNKS_HELP),
        [STAT_CHUNKS_SLATE] = COUNTER("originD_chunks_total", "status=\"slate\"", CHUNKS_HELP),
        [STAT_CHUNKS_SHADOW] = COUNTER("originD_chunks_total", "status=\"shadow\"", CHUNKS_HELP),
        [STAT_BYTES] = COUNTER("originD_bytes_total", NULL, "Media bytes stored"),
        [STAT_CUES] = COUNTER("originD_cues_total", NULL,
                              "Text and cue points that came with pictures, or with the sound of a broadcast that has none"),
        [STAT_CUES_FORGOTTEN] = COUNTER("originD_cues_forgotten_total", NULL, "Of those that playlists tell, the oldest that gave way for newer ones; they are in the segments still"),
        [STAT_PICTURES] = COUNTER("originD_pictures_total", "result=\"still\"", PICTURES_HELP),
        [STAT_KEY_PICTURES] = COUNTER("originD_pictures_total", "result=\"key\"", PICTURES_HELP),
        [STAT_PICTURES_NONE] = COUNTER("originD_pictures_total", "result=\"none\"", PICTURES_HELP),
        [STAT_PICTURES_FAILED] = COUNTER("originD_pictures_total", "result=\"failed\"", PICTURES_HELP),
        [STAT_PUTS_FENCED] = COUNTER("originD_refused_puts_total", "status=\"fenced\"", REFUSED_HELP),
        [STAT_PUTS_ORDER] = COUNTER("originD_refused_puts_total", "status=\"order\"", REFUSED_HELP),
        [STAT_PUTS_NOSPACE] = COUNTER("originD_refused_puts_total", "status=\"no_space\"", REFUSED_HELP),
        [STAT_PUTS_CONFLICT] = COUNTER("originD_refused_puts_total", "status=\"conflict\"", REFUSED_HELP),
        [STAT_PUTS_PROTO] = COUNTER("originD_refused_puts_total", "status=\"malformed\"", REFUSED_HELP),
        [STAT_PUTS_OTHER] = COUNTER("originD_refused_puts_total", "status=\"other\"", REFUSED_HELP),
        [STAT_CLAIMS_REFUSED] = COUNTER("originD_refused_claims_total", NULL, "CLAIMs not taken"),
        [STAT_IMPOSSIBLE_GENERATIONS] = COUNTER("originD_impossible_generations_total", NULL, "Generations that nobody can have been given, in claims and in what peers told of sessions: they do not count"),
        [STAT_PUTS_MISFIT] = COUNTER("originD_misfit_puts_total", NULL, "PUTs fenced since they did not go on from what the session's other writer stored"),
        [STAT_LEADER_LATE] = COUNTER("originD_late_leader_total", NULL, "Waits of a shadow's chunk for the leader's that were in vain"),
        [STAT_FETCHES_OK] = COUNTER("originD_fetches_total", "status=\"ok\"", FETCHES_HELP),
        [STAT_FETCHES_NOT_YET] = COUNTER("originD_fetches_total", "status=\"not_yet\"", FETCHES_HELP),
        [STAT_FETCHES_NOT_FOUND] = COUNTER("originD_fetches_total", "status=\"not_found\"", FETCHES_HELP),
        [STAT_FETCHES_FULL] = COUNTER("originD_fetches_total", "status=\"full\"", FETCHES_HELP),
        [STAT_FETCHES_ERROR] = COUNTER("originD_fetches_total", "status=\"error\"", FETCHES_HELP),
        [STAT_FETCHES_WAITING] = GAUGE("originD_fetches_waiting", NULL, "FETCHes held until there is something to answer, or until it is their turn to read"),
        [STAT_NAMES_TOLD] = COUNTER("originD_names_told_total", NULL, "Lists of names, or of what is new in them, that edges were given"),
        [STAT_READS_IN_LINE] = GAUGE("originD_reads_waiting", NULL, "FETCHes that wait for their turn to read from the disk"),
        [STAT_REFUSED_WAITS] = COUNTER("originD_refused_fetches_total", "reason=\"waits\"", FULL_HELP),
        [STAT_REFUSED_TURN] = COUNTER("originD_refused_fetches_total", "reason=\"turn\"", FULL_HELP),
        [STAT_REFUSED_ROOM] = COUNTER("originD_refused_fetches_total", "reason=\"room\"", FULL_HELP),
        [STAT_LAYOUT_BYTES] = GAUGE("originD_layout_bytes", NULL, "Memory that is taken, or put by, for where everything lies in recordings that are read as one file: 96 MiB at most"),
        [STAT_FETCHES_ELSEWHERE] = COUNTER("originD_elsewhere_fetches_total", NULL, "FETCHes answered with another origin's bytes, for lack of own"),
        [STAT_DISK_READS] = COUNTER("originD_disk_reads_total", NULL, "FETCHes answered from a file, not from memory"),
        [STAT_DISK_WRITE_JOBS] = GAUGE("originD_disk_jobs", "pool=\"write\"", DISK_HELP),
        [STAT_DISK_LIVE_JOBS] = GAUGE("originD_disk_jobs", "pool=\"live\"", DISK_HELP),
        [STAT_DISK_COLD_JOBS] = GAUGE("originD_disk_jobs", "pool=\"cold\"", DISK_HELP),
        [STAT_FILES_KEPT] = GAUGE("originD_kept_files", NULL, "Files of tracks that are written which stay open between two chunks"),
        [STAT_FILES_REOPENED] = COUNTER("originD_reopened_files_total", NULL, "Chunks for which a track's files were opened again: the first since a start, or for a long time, or there are not as many descriptors"),
        [STAT_CATCH_UP_COPIED] = COUNTER("originD_catch_up_segments_total", "status=\"copied\"", CATCH_UP_HELP),
        [STAT_CATCH_UP_CUT] = COUNTER("originD_catch_up_segments_total", "status=\"cut\"", CATCH_UP_HELP),
        [STAT_CATCH_UP_FAILED] = COUNTER("originD_catch_up_segments_total", "status=\"failed\"", CATCH_UP_HELP),
        [STAT_BEHIND] = GAUGE("originD_behind_sessions", NULL, "Sessions of which another origin has more"),
        [STAT_FILLS] = COUNTER("originD_filled_volumes_total", "status=\"brought\"", FILLS_HELP),
        [STAT_FILLS_FAILED] = COUNTER("originD_filled_volumes_total", "status=\"failed\"", FILLS_HELP),
        [STAT_LACKING] = GAUGE("originD_lacking_sessions", NULL, "Sessions of which volumes are not here, or not whole"),
        [STAT_SCRUBBED_BYTES] = COUNTER("originD_scrubbed_bytes_total", NULL, "Bytes at rest that were read again to compare them with their checksums"),
        [STAT_SCRUBBED_WHOLE] = COUNTER("originD_scrubbed_volumes_total", "status=\"whole\"", SCRUBBED_HELP),
        [STAT_SCRUBBED_DAMAGED] = COUNTER("originD_scrubbed_volumes_total", "status=\"damaged\"", SCRUBBED_HELP),
        [STAT_SCRUBBED_UNREADABLE] = COUNTER("originD_scrubbed_volumes_total", "status=\"unreadable\"", SCRUBBED_HELP),
        [STAT_SCRUBS] = COUNTER("originD_scrubs_total", NULL, "Times that all that is at rest was read again"),
        [STAT_ARCHIVED_BYTES] = GAUGE("originD_archived_bytes", NULL, "Bytes of all sessions in the store that are in the archive alone"),
        [STAT_ARCHIVE_WAITING_BYTES] = GAUGE("originD_archive_waiting_bytes", NULL, "Bytes of closed volumes that are due for the archive and not there yet"),
        [STAT_ARCHIVE_FAILING] = GAUGE("originD_archive_failing", NULL, "1: the archive could not be used the last time it was asked"),
        [STAT_ARCHIVE_STORED] = COUNTER("originD_archive_volumes_total", "status=\"stored\"", ARCHIVE_HELP),
        [STAT_ARCHIVE_CONFLICT] = COUNTER("originD_archive_volumes_total", "status=\"conflict\"", ARCHIVE_HELP),
        [STAT_ARCHIVE_FAILED] = COUNTER("originD_archive_volumes_total", "status=\"failed\"", ARCHIVE_HELP),
        [STAT_ARCHIVE_SENT_BYTES] = COUNTER("originD_archive_sent_bytes_total", NULL, "Bytes sent to the archive"),
        [STAT_ARCHIVE_READS] = COUNTER("originD_archive_reads_total", "status=\"ok\"", ARCHIVE_READS_HELP),
        [STAT_ARCHIVE_READS_FAILED] = COUNTER("originD_archive_reads_total", "status=\"failed\"", ARCHIVE_READS_HELP),
        [STAT_ARCHIVE_READ_BYTES] = COUNTER("originD_archive_read_bytes_total", NULL, "Bytes read from the archive"),
        [STAT_ARCHIVE_BROUGHT] = COUNTER("originD_archive_brought_volumes_total", "status=\"brought\"", ARCHIVE_BROUGHT_HELP),
        [STAT_ARCHIVE_BROUGHT_FAILED] = COUNTER("originD_archive_brought_volumes_total", "status=\"failed\"", ARCHIVE_BROUGHT_HELP),
        [STAT_FREE_BYTES] = GAUGE("originD_free_bytes", NULL, "Free bytes where the store is"),
        [STAT_MEASURES_FAILED] = COUNTER("originD_failed_measures_total", NULL, "Looks at how much space there is that failed; nothing is removed for them"),
        [STAT_STORED_BYTES] = GAUGE("originD_stored_bytes", NULL, "Bytes of all sessions in the store, without those that are in the archive alone"),
        [STAT_REMOVED_AGE] = COUNTER("originD_removed_sessions_total", "reason=\"age\"", REMOVED_HELP),
        [STAT_REMOVED_BYTES] = COUNTER("originD_removed_sessions_total", "reason=\"bytes\"", REMOVED_HELP),
        [STAT_REMOVED_VOLUMES_WINDOW] = COUNTER("originD_removed_volumes_total", "reason=\"window\"", VOLUMES_HELP),
        [STAT_REMOVED_VOLUMES_FULL] = COUNTER("originD_removed_volumes_total", "reason=\"disk_full\"", VOLUMES_HELP),
        [STAT_REMOVING] = GAUGE("originD_removing_sessions", NULL, "Recordings that are removed, and not off the disk yet"),
        [STAT_AGE_CLOCK_BEHIND_US] = {.name = "originD_age_clock_behind_seconds", .type = METRIC_GAUGE, .scale = 1e-6,
                                      .help = "How far the system's clock is ahead of the one by which recordings grow old; it is made up as time passes"},
        [STAT_REMOVALS_FAILED] = COUNTER("originD_failed_removals_total", NULL, "Removals of recordings, and of volumes of live ones, that the disk refused; they are tried again"),
        [STAT_UNREADABLE] = GAUGE("originD_unreadable_sessions", NULL, "Sessions on the disk that cannot be read now; they are tried again"),
        [STAT_TRACKS_REREAD] = COUNTER("originD_reread_tracks_total", NULL, "Times that a track took no more chunks until its files were read again: the disk had failed, and nobody knew what they hold"),
        [STAT_TORN_BYTES] = COUNTER("originD_torn_bytes_total", NULL, "Bytes of unfinished chunks cut off at start"),
        [STAT_HTTP_REQUESTS] = COUNTER("originD_http_requests_total", NULL, "Requests on the pull port"),
        [STAT_HTTP_SLOW] = COUNTER("originD_http_slow_total", NULL, "Connections of the pull port closed for being too slow"),
        [STAT_MIN_FREE_BYTES] = GAUGE("originD_min_free_bytes", NULL, "With less free than this the oldest media goes, or writes are refused"),
        [STAT_EVENTS] = COUNTER("originD_events_total", NULL, "Events of sessions that webhooks are told of: starts, ends, slate, fail-overs"),
        [STAT_WEBHOOK_WAITING] = GAUGE("originD_webhook_waiting", NULL, "Events that wait to be delivered, or for another origin to have done it"),
        [STAT_WEBHOOK_OK] = COUNTER("originD_webhook_requests_total", "result=\"ok\"", REQUESTS_HELP),
        [STAT_WEBHOOK_FAILED] = COUNTER("originD_webhook_requests_total", "result=\"failed\"", REQUESTS_HELP),
        [STAT_WEBHOOK_DROPPED_FULL] = COUNTER("originD_webhook_dropped_total", "reason=\"full\"", DROPPED_HELP),
        [STAT_WEBHOOK_DROPPED_REFUSED] = COUNTER("originD_webhook_dropped_total", "reason=\"refused\"", DROPPED_HELP),
        [STAT_WEBHOOK_DROPPED_OLD] = COUNTER("originD_webhook_dropped_total", "reason=\"old\"", DROPPED_HELP),
};

struct histogram stat_glass = {
        .name = "originD_glass_seconds",
        .help = "From the capture of a chunk's beginning until it was stored here",
        .bounds = {0.1, 0.15, 0.17, 0.18, 0.2, 0.22, 0.25, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 5, 10},
};

void stats_register(void)
{
        metrics_register_histogram(&stat_glass);
        metrics_register(rows, STATS);
}

void stat_add(enum stat_id s, int64_t n)
{
        metric_add(&rows[s], n);
}

void stat_set(enum stat_id s, int64_t v)
{
        metric_set(&rows[s], v);
}

int64_t stat_get(enum stat_id s)
{
        return metric_get(&rows[s]);
}
