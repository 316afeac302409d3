/* volumes_file.h - TRACK/volumes: the row of a track's closed volumes on the disk, so that a start opens none of them.
 *
 * 52 bytes a volume, each with a checksum of its own, behind a header of 16: 7.5 KB a day of a track. It is written anew when the
 * row has changed, beside the old one and then in its place, so it is whole or it is damaged. What is damaged says nothing, and
 * the volumes are opened instead; what only this file knew, that a volume is elsewhere, is then heard again from there.
 * All of it blocks, or takes as long as the row is: pool threads. */
#ifndef ORIGIND_VOLUMES_FILE_H
#define ORIGIND_VOLUMES_FILE_H

#include "originD/log/volumes.h"

#define VOLUMES_FILE_NAME "volumes"

struct buf *volumes_file_encode(const struct volumes *v);
/* The rows that are whole. false: there was something else in it too. */
bool volumes_file_decode(struct volumes *out, const uint8_t *data, size_t len_bytes);

/* Of the track in that folder. One that is damaged is set aside. 0 also when there is none: no row is known then, and *saved is
 * NULL; otherwise *saved is what was read. Errors as open(2): whether there are rows is not known. */
int volumes_file_read(const char *dir, struct volumes *out, struct buf **saved);
int volumes_file_save(const char *dir, const struct volumes *v); /* durable. ERR_NOT_FOUND: there is no such folder, and none is made */

#endif
