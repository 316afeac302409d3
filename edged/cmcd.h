/* cmcd.h - what a player says of itself: Common Media Client Data, CTA-5004 (version 1) and CTA-5004-B (version 2). Pure; any thread.
 *
 *   with a request    ?CMCD=bl%3D2300%2Cmtp%3D25400 in the query, or the same in up to four header fields     cmcd_query(), cmcd_fields()
 *   in an event       a POST whose body is one report a line (application/cmcd)                               cmcd_lines(), cmcd_lines_end()
 *
 * Both versions have one grammar here: keys with numbers, words, strings or lists of these (Structured Fields, RFC 8941), parted by
 * commas. A report is read byte by byte into a struct of fixed size, whatever its length, so nothing of it is kept: a body may come in
 * any pieces. Keys that nobody counts are read over. A report whose string or list has no end, or that is none, is broken, and nothing of
 * it counts; a number that is none, or is not plausible, is as if it were not there. */
#ifndef EDGED_CMCD_H
#define EDGED_CMCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CMCD_WORD_MAX 16
#define CMCD_LINES_MAX 100 /* reports of one body; what comes behind them is not read */

/* What one report may say; bits of `says`. */
enum {
        CMCD_BUFFER = 1 << 0,     /* bl */
        CMCD_THROUGHPUT = 1 << 1, /* mtp */
        CMCD_LATENCY = 1 << 2,    /* ltc */
        CMCD_STARTUP = 1 << 3,    /* msd */
        CMCD_STALLED = 1 << 4,    /* bsd */
        CMCD_RESPONSE = 1 << 5,   /* rc */
};

enum cmcd_event { CMCD_NO_EVENT, CMCD_PLAY_STATE, CMCD_ERROR, CMCD_RESPONSE_RECEIVED, CMCD_OTHER_EVENT };

#define CMCD_STATES(X)                                                                                                 \
        X(STARTING, "s", "starting") X(PLAYING, "p", "playing") X(SEEKING, "k", "seeking")                             \
        X(REBUFFERING, "r", "rebuffering") X(PAUSED, "a", "paused") X(WAITING, "w", "waiting") X(ENDED, "e", "ended")  \
        X(FATAL, "f", "fatal") X(QUIT, "q", "quit") X(PRELOADING, "d", "preloading")

enum cmcd_state {
        CMCD_NO_STATE,
#define X(name, word, text) CMCD_##name,
        CMCD_STATES(X)
#undef X
        CMCD_STATE_END
};

struct cmcd_report {
        unsigned says;
        unsigned version;       /* 1 or 2 */
        bool starved, starting; /* bs, su */
        bool of_sound;          /* ot: what it came with is sound alone */
        enum cmcd_event event;
        enum cmcd_state state;
        int64_t buffer_ms;       /* of several media the least */
        int64_t throughput_kbps; /* the first of several */
        int64_t latency_ms;      /* from the camera's clock to the picture, as the player believes */
        int64_t startup_ms;
        int64_t stalled_ms;      /* since its last report; of several media the most */
        int64_t response;        /* HTTP status; 0: there was none */
};

/* All zero: at the beginning of a report. */
struct cmcd_reader {
        uint8_t where, word_len;
        bool in_string, escaped, is_string, broken;
        bool has_key, any; /* the key under way has begun; there was one in this report */
        uint64_t key;
        char word[CMCD_WORD_MAX];
        struct cmcd_report report;
};

enum cmcd_result { CMCD_NOTHING, CMCD_REPORT, CMCD_BROKEN };

/* Of a request target; the query's CMCD argument. */
enum cmcd_result cmcd_query(const char *target, struct cmcd_report *out);

#define CMCD_FIELDS 4
enum cmcd_result cmcd_fields(const char *const values[CMCD_FIELDS], struct cmcd_report *out); /* NULL: that field is not there */

/* All zero: at the beginning of a body. */
struct cmcd_lines {
        struct cmcd_reader reader;
        unsigned count; /* reports, broken ones too */
};

typedef void (*cmcd_take)(void *arg, enum cmcd_result result, const struct cmcd_report *r); /* REPORT or BROKEN */
void cmcd_lines(struct cmcd_lines *l, const char *bytes, size_t len, cmcd_take take, void *arg);
void cmcd_lines_end(struct cmcd_lines *l, cmcd_take take, void *arg); /* the last line may have no end */

#endif
