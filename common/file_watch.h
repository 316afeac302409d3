/* file_watch.h - tells when files that may be replaced while the process runs have changed: certificates, keys, token keys.
 *
 * A watched path is a file, or a directory, which stands for itself and every entry in it. Symbolic links are followed, so a
 * directory that is swapped behind a link (as Kubernetes mounts secrets) counts as changed. Every FILE_WATCH_MS all paths are
 * looked at with stat(); inotify would be told about the link or about the old directory and not about what is reached
 * through them, and does not work on network file systems.
 *
 * A certificate and its key are two files and are written one after the other. The watch speaks only when two looks in a row
 * saw the same, different from what was last spoken about: at most 2 * FILE_WATCH_MS after the last write.
 *
 * A path that is not there, or cannot be looked at, is a state like any other: the reader of the files tells what is wrong.
 *   file_watch_open   takes the present state as known; changed() is not called for it
 *   changed()         loop thread, from the timer; may call file_watch_close
 *   file_watch_close  no changed() after it; memory goes once the loop has run its close callbacks
 * Loop thread only. The paths are meant to be on a local disk: a look blocks as long as stat() does. */
#ifndef COMMON_FILE_WATCH_H
#define COMMON_FILE_WATCH_H

#include <stddef.h>
#include <uv.h>

#define FILE_WATCH_MS 500
#define FILE_WATCH_ENTRIES_MAX 256 /* of one directory that are looked at, in the order of their names */

struct file_watch;
typedef void file_watch_changed(void *arg);

/* paths are copied; empty ones are left out. Never fails. */
struct file_watch *file_watch_open(uv_loop_t *loop, const char *const *paths, size_t count, file_watch_changed *changed,
                                   void *arg);
void file_watch_close(struct file_watch *w); /* NULL is fine */

#endif
