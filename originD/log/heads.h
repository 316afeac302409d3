/* heads.h - what stands before the media in each chunk of a closed volume: its boxes up to and with the header of the mdat. From them a
 * whole recording is laid out (recording.h) without its media being read.
 *
 *   TRACK/000042.mp4    has them, each in front of its media
 *   TRACK/000042.heads  the same heads, one behind the other, and their CRC32C: kept when the mp4 goes, as the archive has it. It takes a
 *                       third of a percent of it
 *
 * Where a chunk lies need not be in that file: chunks follow each other, and each head says how long its chunk is.
 * Everything blocks, and is for the pool. */
#ifndef ORIGIND_HEADS_H
#define ORIGIND_HEADS_H

#include "originD/log/index.h"
#include "originD/log/records.h"

#define HEADS_MAX_BYTES (64u << 20)

/* offset: of the chunk in the mp4. Not 0: no more of them are told, and the reader returns it. */
typedef int heads_each(void *arg, uint64_t offset, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes);

/* Tells the heads of the chunks of these segments (rising, as in the volume's index), in order, and after each segment each(arg, 0, NULL,
 * 0, 0). ERR_NOT_FOUND: neither file is there. ERR_CORRUPT: they are not what the rows say. */
int heads_read(const struct volume_track *t, uint32_t number, const struct index_row *rows, size_t count, heads_each *each, void *arg);

/* Whether they can be read, as far as files go: 0; ERR_NOT_FOUND: neither file is there. */
int heads_look(const struct volume_track *t, uint32_t number);

/* Writes them beside the mp4, which is whole. ERR_NOT_FOUND: the mp4 went before, and what was kept then stays. On any other error there
 * is no such file. */
int heads_keep(const struct volume_track *t, uint32_t number);
int heads_remove(const struct volume_track *t, uint32_t number);

#endif
