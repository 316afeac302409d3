/* log.h - one line an event on standard error:
 *
 *     ts=2026-01-31T12:34:56.789Z level=info node=edge-1 session=… stream=… msg="…" key=value …
 *
 * The caller writes key=value pairs, session first; free text goes into msg="…". Values that come from a peer (names,
 * metadata) are passed through log_quote() so that no peer can forge a line. Any thread; a line is one write(2).
 *
 * The same line as JSON (log_json.h) is a matter of log_set_format(). When standard error is the systemd journal, each line
 * begins with its priority, <3> to <7>, and logfmt has no ts: the journal has its own. */
#ifndef COMMON_DAEMON_LOG_H
#define COMMON_DAEMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* At start, before other threads; node_id is copied. Whether standard error is the journal is found out here. */
void log_init(const char *node_id, enum log_level level);
void log_set_json(const char *daemon); /* lines are JSON from now on; NULL: logfmt. The name is what the member "daemon" says;
                                          static. Any thread */
void log_set_level(enum log_level level);                    /* any thread */
enum log_level log_level_now(void);
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *name, enum log_level *out); /* debug info warn error */
bool log_enabled(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* Lines about what strangers can cause as often as they like: the first `most` within LOG_FEW_US, and later how many were left out.
 * One thread, or under its owner's lock. */
#define LOG_FEW_US INT64_C(10000000)
struct log_few { /* all zero at first */
        int64_t since_us;
        unsigned lines, left_out;
};

/* Whether a line may be written now. *left_out: how many were not before; the caller tells, when there were any. */
bool log_few(struct log_few *f, unsigned most, int64_t now_us, unsigned *left_out);

/* Writes `"text"` with quotes, backslashes, control characters and what is not UTF-8 escaped, cut with … at cap. Returns dst. */
char *log_quote(char *dst, size_t cap, const char *text);

#endif
