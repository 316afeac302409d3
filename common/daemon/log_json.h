/* log_json.h - a line of the log as a JSON object: made of what the callers of log_line() write, key=value pairs. For log.c.
 *
 * Each pair becomes a member. It is a number when the caller's format says so (`port=%d`, not `stream=%s`), so that a
 * member's type does not depend on what a peer chose for a name; otherwise a string. Words that are no pair are gathered in
 * the member "text", a key that was there already gets a number behind it ("node_2"). What is not UTF-8 becomes U+FFFD.
 * Pure; any thread. */
#ifndef COMMON_DAEMON_LOG_JSON_H
#define COMMON_DAEMON_LOG_JSON_H

#include <stddef.h>

#define LOG_JSON_CAP_MIN 512

struct log_head {
        const char *ts, *level, *node, *daemon;
};

/* Writes {"ts":…,"level":…,"node":…,"daemon":…, then the pairs of text (which fmt was formatted to) } and a newline, at most cap
 * bytes without a zero byte behind them. What does not fit is left out and "cut":true says so. Returns how many bytes. */
size_t log_json(char *dst, size_t cap, const struct log_head *head, const char *fmt, const char *text);

#endif
