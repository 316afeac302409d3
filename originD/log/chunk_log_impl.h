/* chunk_log_impl.h - what the files of a chunk log share, and nobody else calls.
 *
 *   chunk_log.c          life, and the way of a chunk into the log
 *   chunk_log_volumes.c  the volumes behind the open one: closing, forgetting, hiding and taking them
 *   chunk_log_archive.c  those that the archive has too, or alone
 *   chunk_log_cut.c      cutting back, and going on with a volume that was closed
 *   chunk_log_read.c     what readers see */
#ifndef ORIGIND_CHUNK_LOG_IMPL_H
#define ORIGIND_CHUNK_LOG_IMPL_H

#include "originD/log/chunk_log.h"

/* ---- chunk_log.c ---- */

void chunk_log_tell(struct chunk_log *log, const struct chunk_append *chunk); /* moved(), if there is one */
void chunk_log_write_next(struct chunk_log *log); /* answers what needs no write, until one that does */
void chunk_log_one_less_behind(struct chunk_log *log); /* a job that `behind` counted is over: what waited for that begins */
void chunk_log_forget_recent(struct chunk_log *log);

/* ---- chunk_log_volumes.c ---- */

void chunk_log_count(struct volume_sum *all, const struct volume_sum *one, bool more); /* more: one is added, or else taken off */
void chunk_log_close_volume(struct chunk_log *log); /* the open volume becomes a row */
void chunk_log_forget_row(struct chunk_log *log, struct volume_row *row);
void chunk_log_tell_volumes(struct chunk_log *log); /* volumes_changed(), if there is one */
void chunk_log_index_gone(void *owner, uint32_t number); /* for index_cache_add(); owner: the log */

/* ---- chunk_log_archive.c ---- */

void chunk_log_want(struct chunk_log *log, struct volume_row *row); /* an archived one's file is needed here */

/* ---- chunk_log_cut.c: what was asked for begins, if it has not and nothing is behind the log's back ---- */

void chunk_log_start_cut(struct chunk_log *log);
uint64_t chunk_log_cut_from(const struct chunk_log *log); /* the segment that a cut begins with, from when that is saved; UINT64_MAX: none */
void chunk_log_start_reopen(struct chunk_log *log);

#endif
