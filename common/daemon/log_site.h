/* log_site.h - how many lines one place of the source may write, so that nobody can fill a disk by causing the same line again and
 * again. For log.h, whose macros make a site of every call; elsewhere only its bounds are of interest. Time is passed in. Any thread.
 *
 * In LOG_WINDOW_US a site may write LOG_SITE_LINES. One that strangers cause (log_warn_of()) has LOG_PEER_LINES for each peer
 * instead; it tells LOG_PEERS of them apart, and all others share the last one's. What is left out is counted, and told when the
 * window is over: by the site's next line, or by log_tick(). */
#ifndef COMMON_DAEMON_LOG_SITE_H
#define COMMON_DAEMON_LOG_SITE_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_WINDOW_US INT64_C(10000000)
#define LOG_SITE_LINES 200
#define LOG_SITE_DEBUG_LINES 1000
#define LOG_PEER_LINES 10
#define LOG_PEERS 8
#define LOG_PEER_NAME 56

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_peer {
        char name[LOG_PEER_NAME];
        unsigned lines, left_out;
};

struct log_site { /* static; zero but for the first two */
        const char *place;      /* file:line */
        struct log_peer *peers; /* LOG_PEERS of them; NULL: the site has one budget */
        const char *fmt;
        enum log_level level;
        int64_t since_us; /* when its window began; monotonic */
        unsigned lines, left_out;
        bool listed;
        struct log_site *next;
};

/* What a site left out in a window. */
struct log_more {
        const char *place, *fmt;
        enum log_level level;
        unsigned count;           /* 0: nothing, and all else is undefined */
        unsigned of_peer;         /* so many of them were about this one, more than about another */
        char peer[LOG_PEER_NAME];
};

/* Whether one more line may be written. peer: whom it is about, for a site that has peers; an address without its port is one. *more
 * is what the window before left out, if it is over. */
bool log_site_take(struct log_site *site, const char *peer, enum log_level level, const char *fmt, int64_t now_us,
                   struct log_more *more);

/* The next site whose window is over by now and that left something out. false: there is none. */
bool log_site_due(int64_t now_us, struct log_more *more);

#endif
