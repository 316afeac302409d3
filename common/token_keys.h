/* token_keys.h - the keys that signed tokens are verified with (jwt.h), in a file that may change while the process runs.
 *
 *   token_keys_open    reads the file and begins to watch it (file_watch.h); an error when it cannot be used
 *   token_keys_now     the set in use; it is whole, and never changes
 *   changed()          another set is in use: the file was replaced, or can be read at last
 *   token_keys_reload  what SIGHUP does: reads now, perhaps another file. changed() is not called for it
 *   token_keys_close   no changed() after it; memory goes once the loop has run its close callbacks
 *
 * A file that cannot be used, for whatever reason (it is gone, half written, no JSON, the process has no descriptor left),
 * leaves the set from before in use: who must not get in any more is kept out by a set without his key, not by a damaged one.
 * The file is then read again every TOKEN_KEYS_RETRY_MS, because what was wrong may have been with us and not with the file,
 * which then never changes again. The log has a line when that begins, when the reason changes, and when it is over.
 * Loop thread only; a set is counted and may go to other threads. */
#ifndef COMMON_TOKEN_KEYS_H
#define COMMON_TOKEN_KEYS_H

#include <stddef.h>
#include <uv.h>

#include "common/jwt.h"

#define TOKEN_KEYS_RETRY_MS 1000

struct token_keys;
typedef void token_keys_changed(void *arg); /* loop thread, from a timer; may call token_keys_close */

/* setting: the configuration's key that has the path, for the log; static. path is copied; "": there are no keys, until a
 * reload says otherwise. What jwt_keys_load() fails with, which was logged: *out is then NULL. */
int token_keys_open(struct token_keys **out, uv_loop_t *loop, const char *setting, const char *path, token_keys_changed *changed,
                    void *arg);

/* Failing is logged and leaves the set that is in use; path is then what is tried again. */
void token_keys_reload(struct token_keys *k, const char *path);

/* NULL: there is no file. Borrowed until the next changed() or reload; jwt_keys_ref() to keep it. */
struct jwt_keys *token_keys_now(const struct token_keys *k);

void token_keys_close(struct token_keys **k); /* nulls *k; NULL is fine */

/* For a daemon that only checks its configuration: 0, or ERR_CONFIG and a sentence in why that begins with the setting.
 * path "": 0. */
int token_keys_check(const char *setting, const char *path, char *why, size_t why_cap);

#endif
