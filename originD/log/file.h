/* file.h - files and folders, at once: every function blocks, and is for the pool (disk.h) or a start.
 *
 * 0 or a descriptor, or errno by err_from_errno(). ERR_NOT_FOUND: it is not there, and nothing else means that. Descriptors
 * are the caller's to close(). */
#ifndef ORIGIND_FILE_H
#define ORIGIND_FILE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"

#define FILE_SAVE_SUFFIX ".tmp" /* of a file that is to replace another one */

/* ---- an open file ---- */

int file_open(const char *path, int flags); /* with O_CLOEXEC; leaves errno */
int file_create(const char *path);          /* ERR_CONFLICT: there is something of that name */
int file_size(int fd, uint64_t *bytes);     /* on an error it is 0 */
int file_truncate(int fd, uint64_t bytes);
int file_sync(int fd);
int file_sync_data(int fd);
void file_forget(int fd); /* what the kernel has in memory of it, and has written: who reads it next asks the disk */

int file_write(int fd, const void *data, size_t len, uint64_t offset); /* all of it; on an error some of it may be there */
ssize_t file_read(int fd, void *dst, size_t len, uint64_t offset);     /* the bytes that are there, up to len */
int file_read_all(int fd, void *dst, size_t len, uint64_t offset);     /* ERR_IO also when the file is shorter */
int file_copy(int from, uint64_t offset, uint64_t len, int to, uint64_t at);

/* ---- a whole file by its name ---- */

/* The caller's reference. ERR_CORRUPT: it is empty, or longer than `most`. */
int file_load(const char *path, size_t most, struct buf **out);

/* Writes and syncs a file, in place of one of that name: for names that hold half of an earlier write, and never the only copy. */
int file_put(const char *path, const void *data, size_t len);

/* Replaces a small file in one step: written beside it, synced, renamed. On an error the old one is as it was. That the new name
 * is durable takes file_sync_folder(). */
int file_replace(const char *path, const void *data, size_t len);

/* The same, durable. The folder that it is in is made if need be, and what that is in: so many `folders` at most. ERR_NOT_FOUND: there
 * are not as many. DATA_DIR itself is never among them: where its mount has gone nothing may be begun in its place. */
int file_save(const char *path, const void *data, size_t len, unsigned folders);

int file_rename(const char *from, const char *to);
int file_remove(const char *path); /* one that is not there is removed */
int file_compare(const char *path, int fd); /* 0: the path names what fd has open; ERR_NOT_FOUND: something else, or nothing */

/* Renames path to path.WORD-N, N being the first that is free: what could not be read or is in the way is kept for a person to
 * look at, and replaces nothing. ERR_NOT_FOUND: it is not there. */
int file_set_aside(const char *path, const char *word);
char *file_unused_name(const char *path, const char *word); /* such a name; the caller's to free */

/* ---- folders ---- */

char *file_folder(const char *path); /* that it is in; the caller's to free */
int file_sync_folder(const char *folder); /* the names in it are durable */
int file_open_folder_of(const char *path, unsigned folders); /* for file_sync(); made as by file_save(), durably */

/* Removes a folder and what is in it, then its parent if that is empty. It is marked first: a half removed one is never taken
 * for a session. */
int file_remove_folder(const char *folder);
/* Renames it, if it is not marked yet; marked: its name then, in any case the caller's to free. */
#define FILE_REMOVED_SUFFIX ".removed"
int file_mark_removed(const char *folder, char **marked);

/* Removes the folder of a file, with the file and what a save of it left, and then its parent if that is empty. Where there is
 * anything else in the folder all of it stays: ERR_CONFLICT. */
int file_remove_unused_folder(const char *path);

#endif
