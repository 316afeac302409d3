/* log.h - one line an event on standard error:
 *
 *     ts=2026-01-31T12:34:56.789Z level=info node=edge-1 session=… stream=… msg="…" key=value …
 *
 * The caller writes key=value pairs, session first; free text goes into msg="…". Values that come from a peer (names,
 * metadata) are passed through log_quote() so that no peer can forge a line. Any thread; a line is one write(2).
 *
 *   log_info(fmt, …)          each call in the source may write so many lines in ten seconds (log_site.h); what is beyond is
 *   log_info_of(peer, fmt, …) counted, and told by itself. The second form is for what strangers cause: so many a peer. peer is the
 *                             address, with a port or without, or whatever else says who it is
 *   log_fatal(fmt, …)         before the process ends: never left out, and what was left out before is told first
 *
 * The same line as JSON (log_json.h) is a matter of log_set_json(). When standard error is the systemd journal, each line
 * begins with its priority, <3> to <7>, and logfmt has no ts: the journal has its own. */
#ifndef COMMON_DAEMON_LOG_H
#define COMMON_DAEMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/daemon/log_site.h"

/* At start, before other threads; node_id is copied. Whether standard error is the journal is found out here. */
void log_init(const char *node_id, enum log_level level);
void log_set_json(const char *daemon); /* lines are JSON from now on; NULL: logfmt. The name is what the member "daemon" says;
                                          static. Any thread */
void log_set_level(enum log_level level);                    /* any thread */
enum log_level log_level_now(void);
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *name, enum log_level *out); /* debug info warn error */
bool log_enabled(enum log_level level);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_info_of(peer, ...) log_line_of(peer, LOG_INFO, __VA_ARGS__)
#define log_warn_of(peer, ...) log_line_of(peer, LOG_WARN, __VA_ARGS__)

/* Of a level that is known only when it runs. Arguments are not evaluated when the level is not written. */
#define log_line(level, ...)                                                                                                   \
        ({                                                                                                                     \
                static struct log_site log_here = {.place = __FILE__ ":" LOG_TEXT(__LINE__)};                                  \
                enum log_level log_as = (level);                                                                               \
                if (log_enabled(log_as))                                                                                       \
                        log_write(&log_here, NULL, log_as, __VA_ARGS__);                                                       \
        })
#define log_line_of(peer, level, ...)                                                                                          \
        ({                                                                                                                     \
                static struct log_peer log_peers[LOG_PEERS];                                                                   \
                static struct log_site log_here = {.place = __FILE__ ":" LOG_TEXT(__LINE__), .peers = log_peers};              \
                enum log_level log_as = (level);                                                                               \
                if (log_enabled(log_as))                                                                                       \
                        log_write(&log_here, peer, log_as, __VA_ARGS__);                                                       \
        })
#define LOG_TEXT(x) LOG_TEXT_OF(x)
#define LOG_TEXT_OF(x) #x
void log_write(struct log_site *site, const char *peer, enum log_level level, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));

void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same with a text without quotes, from a handler of signals: takes no lock. Nothing is written when log_fatal() had its line. */
void log_last(const char *text);

void log_tick(int64_t mono_us); /* at least each second: tells what was left out. INT64_MAX: all of it, now */

/* Writes `"text"` with quotes, backslashes, control characters and what is not UTF-8 escaped, cut with … at cap. Returns dst. */
char *log_quote(char *dst, size_t cap, const char *text);

#endif
